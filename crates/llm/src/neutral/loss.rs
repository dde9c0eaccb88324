//! What a translation could not carry over, and how much that matters.

use std::fmt;

/// At most this many losses are named; a conversation may repeat one of them in every turn.
const NAMED: usize = 64;

/// How much a loss matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The answer is the same: it concerns cost, caching, bookkeeping or presentation.
    Advisory,
    /// The answer may be another one than was asked for.
    Meaning,
}

impl Severity {
    /// How much it matters that a member which only one dialect knows is not carried over.
    #[must_use]
    pub fn of_field(name: &str) -> Self {
        match name {
            "metadata"
            | "store"
            | "user"
            | "safety_identifier"
            | "prompt_cache_key"
            | "prompt_cache_retention"
            | "prompt_cache_options"
            | "stream_options"
            | "service_tier"
            | "inference_geo"
            | "diagnostics"
            | "client_metadata"
            | "internal_chat_message_metadata_passthrough"
            | "labels"
            | "prediction"
            | "prompt_cache_breakpoint"
            | "groundingMetadata"
            | "citationMetadata"
            | "safetyRatings"
            | "defer_loading"
            | "context"
            | "thoughtSignature"
            | "caller"
            | "eager_input_streaming"
            | "id"
            | "status"
            | "annotations" => Self::Advisory,
            _ => Self::Meaning,
        }
    }
}

/// One thing that was not carried over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Where it stood, in the words of the dialect that it came in.
    pub path: Box<str>,
    /// Why.
    pub reason: &'static str,
    /// How much it matters.
    pub severity: Severity,
}

/// The losses of one translation, each path once, in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses(Vec<Loss>);

impl Losses {
    /// Notes a loss.
    pub fn add(&mut self, path: impl fmt::Display, reason: &'static str, severity: Severity) {
        let path = path.to_string();
        if self.0.iter().any(|loss| *loss.path == *path) {
            return;
        }
        let loss = Loss { path: path.into(), reason, severity };
        if self.0.len() < NAMED {
            return self.0.push(loss);
        }
        // What changes the answer is named before what does not: a strict key must see it.
        let lesser = self.0.iter_mut().rev().find(|other| other.severity < severity);
        if let Some(lesser) = lesser {
            *lesser = loss;
        }
    }

    /// Notes what changes the answer.
    pub fn meaning(&mut self, path: impl fmt::Display, reason: &'static str) {
        self.add(path, reason, Severity::Meaning);
    }

    /// Notes what does not change the answer.
    pub fn advisory(&mut self, path: impl fmt::Display, reason: &'static str) {
        self.add(path, reason, Severity::Advisory);
    }

    /// All of them.
    #[must_use]
    pub fn list(&self) -> &[Loss] {
        &self.0
    }

    /// Whether nothing was lost.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The paths of those that change the answer: what a strict key does not accept.
    pub fn refused(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|loss| loss.severity == Severity::Meaning).map(|loss| &*loss.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_the_answer_is_named_however_much_else_is_lost() {
        let mut losses = Losses::default();
        (0..NAMED).for_each(|at| losses.advisory(format_args!("messages[{at}].cache_control"), "x"));
        losses.advisory("user", "x");
        losses.meaning("seed", "x");
        losses.meaning("seed", "x");
        assert_eq!(losses.list().len(), NAMED);
        assert_eq!(losses.refused().collect::<Vec<_>>(), ["seed"]);
    }
}
