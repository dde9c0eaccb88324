//! Splits a stream that is one JSON array into its elements, wherever its bytes are cut.

use crate::json::string_end;
use crate::sse::{LINE_LIMIT, TooLong};

/// Where in the array the bytes that passed end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// Before its opening bracket.
    #[default]
    Before,
    /// Between two elements, or before the first.
    Between,
    /// Within an element.
    Within,
    /// Behind its closing bracket.
    Behind,
    /// The stream is no array.
    Elsewhere,
}

/// Splits one stream; keeps what is needed of an element whose end has not come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Splitter {
    place: Place,
    depth: usize,
    in_string: bool,
    escaped: bool,
    element: Vec<u8>,
    elements: u64,
}

impl Splitter {
    /// Takes the next piece and reports every element that ends within it.
    pub(crate) fn push(&mut self, piece: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), TooLong> {
        let (mut at, mut from) = (0, 0);
        while at < piece.len() {
            match self.place {
                Place::Within => {
                    at = self.through(piece, at);
                    if self.depth == 0 {
                        self.keep(&piece[from..at])?;
                        each(&self.element);
                        self.element.clear();
                        self.elements += 1;
                        self.place = Place::Between;
                    }
                }
                Place::Behind | Place::Elsewhere => return Ok(()),
                Place::Before | Place::Between => {
                    self.outside(piece[at]);
                    from = at;
                    at += 1;
                }
            }
        }
        match self.place {
            Place::Within => self.keep(&piece[from..]),
            _ => Ok(()),
        }
    }

    /// Where the bytes that passed end.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Elements that have passed whole.
    pub(crate) fn elements(&self) -> u64 {
        self.elements
    }

    /// What is here of an element that has not ended.
    pub(crate) fn unended(&self) -> &[u8] {
        &self.element
    }

    fn outside(&mut self, byte: u8) {
        self.place = match (self.place, byte) {
            (place, b' ' | b'\t' | b'\r' | b'\n') => place,
            (Place::Before, b'[') | (Place::Between, b',') => Place::Between,
            (Place::Between, b']') => Place::Behind,
            (Place::Between, b'{' | b'[') => {
                self.depth = 1;
                Place::Within
            }
            _ => Place::Elsewhere,
        };
    }

    /// Within an element: on to behind its end, or to the end of the piece.
    fn through(&mut self, piece: &[u8], mut at: usize) -> usize {
        while at < piece.len() && self.depth > 0 {
            if self.in_string {
                at = self.through_string(piece, at);
                continue;
            }
            match piece[at] {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth -= 1,
                _ => {}
            }
            at += 1;
        }
        at
    }

    fn through_string(&mut self, piece: &[u8], from: usize) -> usize {
        let skipped = (from + usize::from(std::mem::take(&mut self.escaped))).min(piece.len());
        let end = string_end(piece, skipped);
        if end < piece.len() {
            self.in_string = false;
            return end + 1;
        }
        let backslashes = piece[skipped..].iter().rev().take_while(|byte| **byte == b'\\').count();
        self.escaped = backslashes % 2 == 1;
        piece.len()
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), TooLong> {
        if self.element.len() + part.len() > LINE_LIMIT {
            return Err(TooLong);
        }
        self.element.extend_from_slice(part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_the_same_wherever_the_bytes_are_cut() {
        let text = " [{\"a\":\"]}\\\"\\\\\"}\n,\r\n{\"b\":[1,{\"c\":{}}]} , []\n]\n";
        for size in 1..=text.len() {
            let (mut splitter, mut seen) = (Splitter::default(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                splitter
                    .push(piece, |element| seen.push(String::from_utf8_lossy(element).into_owned()))
                    .unwrap();
            }
            assert_eq!(seen, ["{\"a\":\"]}\\\"\\\\\"}", "{\"b\":[1,{\"c\":{}}]}", "[]"], "{size}");
            assert_eq!((splitter.place(), splitter.elements()), (Place::Behind, 3));
        }
    }

    #[test]
    fn what_is_no_array_has_no_elements_and_long_elements_are_refused() {
        let mut splitter = Splitter::default();
        splitter.push(b"{\"error\":[]}", |_| panic!("no element")).unwrap();
        assert_eq!(splitter.place(), Place::Elsewhere);
        let long = [b"[{\"a\":\"".as_slice(), &vec![b'x'; LINE_LIMIT]].concat();
        assert_eq!(Splitter::default().push(&long, |_| {}), Err(TooLong));
    }
}
