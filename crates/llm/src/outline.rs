//! Reads the top level of one JSON object as its bytes pass, wherever they are cut: remembers a few
//! small members and skips everything else in blocks, so that answers of megabytes cost little.
//!
//! Does not judge whether the rest is valid JSON; that is the caller's SDK's matter.

use crate::json::string_end;

/// Longest value that is remembered: usage and error objects are far below 64 KiB.
const VALUE_LIMIT: usize = 64 << 10;
/// As much of a cut member name is kept as tells it from the names that are compared.
const KEY_LIMIT: usize = 64;
const BLOCK: usize = 32;

/// The members that are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Usage,
    /// Gemini's usage.
    UsageMetadata,
    Id,
    Error,
    BaseResp,
    Meta,
    /// Remembered only when it is `"error"`; every answer has it, and nothing else matters.
    Object,
    Message,
    Type,
    Code,
    /// OpenAI's.
    ServiceTier,
}

impl Wanted {
    const COUNT: usize = 11;

    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"usage" => Self::Usage,
            b"usageMetadata" => Self::UsageMetadata,
            b"id" => Self::Id,
            b"error" => Self::Error,
            b"base_resp" => Self::BaseResp,
            b"meta" => Self::Meta,
            b"object" => Self::Object,
            b"message" => Self::Message,
            b"type" => Self::Type,
            b"code" => Self::Code,
            b"service_tier" => Self::ServiceTier,
            _ => return None,
        })
    }
}

/// The top level of an object as far as it has passed.
#[derive(Clone, Debug)]
pub(crate) struct Outline {
    content: &'static [&'static str],
    depth: usize,
    in_string: bool,
    escaped: bool,
    expects_key: bool,
    in_key: bool,
    /// The beginning of a name that was cut.
    cut_key: Vec<u8>,
    key: Key,
    taking: Option<Wanted>,
    /// The beginning of the value that is being taken, when it was cut.
    cut_value: Vec<u8>,
    in_content: bool,
    content_seen: bool,
    ended: End,
    found: [Option<Box<str>>; Wanted::COUNT],
}

/// What the last name was.
#[derive(Clone, Copy, Debug, Default)]
struct Key {
    wanted: Option<Wanted>,
    is_content: bool,
}

impl Key {
    fn of(name: &[u8], content: &[&str]) -> Self {
        let is_content = content.iter().any(|content| content.as_bytes() == name);
        Self { wanted: Wanted::named(name), is_content }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Closed,
    NotAnObject,
}

impl Outline {
    /// An outline that notices whether one of the members `content` holds an array or object with
    /// anything in it.
    pub(crate) fn new(content: &'static [&'static str]) -> Self {
        Self {
            content,
            depth: 0,
            in_string: false,
            escaped: false,
            expects_key: false,
            in_key: false,
            cut_key: Vec::new(),
            key: Key::default(),
            taking: None,
            cut_value: Vec::new(),
            in_content: false,
            content_seen: false,
            ended: End::Open,
            found: Default::default(),
        }
    }

    /// Takes the next piece.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        let (mut at, mut value_from) = (0, 0);
        while at < piece.len() && self.ended == End::Open {
            at = if self.in_string {
                self.through_string(piece, at)
            } else if self.depth > 1 {
                self.through_nested(piece, at)
            } else if self.depth == 1 {
                self.through_top(piece, at, &mut value_from)
            } else {
                self.begin(piece[at]);
                at + 1
            };
        }
        if self.taking.is_some() && self.ended == End::Open {
            self.keep_value(&piece[value_from..]);
        }
    }

    /// The raw value of the top-level member `wanted`, if it has passed.
    pub(crate) fn member(&self, wanted: Wanted) -> Option<&str> {
        self.found[wanted as usize].as_deref()
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
    fn through_string(&mut self, piece: &[u8], from: usize) -> usize {
        let skipped = (from + usize::from(std::mem::take(&mut self.escaped))).min(piece.len());
        let end = string_end(piece, skipped);
        if self.in_key {
            self.read_key(&piece[from..end], end < piece.len());
        }
        if end < piece.len() {
            self.in_string = false;
            return end + 1;
        }
        let backslashes = piece[skipped..].iter().rev().take_while(|b| **b == b'\\').count();
        self.escaped = backslashes % 2 == 1;
        piece.len()
    }

    /// A name, or what has come of it.
    fn read_key(&mut self, part: &[u8], whole: bool) {
        let mut name = part;
        if !whole || !self.cut_key.is_empty() {
            let room = KEY_LIMIT - self.cut_key.len();
            self.cut_key.extend_from_slice(&part[..part.len().min(room)]);
            name = &self.cut_key;
        }
        if whole {
            self.key = Key::of(name, self.content);
            self.in_key = false;
            self.cut_key.clear();
        }
    }

    /// Two levels down or more: on to behind the byte that leads back to the first, or into a string
    /// that the piece does not end, or to the end of the piece.
    fn through_nested(&mut self, piece: &[u8], mut at: usize) -> usize {
        if self.in_content {
            at += piece[at..].iter().take_while(|byte| is_space(**byte)).count();
            let Some(first) = piece.get(at) else {
                return at;
            };
            self.in_content = false;
            self.content_seen |= !matches!(first, b']' | b'}');
        }
        let mut depth = self.depth;
        while let Some(found) = next_turn(piece, at) {
            at = found + 1;
            match piece[found] {
                b'"' => {
                    let end = string_end(piece, at);
                    if end >= piece.len() {
                        self.in_string = true;
                        self.depth = depth;
                        return at;
                    }
                    at = end + 1;
                }
                b'{' | b'[' => depth += 1,
                _ => depth -= 1,
            }
            if depth == 1 {
                self.depth = 1;
                return at;
            }
        }
        self.depth = depth;
        piece.len()
    }

    /// Before the object.
    fn begin(&mut self, byte: u8) {
        if byte == b'{' {
            self.depth = 1;
            self.expects_key = true;
        } else if !is_space(byte) {
            self.ended = End::NotAnObject;
        }
    }

    /// At the first level: on to behind the byte that leads to the second, or out of the object, or
    /// into a string that the piece does not end, or to the end of the piece.
    fn through_top(&mut self, piece: &[u8], mut at: usize, value_from: &mut usize) -> usize {
        while let Some(byte) = piece.get(at) {
            at += 1;
            match byte {
                b'"' => {
                    let is_key = std::mem::take(&mut self.expects_key);
                    let end = string_end(piece, at);
                    if end >= piece.len() {
                        self.in_string = true;
                        self.in_key = is_key;
                        return at;
                    }
                    if is_key {
                        self.key = Key::of(&piece[at..end], self.content);
                    }
                    at = end + 1;
                }
                b':' => {
                    self.in_content = self.key.is_content;
                    self.taking = self.key.wanted;
                    self.cut_value.clear();
                    *value_from = at;
                }
                b',' => {
                    self.end_value(&piece[*value_from..at - 1]);
                    self.expects_key = true;
                }
                b'}' => {
                    self.end_value(&piece[*value_from..at - 1]);
                    self.ended = End::Closed;
                    return at;
                }
                b'{' | b'[' => {
                    self.depth = 2;
                    return at;
                }
                _ => {}
            }
        }
        at
    }

    /// The value of the last name ends, with `rest` of it in this piece.
    fn end_value(&mut self, rest: &[u8]) {
        self.in_content = false;
        if self.taking.is_none() {
            return;
        }
        if !self.cut_value.is_empty() {
            self.keep_value(rest);
        }
        let Some(wanted) = self.taking.take() else {
            return;
        };
        let cut = std::mem::take(&mut self.cut_value);
        let value = if cut.is_empty() { rest } else { &cut };
        if value.len() > VALUE_LIMIT {
            return;
        }
        let value = value.trim_ascii();
        if wanted == Wanted::Object && value != b"\"error\"" {
            self.found[wanted as usize] = None;
        } else if let Ok(value) = std::str::from_utf8(value) {
            self.found[wanted as usize] = Some(value.into());
        }
    }

    /// Keeps the beginning of a value that is cut; lets go of one that is too long.
    fn keep_value(&mut self, part: &[u8]) {
        if self.cut_value.len() + part.len() > VALUE_LIMIT {
            self.taking = None;
            self.cut_value = Vec::new();
        } else {
            self.cut_value.extend_from_slice(part);
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The next byte, outside strings, that begins a string or changes the level. It is near, but in
/// long arrays of numbers.
fn next_turn(piece: &[u8], mut at: usize) -> Option<usize> {
    let near = piece.len().min(at + 16);
    while at < near {
        if turns(piece[at]) {
            return Some(at);
        }
        at += 1;
    }
    while let Some(block) = piece.get(at..at + BLOCK)
        && !block.iter().fold(false, |any, byte| any | turns(*byte))
    {
        at += BLOCK;
    }
    let found = piece[at..].iter().position(|byte| turns(*byte))?;
    Some(at + found)
}

/// Whether a byte outside strings begins a string or changes the level.
fn turns(byte: u8) -> bool {
    byte == b'"' || matches!(byte | 0x20, b'{' | b'}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: &[&str] = &["choices", "data"];

    type Read = (Option<String>, Option<String>, Option<String>, bool, bool);

    fn read(pieces: &[&[u8]]) -> Read {
        let mut outline = Outline::new(CONTENT);
        for piece in pieces {
            outline.push(piece);
        }
        let member = |name| outline.member(name).map(str::to_owned);
        (
            member(Wanted::Usage),
            member(Wanted::Error),
            member(Wanted::Type),
            outline.content_seen(),
            outline.is_closed(),
        )
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
