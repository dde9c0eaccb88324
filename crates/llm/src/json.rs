//! Walks over JSON text (RFC 8259) and checks it, without building anything: where a value ends, and
//! which members an object has. The strictness is serde_json's, at a fraction of its work, because a
//! request is mostly long strings and nobody here wants to read them.
//!
//! Works on bytes; that they are UTF-8 is the caller's to check.

use std::ops::Range;

/// How many levels a value may nest within the object that is walked: more than any real request
/// or answer has, and one bit each in a word.
pub(crate) const LEVELS_WITHIN: u32 = 63;

/// Why a text was not walked to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not valid JSON, or not an object.
    Invalid,
    /// A member nests deeper than [`LEVELS_WITHIN`].
    Deep,
}

/// One member of an object, as places in its text.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// The name between its quotes.
    pub name: Range<usize>,
    /// Whether the name has escapes.
    pub is_escaped: bool,
    /// The value, without space around it.
    pub value: Range<usize>,
}

/// Calls `each` for every member of the object that `json` is, each as soon as it has been checked.
///
/// # Errors
/// When `json` is not one valid object, or `each` returned a fault.
pub(crate) fn members(json: &[u8], mut each: impl FnMut(Member) -> Result<(), Fault>) -> Result<(), Fault> {
    let mut at = behind_space(json, 0);
    if json.get(at) != Some(&b'{') {
        return Err(Fault::Invalid);
    }
    at = behind_space(json, at + 1);
    if json.get(at) == Some(&b'}') {
        return only_space(json, at + 1);
    }
    loop {
        if json.get(at) != Some(&b'"') {
            return Err(Fault::Invalid);
        }
        let start = at + 1;
        at = plain_end(json, start)?;
        let is_escaped = json[at] == b'\\';
        let behind = if is_escaped { behind_string(json, at)? } else { at + 1 };
        at = behind_colon(json, behind)?;
        let end = value_end(json, at)?;
        each(Member { name: start..behind - 1, is_escaped, value: at..end })?;
        at = behind_space(json, end);
        match json.get(at) {
            Some(b',') => at = behind_space(json, at + 1),
            Some(b'}') => return only_space(json, at + 1),
            _ => return Err(Fault::Invalid),
        }
    }
}

/// Calls `each` with the place of every element of the array that `json` is.
///
/// # Errors
/// When `json` is not one valid array; elements before the fault have been seen by then.
pub(crate) fn elements(json: &[u8], mut each: impl FnMut(Range<usize>)) -> Result<(), Fault> {
    let mut at = behind_space(json, 0);
    if json.get(at) != Some(&b'[') {
        return Err(Fault::Invalid);
    }
    at = behind_space(json, at + 1);
    if json.get(at) == Some(&b']') {
        return only_space(json, at + 1);
    }
    loop {
        let end = value_end(json, at)?;
        each(at..end);
        at = behind_space(json, end);
        match json.get(at) {
            Some(b',') => at = behind_space(json, at + 1),
            Some(b']') => return only_space(json, at + 1),
            _ => return Err(Fault::Invalid),
        }
    }
}

fn only_space(json: &[u8], at: usize) -> Result<(), Fault> {
    if behind_space(json, at) == json.len() { Ok(()) } else { Err(Fault::Invalid) }
}

/// Where the value ends whose first byte is at `at`.
pub(crate) fn value_end(json: &[u8], at: usize) -> Result<usize, Fault> {
    match json.get(at) {
        Some(b'"') => behind_string(json, at + 1),
        Some(b'{' | b'[') => nested_end(json, at),
        _ => behind_scalar(json, at),
    }
}

/// The same for an object or array. Keeps one bit for each open level: set for an object.
fn nested_end(json: &[u8], mut at: usize) -> Result<usize, Fault> {
    let (mut objects, mut depth) = (0_u64, 0_u32);
    loop {
        at = match json.get(at) {
            Some(b'"') => behind_string(json, at + 1)?,
            Some(opener @ (b'{' | b'[')) => {
                if depth == LEVELS_WITHIN {
                    return Err(Fault::Deep);
                }
                depth += 1;
                objects = objects << 1 | u64::from(*opener == b'{');
                at = behind_space(json, at + 1);
                // The closing byte is two above the opening one, for braces and for brackets.
                if json.get(at) != Some(&(opener + 2)) {
                    at = to_value(json, at, objects)?;
                    continue;
                }
                at
            }
            _ => behind_scalar(json, at)?,
        };
        loop {
            at = behind_space(json, at);
            match (json.get(at), objects & 1) {
                (Some(b','), _) => break,
                (Some(b'}'), 1) | (Some(b']'), 0) => {}
                _ => return Err(Fault::Invalid),
            }
            at += 1;
            depth -= 1;
            objects >>= 1;
            if depth == 0 {
                return Ok(at);
            }
        }
        at = to_value(json, behind_space(json, at + 1), objects)?;
    }
}

/// From where a member or an element begins to its value.
fn to_value(json: &[u8], at: usize, objects: u64) -> Result<usize, Fault> {
    if objects & 1 == 0 {
        return Ok(at);
    }
    let end = behind_name(json, at)?;
    behind_colon(json, end)
}

fn behind_name(json: &[u8], at: usize) -> Result<usize, Fault> {
    match json.get(at) {
        Some(b'"') => behind_string(json, at + 1),
        _ => Err(Fault::Invalid),
    }
}

pub(crate) fn behind_colon(json: &[u8], at: usize) -> Result<usize, Fault> {
    let at = behind_space(json, at);
    match json.get(at) {
        Some(b':') => Ok(behind_space(json, at + 1)),
        _ => Err(Fault::Invalid),
    }
}

#[inline]
pub(crate) fn behind_space(json: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\t' | b'\r') = json.get(at) {
        at += 1;
    }
    at
}

/// Behind the closing quote of the string whose text begins at `at`.
pub(crate) fn behind_string(json: &[u8], mut at: usize) -> Result<usize, Fault> {
    loop {
        at = plain_end(json, at)?;
        if json[at] == b'"' {
            return Ok(at + 1);
        }
        at = behind_escape(json, at + 1)?;
    }
}

fn behind_escape(json: &[u8], at: usize) -> Result<usize, Fault> {
    match json.get(at) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 1),
        Some(b'u') if json.get(at + 1..at + 5).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) => {
            Ok(at + 5)
        }
        _ => Err(Fault::Invalid),
    }
}

/// The next quote or backslash, with no control character before it.
#[inline]
pub(crate) fn plain_end(json: &[u8], at: usize) -> Result<usize, Fault> {
    let stop = next_stop(json, at);
    match json.get(stop) {
        Some(b'"' | b'\\') => Ok(stop),
        _ => Err(Fault::Invalid),
    }
}

/// The next byte from `at` on that cannot stand in a JSON string as it is (quote, backslash, control
/// character), or the length of `text`. Most such stretches are short and end within a few words of eight
/// bytes; the long ones are crossed in blocks.
#[inline]
pub(crate) fn next_stop(text: &[u8], mut at: usize) -> usize {
    for _ in 0..5 {
        let Some(word) = word_at(text, at) else {
            return stop_in_rest(text, at);
        };
        let stop = first_marked(stops(word));
        at += stop;
        if stop < 8 {
            return at;
        }
    }
    far_stop(text, at)
}

/// The same where the next stop is far away.
#[inline(never)]
fn far_stop(text: &[u8], mut at: usize) -> usize {
    const BLOCK: usize = 32;
    while let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>())
        && !has_stop(block)
    {
        at += BLOCK;
    }
    while let Some(word) = word_at(text, at) {
        let stop = first_marked(stops(word));
        at += stop;
        if stop < 8 {
            return at;
        }
    }
    stop_in_rest(text, at)
}

/// The same in fewer bytes than a word has.
fn stop_in_rest(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    if let (Some(first), Some(last)) = (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        if first_marked(stops(u64::from(first) | u64::from(last) << 32)) == 8 {
            return text.len();
        }
    }
    let stop = rest.iter().position(|byte| is_stop(*byte));
    stop.map_or(text.len(), |stop| at + stop)
}

fn is_stop(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// Looks at every byte, so that the compiler can look at many at a time.
fn has_stop(block: &[u8]) -> bool {
    block.iter().fold(false, |found, byte| found | is_stop(*byte))
}

/// The high bit of the first byte of `word` that ends a stretch of plain text is set, and none below it.
/// A borrow reaches only bytes above the first that is found.
fn stops(word: u64) -> u64 {
    let control = word.wrapping_sub(repeated(0x20));
    let quote = (word ^ repeated(b'"')).wrapping_sub(repeated(1));
    let backslash = (word ^ repeated(b'\\')).wrapping_sub(repeated(1));
    (control | quote | backslash) & !word
}

/// The position of the quote that ends the string whose text begins at `at`, or the length of `json`
/// when it does not end there. Checks nothing.
pub(crate) fn string_end(json: &[u8], mut at: usize) -> usize {
    let mut words = 3;
    while words > 0
        && let Some(word) = word_at(json, at)
    {
        let stop = first_marked(marks(word, b'"') | marks(word, b'\\'));
        at += stop;
        if stop < 8 {
            if json[at] == b'"' {
                return at;
            }
            at += 2;
        }
        words -= 1;
    }
    while let Some(found) = json.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if json[at] == b'"' {
            return at;
        }
        at += 2;
    }
    json.len()
}

fn word_at(json: &[u8], at: usize) -> Option<u64> {
    let bytes = json.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*bytes))
}

const fn repeated(byte: u8) -> u64 {
    0x0101_0101_0101_0101 * byte as u64
}

/// The high bit of the first byte of `word` that is `byte` is set, and none below it.
fn marks(word: u64, byte: u8) -> u64 {
    let zero_where_equal = word ^ repeated(byte);
    zero_where_equal.wrapping_sub(repeated(1)) & !zero_where_equal
}

/// The first byte whose high bit is set; 8 for none.
fn first_marked(marks: u64) -> usize {
    ((marks & repeated(0x80)).trailing_zeros() / 8) as usize
}

/// Behind the number or literal at `at`.
fn behind_scalar(json: &[u8], at: usize) -> Result<usize, Fault> {
    let rest = json.get(at..).unwrap_or_default();
    match rest {
        [b't', b'r', b'u', b'e', ..] | [b'n', b'u', b'l', b'l', ..] => Ok(at + 4),
        [b'f', b'a', b'l', b's', b'e', ..] => Ok(at + 5),
        [b'-', ..] => behind_number(json, at + 1),
        _ => behind_number(json, at),
    }
}

fn behind_number(json: &[u8], mut at: usize) -> Result<usize, Fault> {
    at = match json.get(at) {
        Some(b'0') => at + 1,
        _ => behind_digits(json, at)?,
    };
    if json.get(at) == Some(&b'.') {
        at = behind_digits(json, at + 1)?;
    }
    if let Some(b'e' | b'E') = json.get(at) {
        let signed = matches!(json.get(at + 1), Some(b'+' | b'-'));
        at = behind_digits(json, at + 1 + usize::from(signed))?;
    }
    Ok(at)
}

/// Behind one or more digits.
fn behind_digits(json: &[u8], from: usize) -> Result<usize, Fault> {
    let mut at = from;
    while json.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    if at == from { Err(Fault::Invalid) } else { Ok(at) }
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;

    type Read = Vec<(String, String)>;

    fn read(json: &[u8]) -> Result<Read, Fault> {
        let mut found = Vec::new();
        let text = |range: Range<usize>| String::from_utf8(json[range].to_vec()).unwrap();
        members(json, |member| {
            found.push((text(member.name), text(member.value)));
            Ok(())
        })?;
        Ok(found)
    }

    fn check(json: &str) {
        let theirs = serde_json::from_str::<IgnoredAny>(json).is_ok();
        let theirs = theirs && json.trim_ascii_start().starts_with('{');
        let ours = read(json.as_bytes());
        assert_eq!(ours.is_ok(), theirs, "{json}");
    }

    const SAMPLE: &str = r#" { "a" : [ {}, [ ] ,[1,-2.5e+10,0.1E2 , true,false,null], {"b":{"c":"\"x\\\u00e9"} }] ,
        "a long name with \n and \/":"a string of more than one block, ünd with a few 潮 \" escapes \\ in it",
        "0":0,"-":-0,"e":1e5,"":"","t":true}  "#;

    #[test]
    fn strings_end_at_their_quote_wherever_it_is() {
        for length in 0..100 {
            for stop in ["\"", "\\\"\"", "\\\\\"", "\u{1}\""] {
                let text = format!("{}{stop}x", "é".repeat(length / 2) + &"x".repeat(length % 2));
                let expected = text.len() - 1;
                assert_eq!(string_end(text.as_bytes(), 0), expected - 1, "{text}");
                let strict = behind_string(text.as_bytes(), 0);
                let allowed = stop != "\u{1}\"";
                assert_eq!(strict, if allowed { Ok(expected) } else { Err(Fault::Invalid) }, "{text}");
            }
        }
        assert_eq!(string_end(b"never", 0), 5);
        assert_eq!(string_end(b"never\\", 0), 6);
        assert_eq!(string_end(b"", 3), 0);
    }

    #[test]
    fn members_are_found_with_their_values() {
        let found = read(br#" {"a" : 1 , "b":[{"c":2}],"\"":"x" } "#).unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(found, [pair("a", "1"), pair("b", r#"[{"c":2}]"#), pair("\\\"", "\"x\"")]);
    }

    #[test]
    fn is_as_strict_as_serde_json() {
        check(SAMPLE);
        for cut in (0..SAMPLE.len()).filter(|cut| SAMPLE.is_char_boundary(*cut)) {
            check(&SAMPLE[..cut]);
            check(&SAMPLE[cut..]);
        }
        let spots: Vec<(usize, char)> = SAMPLE.char_indices().collect();
        for (at, old) in spots {
            let (before, after) = (&SAMPLE[..at], &SAMPLE[at + old.len_utf8()..]);
            check(&format!("{before}{after}"));
            for new in "\"\\{}[],:.0159-+eEtfnul/ \n\t\r\u{0}\u{1f}\u{7f}éq".chars() {
                check(&format!("{before}{new}{after}"));
                check(&format!("{before}{new}{old}{after}"));
            }
        }
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |levels: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
        assert!(read(nested(63).as_bytes()).is_ok());
        assert_eq!(read(nested(64).as_bytes()), Err(Fault::Deep));
        assert_eq!(read(nested(200_000).as_bytes()), Err(Fault::Deep));
    }
}
