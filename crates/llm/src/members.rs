//! The members of one JSON object, each with its value as raw text, and the few readings of raw
//! values that dialects need. Lenient: what does not read as expected is treated as absent.
//!
//! No tree is built and values are not copied; nested objects are read by asking again.

use std::borrow::Cow;

use crate::json::{self, Fault, Member};
use crate::json_text;

/// Calls `each` with the key and the raw value of every member of the object `text`.
/// Fails when `text` is not one JSON object; members before the fault have been seen by then.
pub(crate) fn each<'a>(text: &'a str, mut each: impl FnMut(&str, &'a str)) -> Result<(), Fault> {
    json::members(text.as_bytes(), |Member { name, is_escaped, value }| {
        let value = &text[value];
        if is_escaped {
            let name = string(&text[name.start - 1..name.end + 1]).ok_or(Fault::Invalid)?;
            each(&name, value);
        } else {
            each(&text[name], value);
        }
        Ok(())
    })
}

/// The string that the raw value `text` is, unescaped; `None` when it is no string.
pub(crate) fn string(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim_ascii();
    if !text.starts_with('"') {
        return None;
    }
    let (string, behind) = json_text::unescaped(text, 1).ok()?;
    (behind == text.len()).then_some(string)
}

/// The elements of the raw array `text`; none when it is no array.
pub(crate) fn elements(text: &str) -> Vec<&str> {
    let mut elements = Vec::new();
    match json::elements(text.as_bytes(), |element| elements.push(&text[element])) {
        Ok(()) => elements,
        Err(_) => Vec::new(),
    }
}

/// The first element of the raw array `text`; empty when there is none. What follows it is not looked at.
pub(crate) fn first_element(text: &str) -> &str {
    let json = text.as_bytes();
    let start = json::behind_space(json, 1);
    json::value_end(json, start).map_or("", |end| &text[start..end])
}

/// Whether the raw value says something: not `null`, nor an empty string, array or object.
pub(crate) fn is_said(text: &str) -> bool {
    match text.as_bytes() {
        b"null" | b"\"\"" | b"[]" | b"{}" => false,
        [b'[' | b'{', inside @ .., _] => !inside.trim_ascii().is_empty(),
        _ => true,
    }
}

/// Whether the raw value is an array without elements.
pub(crate) fn is_empty_array(text: &str) -> bool {
    text.starts_with('[') && !is_said(text)
}
