//! What some providers refuse only at the root of a tool's schema.

use super::walk::is_object;
use super::{Fitted, Note};
use crate::codec::read;
use crate::json_writer::JsonWriter;
use crate::members;
use crate::neutral::Severity;

const UNIONS: [&str; 3] = ["anyOf", "oneOf", "allOf"];

/// Whether a schema is one of objects, without a union at its root.
pub(in crate::codec) fn is_plain_object(schema: &str) -> bool {
    is_object(schema) && !UNIONS.iter().any(|word| read::member(schema, word).is_some())
}

/// The schema without a union at its root, which Claude refuses there: the arguments may be all that any
/// branch names.
pub(in crate::codec) fn without_root_union(schema: &str) -> Fitted {
    let unions: Vec<(&str, &str)> =
        UNIONS.into_iter().filter_map(|word| Some((word, read::member(schema, word)?))).collect();
    if unions.is_empty() {
        return Fitted::same();
    }
    let mut properties: Vec<(String, &str)> = Vec::new();
    let mut required: Vec<&str> = Vec::new();
    let mut take = |part, all: bool| {
        let _ = members::each(read::member(part, "properties").unwrap_or("{}"), |name, raw| {
            if !properties.iter().any(|(known, _)| known == name) {
                properties.push((name.to_owned(), raw));
            }
        });
        let names = members::elements(read::member(part, "required").unwrap_or("[]"));
        names.into_iter().filter(|_| all).for_each(|name| {
            if !required.contains(&name) {
                required.push(name);
            }
        });
    };
    take(schema, true);
    for (word, branches) in &unions {
        for branch in members::elements(branches) {
            take(resolved(schema, branch), *word == "allOf");
        }
    }
    let mut json = JsonWriter::with_capacity(schema.len());
    json.object(|json| {
        let _ = members::each(schema, |word, value| {
            if !UNIONS.contains(&word) && !matches!(word, "properties" | "required") {
                json.raw_member(word, value);
            }
        });
        json.key("properties").object(|json| {
            properties.iter().for_each(|(name, raw)| json.raw_member(name, raw));
        });
        if !required.is_empty() {
            json.key("required").array(|json| required.iter().for_each(|name| json.raw(name)));
        }
    });
    let note = |(word, _): (&str, &str)| Note {
        path: word.to_owned(),
        reason: "the provider takes no union as the whole of a tool's arguments",
        severity: Severity::Meaning,
    };
    Fitted { schema: Some(json.into_string()), fits: true, notes: unions.into_iter().map(note).collect() }
}

/// What a branch says, itself or by one reference to a definition.
fn resolved<'a>(schema: &'a str, branch: &'a str) -> &'a str {
    let found = read::member_text(branch, "$ref").and_then(|name| {
        let (place, name) = name.strip_prefix("#/")?.split_once('/')?;
        read::member(read::member(schema, place)?, name)
    });
    found.unwrap_or(branch)
}

/// The schema with no more than `words` at its root, which is all that Amazon's models take there.
pub(in crate::codec) fn only_at_root(schema: &str, words: &[&str]) -> Fitted {
    let (mut notes, mut json) = (Vec::new(), JsonWriter::with_capacity(schema.len()));
    json.object(|json| {
        let _ = members::each(schema, |word, value| {
            if words.contains(&word) {
                return json.raw_member(word, value);
            }
            let is_remark = matches!(word, "$schema" | "title" | "description" | "additionalProperties");
            let severity = if is_remark { Severity::Advisory } else { Severity::Meaning };
            let reason = "the model takes no such word at the root of a schema";
            notes.push(Note { path: word.to_owned(), reason, severity });
        });
    });
    let schema = (!notes.is_empty()).then(|| json.into_string());
    Fitted { schema, fits: true, notes }
}
