//! What stops a command, in the three parts an operator needs: what, why, and what to do about it.
//!
//! A problem never carries a secret: it is printed.

use std::fmt;

mod reason;

pub use reason::Reason;

/// Something the operator has to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What cannot be done, with the value or place it concerns.
    pub what: String,
    /// Why.
    pub cause: String,
    /// What to do about it.
    pub fix: String,
    /// Which refusal to start it is; `None` for what only a command finds.
    pub reason: Option<Reason>,
    /// Whether the command was typed wrongly, and nothing else is wrong.
    pub is_misuse: bool,
}

impl Problem {
    /// A problem with its three parts.
    pub fn new(what: impl Into<String>, cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), cause: cause.into(), fix: fix.into(), reason: None, is_misuse: false }
    }

    /// A problem of how the command was typed.
    pub fn misuse(what: impl Into<String>, cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { is_misuse: true, ..Self::new(what, cause, fix) }
    }

    /// A problem for which the gateway refuses to start. Whatever keeps it from starting is made here, so that
    /// [`Reason::ALL`] is the list of all refusals.
    pub fn refusal(
        reason: Reason,
        what: impl Into<String>,
        cause: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { reason: Some(reason), ..Self::new(what, cause, fix) }
    }

    /// The form of `--json`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let mut json = serde_json::json!({ "what": self.what, "cause": self.cause, "fix": self.fix });
        if let Some(reason) = self.reason {
            json["reason"] = reason.name().into();
        }
        json
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\n  cause: {}\n  fix: {}", self.what, self.cause, self.fix)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_cause_and_fix_on_lines_of_their_own() {
        let problem = Problem::new("cannot listen", "the port is taken", "choose another");
        assert_eq!(
            problem.to_string(),
            "error: cannot listen\n  cause: the port is taken\n  fix: choose another"
        );
        assert_eq!(problem.to_json()["fix"], "choose another");
    }
}
