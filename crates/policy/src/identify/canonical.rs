//! The canonical form of a JSON body: what Python's `json.dumps(body, separators=(",", ":"), sort_keys=True)`
//! prints for the document that `json.loads` reads.
//!
//! Signers hash this form when their HTTP client serialises once more what they have signed. The whole
//! document is read strictly; whatever Python would not read, and duplicate keys, have no canonical form.

/// Objects and arrays within each other at most, as for every JSON body here (reliability.md R9).
const MOST_DEPTH: usize = 64;
/// Python refuses integers with more digits than these (`sys.int_info.default_max_str_digits`).
const MOST_DIGITS: usize = 4_300;
/// Python's `json.loads` skips this mark at the beginning of bytes.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The canonical form of `body`; `None` when it is not JSON, or is JSON that has none.
#[must_use]
pub fn canonical(body: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?;
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let mut reader = Reader { rest: text.as_bytes(), out: Vec::with_capacity(body.len()) };
    reader.value(0)?;
    reader.skip_space();
    reader.rest.is_empty().then_some(reader.out)
}

struct Reader<'t> {
    rest: &'t [u8],
    out: Vec<u8>,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Option<()> {
        if depth > MOST_DEPTH {
            return None;
        }
        self.skip_space();
        match *self.rest.first()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => {
                let text = self.string()?;
                write_string(&mut self.out, &text);
                Some(())
            }
            _ => self.literal().or_else(|| self.number()),
        }
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        self.take(b'{')?;
        let start = self.out.len();
        let mut members: Vec<(Vec<u32>, std::ops::Range<usize>)> = Vec::new();
        if !self.ends(b'}') {
            loop {
                self.skip_space();
                let name = self.string()?;
                let from = self.out.len();
                write_string(&mut self.out, &name);
                self.skip_space();
                self.take(b':')?;
                self.out.push(b':');
                self.value(depth + 1)?;
                members.push((name, from..self.out.len()));
                if self.ends(b'}') {
                    break;
                }
                self.skip_space();
                self.take(b',')?;
            }
        }
        // By code point, as Python compares text.
        members.sort_by(|one, other| one.0.cmp(&other.0));
        if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return None;
        }
        let unsorted = self.out.split_off(start);
        let parts: Vec<&[u8]> =
            members.iter().map(|(_, at)| &unsorted[at.start - start..at.end - start]).collect();
        self.out.push(b'{');
        self.out.extend_from_slice(&parts.join(&b','));
        self.out.push(b'}');
        Some(())
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.take(b'[')?;
        self.out.push(b'[');
        if !self.ends(b']') {
            loop {
                self.value(depth + 1)?;
                if self.ends(b']') {
                    break;
                }
                self.skip_space();
                self.take(b',')?;
                self.out.push(b',');
            }
        }
        self.out.push(b']');
        Some(())
    }

    /// Names of values, those included that only Python knows.
    fn literal(&mut self) -> Option<()> {
        const NAMES: [&[u8]; 6] = [b"true", b"false", b"null", b"NaN", b"Infinity", b"-Infinity"];
        let name = NAMES.into_iter().find(|name| self.rest.starts_with(name))?;
        self.out.extend_from_slice(name);
        self.rest = &self.rest[name.len()..];
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        let text = self.rest;
        let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let sign = usize::from(text.first() == Some(&b'-'));
        let whole = if text.get(sign) == Some(&b'0') { 1 } else { digits(sign) };
        if whole == 0 {
            return None;
        }
        let mut end = sign + whole;
        let mut is_float = false;
        if text.get(end) == Some(&b'.') && digits(end + 1) > 0 {
            end += 1 + digits(end + 1);
            is_float = true;
        }
        if matches!(text.get(end), Some(b'e' | b'E')) {
            let signed = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end + 1 + signed);
            if exponent > 0 {
                end += 1 + signed + exponent;
                is_float = true;
            }
        }
        let number = std::str::from_utf8(&text[..end]).ok()?;
        match is_float {
            true => self.out.extend_from_slice(float(number.parse().ok()?).as_bytes()),
            false if whole > MOST_DIGITS => return None,
            false if number == "-0" => self.out.push(b'0'),
            false => self.out.extend_from_slice(number.as_bytes()),
        }
        self.rest = &text[end..];
        Some(())
    }

    /// A string as its code points; surrogates that stand alone are kept, as Python keeps them.
    fn string(&mut self) -> Option<Vec<u32>> {
        self.take(b'"')?;
        let mut points = Vec::new();
        loop {
            let plain = self.rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
            let (text, rest) = self.rest.split_at(plain);
            points.extend(std::str::from_utf8(text).ok()?.chars().map(u32::from));
            self.rest = &rest[1..];
            match rest[0] {
                b'"' => return Some(points),
                b'\\' => points.push(self.escaped()?),
                _ => return None,
            }
        }
    }

    fn escaped(&mut self) -> Option<u32> {
        let (kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(match kind {
            b'"' | b'\\' | b'/' => u32::from(*kind),
            b'b' => 8,
            b'f' => 12,
            b'n' => 10,
            b'r' => 13,
            b't' => 9,
            b'u' => {
                let unit = self.unit()?;
                self.joined(unit)
            }
            _ => return None,
        })
    }

    /// The code point of a surrogate and its partner, if that follows.
    fn joined(&mut self, high: u32) -> u32 {
        if !(0xd800..0xdc00).contains(&high) || !self.rest.starts_with(b"\\u") {
            return high;
        }
        let mut ahead = Reader { rest: &self.rest[2..], out: Vec::new() };
        match ahead.unit() {
            Some(low @ 0xdc00..0xe000) => {
                self.rest = &self.rest[6..];
                0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
            }
            _ => high,
        }
    }

    /// Four hex digits.
    fn unit(&mut self) -> Option<u32> {
        let (digits, rest) = self.rest.split_at_checked(4)?;
        let value =
            digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))?;
        self.rest = rest;
        Some(value)
    }

    fn skip_space(&mut self) {
        let space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.rest = &self.rest[self.rest.iter().take_while(space).count()..];
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.rest = self.rest.strip_prefix(&[byte])?;
        Some(())
    }

    /// Whether a list or object ends here; then its end is taken.
    fn ends(&mut self, byte: u8) -> bool {
        self.skip_space();
        self.take(byte).is_some()
    }
}

/// Writes code points as a string, everything but printable ASCII escaped.
fn write_string(out: &mut Vec<u8>, points: &[u32]) {
    out.push(b'"');
    for point in points {
        match *point {
            0x22 => out.extend_from_slice(b"\\\""),
            0x5c => out.extend_from_slice(b"\\\\"),
            8 => out.extend_from_slice(b"\\b"),
            9 => out.extend_from_slice(b"\\t"),
            10 => out.extend_from_slice(b"\\n"),
            12 => out.extend_from_slice(b"\\f"),
            13 => out.extend_from_slice(b"\\r"),
            plain @ 0x20..=0x7e => out.extend(u8::try_from(plain)),
            wide @ 0x10000.. => {
                let above = wide - 0x10000;
                push_unit(out, 0xd800 + (above >> 10));
                push_unit(out, 0xdc00 + (above & 0x3ff));
            }
            unit => push_unit(out, unit),
        }
    }
    out.push(b'"');
}

fn push_unit(out: &mut Vec<u8>, unit: u32) {
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        let digit = char::from_digit((unit >> shift) & 15, 16).unwrap_or('0');
        out.extend(u8::try_from(digit));
    }
}

/// A float as Python's `repr` writes it: the shortest digits that read back, plain from 1e-4 to below 1e16.
fn float(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() };
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = value.to_string();
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: Option<&str>) {
        let actual = canonical(body.as_bytes()).map(|bytes| String::from_utf8(bytes).expect("ASCII"));
        assert_eq!(actual.as_deref(), expected, "{body}");
    }

    #[test]
    fn prints_what_python_prints() {
        for (body, expected) in [
            (r#" { "b" : 1 , "a" : [ ] } "#, r#"{"a":[],"b":1}"#),
            (
                "[1, 2.50, -0, 1E3, 1e16, 123456789012345678901234567890]",
                "[1,2.5,0,1000.0,1e+16,123456789012345678901234567890]",
            ),
            (
                "[0.0001, 0.00001, -0.0, 1e400, -1e400, 1e22, 5e-324, 0.1]",
                "[0.0001,1e-05,-0.0,Infinity,-Infinity,1e+22,5e-324,0.1]",
            ),
            (
                "[1e15, 123456789.125, 1.5e300, 9007199254740993.0]",
                "[1000000000000000.0,123456789.125,1.5e+300,9007199254740992.0]",
            ),
            ("[true,false,null,NaN,Infinity,-Infinity]", "[true,false,null,NaN,Infinity,-Infinity]"),
            ("\"\u{e9}\u{1f600}\u{7f}/\"", r#""\u00e9\ud83d\ude00\u007f/""#),
            (r#""\u00E9\uD83D\uDE00\ud83d\/\b\f\n\r\t\"\\""#, r#""\u00e9\ud83d\ude00\ud83d/\b\f\n\r\t\"\\""#),
            (r#"{"\ud800":1,"\uffff":2,"😀":3,"a":4}"#, r#"{"a":4,"\ud800":1,"\uffff":2,"\ud83d\ude00":3}"#),
            ("\u{feff}{}", "{}"),
            ("  7 ", "7"),
            (r#"{"a":{"d":1,"c":[{"z":1,"y":2}]}}"#, r#"{"a":{"c":[{"y":2,"z":1}],"d":1}}"#),
        ] {
            check(body, Some(expected));
        }
    }

    #[test]
    fn what_python_does_not_read_has_no_canonical_form() {
        for body in [
            "",
            "x",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\":1,\"a\":2}",
            "{\"a\":{\"b\":1,\"b\":1}}",
            "01",
            "1.",
            ".5",
            "+1",
            "-",
            "1e",
            "\"\t\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"open",
            "{} {}",
            "{a:1}",
            "'a'",
            "\u{661}",
            "{\"\\u0061\":1,\"a\":2}",
            "[1 2]",
            "nul",
            "- 1",
        ] {
            check(body, None);
        }
        check(&"9".repeat(MOST_DIGITS + 1), None);
        check(
            &format!("{}{}", "[".repeat(65), "]".repeat(65)),
            Some(&format!("{}{}", "[".repeat(65), "]".repeat(65))),
        );
        check(&format!("{}{}", "[".repeat(70), "]".repeat(70)), None);
        assert!(canonical(b"\"\xff\"").is_none());
    }
}
