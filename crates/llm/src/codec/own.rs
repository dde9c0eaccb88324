//! Writes back what only the provider's own dialect knows of a part: a request is written anew for it where
//! others have sealed something in it.

use crate::json_writer::JsonWriter;
use crate::neutral::{Dialect, Part};

/// Writes the object that `write` writes, if any, with the members of `part` that only `dialect` knows.
pub(super) fn with(
    json: &mut JsonWriter,
    part: &Part,
    dialect: Dialect,
    write: impl FnOnce(&mut JsonWriter),
) {
    let fields = part.ext.fields_of(dialect);
    if fields.is_empty() {
        return write(json);
    }
    let mut object = JsonWriter::new();
    write(&mut object);
    let object = object.into_string();
    // What could not be written is not there.
    let Some(inside) = object.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        return;
    };
    json.object(|json| {
        if !inside.is_empty() {
            json.raw(inside);
        }
        members(json, part, dialect, "");
    });
}

/// Writes those of the members whose names begin with `prefix`, without it; of no prefix, those without one.
pub(super) fn members(json: &mut JsonWriter, part: &Part, dialect: Dialect, prefix: &str) {
    for (name, value) in part.ext.fields_of(dialect) {
        match name.strip_prefix(prefix) {
            Some(name) if !name.contains('.') => json.raw_member(name, value.text()),
            _ => {}
        }
    }
}
