//! A table: complete error answers of a provider, and what a caller is told when no other account is left.

use super::{BROKEN, Case, ERROR, Expectation, Fault};
use crate::canned;
use crate::script::Script;

/// No upstream is left because the last one had no capacity.
const EXHAUSTED: &[&str] = &["OVERLOADED", "NO_AVAILABLE_UPSTREAM"];
/// The last upstream limits requests.
const LIMITED: &[&str] = &["RATE_LIMIT_UPSTREAM"];

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "limits requests and says for how long",
        script: Some(|case| refusal(case, 429, "rate_limit_error", &[("retry-after", "17")])),
        expectation: limited,
        retry_after: Some("17"),
    },
    Fault {
        name: "limits requests without a time",
        script: Some(|case| refusal(case, 429, "rate_limit_error", &[])),
        expectation: limited,
        retry_after: Some("60"),
    },
    Fault::new("fails with 500", |case| refusal(case, 500, "api_error", &[]), bad_gateway),
    Fault::new("fails with 502", |case| refusal(case, 502, "api_error", &[]), bad_gateway),
    Fault::new("fails with 503", |case| refusal(case, 503, "overloaded_error", &[]), exhausted),
    Fault::new("fails with 529", |case| refusal(case, 529, "overloaded_error", &[]), exhausted),
    Fault::new(
        "fails with 504",
        |case| refusal(case, 504, "timeout_error", &[]),
        |_| Expectation::new(super::Told::BrokenOff, &["UPSTREAM_TIMEOUT", "UPSTREAM_ERROR"]),
    ),
    Fault::new(
        "does not know our credential",
        |case| refusal(case, 401, "authentication_error", &[]),
        bad_gateway,
    ),
    Fault::new("has no money for us", |case| refusal(case, 402, "billing_error", &[]), bad_gateway),
    Fault::new("forbids us", |case| refusal(case, 403, "permission_error", &[]), bad_gateway),
    Fault::new(
        "gave up waiting for us",
        |case| refusal(case, 408, "timeout_error", &[]),
        |_| Expectation::new(super::Told::BrokenOff, &["UPSTREAM_TIMEOUT", "UPSTREAM_ERROR"]),
    ),
    Fault::new("sends us elsewhere", redirect, |_| Expectation::bad_gateway(BROKEN)),
    Fault::new("fails with an empty body", empty_failure, bad_gateway),
    Fault::new("fails and stalls in the error", stalled_failure, |_| {
        Expectation::new(super::Told::BrokenOff, &["UPSTREAM_ERROR", "UPSTREAM_TIMEOUT"]).by_timer()
    }),
    Fault::new("fails with an endless error", endless_failure, |_| {
        Expectation::new(
            super::Told::BrokenOff,
            &["UPSTREAM_ERROR", "UPSTREAM_TIMEOUT", "UPSTREAM_INVALID_RESPONSE"],
        )
        .by_timer()
    }),
];

fn refusal(case: &Case, status: u16, kind: &str, headers: &[(&str, &str)]) -> Script {
    canned::json_answer(status, headers, &canned::error_body(case.surface.dialect, kind, "not now"))
}

fn bad_gateway(_: &Case) -> Expectation {
    Expectation::bad_gateway(ERROR)
}

fn limited(_: &Case) -> Expectation {
    Expectation::status(429, 429, LIMITED)
}

fn exhausted(_: &Case) -> Expectation {
    Expectation::status(503, 529, EXHAUSTED)
}

/// The address is one where nobody listens: a gateway that followed would report a refused connection.
fn redirect(_: &Case) -> Script {
    let headers = [("location", "http://127.0.0.1:1/elsewhere"), ("content-length", "0")];
    Script::new().send(canned::head(302, &headers))
}

fn empty_failure(_: &Case) -> Script {
    Script::new().send(canned::head(500, &[("content-length", "0")]))
}

fn stalled_failure(_: &Case) -> Script {
    let headers = [("content-type", "application/json"), ("content-length", "500")];
    Script::new().send(canned::head(500, &headers)).send("{\"error\":").hold()
}

fn endless_failure(_: &Case) -> Script {
    let head = canned::head(500, &[("content-type", "application/json"), ("transfer-encoding", "chunked")]);
    let bytes = bytes::Bytes::from(crate::script::chunk(&[b' '; 64 * 1024]));
    let every = std::time::Duration::from_millis(1);
    Script::new().send(head).then(crate::script::Step::Repeat { bytes, every })
}
