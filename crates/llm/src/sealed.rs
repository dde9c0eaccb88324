//! What OpenAI's Responses seals within answers (`encrypted_content`): only the account that sealed it can open
//! it, so whoever sends it back must go there. Seals are found in the bytes as they pass; each is known by its
//! last characters, which are a checksum of the whole.

use memchr::{memchr2, memmem};

/// The name of the member, quotes included: within a string its last quote would have a backslash before it.
const NAME: &[u8] = b"\"encrypted_content\"";
/// So many characters tell one seal from every other: a checksum of 32 bytes in base64 has 43.
const MARK: usize = 48;
/// Shorter ones are nobody's.
const LEAST: usize = 16;
/// What begins the seals of other makers, see [`crate::codec`].
const FOREIGN: &[u8] = b"yumen.";
/// At most so many of one answer are told.
const MOST: usize = 64;

/// Finds the seals of one answer, however it is cut.
#[derive(Clone, Debug, Default)]
pub(crate) struct SealReader {
    state: State,
    /// The end of what was read, while it may be the beginning of the name.
    before: Vec<u8>,
    found: Vec<Box<str>>,
}

#[derive(Clone, Debug, Default)]
enum State {
    /// Nothing yet.
    #[default]
    Outside,
    /// Behind the name.
    Named,
    /// Within the seal.
    Inside(Mark),
}

/// What is kept of a seal: how it begins, and how it ends.
#[derive(Clone, Debug, Default)]
struct Mark {
    length: usize,
    first: Vec<u8>,
    last: Vec<u8>,
    escaped: bool,
}

impl Mark {
    fn push(&mut self, piece: &[u8]) {
        let room = FOREIGN.len() - self.first.len();
        self.first.extend_from_slice(&piece[..piece.len().min(room)]);
        self.length += piece.len();
        let kept = piece.len().min(MARK);
        self.last.extend_from_slice(&piece[piece.len() - kept..]);
        let over = self.last.len().saturating_sub(MARK);
        self.last.drain(..over);
    }

    fn text(self) -> Option<Box<str>> {
        let is_one = self.length >= LEAST && self.first != FOREIGN;
        String::from_utf8(self.last).ok().filter(|_| is_one).map(Into::into)
    }
}

impl SealReader {
    /// Reads the next piece.
    pub(crate) fn push(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let read = match &mut self.state {
                State::Outside => self.seek(piece),
                State::Named => self.name_behind(piece),
                State::Inside(_) => self.inside(piece),
            };
            piece = &piece[read..];
        }
    }

    /// The seals found since this was asked last.
    pub(crate) fn take(&mut self) -> Vec<Box<str>> {
        std::mem::take(&mut self.found)
    }

    /// Looks for the name; returns how far it has read.
    fn seek(&mut self, piece: &[u8]) -> usize {
        if !self.before.is_empty() {
            let known = self.before.len();
            self.before.extend_from_slice(&piece[..piece.len().min(NAME.len() - 1)]);
            if let Some(at) = memmem::find(&self.before, NAME) {
                self.before.clear();
                self.state = State::Named;
                return at + NAME.len() - known;
            }
            self.before.truncate(known);
        }
        if let Some(at) = memmem::find(piece, NAME) {
            self.before.clear();
            self.state = State::Named;
            return at + NAME.len();
        }
        let kept = piece.len().min(NAME.len() - 1);
        self.before.extend_from_slice(&piece[piece.len() - kept..]);
        let over = self.before.len().saturating_sub(NAME.len() - 1);
        self.before.drain(..over);
        piece.len()
    }

    /// Looks for the quote that begins the seal; what is no string has none.
    fn name_behind(&mut self, piece: &[u8]) -> usize {
        let skipped = piece.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == b':').count();
        match piece.get(skipped) {
            Some(b'"') => self.state = State::Inside(Mark::default()),
            Some(_) => self.state = State::Outside,
            None => return skipped,
        }
        // What is no string is read again from outside.
        skipped + usize::from(matches!(self.state, State::Inside(_)))
    }

    /// Reads on to the quote that ends the seal. Backslashes, which some put before a slash, are no part of it.
    fn inside(&mut self, piece: &[u8]) -> usize {
        let State::Inside(mark) = &mut self.state else { return 0 };
        if std::mem::take(&mut mark.escaped) {
            mark.push(&piece[..1]);
            return 1;
        }
        let Some(at) = memchr2(b'"', b'\\', piece) else {
            mark.push(piece);
            return piece.len();
        };
        mark.push(&piece[..at]);
        if piece[at] == b'\\' {
            mark.escaped = true;
        } else if let State::Inside(mark) = std::mem::take(&mut self.state)
            && let Some(seal) = mark.text()
            && self.found.len() < MOST
            && !self.found.contains(&seal)
        {
            self.found.push(seal);
        }
        at + 1
    }
}

/// The seals of a request in Responses, the latest first.
pub fn seals_from_last(body: &[u8]) -> impl Iterator<Item = Box<str>> {
    memmem::rfind_iter(body, NAME).filter_map(|at| {
        let mut reader = SealReader { state: State::Named, ..SealReader::default() };
        let value = &body[at + NAME.len()..];
        let end = memmem::find(value, NAME).unwrap_or(value.len());
        reader.push(&value[..end]);
        reader.take().into_iter().next()
    })
}

/// What a seal is known by: the whole of it, as the neutral form has it.
#[must_use]
pub fn mark_of(seal: &str) -> Option<Box<str>> {
    let mut mark = Mark::default();
    mark.push(seal.as_bytes());
    mark.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(of: char) -> String {
        format!("gAAAAAB{}/{of}==", of.to_string().repeat(200))
    }

    fn answer() -> String {
        let escaped = seal('b').replace('/', "\\/");
        format!(
            "data: {{\"item\":{{\"type\":\"reasoning\",\"encrypted_content\":\"{}\"}}}}\n\ndata: {{\"text\":\
             \"\\\"encrypted_content\\\":\\\"{}\\\"\",\"encrypted_content\" : \"{escaped}\",\
             \"encrypted_content\":null,\"encrypted_content\":\"yumen.gemini.signature.{}\",\
             \"encrypted_content\":\"\",\"encrypted_content\":\"{}\"}}\n\n",
            seal('a'),
            seal('x'),
            seal('y'),
            seal('a'),
        )
    }

    #[test]
    fn seals_are_found_however_an_answer_is_cut() {
        let text = answer();
        let expected = [mark_of(&seal('a')).unwrap(), mark_of(&seal('b')).unwrap()];
        for size in [1, 2, 7, 18, 19, 20, 64, text.len()] {
            let mut reader = SealReader::default();
            text.as_bytes().chunks(size).for_each(|piece| reader.push(piece));
            assert_eq!(*reader.take(), expected, "{size}");
        }
    }

    #[test]
    fn the_latest_seal_of_a_request_comes_first() {
        let text = answer();
        let found: Vec<Box<str>> = seals_from_last(text.as_bytes()).collect();
        assert_eq!(found, [seal('a'), seal('b'), seal('a')].map(|seal| mark_of(&seal).unwrap()));
    }
}
