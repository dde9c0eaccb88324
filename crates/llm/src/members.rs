//! The members of one JSON object, each with its value as raw text, and the few readings of raw
//! values that dialects need. Lenient: what does not read as expected is treated as absent.
//!
//! No tree is built and values are not copied; nested objects are read by asking again.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Visitor};
use serde_json::value::RawValue;

use crate::json::{self, Fault, Member};

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

/// A member's name, borrowed where it has no escapes.
pub(crate) struct Key<'a>(pub(crate) Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member's name")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The string that the raw value `text` is, unescaped; `None` when it is no string.
pub(crate) fn string(text: &str) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Key<'_>>(text).ok().map(|key| key.0)
}

/// The elements of the raw array `text`; none when it is no array.
pub(crate) fn elements(text: &str) -> Vec<&str> {
    let values: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
    values.into_iter().map(RawValue::get).collect()
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
