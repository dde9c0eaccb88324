//! Reads the top level of one JSON object as its bytes pass, wherever they are cut: remembers a few
//! small members and skips everything else in blocks, so that answers of megabytes cost little.
//!
//! Does not judge whether the rest is valid JSON; that is the caller's SDK's matter.

use crate::members::string_end;

/// Longest value that is remembered: usage and error objects are far below 64 KiB.
const VALUE_LIMIT: usize = 64 << 10;
/// Longest member name that is compared.
const KEY_LIMIT: usize = 64;
const BLOCK: usize = 32;

/// The top level of an object as far as it has passed.
#[derive(Clone, Debug)]
pub(crate) struct Outline {
    wanted: &'static [&'static str],
    content: &'static [&'static str],
    depth: usize,
    in_string: bool,
    escaped: bool,
    expects_key: bool,
    key: Vec<u8>,
    in_key: bool,
    taking: Option<Vec<u8>>,
    in_content: bool,
    content_seen: bool,
    ended: End,
    found: Vec<(&'static str, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Closed,
    NotAnObject,
}

impl Outline {
    /// An outline that remembers the members `wanted` and notices whether one of the members
    /// `content` holds an array or object with anything in it.
    pub(crate) fn new(wanted: &'static [&'static str], content: &'static [&'static str]) -> Self {
        Self {
            wanted,
            content,
            depth: 0,
            in_string: false,
            escaped: false,
            expects_key: false,
            key: Vec::new(),
            in_key: false,
            taking: None,
            in_content: false,
            content_seen: false,
            ended: End::Open,
            found: Vec::new(),
        }
    }

    /// Takes the next piece.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        let mut at = 0;
        while at < piece.len() && self.ended == End::Open {
            let from = at;
            at = if self.in_string {
                self.through_string(piece, at)
            } else if self.depth > 1 && !self.in_content {
                self.through_nested(piece, at)
            } else {
                self.one_byte(piece[at]);
                at + 1
            };
            self.take(&piece[from..at]);
        }
    }

    /// The raw value of the top-level member `name`, if it was wanted and has passed.
    pub(crate) fn member(&self, name: &str) -> Option<&str> {
        let found = self.found.iter().find(|(wanted, _)| *wanted == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether a content member with something in it has begun.
    pub(crate) fn content_seen(&self) -> bool {
        self.content_seen
    }

    /// Whether the object has been closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.ended == End::Closed
    }

    /// Within a string: on to behind its closing quote, or to the end of the piece.
    fn through_string(&mut self, piece: &[u8], mut at: usize) -> usize {
        if std::mem::take(&mut self.escaped) {
            at += 1;
        }
        let end = string_end(piece, at);
        if end < piece.len() {
            self.in_string = false;
            return end + 1;
        }
        let backslashes = piece[at.min(piece.len())..].iter().rev().take_while(|b| **b == b'\\').count();
        self.escaped = backslashes % 2 == 1;
        piece.len()
    }

    /// Two levels down or more: on to behind the next byte that changes level or begins a string.
    fn through_nested(&mut self, piece: &[u8], mut at: usize) -> usize {
        while at + BLOCK <= piece.len() && !piece[at..at + BLOCK].iter().fold(false, |any, b| any | turns(*b))
        {
            at += BLOCK;
        }
        let Some(found) = piece[at..].iter().position(|b| turns(*b)) else {
            return piece.len();
        };
        at += found;
        match piece[at] {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            _ => self.depth -= 1,
        }
        at + 1
    }

    fn one_byte(&mut self, byte: u8) {
        match (self.depth, byte) {
            (_, b' ' | b'\t' | b'\r' | b'\n') => {}
            (0, b'{') => {
                self.depth = 1;
                self.expects_key = true;
            }
            (0, _) => self.ended = End::NotAnObject,
            (1, b'"') => self.begin_string(),
            (1, b':') => self.begin_value(),
            (1, b',') => {
                self.end_value();
                self.expects_key = true;
            }
            (1, b'}') => {
                self.end_value();
                self.ended = End::Closed;
            }
            (1, b'{' | b'[') => self.depth = 2,
            (1, _) => {}
            _ => self.first_within_content(byte),
        }
    }

    /// The first byte within a content member's array or object.
    fn first_within_content(&mut self, byte: u8) {
        self.in_content = false;
        match byte {
            b']' | b'}' => {
                self.depth -= 1;
                return;
            }
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            _ => {}
        }
        self.content_seen = true;
    }

    fn begin_string(&mut self) {
        self.in_string = true;
        self.in_key = std::mem::take(&mut self.expects_key);
        if self.in_key {
            self.key.clear();
        }
    }

    fn begin_value(&mut self) {
        let key = self.key.strip_suffix(b"\"").unwrap_or(&self.key);
        let named = |names: &[&str]| names.iter().any(|name| name.as_bytes() == key);
        self.in_content = named(self.content);
        if named(self.wanted) {
            self.taking = Some(Vec::new());
        }
    }

    fn end_value(&mut self) {
        self.in_content = false;
        let key = self.key.strip_suffix(b"\"").unwrap_or(&self.key);
        let Some(name) = self.wanted.iter().find(|name| name.as_bytes() == key) else {
            return;
        };
        let Some(Ok(value)) = self.taking.take().map(String::from_utf8) else {
            return;
        };
        // The colon that began the value was taken along with it.
        let value = value.trim_start_matches(':').trim().to_owned();
        self.found.retain(|(earlier, _)| earlier != name);
        self.found.push((name, value));
    }

    /// Keeps passed bytes for the key or the value that is being read.
    fn take(&mut self, bytes: &[u8]) {
        if self.in_key {
            let quoteless =
                if self.key.is_empty() { bytes.strip_prefix(b"\"").unwrap_or(bytes) } else { bytes };
            if self.key.len() + quoteless.len() <= KEY_LIMIT {
                self.key.extend_from_slice(quoteless);
            } else {
                // Longer than any name that is compared: made unlike all of them.
                self.key.clear();
                self.key.push(b'?');
            }
            // The closing quote came with the bytes that left the string.
            self.in_key = self.in_string;
        } else if let Some(value) = &mut self.taking {
            if value.len() + bytes.len() > VALUE_LIMIT {
                self.taking = None;
            } else {
                value.extend_from_slice(bytes);
            }
        }
    }
}

/// Whether a byte outside strings begins a string or changes the level.
fn turns(byte: u8) -> bool {
    byte == b'"' || matches!(byte | 0x20, b'{' | b'}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: &[&str] = &["usage", "error", "type"];
    const CONTENT: &[&str] = &["choices", "data"];

    type Read = (Option<String>, Option<String>, Option<String>, bool, bool);

    fn read(pieces: &[&[u8]]) -> Read {
        let mut outline = Outline::new(WANTED, CONTENT);
        for piece in pieces {
            outline.push(piece);
        }
        let member = |name| outline.member(name).map(str::to_owned);
        (member("usage"), member("error"), member("type"), outline.content_seen(), outline.is_closed())
    }

    fn check(json: &str, usage: Option<&str>, error: Option<&str>, content: bool, closed: bool) {
        let bytes = json.as_bytes();
        let kind = json.contains("\"type\"").then(|| "\"t\"".to_owned());
        let expected = (usage.map(str::to_owned), error.map(str::to_owned), kind, content, closed);
        for cut in 0..=bytes.len() {
            assert_eq!(read(&[&bytes[..cut], &bytes[cut..]]), expected, "{json} cut at {cut}");
        }
        for size in 1..=16 {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            assert_eq!(read(&pieces), expected, "{json} in slices of {size}");
        }
    }

    #[test]
    fn finds_top_level_members_wherever_the_bytes_are_cut() {
        check(
            r#" {"id":"usage","choices":[{"usage":{"no":1},"t":"\\\"}]{["}],"usage" : {"a":[1,2],"s":"}"} ,"x":1}"#,
            Some(r#"{"a":[1,2],"s":"}"}"#),
            None,
            true,
            true,
        );
        check(r#"{"error":"bad \"thing\"","choices":[ ]}"#, None, Some(r#""bad \"thing\"""#), false, true);
        check(r#"{"usage":null,"type":"t","data":{ "a":1}}"#, Some("null"), None, true, true);
        check(r#"{"usage":{"old":1},"usage":12,"choices":null}"#, Some("12"), None, false, true);
        check(r#"{"choices":[["#, None, None, true, false);
        check(r#"{"a":{"b":{}},"data":[[0.1,-2e5],"ü"],"error":{}}"#, None, Some("{}"), true, true);
        check("[1]", None, None, false, false);
        check("", None, None, false, false);
        check("{}", None, None, false, true);
    }

    #[test]
    fn long_names_and_values_are_let_go() {
        let name = "usage".repeat(100);
        check(&format!(r#"{{"{name}":{{"a":1}},"error":3}}"#), None, Some("3"), false, true);
        let long = "x".repeat(VALUE_LIMIT);
        let json = format!(r#"{{"usage":"{long}","error":3}}"#);
        let pieces: Vec<&[u8]> = json.as_bytes().chunks(1000).collect();
        assert_eq!(read(&pieces).0, None);
        assert_eq!(read(&pieces).1.as_deref(), Some("3"));
    }
}
