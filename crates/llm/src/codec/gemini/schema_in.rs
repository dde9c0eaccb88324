//! Google's older schemas, a subset of OpenAPI's, as JSON schemas: types in small letters, and `null` a type
//! of its own.

use crate::codec::read;
use crate::json_writer::JsonWriter;
use crate::members;

/// The JSON schema that says the same. What is one already stays as it is.
pub(super) fn json_schema(raw: &str) -> String {
    let mut json = JsonWriter::with_capacity(raw.len());
    write(raw, &mut json);
    json.into_string()
}

fn write(raw: &str, json: &mut JsonWriter) {
    if !raw.starts_with('{') {
        return json.raw(raw);
    }
    let nullable = read::member(raw, "nullable") == Some("true");
    json.object(|json| {
        let _ = members::each(raw, |key, value| match key {
            "nullable" => {}
            "type" => write_type(value, nullable, json.key("type")),
            "properties" | "$defs" | "defs" => json.key(key).object(|json| {
                let _ = members::each(value, |name, inner| write(inner, json.key(name)));
            }),
            "items" | "additionalProperties" => write(value, json.key(key)),
            "anyOf" | "any_of" | "oneOf" | "allOf" | "prefixItems" => {
                let name = if key == "any_of" { "anyOf" } else { key };
                json.key(name).array(|json| {
                    members::elements(value).into_iter().for_each(|inner| write(inner, json));
                });
            }
            // Google writes these numbers as strings.
            "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties" => {
                let number = read::text_if(value).filter(|text| text.parse::<u64>().is_ok());
                json.raw_member(key, number.as_deref().unwrap_or(value));
            }
            _ => json.raw_member(key, value),
        });
    });
}

fn write_type(raw: &str, nullable: bool, json: &mut JsonWriter) {
    let Some(name) = read::text_if(raw) else {
        return json.raw(raw);
    };
    let name = name.to_ascii_lowercase();
    if nullable {
        json.array(|json| {
            json.text(&name);
            json.text("null");
        });
    } else {
        json.text(&name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_keep_their_order_and_lose_their_capitals() {
        let before = r#"{"type":"OBJECT","properties":{"type":{"type":"STRING","nullable":true},"n":{"type":"ARRAY","minItems":"1","items":{"type":"INTEGER"}}},"required":["type"]}"#;
        let after = r#"{"type":"object","properties":{"type":{"type":["string","null"]},"n":{"type":"array","minItems":1,"items":{"type":"integer"}}},"required":["type"]}"#;
        assert_eq!(json_schema(before), after);
        assert_eq!(json_schema(after), after);
    }
}
