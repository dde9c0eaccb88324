//! Reads JSON values where they stand: every byte of a nested value is seen once, by whoever reads it, and
//! not once for each level above it. For what is long, as conversations are; [`crate::members`] does for
//! the rest.

use std::borrow::Cow;

use crate::json::{Fault, behind_colon, behind_space, behind_string, plain_end, value_end};
use crate::json_text::unescaped;
use crate::neutral::Words;

/// Objects and arrays that readers may enter, one within the other: more than any conversation has. What
/// stands within the innermost of them and is not entered has a limit of its own.
const LEVELS: u32 = 64;

/// A place in a text, before a value. Whoever is given one reads exactly that value.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Cursor<'a> {
    /// Before the value that `text` is.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: behind_space(text.as_bytes(), 0), depth: 0 }
    }

    /// The byte that the value begins with, which tells what kind it is; 0 at the end of the text.
    pub(crate) fn first(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// The place, for [`Cursor::since`].
    pub(crate) fn place(&self) -> usize {
        self.at
    }

    /// What has been read since `place`.
    pub(crate) fn since(&self, place: usize) -> &'a str {
        &self.text[place..self.at]
    }

    /// Reads the value as it stands.
    ///
    /// # Errors
    /// When it is not valid, or nests too deep.
    pub(crate) fn raw(&mut self) -> Result<&'a str, Fault> {
        let from = self.at;
        self.at = value_end(self.text.as_bytes(), from)?;
        Ok(self.since(from))
    }

    /// Reads a string; of any other value nothing is kept.
    ///
    /// # Errors
    /// When the value is not valid.
    pub(crate) fn string(&mut self) -> Result<Option<Cow<'a, str>>, Fault> {
        if self.first() != b'"' {
            return self.raw().map(|_| None);
        }
        let (string, behind) = unescaped(self.text, self.at + 1)?;
        self.at = behind;
        Ok(Some(string))
    }

    /// Reads a string; any other value is the empty one.
    ///
    /// # Errors
    /// When the value is not valid.
    pub(crate) fn owned(&mut self) -> Result<String, Fault> {
        Ok(self.string()?.map(Cow::into_owned).unwrap_or_default())
    }

    /// Reads a string whose text is handed on; any other value is the empty one.
    ///
    /// # Errors
    /// When the value is not valid.
    pub(crate) fn words(&mut self) -> Result<Words, Fault> {
        if self.first() != b'"' {
            return self.raw().map(|_| Words::default());
        }
        let (json, from) = (self.text.as_bytes(), self.at + 1);
        let stop = plain_end(json, from)?;
        let is_escaped = json[stop] == b'\\';
        self.at = if is_escaped { behind_string(json, stop)? } else { stop + 1 };
        Ok(Words::of_json(&self.text[from..self.at - 1], is_escaped))
    }

    /// Reads an object: `each` is given the name of every member and reads its value.
    ///
    /// # Errors
    /// When the value is not a valid object, or nests too deep, or `each` fails.
    pub(crate) fn object(
        &mut self,
        mut each: impl FnMut(&str, &mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.enter(b'{', b'}', |own| {
            if own.first() != b'"' {
                return Err(Fault::Invalid);
            }
            let (name, behind) = unescaped(own.text, own.at + 1)?;
            own.at = behind_colon(own.text.as_bytes(), behind)?;
            each(&name, own)
        })
    }

    /// Reads an array: `each` reads every element.
    ///
    /// # Errors
    /// When the value is not a valid array, or nests too deep, or `each` fails.
    pub(crate) fn array(&mut self, each: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        self.enter(b'[', b']', each)
    }

    fn enter(
        &mut self,
        open: u8,
        close: u8,
        mut each: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.first() != open {
            return Err(Fault::Invalid);
        }
        if self.depth == LEVELS {
            return Err(Fault::Deep);
        }
        self.depth += 1;
        self.step(self.at + 1);
        let mut is_first = true;
        while self.first() != close || !is_first {
            each(self)?;
            self.step(self.at);
            is_first = false;
            match self.first() {
                b',' => self.step(self.at + 1),
                byte if byte == close => break,
                _ => return Err(Fault::Invalid),
            }
        }
        self.depth -= 1;
        self.at += 1;
        Ok(())
    }

    fn step(&mut self, at: usize) {
        self.at = behind_space(self.text.as_bytes(), at);
    }

    /// Checks that nothing follows.
    ///
    /// # Errors
    /// When something does.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        self.step(self.at);
        if self.at == self.text.len() { Ok(()) } else { Err(Fault::Invalid) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads everything there is, and says whether all of it is valid.
    fn walk(value: &mut Cursor<'_>) -> Result<(), Fault> {
        match value.first() {
            b'{' => value.object(|_, value| walk(value)),
            b'[' => value.array(walk),
            b'"' => value.string().map(|_| ()),
            _ => value.raw().map(|_| ()),
        }
    }

    fn is_valid(json: &str) -> bool {
        let mut cursor = Cursor::new(json);
        walk(&mut cursor).and_then(|()| cursor.end()).is_ok()
    }

    #[test]
    fn is_as_strict_as_serde_json() {
        let sample =
            r#" {"a" : [ {}, [ ] ,[1,-2.5e+10 , true,null], {"b":{"c\n":"\"x\\\u00e9"}} ] ,"":"é" }  "#;
        for (at, old) in sample.char_indices() {
            let (before, after) = (&sample[..at], &sample[at + old.len_utf8()..]);
            let mut texts = vec![before.to_owned(), after.to_owned(), format!("{before}{after}")];
            for new in "\"\\{}[],:0.-eu tn\n\u{1}é".chars() {
                texts.push(format!("{before}{new}{after}"));
                texts.push(format!("{before}{new}{old}{after}"));
            }
            for text in texts {
                let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
                assert_eq!(is_valid(&text), theirs, "{text}");
            }
        }
    }

    #[test]
    fn depth_has_a_limit() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(is_valid(&nested(64)));
        assert!(!is_valid(&nested(65)));
        assert!(!is_valid(&nested(200_000)));
    }

    #[test]
    fn what_was_read_can_be_had_as_it_stands() {
        let mut cursor = Cursor::new(r#" {"a":[1, {"b":2} ],"c":"x"}"#);
        let mut seen = Vec::new();
        let read = cursor.object(|name, value| {
            let from = value.place();
            walk(value)?;
            seen.push((name.to_owned(), value.since(from)));
            Ok(())
        });
        assert_eq!(read, Ok(()));
        assert_eq!(seen, [("a".to_owned(), r#"[1, {"b":2} ]"#), ("c".to_owned(), "\"x\"")]);
    }
}
