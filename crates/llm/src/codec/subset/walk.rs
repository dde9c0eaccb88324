//! Writes a schema anew, as one subset has it.

use super::{Note, Subset};
use crate::codec::read;
use crate::json_writer::JsonWriter;
use crate::members;
use crate::neutral::Severity;

const UNKNOWN: &str = "the provider refuses this word in a schema";
const BESIDE_REF: &str = "the provider takes nothing beside a reference";
const ANY_OF: &str = "the provider knows `anyOf` only";
const CLOSED: &str = "the provider wants objects closed";

/// Words that say nothing of what fits.
fn is_remark(word: &str) -> bool {
    matches!(word, "default" | "examples" | "description" | "title" | "deprecated" | "readOnly" | "writeOnly")
}

/// A walk through one schema.
pub(super) struct Walk<'a> {
    subset: &'a Subset,
    path: Vec<String>,
    fits: bool,
    notes: Vec<Note>,
}

impl<'a> Walk<'a> {
    /// Walks through `schema`: as it is to be written, whether it fits, and what was changed.
    pub(super) fn of(subset: &'a Subset, schema: &str) -> (String, bool, Vec<Note>) {
        let mut walk = Self { subset, path: Vec::new(), fits: true, notes: Vec::new() };
        let has_union = ["anyOf", "oneOf"].iter().any(|word| read::member(schema, word).is_some());
        if subset.object_root && (has_union || !is_object(schema)) {
            walk.fits = false;
        }
        let mut json = JsonWriter::with_capacity(schema.len() + 64);
        walk.schema(schema, &mut json);
        (json.into_string(), walk.fits, walk.notes)
    }

    fn note(&mut self, word: &str, reason: &'static str, severity: Severity) {
        let mut path = self.path.join(".");
        if !path.is_empty() {
            path.push('.');
        }
        self.notes.push(Note { path: path + word, reason, severity });
    }

    fn within(&mut self, name: impl Into<String>, walk: impl FnOnce(&mut Self)) {
        self.path.push(name.into());
        walk(self);
        self.path.pop();
    }

    fn schema(&mut self, raw: &str, json: &mut JsonWriter) {
        if !raw.starts_with('{') || !members::is_said(raw) {
            // Anything, or nothing, fits: no grammar can be made of that.
            self.fits &= !self.subset.closed;
            return json.raw(raw);
        }
        let lone = self.subset.lone_ref && read::member(raw, "$ref").is_some();
        if self.subset.closed {
            self.check_object(raw);
        }
        json.object(|json| {
            let _ = members::each(raw, |word, value| {
                if lone && !word.starts_with('$') && word != "definitions" {
                    let severity = if is_remark(word) { Severity::Advisory } else { Severity::Meaning };
                    return self.note(word, BESIDE_REF, severity);
                }
                self.word(word, value, raw, json);
            });
            if self.subset.closed && is_object(raw) && read::member(raw, "additionalProperties").is_none() {
                self.note("additionalProperties", CLOSED, Severity::Advisory);
                json.raw_member("additionalProperties", "false");
            }
        });
    }

    fn word(&mut self, word: &str, value: &str, raw: &str, json: &mut JsonWriter) {
        match word {
            "properties" | "$defs" | "definitions" => json.key(word).object(|json| {
                self.within(word, |walk| {
                    let _ = members::each(value, |name, inner| {
                        json.key(name);
                        walk.within(name, |walk| walk.schema(inner, json));
                    });
                });
            }),
            "items" | "contains" if value.starts_with('{') && !self.refuses(word) => {
                json.key(word);
                self.within(word, |walk| walk.schema(value, json));
            }
            "additionalProperties" if value.starts_with('{') && !self.subset.closed => {
                json.key(word);
                self.within(word, |walk| walk.schema(value, json));
            }
            "oneOf" if self.subset.any_of_only => {
                self.fits &= read::member(raw, "anyOf").is_none();
                self.note(word, ANY_OF, Severity::Advisory);
                self.list("anyOf", value, json);
            }
            "anyOf" | "oneOf" | "allOf" | "prefixItems" if !self.refuses(word) => {
                self.list(word, value, json);
            }
            "const" if self.subset.no_const => json.key("enum").array(|json| json.raw(value)),
            "minItems" if self.subset.few_least && !matches!(value, "0" | "1") => {
                self.note(word, UNKNOWN, Severity::Meaning);
            }
            _ if self.subset.dropped.contains(&word) => {
                let severity = if is_remark(word) { Severity::Advisory } else { Severity::Meaning };
                self.note(word, UNKNOWN, severity);
            }
            _ => {
                self.fits &= !self.refuses(word);
                json.raw_member(word, value);
            }
        }
    }

    fn refuses(&self, word: &str) -> bool {
        self.subset.structural.contains(&word) || self.subset.dropped.contains(&word)
    }

    fn list(&mut self, word: &str, value: &str, json: &mut JsonWriter) {
        json.key(word).array(|json| {
            for (place, inner) in members::elements(value).into_iter().enumerate() {
                self.within(format!("{word}[{place}]"), |walk| walk.schema(inner, json));
            }
        });
    }

    /// An object whose members are not all named cannot be closed without forbidding what the schema allows.
    fn check_object(&mut self, raw: &str) {
        if !is_object(raw) {
            return;
        }
        let properties = read::member(raw, "properties").unwrap_or("{}");
        let others = read::member(raw, "additionalProperties");
        let is_open = others.is_some_and(|others| others != "false")
            || (others.is_none() && !members::is_said(properties));
        let required = members::elements(read::member(raw, "required").unwrap_or("[]"));
        let mut has_optional = false;
        let _ = members::each(properties, |name, _| {
            let is_required = |quoted: &&str| members::string(quoted).is_some_and(|text| text == name);
            has_optional |= !required.iter().any(is_required);
        });
        self.fits &= !(is_open || has_optional && self.subset.all_required);
    }
}

/// Whether a schema is one of objects.
pub(super) fn is_object(raw: &str) -> bool {
    match read::member(raw, "type") {
        Some(kind) if kind.starts_with('[') => members::elements(kind).contains(&"\"object\""),
        Some(kind) => kind == "\"object\"",
        None => read::member(raw, "properties").is_some(),
    }
}
