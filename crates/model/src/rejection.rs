//! The one way in which a request fails.

use std::borrow::Cow;

use crate::clock::EpochMs;
use crate::code::Code;

/// Whose fault a failure is. Decides `source` in the native envelope, and what counts against an SLA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The caller can repair it.
    Client,
    /// This gateway or its configuration.
    Gateway,
    /// The model provider or business service.
    Upstream,
}

impl Blame {
    /// The name in the native envelope's `source`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
            Self::Upstream => "upstream",
        }
    }
}

/// What the dispatch loop may do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The request may be sent to another account: this one certainly did no work for it.
    Switch,
    /// The request must not be sent again.
    Never,
}

/// A refusal or failure, with all that the caller's dialect, the record and the retry loop need.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// What happened.
    pub code: Code,
    /// In words, for the caller; never a secret.
    pub message: Cow<'static, str>,
    /// Whose fault.
    pub blame: Blame,
    /// Whether another account may be tried.
    pub retry: Retry,
    /// Seconds after which trying again makes sense (`Retry-After`, at least 1).
    pub retry_after: Option<u64>,
    /// The upstream's HTTP status, when one came.
    pub upstream_status: Option<u16>,
    /// The upstream's own error code or type, when one came.
    pub upstream_code: Option<String>,
    /// When the refusing quota or limit starts anew.
    pub resets_at: Option<EpochMs>,
    /// The request field that is wrong (`error.param` of the OpenAI envelope).
    pub param: Option<String>,
    /// For the record and the log only: what went wrong inside. Never shown to the caller.
    pub cause: Option<String>,
}

impl Rejection {
    /// A rejection with the code's own message.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self {
            code,
            message: Cow::Borrowed(code.info().message),
            blame: code.info().blame,
            retry: Retry::Never,
            retry_after: None,
            upstream_status: None,
            upstream_code: None,
            resets_at: None,
            param: None,
            cause: None,
        }
    }

    /// A rejection with a message that names the particulars.
    #[must_use]
    pub fn because(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), ..Self::new(code) }
    }

    /// Names the request field that is wrong.
    #[must_use]
    pub fn at(self, param: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    /// Adds what went wrong inside, for the record and the log.
    #[must_use]
    pub fn caused_by(self, cause: impl std::fmt::Display) -> Self {
        Self { cause: Some(cause.to_string()), ..self }
    }

    /// Says after how many seconds trying again makes sense; at least one.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds.max(1)), ..self }
    }

    /// Allows another account to be tried.
    #[must_use]
    pub fn switchable(self) -> Self {
        Self { retry: Retry::Switch, ..self }
    }
}
