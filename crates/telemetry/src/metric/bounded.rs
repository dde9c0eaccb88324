//! Keeps label values few: what callers and administrators can name freely must not fill the memory.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::HashSet;

use parking_lot::Mutex;

/// Distinct values that a label may have; every further one counts as `other`.
pub(super) const LIMIT: usize = 200;
/// Characters of a value that are kept.
const LONGEST: usize = 128;

/// The values seen so far, by label.
#[derive(Debug, Default)]
pub(super) struct Bounds(Mutex<HashMap<&'static str, HashSet<Box<str>>>>);

impl Bounds {
    /// `value` while its `label` has fewer than [`LIMIT`] distinct values or knows it already, else `other`.
    pub(super) fn bounded(&self, label: &'static str, value: &str) -> Cow<'static, str> {
        let end = value.char_indices().nth(LONGEST).map_or(value.len(), |(end, _)| end);
        let value = &value[..end];
        let mut known = self.0.lock();
        let values = known.entry(label).or_default();
        if !values.contains(value) {
            if values.len() >= LIMIT {
                return Cow::Borrowed("other");
            }
            values.insert(value.into());
        }
        Cow::Owned(value.to_owned())
    }
}
