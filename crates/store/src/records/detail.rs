//! The part of a record that is only read, never searched: JSON in one column.

use std::net::IpAddr;

use model::record::{Attempt, Candidate, Check, RequestRecord};
use serde::Serialize;

/// Room for a record with two candidates and one attempt, so that writing it allocates once.
const USUAL_BYTES: usize = 768;

#[derive(Serialize)]
struct Detail<'r> {
    route: &'static str,
    surface: &'static str,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_model: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'r str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    checks: &'r [Check],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    candidates: &'r [Candidate],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attempts: &'r [Attempt],
    bytes_in: u64,
    bytes_out: u64,
    own_us: u32,
    revision: u64,
    #[serde(skip_serializing_if = "is_zero")]
    audio_in: u64,
    #[serde(skip_serializing_if = "is_zero")]
    audio_out: u64,
    #[serde(skip_serializing_if = "is_zero")]
    web_searches: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The detail of `record` as JSON text.
pub(super) fn write(record: &RequestRecord) -> String {
    let detail = Detail {
        route: record.route,
        surface: record.surface,
        stream: record.stream,
        client_ip: record.client_ip,
        upstream_model: record.upstream_model.as_deref(),
        cause: record.cause.as_deref(),
        checks: &record.checks,
        candidates: &record.candidates,
        attempts: &record.attempts,
        bytes_in: record.bytes_in,
        bytes_out: record.bytes_out,
        own_us: record.own_us,
        revision: record.revision,
        audio_in: record.usage.audio_in,
        audio_out: record.usage.audio_out,
        web_searches: record.usage.web_searches,
    };
    let mut text = Vec::with_capacity(USUAL_BYTES);
    serde_json::to_writer(&mut text, &detail).expect("a record's parts always serialise");
    String::from_utf8(text).expect("JSON is text")
}
