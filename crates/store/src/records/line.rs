//! A record as a line of JSON, written and read back.
//!
//! Lines are arrays, not objects: the names of fields would be half of every line, and bytes are what
//! writing a record costs. Names come back when a line is read.

use std::borrow::Cow;

use model::record::RequestRecord;
use model::{NanoUsd, ResourceId};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::{RecordFilter, StoredRecord};
use crate::error::StoreError;
use crate::tokens::Tokens;

/// What every line begins with; the id and a quote follow.
const BEGIN: &str = "[\"";
/// Bytes of a request id.
const ID_BYTES: usize = 36;

type Text<'r> = Cow<'r, str>;

/// What a search may ask for and a list shows, in the order of the line. The rest is read only when the
/// record is wanted.
#[derive(Deserialize)]
struct Line<'r> {
    #[serde(borrow)]
    request_id: Text<'r>,
    trace_id: Option<String>,
    at: u64,
    key_id: Option<String>,
    user_id: Option<String>,
    #[serde(borrow)]
    model: Text<'r>,
    status: u16,
    code: Option<String>,
    upstream: Option<String>,
    #[serde(borrow)]
    usage: Tokens<'r>,
    cost_nano: Option<i64>,
    latency_ms: u32,
    first_byte_ms: Option<u32>,
    #[serde(borrow)]
    detail: &'r RawValue,
}

/// The part of a record that is only read, never searched: from an array to an object.
#[derive(Serialize, Deserialize)]
struct Detail {
    route: String,
    surface: String,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<Check>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    candidates: Vec<Candidate>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<Attempt>,
    bytes_in: u64,
    bytes_out: u64,
    own_us: u32,
    revision: u64,
    /// Lines written before there was such a thing end here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    program: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    translation: Option<Translation>,
    /// Missing from the lines of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<serde_json::Value>,
}

/// See [`model::record::Translation`].
#[derive(Serialize, Deserialize)]
struct Translation {
    dialect: String,
    losses: Vec<Lost>,
}

/// See [`model::record::Lost`].
#[derive(Serialize, Deserialize)]
struct Lost {
    path: String,
    reason: String,
    matters: bool,
}

/// See [`model::record::Check`].
#[derive(Serialize, Deserialize)]
struct Check {
    name: String,
    passed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<u64>,
}

/// See [`model::record::Candidate`].
#[derive(Serialize, Deserialize)]
struct Candidate {
    account: String,
    eligible: bool,
    reason: String,
}

/// See [`model::record::Attempt`].
#[derive(Serialize, Deserialize)]
struct Attempt {
    account: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    class: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_request_id: Option<String>,
    reused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_ms: Option<u32>,
    total_ms: u32,
}

/// Items, written as an array without being collected.
struct Rows<I>(I);

impl<I: Iterator<Item: Serialize> + Clone> Serialize for Rows<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}

/// Appends `record` with a line feed to `out`.
pub(super) fn write(out: &mut Vec<u8>, record: &RequestRecord) {
    let id = record.request_id.text();
    let own_trace = record.trace_id != record.request_id.into();
    // In the order of `Line`.
    let line = (
        std::str::from_utf8(&id).expect("an id is hex digits"),
        own_trace.then(|| record.trace_id.to_string()),
        record.at,
        &record.key_id,
        &record.user_id,
        &*record.model,
        record.status,
        record.code.map(model::Code::name),
        record.upstream.as_deref(),
        Tokens::of(&record.usage),
        record.cost.map(|cost| cost.0),
        record.latency_ms,
        record.first_byte_ms,
        detail(record),
    );
    serde_json::to_writer(&mut *out, &line).expect("a record's parts always serialise");
    out.push(b'\n');
}

/// In the order of [`Detail`] and its parts.
fn detail(record: &RequestRecord) -> impl Serialize {
    let checks = record.checks.iter().map(|check| (check.name, check.passed, check.limit, check.used));
    let candidates = record
        .candidates
        .iter()
        .map(|candidate| (&*candidate.account, candidate.eligible, candidate.reason.name()));
    let attempts = record.attempts.iter().map(|attempt| {
        let ids = (attempt.error.as_deref(), attempt.upstream_request_id.as_deref());
        let times = (attempt.reused, attempt.first_byte_ms, attempt.total_ms);
        (&*attempt.account, attempt.status, attempt.class, ids.0, ids.1, times.0, times.1, times.2)
    });
    (
        record.route,
        record.surface,
        record.stream,
        record.client_ip,
        record.upstream_model.as_deref(),
        record.cause.as_deref(),
        Rows(checks),
        Rows(candidates),
        Rows(attempts),
        record.bytes_in,
        record.bytes_out,
        record.own_us,
        record.revision,
        record.program.as_deref(),
        record.translation.as_deref(),
        record.signature.as_deref(),
    )
}

/// The request id of a line, without reading the line.
pub(super) fn id_of(line: &str) -> Option<&str> {
    line.strip_prefix(BEGIN)?.get(..ID_BYTES)
}

/// The request and trace id of a line whose record has a trace id of its own.
pub(super) fn own_trace(line: &str) -> Option<(String, String)> {
    if line.get(BEGIN.len() + ID_BYTES..)?.starts_with("\",null,") {
        return None;
    }
    let line: Line<'_> = serde_json::from_str(line).ok()?;
    Some((line.request_id.into_owned(), line.trace_id?))
}

/// Reads a line back; `None` when `filter` does not want its record. Ids and times are not looked at.
pub(super) fn read(
    line: &str,
    tenant_id: &str,
    filter: &RecordFilter,
) -> Result<Option<StoredRecord>, StoreError> {
    let unreadable = |_| StoreError::Unreadable { table: "request_block", column: "lines" };
    let line: Line<'_> = serde_json::from_str(line).map_err(unreadable)?;
    let key = filter.key_id.as_ref().map(ResourceId::as_str);
    let wanted = filter.model.as_ref().is_none_or(|model| *model == line.model)
        && filter.status.is_none_or(|status| status == line.status)
        && (filter.code.is_none() || filter.code == line.code)
        && (key.is_none() || key == line.key_id.as_deref());
    if !wanted {
        return Ok(None);
    }
    let detail: Detail = serde_json::from_str(line.detail.get()).map_err(unreadable)?;
    let request_id = line.request_id.into_owned();
    Ok(Some(StoredRecord {
        trace_id: line.trace_id.unwrap_or_else(|| request_id.clone()),
        request_id,
        at: line.at,
        key_id: line.key_id.as_deref().and_then(ResourceId::parse),
        user_id: line.user_id.as_deref().and_then(ResourceId::parse),
        tenant_id: tenant_id.to_owned(),
        model: line.model.into_owned(),
        status: line.status,
        code: line.code,
        upstream: line.upstream,
        usage: line.usage.usage(),
        cost: line.cost_nano.map(NanoUsd),
        latency_ms: line.latency_ms,
        first_byte_ms: line.first_byte_ms,
        detail: serde_json::to_value(detail).map_err(unreadable)?,
    }))
}
