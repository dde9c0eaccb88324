//! How a call out of this process fails.
//!
//! States what happened and what may have reached the other side; whether to try again is the
//! caller's decision.

use std::error::Error;
use std::fmt;

use crate::address::Denied;

/// How far a request had come when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The destination or the request is not allowed; nothing was opened.
    Denied,
    /// Looking up the host.
    Resolve,
    /// Opening the connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Writing the request.
    Write,
    /// Waiting for and reading the head of the answer.
    Head,
}

impl Phase {
    /// The phase in logs and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Write => "write",
            Self::Head => "head",
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendError {
    /// How far the request had come.
    pub phase: Phase,
    /// True when some bytes of the request may have reached the upstream, so that sending it again
    /// might do its work twice.
    pub written: bool,
    /// The timer that ended it: `connect`, `tls`, `write`, `first_byte` or `total`.
    pub timer: Option<&'static str>,
    /// True when something came back that is not an HTTP head, or one beyond the limits.
    pub malformed: bool,
    /// What happened, for people; holds no credential.
    pub message: String,
}

impl SendError {
    pub(crate) fn unsent(phase: Phase, message: impl Into<String>) -> Self {
        Self { phase, written: false, timer: None, malformed: false, message: message.into() }
    }

    pub(crate) fn timed_out(phase: Phase, timer: &'static str) -> Self {
        let message = format!("the {timer} timer ran out");
        Self { phase, written: false, timer: Some(timer), malformed: false, message }
    }
}

impl From<Denied> for SendError {
    fn from(denied: Denied) -> Self {
        Self::unsent(Phase::Denied, denied.to_string())
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", self.message, self.phase.name())
    }
}

impl Error for SendError {}

/// Why an answer broke off after its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerError {
    /// The timer that ended it: `idle` or `total`.
    pub timer: Option<&'static str>,
    /// What happened, for people.
    pub message: String,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl Error for AnswerError {}

/// An error with its causes in one line: the outer text alone ("connection error") says too little.
pub(crate) fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
