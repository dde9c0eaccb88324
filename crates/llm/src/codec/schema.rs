//! Small repairs to JSON schemas that providers insist on. The order of members never changes.

use std::borrow::Cow;

use super::read;
use crate::json_writer::JsonWriter;
use crate::members;
use crate::neutral::Raw;

/// The schema of a tool without arguments.
pub(crate) const EMPTY: &str = r#"{"type":"object","properties":{}}"#;

/// The schema as that of an object: providers refuse arguments whose schema does not say `object`.
pub(crate) fn of_object(schema: &Raw) -> Cow<'_, str> {
    let text = schema.text();
    if !text.starts_with('{') {
        return Cow::Borrowed(EMPTY);
    }
    match read::member(text, "type") {
        Some("\"object\"") => Cow::Borrowed(text),
        found => {
            // A union at the top level says what is allowed by itself, but the type must still be there.
            let mut json = JsonWriter::with_capacity(text.len() + 32);
            json.object(|json| {
                json.text_member("type", "object");
                let _ = members::each(text, |key, value| {
                    if key != "type" {
                        json.raw_member(key, value);
                    }
                });
                if found.is_none() && read::member(text, "properties").is_none() && !has_union(text) {
                    json.key("properties").object(|_| {});
                }
            });
            Cow::Owned(json.into_string())
        }
    }
}

fn has_union(schema: &str) -> bool {
    ["anyOf", "oneOf", "allOf", "$ref"].into_iter().any(|name| read::member(schema, name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_says_that_it_is_of_an_object() {
        for (before, after) in [
            ("null", EMPTY),
            ("{}", r#"{"type":"object","properties":{}}"#),
            (r#"{"type":"object","b":1,"a":2}"#, r#"{"type":"object","b":1,"a":2}"#),
            (r#"{"properties":{"z":{},"a":{}}}"#, r#"{"type":"object","properties":{"z":{},"a":{}}}"#),
            (r#"{"type":null,"required":[]}"#, r#"{"type":"object","required":[]}"#),
            (r#"{"anyOf":[{}]}"#, r#"{"type":"object","anyOf":[{}]}"#),
        ] {
            assert_eq!(of_object(&Raw::new(before)), after);
        }
    }
}
