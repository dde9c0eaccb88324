//! Providers that are wrong on purpose: a table of faults, each with what it does on the wire and what
//! a caller must be told.
//!
//! The table is data. Faults of the transport are in `transport`, of the body and its framing in
//! `body`, of the event stream in `stream`, and error answers in `answers`; this file says what a row is.

mod answers;
mod body;
mod stream;
mod transport;

use std::time::Duration;

use crate::canned;
use crate::outcome::Outcome;
use crate::script::Script;
use crate::surface::{CHAT, Dialect, GEMINI, MESSAGES, RESPONSES, Surface};

/// The timers that a gateway under these faults must be started with, in milliseconds.
pub const TIMERS: [(&str, u64); 4] =
    [("connect", 1_000), ("first_byte", 800), ("idle", 800), ("total", 10_000)];

/// What may be added to a fault's own time before it counts as late.
pub const GRACE: Duration = Duration::from_millis(100);

/// The kind of request that meets a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Chat completions, responses, messages or generateContent.
    pub surface: Surface,
    /// Whether a stream is asked for.
    pub stream: bool,
}

impl Case {
    /// Every dialect, streamed and not.
    pub const ALL: [Self; 8] = [
        Self { surface: CHAT, stream: true },
        Self { surface: CHAT, stream: false },
        Self { surface: MESSAGES, stream: true },
        Self { surface: MESSAGES, stream: false },
        Self { surface: RESPONSES, stream: true },
        Self { surface: RESPONSES, stream: false },
        Self { surface: GEMINI, stream: true },
        Self { surface: GEMINI, stream: false },
    ];

    /// The right frames, or the right body as the only one.
    fn frames(&self) -> Vec<String> {
        if self.stream {
            canned::frames(&self.surface, "fault")
        } else {
            vec![canned::body(&self.surface, "fault").to_string()]
        }
    }

    /// The beginning of the right answer, content included, without its end.
    fn beginning(&self) -> String {
        let whole = self.frames().concat();
        let end = if self.stream { whole.find("höme") } else { whole.find("from") };
        let end = end.unwrap_or(whole.len() / 2);
        match whole[end..].find("\n\n").filter(|_| self.stream) {
            Some(rest) => whole[..end + rest + 2].to_owned(),
            None => whole[..end].to_owned(),
        }
    }

    /// What stands in a stream before its first content.
    fn opening(&self) -> String {
        self.frames().into_iter().take_while(|frame| !frame.contains("Hello")).collect()
    }

    fn content_type(&self) -> &'static str {
        if self.stream { "text/event-stream" } else { "application/json" }
    }

    /// The head of a right answer with chunked framing.
    fn chunked_head(&self) -> Script {
        let headers = [("content-type", self.content_type()), ("transfer-encoding", "chunked")];
        Script::new().send(canned::head(200, &headers))
    }

    /// The head of a right answer that states `length`.
    fn sized_head(&self, length: usize) -> Script {
        let length = length.to_string();
        let headers = [("content-type", self.content_type()), ("content-length", length.as_str())];
        Script::new().send(canned::head(200, &headers))
    }
}

/// What the caller must be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The whole answer: the fault is one that must be tolerated.
    Whole,
    /// An error status, in Anthropic's dialect the second.
    Status(u16, u16),
    /// That the answer broke off: an error status, an error event, or HTTP framing that is visibly cut.
    BrokenOff,
    /// Either the whole answer or that it broke off; only the record must agree.
    Either,
}

/// What must come of a fault.
#[derive(Clone, Copy, Debug)]
pub struct Expectation {
    /// What the caller is told.
    pub told: Told,
    /// The codes of which the record has one; none for a whole answer.
    pub codes: &'static [&'static str],
    /// How long the answer may take, before the grace.
    pub within: Duration,
}

/// The upstream's fault, without any hint which.
pub(crate) const ERROR: &[&str] = &["UPSTREAM_ERROR"];
/// The upstream sent something that is no answer.
pub(crate) const INVALID: &[&str] = &["UPSTREAM_INVALID_RESPONSE"];
/// HTTP itself was broken; the transport cannot always tell a broken answer from a broken connection.
pub(crate) const BROKEN: &[&str] = &["UPSTREAM_ERROR", "UPSTREAM_INVALID_RESPONSE"];
/// The upstream took too long.
pub(crate) const TIMEOUT: &[&str] = &["UPSTREAM_TIMEOUT"];

/// The time of a fault that shows itself at once, on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(1_500);
/// The time of a fault that a timer of [`TIMERS`] ends.
const BY_TIMER: Duration = Duration::from_millis(2_000);

impl Expectation {
    fn new(told: Told, codes: &'static [&'static str]) -> Self {
        Self { told, codes, within: AT_ONCE }
    }

    fn whole() -> Self {
        Self::new(Told::Whole, &[])
    }

    fn status(openai: u16, anthropic: u16, codes: &'static [&'static str]) -> Self {
        Self::new(Told::Status(openai, anthropic), codes)
    }

    fn bad_gateway(codes: &'static [&'static str]) -> Self {
        Self::status(502, 502, codes)
    }

    fn broken_off(codes: &'static [&'static str]) -> Self {
        Self::new(Told::BrokenOff, codes)
    }

    fn either(codes: &'static [&'static str]) -> Self {
        Self::new(Told::Either, codes)
    }

    fn by_timer(self) -> Self {
        Self { within: BY_TIMER, ..self }
    }

    /// Whether the outcome is what was expected, and the code in the record fits it.
    #[must_use]
    pub fn is_met(&self, dialect: Dialect, outcome: &Outcome, record_code: Option<&str>) -> bool {
        let failed = record_code.is_some_and(|code| self.codes.contains(&code));
        let whole = *outcome == Outcome::Complete && record_code.is_none();
        let broken = !matches!(outcome, Outcome::Complete | Outcome::SilentlyShort) && failed;
        match (self.told, outcome) {
            (Told::Whole, _) => whole,
            (Told::BrokenOff, _) => broken,
            (Told::Either, _) => whole || broken,
            (Told::Status(openai, anthropic), Outcome::Refused { status, .. }) => {
                let expected = if dialect == Dialect::Anthropic { anthropic } else { openai };
                failed && *status == expected
            }
            (Told::Status(..), _) => false,
        }
    }
}

/// A row of the table.
#[derive(Clone, Copy)]
pub struct Fault {
    /// Its name, in failures.
    pub name: &'static str,
    /// What the upstream does; `None` when nobody listens at all.
    pub script: Option<fn(&Case) -> Script>,
    /// What must come of it.
    pub expectation: fn(&Case) -> Expectation,
    /// The seconds that the caller must be told to wait, where the upstream says so.
    pub retry_after: Option<&'static str>,
}

impl Fault {
    const fn new(
        name: &'static str,
        script: fn(&Case) -> Script,
        expectation: fn(&Case) -> Expectation,
    ) -> Self {
        Self { name, script: Some(script), expectation, retry_after: None }
    }
}

/// Every fault.
#[must_use]
pub fn faults() -> Vec<Fault> {
    [transport::FAULTS, body::FAULTS, stream::FAULTS, answers::FAULTS].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn has_at_least_twenty_five_faults_with_names_of_their_own() {
        let names: BTreeSet<_> = faults().iter().map(|fault| fault.name).collect();
        assert_eq!(names.len(), faults().len());
        assert!(names.len() >= 25, "{}", names.len());
    }

    #[test]
    fn the_beginning_of_an_answer_has_content_and_no_end() {
        for case in Case::ALL {
            let beginning = case.beginning();
            assert!(beginning.contains("Hello"), "{case:?} {beginning}");
            for end in ["[DONE]", "message_stop", "response.completed", "finishReason"] {
                assert!(!beginning.contains(end), "{case:?} {beginning}");
            }
            assert!(!case.stream || !case.opening().contains("Hello"), "{case:?}");
        }
    }
}
