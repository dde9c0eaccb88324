//! The text of JSON strings: taken out of its escapes when it is read, put into them when it is written.
//! Both go from stop to stop in words of eight bytes; what lies between is copied as a whole.

use std::borrow::Cow;

use crate::json::{Fault, next_stop, plain_end};

/// What stands for half of a character outside the basic plane when the other half is missing. JavaScript
/// writes such halves when it cuts a text, and the rest of the text is none the worse for it.
const REPLACEMENT: char = '\u{fffd}';

/// A text to be written as JSON.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// The text itself.
    Plain(&'a str),
    /// The text as it stands between the quotes of a JSON string.
    Json(&'a str),
}

impl<'a, T: AsRef<str> + ?Sized> From<&'a T> for Piece<'a> {
    fn from(text: &'a T) -> Self {
        Self::Plain(text.as_ref())
    }
}

impl Piece<'_> {
    /// About how many bytes it takes to write it.
    pub(crate) fn room(self) -> usize {
        let (Self::Plain(text) | Self::Json(text)) = self;
        text.len()
    }

    /// Writes the text behind `out` as it stands between quotes.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Plain(text) => escape(text, out),
            Self::Json(json) => out.extend_from_slice(json.as_bytes()),
        }
    }
}

/// The text that stands between the quotes of a valid JSON string as `json`.
pub(crate) fn without_escapes(json: &str) -> String {
    let mut quoted = String::with_capacity(json.len() + 1);
    quoted.push_str(json);
    quoted.push('"');
    unescaped(&quoted, 0).map(|(text, _)| text.into_owned()).unwrap_or_default()
}

/// The string whose text begins at `at`, without its escapes, and the place behind its closing quote.
///
/// # Errors
/// When no valid string is there.
pub(crate) fn unescaped(json: &str, at: usize) -> Result<(Cow<'_, str>, usize), Fault> {
    let bytes = json.as_bytes();
    let mut stop = plain_end(bytes, at)?;
    if bytes[stop] == b'"' {
        return Ok((Cow::Borrowed(&json[at..stop]), stop + 1));
    }
    let mut text = String::with_capacity(2 * (stop - at) + 256);
    let mut from = at;
    while bytes[stop] == b'\\' {
        text.push_str(&json[from..stop]);
        from = stop + 2;
        match bytes.get(stop + 1) {
            Some(b'n') => text.push('\n'),
            Some(b'"') => text.push('"'),
            Some(b'\\') => text.push('\\'),
            Some(b't') => text.push('\t'),
            Some(b'r') => text.push('\r'),
            Some(b'/') => text.push('/'),
            Some(b'b') => text.push('\u{8}'),
            Some(b'f') => text.push('\u{c}'),
            Some(b'u') => {
                let (c, behind) = unicode(bytes, from)?;
                text.push(c);
                from = behind;
            }
            _ => return Err(Fault::Invalid),
        }
        stop = plain_end(bytes, from)?;
    }
    text.push_str(&json[from..stop]);
    Ok((Cow::Owned(text), stop + 1))
}

/// The character of four digits at `at`, or of two times four where they are halves of one.
fn unicode(json: &[u8], at: usize) -> Result<(char, usize), Fault> {
    let unit = digits(json, at)?;
    let behind = at + 4;
    if let Some(c) = char::from_u32(unit) {
        return Ok((c, behind));
    }
    let is_first = (0xd800..0xdc00).contains(&unit);
    if is_first && json.get(behind..behind + 2) == Some(b"\\u") {
        let second = digits(json, behind + 2)?;
        if (0xdc00..0xe000).contains(&second) {
            let code = 0x1_0000 + ((unit - 0xd800) << 10) + (second - 0xdc00);
            return Ok((char::from_u32(code).unwrap_or(REPLACEMENT), behind + 6));
        }
    }
    Ok((REPLACEMENT, behind))
}

fn digits(json: &[u8], at: usize) -> Result<u32, Fault> {
    let digits = json.get(at..at + 4).ok_or(Fault::Invalid)?;
    digits.iter().try_fold(0, |number, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(Fault::Invalid)?;
        Ok(number << 4 | digit)
    })
}

/// Writes `text` behind `out` with the escapes that JSON demands, and no others.
pub(crate) fn escape(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    let mut from = 0;
    loop {
        let stop = next_stop(bytes, from);
        out.extend_from_slice(&bytes[from..stop]);
        let Some(byte) = bytes.get(stop) else {
            return;
        };
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0x8 => out.extend_from_slice(b"\\b"),
            0xc => out.extend_from_slice(b"\\f"),
            control => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let digit = |number: u8| DIGITS[usize::from(number & 0xf)];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(control >> 4), digit(*control)]);
            }
        }
        from = stop + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<String> {
        let (text, behind) = unescaped(json, 1).ok()?;
        (behind == json.len()).then(|| text.into_owned())
    }

    #[test]
    fn reads_what_serde_json_reads_and_writes_what_it_writes() {
        let stops =
            ["", "\"", "\\", "\n", "\r", "\t", "\u{8}", "\u{c}", "\u{0}", "\u{1f}", "\u{7f}", "é", "🦀"];
        for before in 0..40 {
            for stop in stops {
                for behind in [0, 1, 7, 8, 9, 40] {
                    let text = format!("{}{stop}{}", "a".repeat(before), "ü".repeat(behind));
                    let json = serde_json::to_string(&text).unwrap();
                    assert_eq!(read(&json).as_deref(), Some(&*text), "{json}");
                    let mut out = b"\"".to_vec();
                    escape(&text, &mut out);
                    out.push(b'"');
                    assert_eq!(String::from_utf8(out).unwrap(), json);
                }
            }
        }
    }

    #[test]
    fn reads_every_escape() {
        assert_eq!(read(r#""\"\\\/\b\f\n\r\t""#).as_deref(), Some("\"\\/\u{8}\u{c}\n\r\t"));
        assert_eq!(read(r#""\u00E9\ud83e\uDD80x""#).as_deref(), Some("é🦀x"));
    }

    #[test]
    fn half_a_character_does_not_cost_the_text() {
        assert_eq!(read(r#""a\ud83e""#).as_deref(), Some("a\u{fffd}"));
        assert_eq!(read(r#""a\ud83e\nb""#).as_deref(), Some("a\u{fffd}\nb"));
        assert_eq!(read(r#""\ud83e\u0041\udd80""#).as_deref(), Some("\u{fffd}A\u{fffd}"));
    }

    #[test]
    fn refuses_what_is_no_string() {
        for json in [r#""a"#, r#""\x""#, r#""\u12""#, r#""\u12g4""#, "\"\n\"", r#""\ud83e\u12"#, "\"\\", "\""]
        {
            assert_eq!(read(json), None, "{json}");
        }
    }
}
