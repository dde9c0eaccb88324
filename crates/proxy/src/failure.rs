//! What a failed attempt means: whose it is, whether another account may be tried, and what the account
//! is punished with. The table of accounts contract §3; every other document means this table.

use egress::{AnswerError, Phase, SendError};
use llm::UpstreamFailure;
use model::clock::EpochMs;
use model::{Code, Rejection};
use state::blocks::Punishment;

/// The class of a failure before any content was relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// This account certainly did no work: another may be tried.
    Refused,
    /// It may have worked: the request is not sent again.
    Ambiguous,
    /// The request itself is at fault: the answer is passed to the caller.
    Caller,
}

impl Class {
    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Ambiguous => "ambiguous",
            Self::Caller => "caller",
        }
    }
}

/// A failed attempt, judged.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// Its class.
    pub class: Class,
    /// What the caller is told if this was the last attempt.
    pub rejection: Rejection,
    /// What the account is blocked for.
    pub punishment: Option<Punishment>,
    /// Whether it counts against the circuit.
    pub trips_circuit: bool,
}

/// One row: statuses, class, punishment, whether the circuit counts it.
type Row = (&'static [u16], Class, Option<Punishment>, bool);

const STATUS_TABLE: &[Row] = &[
    (&[401, 402, 403], Class::Refused, Some(Punishment::CredentialRefused), false),
    (&[429], Class::Refused, Some(Punishment::RateLimited), false),
    (&[408], Class::Refused, None, true),
    (&[500, 502], Class::Refused, Some(Punishment::Failing), true),
    (&[503, 529], Class::Refused, Some(Punishment::Overloaded), true),
    (&[504, 524], Class::Ambiguous, None, true),
    (&[400, 404, 413, 422], Class::Caller, None, false),
];

/// The row of a status. Statuses that the table does not name: other 4xx are the caller's, a redirect is
/// a wrong base URL and is not followed, other 5xx are complete refusals.
fn row(status: u16) -> (Class, Option<Punishment>, bool) {
    let listed = STATUS_TABLE.iter().find(|(statuses, ..)| statuses.contains(&status));
    match listed {
        Some((_, class, punishment, trips)) => (*class, *punishment, *trips),
        None if (400..500).contains(&status) => (Class::Caller, None, false),
        None => (Class::Refused, Some(Punishment::Failing), true),
    }
}

/// Judges a complete error answer, or an error event before content, that came at `now_ms`.
pub(crate) fn of_answer(status: u16, failure: &UpstreamFailure, now_ms: EpochMs) -> Failure {
    let (class, punishment, trips_circuit) = row(status);
    let (class, punishment) = match class {
        Class::Caller if failure.is_model_missing() => (Class::Refused, Some(Punishment::ModelMissing)),
        other => (other, punishment),
    };
    let code = match punishment {
        Some(Punishment::ModelMissing) => Code::ModelNotFound,
        _ => last_code(status, class),
    };
    let mut rejection = Rejection::because(code, last_message(status, failure));
    rejection.retry_after = failure.wait_s(now_ms);
    rejection.upstream_status = Some(status);
    rejection.upstream_code = failure.code.clone();
    if class == Class::Caller {
        rejection.blame = model::Blame::Client;
    }
    Failure { class, rejection, punishment, trips_circuit }
}

/// What the caller is told when the candidates are exhausted and this was the last status.
fn last_code(status: u16, class: Class) -> Code {
    match (status, class) {
        (429, _) => Code::RateLimitUpstream,
        (503 | 529, _) => Code::NoAvailableUpstream,
        (504 | 524, _) => Code::UpstreamTimeout,
        (404, Class::Caller) => Code::NotFound,
        (413, Class::Caller) => Code::BodyTooLarge,
        (_, Class::Caller) => Code::InvalidRequest,
        _ => Code::UpstreamError,
    }
}

fn last_message(status: u16, failure: &UpstreamFailure) -> String {
    match status {
        // Its own words would speak of a credential that is not the caller's.
        401..=403 => format!("The upstream refused this gateway's credential ({status})."),
        _ if failure.message.is_empty() => format!("The upstream answered {status}."),
        _ => format!("The upstream answered {status}: {}", llm::masked(&failure.message)),
    }
}

/// Judges a call that brought no answer.
pub(crate) fn of_send(error: &SendError) -> Failure {
    let class = if error.written { Class::Ambiguous } else { Class::Refused };
    let code = match (error.timer, error.phase) {
        (Some(_), _) => Code::UpstreamTimeout,
        (None, Phase::Head) if error.malformed => Code::UpstreamInvalidResponse,
        _ => Code::UpstreamError,
    };
    let message = match error.timer {
        Some(timer) => format!("The upstream did not answer in time ({timer} timer)."),
        None => {
            format!("The call to the upstream failed while it was in the phase `{}`.", error.phase.name())
        }
    };
    let rejection = Rejection::because(code, message).caused_by(error);
    let punishment = (class == Class::Refused).then_some(Punishment::Failing);
    Failure { class, rejection, punishment, trips_circuit: error.phase != Phase::Denied }
}

/// Judges a call that could not even be written: the account is at fault, nothing was sent.
pub(crate) fn refused(rejection: Rejection) -> Failure {
    Failure { class: Class::Refused, rejection, punishment: None, trips_circuit: false }
}

/// The statuses of an upstream that has no endpoint for counting tokens.
pub(crate) const CANNOT_COUNT: [u16; 3] = [404, 405, 501];

/// Judges an upstream that cannot count tokens: another may, and it is no worse for everything else.
pub(crate) fn cannot_count(status: u16) -> Failure {
    let mut rejection =
        Rejection::because(Code::NotSupported, format!("The upstream cannot count tokens ({status})."));
    rejection.upstream_status = Some(status);
    refused(rejection)
}

impl Failure {
    /// An error event or object within a 200 answer, before content: the upstream took the request and
    /// then refused it, so another account may be tried unless the request itself is at fault.
    pub fn before_content(self) -> Self {
        match self.class {
            Class::Ambiguous => Self { class: Class::Refused, ..self },
            Class::Refused | Class::Caller => self,
        }
    }
}

/// Judges an answer that broke off before content.
pub(crate) fn of_break(error: &AnswerError) -> Failure {
    ambiguous(broken_off(error))
}

/// Judges an answer that cannot be read.
pub(crate) fn ambiguous(rejection: Rejection) -> Failure {
    Failure { class: Class::Ambiguous, rejection, punishment: None, trips_circuit: true }
}

/// The rejection for an answer that broke off, before or after content.
pub(crate) fn broken_off(error: &AnswerError) -> Rejection {
    let rejection = match error.timer {
        Some(timer) => Rejection::because(
            Code::UpstreamTimeout,
            format!("The upstream's answer stopped arriving ({timer} timer)."),
        ),
        None => Rejection::because(Code::UpstreamInvalidResponse, "The upstream's answer broke off."),
    };
    rejection.caused_by(error)
}

/// The rejection for an answer that ended cleanly but without its terminal marker.
pub(crate) fn truncated() -> Rejection {
    Rejection::because(Code::UpstreamInvalidResponse, "The upstream's answer ended before it was complete.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16) -> Failure {
        let headers = http::HeaderMap::new();
        let failure = llm::classify(llm::Surface::ChatCompletions, status, &headers, b"{}");
        of_answer(status, &failure, 0)
    }

    /// Accounts contract §3: the classes, and the statuses when candidates are exhausted.
    #[test]
    fn is_the_table_of_the_contract() {
        use Class::{Ambiguous, Caller, Refused};
        for (status, class, code) in [
            (401, Refused, Code::UpstreamError),
            (402, Refused, Code::UpstreamError),
            (403, Refused, Code::UpstreamError),
            (408, Refused, Code::UpstreamError),
            (429, Refused, Code::RateLimitUpstream),
            (500, Refused, Code::UpstreamError),
            (502, Refused, Code::UpstreamError),
            (503, Refused, Code::NoAvailableUpstream),
            (529, Refused, Code::NoAvailableUpstream),
            (504, Ambiguous, Code::UpstreamTimeout),
            (524, Ambiguous, Code::UpstreamTimeout),
            (400, Caller, Code::InvalidRequest),
            (404, Caller, Code::NotFound),
            (413, Caller, Code::BodyTooLarge),
            (422, Caller, Code::InvalidRequest),
            (302, Refused, Code::UpstreamError),
        ] {
            let failure = judged(status);
            assert_eq!((failure.class, failure.rejection.code), (class, code), "{status}");
        }
    }

    #[test]
    fn a_missing_model_is_the_accounts_and_not_the_callers() {
        let headers = http::HeaderMap::new();
        let body = br#"{"error":{"message":"no such model","code":"model_not_found"}}"#;
        let failure = llm::classify(llm::Surface::ChatCompletions, 404, &headers, body);
        let judged = of_answer(404, &failure, 0);
        assert_eq!(judged.class, Class::Refused);
        assert_eq!(judged.punishment, Some(Punishment::ModelMissing));
        assert_eq!(judged.rejection.code, Code::ModelNotFound);
    }

    #[test]
    fn what_may_have_been_written_is_not_sent_again() {
        let error = |written| SendError {
            phase: Phase::Head,
            written,
            timer: None,
            malformed: false,
            message: "reset".into(),
        };
        assert_eq!(of_send(&error(true)).class, Class::Ambiguous);
        assert_eq!(of_send(&error(false)).class, Class::Refused);
    }
}
