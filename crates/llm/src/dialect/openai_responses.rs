//! Streams of OpenAI's Responses, and of those who imitate them: some leave out the events' names, so the
//! type within the data counts.

use super::said::{DELTA, text_bytes};
use super::{Findings, Verdict};
use crate::failure::UpstreamFailure;
use crate::members;

/// Reads event after event.
#[derive(Clone, Debug)]
pub(crate) struct Reader;

/// The members of an event that matter, as raw values.
#[derive(Default)]
struct Parts<'a> {
    kind: Option<&'a str>,
    sequence: Option<&'a str>,
    response: Option<&'a str>,
    item: Option<&'a str>,
    error: Option<&'a str>,
}

impl Reader {
    #[allow(clippy::unused_self, reason = "the same form as the other readers")]
    pub(super) fn event(&mut self, name: &[u8], data: &[u8], findings: &mut Findings) -> Verdict {
        if data.is_empty() || data.trim_ascii() == b"[DONE]" {
            return Verdict::Pass;
        }
        if let Ok(text) = std::str::from_utf8(data) {
            read(name, text, findings);
        }
        Verdict::Pass
    }
}

fn read(name: &[u8], text: &str, findings: &mut Findings) {
    let mut parts = Parts::default();
    let whole = members::each(text, |key, value| match key {
        "type" => parts.kind = Some(value),
        "sequence_number" => parts.sequence = Some(value),
        "response" => parts.response = Some(value),
        "item" => parts.item = Some(value),
        "error" => parts.error = Some(value),
        _ => {}
    });
    let kind = parts.kind.and_then(members::string).unwrap_or_default();
    let kind = if kind.is_empty() { std::str::from_utf8(name).unwrap_or_default() } else { &kind };
    if let Some(number) = parts.sequence.and_then(|raw| raw.parse().ok()) {
        findings.sequence = number;
    }
    let error = parts.error.filter(|error| members::is_said(error));
    if kind == "error" || error.is_some() {
        let failure = UpstreamFailure::of_error(error.unwrap_or(text));
        findings.failure.get_or_insert_with(|| with_status(failure));
        return;
    }
    if whole.is_ok() {
        known(kind, text, &parts, findings);
    }
}

fn known(kind: &str, text: &str, parts: &Parts<'_>, findings: &mut Findings) {
    let response = parts.response.unwrap_or("{}");
    match kind {
        "response.created" | "response.in_progress" | "response.queued" => read_id(response, findings),
        "response.completed" | "response.incomplete" | "response.cancelled" => {
            read_end(response, findings);
            findings.content_begun = true;
            findings.terminal = true;
        }
        "response.failed" => {
            read_end(response, findings);
            let failure = UpstreamFailure::of_error(response);
            findings.failure.get_or_insert_with(|| with_status(failure));
        }
        "response.output_item.added" => {
            findings.content_begun |= parts.item.is_some_and(says_something);
        }
        _ if kind.ends_with(".delta") => {
            findings.content_begun = true;
            findings.content.add(DELTA.values(text.as_bytes()).next().map_or(0, text_bytes));
        }
        // The empty part that text will fill says nothing yet.
        "response.content_part.added" | "response.reasoning_summary_part.added" => {}
        _ => findings.content_begun |= kind.starts_with("response."),
    }
}

/// Messages and reasoning begin empty; every other item says something as it begins.
fn says_something(item: &str) -> bool {
    let mut fillable = false;
    let _ = members::each(item, |key, value| {
        fillable |= key == "type" && matches!(value, "\"message\"" | "\"reasoning\"");
    });
    !fillable
}

fn read_id(response: &str, findings: &mut Findings) {
    if findings.response_id.is_some() {
        return;
    }
    let _ = members::each(response, |key, value| {
        if key == "id" {
            findings.response_id = members::string(value).map(|id| id.as_ref().into());
        }
    });
}

fn read_end(response: &str, findings: &mut Findings) {
    read_id(response, findings);
    let _ = members::each(response, |key, value| match key {
        "usage" => findings.read_usage(value),
        "service_tier" => findings.counts.read_tier(value),
        _ => {}
    });
}

/// Responses name what failed by a code and no status: the status that the same failure has when it is
/// refused at once.
pub(crate) fn with_status(mut failure: UpstreamFailure) -> UpstreamFailure {
    if failure.status.is_none() {
        let code = failure.code.as_deref().unwrap_or_default();
        failure.status = match code {
            "rate_limit_exceeded" | "insufficient_quota" => Some(429),
            "server_is_overloaded" | "slow_down" => Some(503),
            "invalid_prompt" | "context_length_exceeded" | "invalid_request_error" => Some(400),
            _ if code.contains("image") => Some(400),
            _ => None,
        };
    }
    failure
}
