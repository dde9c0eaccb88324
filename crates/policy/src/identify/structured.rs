//! The part of structured fields (RFC 9651) that signatures are written in: dictionaries of items and inner
//! lists, with parameters. Strict: what is not well formed is not read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};

/// A member of a dictionary.
#[derive(Debug, PartialEq)]
pub(super) struct Member<'t> {
    pub name: &'t str,
    /// The value with its parameters, as it was written.
    pub raw: &'t str,
    pub value: Value,
    pub parameters: Vec<(String, Item)>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Value {
    One(Item),
    /// An inner list, each item with its parameters.
    List(Vec<(Item, Vec<(String, Item)>)>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Integer(i64),
    Text(String),
    Token(String),
    Bytes(Vec<u8>),
    Truth(bool),
}

impl Member<'_> {
    /// The parameter of this name.
    pub fn parameter(&self, name: &str) -> Option<&Item> {
        self.parameters.iter().find(|(own, _)| own == name).map(|(_, item)| item)
    }
}

/// All lines of a header as one text; `None` when there is none or it is not ASCII.
pub(super) fn combined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Option<Vec<&str>> =
        headers.get_all(name).iter().map(|line| line.to_str().ok().map(str::trim)).collect();
    lines.filter(|lines| !lines.is_empty()).map(|lines| lines.join(", "))
}

/// Reads a dictionary; `None` when it is not well formed or names a member twice.
pub(super) fn dictionary(text: &str) -> Option<Vec<Member<'_>>> {
    let mut parser = Parser { rest: text.trim_matches(' ') };
    let mut members: Vec<Member<'_>> = Vec::new();
    loop {
        let name = parser.name()?;
        let value_at = parser.rest;
        let value = if parser.take('=') { Some(parser.value()?) } else { None };
        let parameters = parser.parameters()?;
        let length = value_at.len() - parser.rest.len();
        let raw = value_at[..length].trim_start_matches('=');
        if members.iter().any(|member| member.name == name) {
            return None;
        }
        let value = value.unwrap_or(Value::One(Item::Truth(true)));
        members.push(Member { name, raw, value, parameters });
        parser.skip_space();
        if parser.rest.is_empty() {
            return Some(members);
        }
        if !parser.take(',') {
            return None;
        }
        parser.skip_space();
    }
}

/// Text as a string item.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Bytes as a byte sequence item.
pub(super) fn bytes(bytes: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(bytes))
}

struct Parser<'t> {
    rest: &'t str,
}

impl<'t> Parser<'t> {
    fn take(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    /// Everything while `fits`; `None` when that is nothing.
    fn run(&mut self, fits: impl Fn(char) -> bool) -> Option<&'t str> {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!run.is_empty()).then_some(run)
    }

    fn name(&mut self) -> Option<&'t str> {
        self.rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '*').then_some(())?;
        self.run(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.' | '*'))
    }

    fn value(&mut self) -> Option<Value> {
        if !self.take('(') {
            return self.item().map(Value::One);
        }
        let mut items = Vec::new();
        loop {
            let before = self.rest.len();
            self.rest = self.rest.trim_start_matches(' ');
            if self.take(')') {
                return Some(Value::List(items));
            }
            // Items are kept apart by a space.
            if !items.is_empty() && before == self.rest.len() {
                return None;
            }
            let item = self.item()?;
            items.push((item, self.parameters()?));
        }
    }

    fn item(&mut self) -> Option<Item> {
        let first = self.rest.chars().next()?;
        match first {
            '"' => self.text(),
            ':' => {
                self.take(':');
                let (encoded, rest) = self.rest.split_once(':')?;
                self.rest = rest;
                STANDARD.decode(encoded).ok().map(Item::Bytes)
            }
            '?' => {
                self.take('?');
                let truth = self.rest.starts_with('1');
                self.rest = self.rest.strip_prefix(['0', '1'])?;
                Some(Item::Truth(truth))
            }
            '-' | '0'..='9' => {
                let negative = self.take('-');
                let digits = self.run(|c| c.is_ascii_digit()).filter(|digits| digits.len() <= 15)?;
                let number: i64 = digits.parse().ok()?;
                Some(Item::Integer(if negative { -number } else { number }))
            }
            c if c.is_ascii_alphabetic() || c == '*' => {
                let tchar = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:/".contains(c);
                self.run(tchar).map(|token| Item::Token(token.to_owned()))
            }
            _ => None,
        }
    }

    fn text(&mut self) -> Option<Item> {
        self.take('"');
        let mut text = String::new();
        let mut characters = self.rest.char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Some(Item::Text(text));
                }
                '\\' => match characters.next() {
                    Some((_, c @ ('"' | '\\'))) => text.push(c),
                    _ => return None,
                },
                ' '..='~' => text.push(c),
                _ => return None,
            }
        }
        None
    }

    fn parameters(&mut self) -> Option<Vec<(String, Item)>> {
        let mut parameters: Vec<(String, Item)> = Vec::new();
        while self.take(';') {
            self.rest = self.rest.trim_start_matches(' ');
            let name = self.name()?;
            let item = if self.take('=') { self.item()? } else { Item::Truth(true) };
            if parameters.iter().any(|(own, _)| own == name) {
                return None;
            }
            parameters.push((name.to_owned(), item));
        }
        Some(parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_signature_input() {
        let text =
            r#"sig1=("@method" "x-h";req);created=1618884473;keyid="a\"b";nonce="n", b=:aGk=:;x, c=?0, d"#;
        let members = dictionary(text).expect("well formed");
        assert_eq!(members.iter().map(|m| m.name).collect::<Vec<_>>(), ["sig1", "b", "c", "d"]);
        assert_eq!(members[0].raw, r#"("@method" "x-h";req);created=1618884473;keyid="a\"b";nonce="n""#);
        assert_eq!(members[0].parameter("keyid"), Some(&Item::Text("a\"b".into())));
        let list = vec![
            (Item::Text("@method".into()), vec![]),
            (Item::Text("x-h".into()), vec![("req".into(), Item::Truth(true))]),
        ];
        assert_eq!(members[0].value, Value::List(list));
        assert_eq!(members[1].value, Value::One(Item::Bytes(b"hi".to_vec())));
        assert_eq!(
            (&members[2].value, &members[3].value),
            (&Value::One(Item::Truth(false)), &Value::One(Item::Truth(true)))
        );
    }

    #[test]
    fn refuses_what_is_not_well_formed() {
        for text in [
            "",
            "A=1",
            "a=",
            "a=1,",
            "a=1 b=2",
            "a=1, a=2",
            "a=(\"x\"\"y\")",
            "a=(\"x\"",
            "a=\"x",
            "a=:!!:",
            "a=:aGk=",
            "a=\"\u{e9}\"",
            "a=1;x=1;x=2",
            "a=1234567890123456",
            "a=?2",
            "a=\"\\n\"",
            ";a",
        ] {
            assert!(dictionary(text).is_none(), "{text}");
        }
    }
}
