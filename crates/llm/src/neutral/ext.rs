//! Values that pass unread: as text, and only back to the dialect they came in.

use std::fmt;

use super::{Dialect, Losses, Severity};
use crate::json_writer::JsonWriter;

/// One JSON value, as its text. Numbers keep their spelling, objects the order of their members.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Raw(Box<str>);

impl Raw {
    /// A value whose text has been checked to be one JSON value.
    pub(crate) fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Members that one dialect has and the neutral form has not, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ext {
    origin: Option<Dialect>,
    fields: Vec<(Box<str>, Raw)>,
}

impl Ext {
    /// Keeps a member of `origin`.
    pub(crate) fn keep(&mut self, origin: Dialect, name: &str, value: &str) {
        self.origin = Some(origin);
        self.fields.push((name.into(), Raw::new(value)));
    }

    /// Drops members that somebody else has read.
    pub(crate) fn forget(&mut self, names: &[&str]) {
        self.fields.retain(|(name, _)| !names.contains(&&**name));
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The member `name`, if it is of `dialect`.
    #[must_use]
    pub fn get(&self, dialect: Dialect, name: &str) -> Option<&Raw> {
        let (_, value) = self.fields_of(dialect).iter().find(|(own, _)| **own == *name)?;
        Some(value)
    }

    /// The members, if they are of `dialect`; otherwise none.
    #[must_use]
    pub fn fields_of(&self, dialect: Dialect) -> &[(Box<str>, Raw)] {
        if self.origin == Some(dialect) { &self.fields } else { &[] }
    }

    /// The names of all members, for those who must say that they are lost.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| &**name)
    }

    /// All members, as the object that they are; empty where there are none.
    pub(crate) fn json(&self) -> String {
        let mut json = JsonWriter::new();
        if !self.is_empty() {
            json.object(|json| {
                self.fields.iter().for_each(|(name, value)| json.raw_member(name, value.text()));
            });
        }
        json.into_string()
    }

    /// Writes the members into the object that `json` is in, where they are of `dialect`. Elsewhere somebody
    /// else says that they are lost.
    pub(crate) fn write_own(&self, dialect: Dialect, json: &mut JsonWriter) {
        self.fields_of(dialect).iter().for_each(|(name, value)| json.raw_member(name, value.text()));
    }

    /// Writes the members into the object that `json` is in, where they are of `dialect`; elsewhere each
    /// is a loss below `path` (empty for the top level). `null` says nothing and is never a loss.
    pub(crate) fn write(&self, dialect: Dialect, json: &mut JsonWriter, path: &str, losses: &mut Losses) {
        if self.origin == Some(dialect) {
            return self.write_own(dialect, json);
        }
        let dot = if path.is_empty() { "" } else { "." };
        for (name, value) in &self.fields {
            if value.text() != "null" {
                let reason = "the provider's dialect has no such field";
                losses.add(format_args!("{path}{dot}{name}"), reason, Severity::of_field(name));
            }
        }
    }
}
