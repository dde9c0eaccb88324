//! Writes JSON piece by piece, in the order in which it is told: providers cache prompts by their bytes,
//! so the same request must always become the same text.

use std::fmt::Display;

use crate::json_text::Piece;

/// A JSON text in the making. Commas are its own affair: it sees from the last byte whether one is due.
#[derive(Clone, Debug, Default)]
pub struct JsonWriter {
    out: Vec<u8>,
}

impl JsonWriter {
    /// An empty text.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty text with room for `bytes`.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes) }
    }

    /// A value that is JSON already.
    #[must_use]
    pub fn of(json: &str) -> Self {
        Self { out: json.as_bytes().to_vec() }
    }

    /// The text.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// The text as a string.
    ///
    /// # Panics
    /// Never: everything that is written is text.
    #[must_use]
    pub fn into_string(self) -> String {
        String::from_utf8(self.out).expect("only text is written")
    }

    /// The text so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.out
    }

    /// Forgets the text and keeps its room.
    pub fn clear(&mut self) {
        self.out.clear();
    }

    /// No value ends in any of these three, so behind them none has been written yet.
    fn separate(&mut self) {
        if !matches!(self.out.last(), None | Some(b'{' | b'[' | b':')) {
            self.out.push(b',');
        }
    }

    /// Writes an object with the members that `members` writes.
    pub fn object(&mut self, members: impl FnOnce(&mut Self)) {
        self.separate();
        self.out.push(b'{');
        members(self);
        self.out.push(b'}');
    }

    /// Writes an array with the values that `values` writes.
    pub fn array(&mut self, values: impl FnOnce(&mut Self)) {
        self.separate();
        self.out.push(b'[');
        values(self);
        self.out.push(b']');
    }

    /// Writes a member's name; its value must follow.
    pub fn key(&mut self, name: &str) -> &mut Self {
        self.text(name);
        self.out.push(b':');
        self
    }

    /// Writes a string.
    pub fn text<'p>(&mut self, text: impl Into<Piece<'p>>) {
        self.separate();
        self.out.push(b'"');
        text.into().write(&mut self.out);
        self.out.push(b'"');
    }

    /// Writes the concatenation of `parts` as one string.
    pub fn texts<'p>(&mut self, parts: impl IntoIterator<Item = Piece<'p>>) {
        self.separate();
        self.out.push(b'"');
        parts.into_iter().for_each(|part| part.write(&mut self.out));
        self.out.push(b'"');
    }

    /// Writes a value that is JSON already.
    pub fn raw(&mut self, json: &str) {
        self.separate();
        self.out.extend_from_slice(json.as_bytes());
    }

    /// Writes what `other` has written: whole values.
    pub fn append(&mut self, other: &Self) {
        self.separate();
        self.out.extend_from_slice(&other.out);
    }

    /// Writes a number, a boolean, or anything else whose text is its JSON.
    pub fn plain(&mut self, value: impl Display) {
        use std::io::Write as _;
        self.separate();
        write!(self.out, "{value}").expect("a vector takes everything");
    }

    /// Writes the member `name` with a string.
    pub fn text_member<'p>(&mut self, name: &str, text: impl Into<Piece<'p>>) {
        self.key(name).text(text);
    }

    /// Writes the member `name` with a string, if there is one.
    pub fn text_member_if(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.key(name).text(text);
        }
    }

    /// Writes the member `name` with a value that is JSON already.
    pub fn raw_member(&mut self, name: &str, json: &str) {
        self.key(name).raw(json);
    }

    /// Writes the member `name` with a number or a boolean.
    pub fn plain_member(&mut self, name: &str, value: impl Display) {
        self.key(name).plain(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_commas_where_they_belong() {
        let mut json = JsonWriter::new();
        json.object(|json| {
            json.text_member("a", "{[:");
            json.key("b").array(|json| {
                json.plain(1);
                json.raw("1e400");
                json.object(|_| {});
                json.array(|_| {});
                json.text("ü\"\n");
            });
            json.plain_member("c", true);
            json.key("d").object(|json| json.raw_member("e", "null"));
        });
        let expected = r#"{"a":"{[:","b":[1,1e400,{},[],"ü\"\n"],"c":true,"d":{"e":null}}"#;
        assert_eq!(json.into_string(), expected);
    }
}
