//! Schemas as far as a provider takes them. Each takes a subset of JSON Schema of its own and refuses the
//! whole request for a word too many: what it refuses is left out or said in other words, and noted. Where
//! that would let an answer through that the schema forbids in its structure, the schema does not fit, and
//! whoever asked decides what to do without it. The order of members never changes.

mod cycles;
mod root;
mod walk;

use walk::Walk;

pub(super) use root::{is_plain_object, only_at_root, without_root_union};

use crate::neutral::Severity;

/// What a provider takes of JSON Schema (dialects reference §2.5).
#[derive(Debug)]
pub(super) struct Subset {
    /// Words that it refuses and that only narrow what fits: left out.
    pub dropped: &'static [&'static str],
    /// Words that it refuses and that say what fits at all: with one of them a schema does not fit.
    pub structural: &'static [&'static str],
    /// Every object must say that it has no members but those that are named.
    pub closed: bool,
    /// Every member that is named must be required.
    pub all_required: bool,
    /// Nothing may stand beside a reference.
    pub lone_ref: bool,
    /// `oneOf` is refused and `anyOf` taken.
    pub any_of_only: bool,
    /// `const` is not known and `enum` is.
    pub no_const: bool,
    /// The least number of elements may be 0 or 1.
    pub few_least: bool,
    /// No schema may contain itself.
    pub finite: bool,
    /// The whole must be an object, and no union.
    pub object_root: bool,
}

/// OpenAI, where `strict` is said.
pub(super) const OPENAI: Subset = Subset {
    dropped: &[
        "default",
        "examples",
        "minLength",
        "maxLength",
        "uniqueItems",
        "contains",
        "minContains",
        "maxContains",
        "minProperties",
        "maxProperties",
        "propertyNames",
        "unevaluatedProperties",
        "unevaluatedItems",
        "contentEncoding",
        "contentMediaType",
    ],
    structural: &[
        "allOf",
        "not",
        "if",
        "then",
        "else",
        "dependentRequired",
        "dependentSchemas",
        "patternProperties",
        "prefixItems",
    ],
    closed: true,
    all_required: true,
    lone_ref: true,
    any_of_only: true,
    no_const: false,
    few_least: false,
    finite: false,
    object_root: true,
};

/// Claude, for answers that follow a schema and for tools where `strict` is said; the same at Bedrock.
pub(super) const CLAUDE: Subset = Subset {
    dropped: &[
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "maxItems",
        "uniqueItems",
        "contains",
        "minContains",
        "maxContains",
        "minProperties",
        "maxProperties",
        "unevaluatedProperties",
        "unevaluatedItems",
    ],
    structural: &[
        "not",
        "if",
        "then",
        "else",
        "dependentRequired",
        "dependentSchemas",
        "patternProperties",
        "propertyNames",
        "prefixItems",
    ],
    closed: true,
    all_required: false,
    lone_ref: false,
    any_of_only: true,
    no_const: false,
    few_least: true,
    finite: true,
    object_root: false,
};

/// Gemini, in its fields for JSON Schema: what else it does not know it ignores.
pub(super) const GEMINI: Subset = Subset {
    dropped: &[],
    structural: &[],
    closed: false,
    all_required: false,
    lone_ref: true,
    any_of_only: false,
    no_const: true,
    few_least: false,
    finite: false,
    object_root: false,
};

impl Subset {
    /// Whether `text` may have anything in it that this subset does not take, by a look that costs little.
    fn concerns(&self, text: &str) -> bool {
        let has = |word: &str| memchr::memmem::find(text.as_bytes(), word.as_bytes()).is_some();
        self.closed || (self.lone_ref && has("\"$ref\"")) || (self.no_const && has("\"const\""))
    }

    /// The schema as this subset has it.
    pub fn fit(&self, schema: &str) -> Fitted {
        if !self.concerns(schema) {
            return Fitted::same();
        }
        let is_finite = !self.finite || cycles::is_finite(schema);
        let (written, fits, notes) = Walk::of(self, schema);
        let changed = written != schema;
        Fitted { schema: changed.then_some(written), fits: fits && is_finite, notes }
    }
}

/// A schema, fitted.
#[derive(Debug)]
pub(super) struct Fitted {
    /// The schema; `None` where the one given fits as it is.
    pub schema: Option<String>,
    /// Whether it says the same, but for what is noted.
    pub fits: bool,
    /// What was changed.
    pub notes: Vec<Note>,
}

impl Fitted {
    /// The schema fits as it is.
    pub fn same() -> Self {
        Self { schema: None, fits: true, notes: Vec::new() }
    }
}

/// A change to a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// Where, in the schema: names joined by dots.
    pub path: String,
    /// Why.
    pub reason: &'static str,
    /// Whether an answer may come that the schema forbids.
    pub severity: Severity,
}

#[cfg(test)]
mod tests;
