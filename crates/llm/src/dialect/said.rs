//! Cheap questions to the raw bytes of an event, so that most events need no parsing.
//!
//! A quoted name within generated text has a backslash before its closing quote, so the needles
//! here find members only.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::json::string_end;

/// A member's name, quotes included, with its prebuilt search.
pub(crate) struct Needle(LazyLock<Finder<'static>>);

impl Needle {
    const fn new(build: fn() -> Finder<'static>) -> Self {
        Self(LazyLock::new(build))
    }

    /// Whether the member occurs, at any level, with a value other than `null` and `""`.
    pub(crate) fn is_said(&self, json: &[u8]) -> bool {
        self.values(json).any(|value| !value.starts_with(b"null") && !value.starts_with(b"\"\""))
    }

    /// What follows each occurrence of the member: its value and the rest.
    pub(crate) fn values<'a>(&'a self, json: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        // One search after another: the finder's own iterator begins by copying the finder.
        let finder: &Finder<'static> = &self.0;
        let mut rest = json;
        std::iter::from_fn(move || {
            loop {
                let at = finder.find(rest)?;
                rest = &rest[at + finder.needle().len()..];
                if let Some(value) = behind_space(rest).strip_prefix(b":") {
                    return Some(behind_space(value));
                }
            }
        })
    }
}

fn behind_space(json: &[u8]) -> &[u8] {
    match json.first() {
        Some(b' ' | b'\t' | b'\r' | b'\n') => json.trim_ascii_start(),
        _ => json,
    }
}

macro_rules! needles {
    ($($name:ident $text:literal;)+) => {
        $(
            #[doc = concat!("The member `", $text, "`.")]
            pub(crate) static $name: Needle = Needle::new(|| Finder::new(concat!("\"", $text, "\"")));
        )+
    };
}

needles! {
    USAGE "usage";
    ERROR "error";
    FINISH_REASON "finish_reason";
    DELTA "delta";
    TEXT "text";
}

/// Whether [`USAGE`] or [`ERROR`] may be said, at any level: false for nearly all events of an answer.
/// Looks at all places at once, as the compiler makes it: both names have five letters, and the value
/// behind the colon is `null` where it begins with an n.
pub(crate) fn may_say_usage_or_error(json: &[u8]) -> bool {
    let Some(places) = json.len().checked_sub(8) else {
        return true;
    };
    let (opening, first) = (&json[..places], &json[1..][..places]);
    let (closing, value) = (&json[6..][..places], &json[8..][..places]);
    let mut any = 0_u8;
    for place in 0..places {
        // `e` and `u` differ in one bit.
        let unlike =
            (opening[place] ^ b'"') | (closing[place] ^ b'"') | ((first[place] | (b'e' ^ b'u')) ^ b'u');
        any |= u8::from((unlike == 0) & (value[place] != b'n'));
    }
    any != 0
}

/// Whether a member's strings are bookkeeping, not generated.
fn is_bookkeeping(name: &[u8]) -> bool {
    matches!(
        name,
        b"type"
            | b"role"
            | b"id"
            | b"name"
            | b"signature"
            | b"channel"
            | b"thoughtSignature"
            | b"mimeType"
            | b"data"
    )
}

/// Bytes of generated text within the value with which `json` begins: its strings but names and
/// bookkeeping, escapes counted as written. An estimate's basis, not a count.
pub(crate) fn text_bytes(json: &[u8]) -> u64 {
    let (mut depth, mut at, mut sum, mut counts) = (0_usize, 0_usize, 0_usize, true);
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => {
                let end = string_end(json, at + 1);
                let text = &json[at + 1..end.max(at + 1)];
                at = end;
                if json.get(end + 1) == Some(&b':') {
                    counts = !is_bookkeeping(text);
                } else if counts {
                    sum += text.len();
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            break;
        }
        at += 1;
    }
    u64::try_from(sum).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_said_when_they_are_not_null() {
        for (json, said) in [
            (r#"{"usage":{"a":1}}"#, true),
            (r#"{"usage" : {}}"#, true),
            (r#"{"usage":null,"choices":[{"usage":{"a":1}}]}"#, true),
            (r#"{"usage":null}"#, false),
            (r#"{"usage": ""}"#, false),
            (r#"{"content":"the \"usage\":{} of it"}"#, false),
            (r#"["usage"]"#, false),
        ] {
            assert_eq!(USAGE.is_said(json.as_bytes()), said, "{json}");
            assert!(!said || may_say_usage_or_error(json.as_bytes()), "{json}");
        }
    }

    #[test]
    fn most_events_cannot_say_usage_or_error() {
        for padding in 0..40 {
            let padding = "x".repeat(padding);
            for (member, may) in [
                (r#""usage":{"a":1}"#, true),
                (r#""usage" : 1"#, true),
                (r#""error":"x""#, true),
                (r#""error":3"#, true),
                (r#""usage":null"#, false),
                (r#""error":null,"model":"m""#, false),
                (r#""content":"the error","event":null"#, false),
            ] {
                let json = format!(r#"{{"a":"{padding}","b":{{{member}}}}}"#);
                assert_eq!(may_say_usage_or_error(json.as_bytes()), may, "{json}");
            }
        }
    }

    #[test]
    fn generated_text_is_counted_and_bookkeeping_is_not() {
        for (json, bytes) in [
            (r#"{"content":"abc"},"other":"zzz"}"#, 3),
            (r#"{"role":"assistant","content":""}}"#, 0),
            (r#"{"type":"text_delta","text":"ab\"c"}"#, 5),
            (r#"{"tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":"{}"}}]}"#, 2),
            (r#""plain","x":"y""#, 5),
            (r#"{"content":"cut"#, 3),
            ("", 0),
        ] {
            assert_eq!(text_bytes(json.as_bytes()), bytes, "{json}");
        }
    }
}
