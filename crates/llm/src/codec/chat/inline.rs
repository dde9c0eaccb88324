//! Thoughts that stand in the text itself, between `<think>` and `</think>`, as MiniMax writes them where it
//! does not heed `reasoning_split` (dialects reference §1.7). Only at the beginning: further on, a model may
//! speak of the tag.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";
/// Space before the tag is held back up to here; what has more is text.
const SPACE_BYTES: usize = 64;

/// Tells thoughts and text apart, wherever the pieces of a text are cut.
#[derive(Debug, Default)]
pub(super) struct Inline {
    place: Place,
    /// What may be part of a tag: never more than [`SPACE_BYTES`] and a tag.
    held: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Before,
    Opened,
    Within,
    Closed,
    Text,
}

/// What a piece said: thoughts, then text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub thoughts: String,
    pub text: String,
}

impl Inline {
    /// Reads the next piece.
    pub(super) fn push(&mut self, piece: String) -> Told {
        let mut told = Told::default();
        if self.place == Place::Text {
            told.text = piece;
            return told;
        }
        self.held.push_str(&piece);
        if self.place == Place::Before {
            let text = self.held.trim_ascii_start();
            if self.held.len() - text.len() > SPACE_BYTES {
                self.place = Place::Text;
            } else if let Some(behind) = text.strip_prefix(OPEN) {
                self.held = behind.to_owned();
                self.place = Place::Opened;
            } else if OPEN.starts_with(text) {
                return told;
            } else {
                self.place = Place::Text;
            }
        }
        self.skip_lines(Place::Opened, Place::Within);
        if self.place == Place::Within {
            told.thoughts = self.thoughts();
        }
        self.skip_lines(Place::Closed, Place::Text);
        if self.place == Place::Text {
            told.text = std::mem::take(&mut self.held);
        }
        told
    }

    /// What was held back, where nothing follows.
    pub(super) fn finish(&mut self) -> Told {
        let held = std::mem::take(&mut self.held);
        match std::mem::replace(&mut self.place, Place::Text) {
            Place::Before => Told { text: held, ..Told::default() },
            Place::Within => Told { thoughts: held, ..Told::default() },
            Place::Opened | Place::Closed | Place::Text => Told::default(),
        }
    }

    /// Leaves out the line ends behind a tag.
    fn skip_lines(&mut self, here: Place, next: Place) {
        if self.place == here {
            self.held = self.held.trim_start_matches(['\n', '\r']).to_owned();
            if !self.held.is_empty() {
                self.place = next;
            }
        }
    }

    /// The thoughts up to the closing tag, or to what may be the beginning of one.
    fn thoughts(&mut self) -> String {
        let (end, rest) = match self.held.find(CLOSE) {
            Some(at) => {
                self.place = Place::Closed;
                (at, at + CLOSE.len())
            }
            None => {
                let is_part = |length: &usize| self.held.ends_with(&CLOSE[..*length]);
                let part = (1..CLOSE.len()).rev().find(is_part).unwrap_or(0);
                (self.held.len() - part, self.held.len() - part)
            }
        };
        let rest = self.held.split_off(rest);
        let mut thoughts = std::mem::replace(&mut self.held, rest);
        thoughts.truncate(end);
        thoughts
    }
}

/// Tells the thoughts and the text of a whole answer apart.
pub(super) fn split(text: &str) -> Told {
    let mut inline = Inline::default();
    let first = inline.push(text.to_owned());
    let last = inline.finish();
    Told { thoughts: first.thoughts + &last.thoughts, text: first.text + &last.text }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: [(&str, &str, &str); 14] = [
        ("<think>\na thought\n</think>\n\nthe answer", "a thought\n", "the answer"),
        ("\n <think>a</think>b", "a", "b"),
        ("<think>a < b </ c </thin> d</think>\n", "a < b </ c </thin> d", ""),
        ("<think>é潮</think>潮é", "é潮", "潮é"),
        ("<think></think>b", "", "b"),
        ("<think>never closed </thi", "never closed </thi", ""),
        ("<think>", "", ""),
        ("<thin", "", "<thin"),
        ("  \n", "", "  \n"),
        ("", "", ""),
        ("no thoughts <think>a</think>", "", "no thoughts <think>a</think>"),
        ("<thought>a</thought>", "", "<thought>a</thought>"),
        ("<think>a</think>b<think>c</think>", "a", "b<think>c</think>"),
        ("<think>\r\n\r\na</think></think>", "a", "</think>"),
    ];

    fn read(pieces: &[&str]) -> (String, String) {
        let (mut inline, mut thoughts, mut text) = (Inline::default(), String::new(), String::new());
        let pieces = pieces.iter().map(|piece| Some((*piece).to_owned())).chain([None]);
        for piece in pieces {
            let told = match piece {
                Some(piece) => inline.push(piece),
                None => inline.finish(),
            };
            assert!(told.thoughts.is_empty() || text.is_empty(), "a thought behind text");
            assert!(inline.held.len() <= SPACE_BYTES + OPEN.len(), "{:?}", inline.held);
            thoughts += &told.thoughts;
            text += &told.text;
        }
        (thoughts, text)
    }

    #[test]
    fn thoughts_and_text_are_told_apart_wherever_the_pieces_are_cut() {
        for (whole, thoughts, text) in CASES {
            let expected = (thoughts.to_owned(), text.to_owned());
            let told = split(whole);
            assert_eq!((told.thoughts, told.text), expected, "{whole:?}");
            let cuts: Vec<usize> = (0..=whole.len()).filter(|at| whole.is_char_boundary(*at)).collect();
            for first in &cuts {
                for second in cuts.iter().filter(|second| *second >= first) {
                    let pieces = [&whole[..*first], &whole[*first..*second], &whole[*second..]];
                    assert_eq!(read(&pieces), expected, "{pieces:?}");
                }
            }
            let single: Vec<&str> = cuts.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
            assert_eq!(read(&single), expected, "{whole:?} in single characters");
        }
    }

    #[test]
    fn much_space_is_text() {
        let space = " ".repeat(SPACE_BYTES + 1) + "<think>";
        assert_eq!(split(&space).text, space);
        let single: Vec<&str> = space.split_inclusive(|_: char| true).collect();
        assert_eq!(read(&single), (String::new(), space.clone()));
    }
}
