//! A record as a line of JSON, written and read back.

use std::borrow::Cow;
use std::net::IpAddr;

use model::record::{Attempt, Candidate, Check, RequestRecord};
use model::{NanoUsd, ResourceId, Usage, UsageSource};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{RecordFilter, StoredRecord};
use crate::error::StoreError;

/// What every line begins with; the id and a quote follow.
const BEGIN: &str = "{\"request_id\":\"";
/// Bytes of a request id.
const ID_BYTES: usize = 36;

/// What a search may ask for and a list shows. `D` is the rest: written as a structure, read as text, so
/// that a record that is not wanted costs little.
#[derive(Serialize, Deserialize)]
struct Line<'r, D> {
    // First: see `BEGIN`.
    #[serde(borrow)]
    request_id: Cow<'r, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    trace_id: Option<Cow<'r, str>>,
    at: u64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    key_id: Option<Cow<'r, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    user_id: Option<Cow<'r, str>>,
    #[serde(borrow)]
    model: Cow<'r, str>,
    status: u16,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    code: Option<Cow<'r, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    upstream: Option<Cow<'r, str>>,
    #[serde(default)]
    usage: Tokens,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cost_nano: Option<i64>,
    latency_ms: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_byte_ms: Option<u32>,
    detail: D,
}

/// [`Usage`]; zeros are left out.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Tokens {
    #[serde(skip_serializing_if = "is_zero")]
    input: u64,
    #[serde(skip_serializing_if = "is_zero")]
    output: u64,
    #[serde(skip_serializing_if = "is_zero")]
    cache_read: u64,
    #[serde(skip_serializing_if = "is_zero")]
    cache_write_5m: u64,
    #[serde(skip_serializing_if = "is_zero")]
    cache_write_1h: u64,
    #[serde(skip_serializing_if = "is_zero")]
    reasoning: u64,
    #[serde(skip_serializing_if = "is_zero")]
    audio_in: u64,
    #[serde(skip_serializing_if = "is_zero")]
    audio_out: u64,
    #[serde(skip_serializing_if = "is_zero")]
    web_searches: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Source>,
}

/// [`UsageSource`] with a use; none is left out.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Source {
    Measured,
    Estimated,
}

/// The part of a record that is only read, never searched.
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
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Appends `record` with a line feed to `out`.
pub(super) fn write(out: &mut Vec<u8>, record: &RequestRecord) {
    let id = record.request_id.text();
    let own_trace = record.trace_id != record.request_id.into();
    let line = Line {
        request_id: std::str::from_utf8(&id).expect("an id is hex digits").into(),
        trace_id: own_trace.then(|| record.trace_id.to_string().into()),
        at: record.at,
        key_id: record.key_id.as_ref().map(|id| id.as_str().into()),
        user_id: record.user_id.as_ref().map(|id| id.as_str().into()),
        model: (&*record.model).into(),
        status: record.status,
        code: record.code.map(|code| code.name().into()),
        upstream: record.upstream.as_deref().map(Into::into),
        usage: tokens(&record.usage),
        cost_nano: record.cost.map(|cost| cost.0),
        latency_ms: record.latency_ms,
        first_byte_ms: record.first_byte_ms,
        detail: detail(record),
    };
    serde_json::to_writer(&mut *out, &line).expect("a record's parts always serialise");
    out.push(b'\n');
}

fn detail(record: &RequestRecord) -> Detail<'_> {
    Detail {
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
    }
}

fn tokens(usage: &Usage) -> Tokens {
    Tokens {
        input: usage.input,
        output: usage.output,
        cache_read: usage.cache_read,
        cache_write_5m: usage.cache_write_5m,
        cache_write_1h: usage.cache_write_1h,
        reasoning: usage.reasoning,
        audio_in: usage.audio_in,
        audio_out: usage.audio_out,
        web_searches: usage.web_searches,
        source: match usage.source {
            UsageSource::Measured => Some(Source::Measured),
            UsageSource::Estimated => Some(Source::Estimated),
            UsageSource::None => None,
        },
    }
}

/// The request id of a line, without reading the line.
pub(super) fn id_of(line: &str) -> Option<&str> {
    line.strip_prefix(BEGIN)?.get(..ID_BYTES)
}

/// The request and trace id of a line whose record has a trace id of its own.
pub(super) fn own_trace(line: &str) -> Option<(String, String)> {
    if !line.contains("\"trace_id\":") {
        return None;
    }
    let line: Line<'_, &RawValue> = serde_json::from_str(line).ok()?;
    Some((line.request_id.into_owned(), line.trace_id?.into_owned()))
}

/// Reads a line back; `None` when `filter` does not want its record. Ids and times are not looked at.
pub(super) fn read(
    line: &str,
    tenant_id: &str,
    filter: &RecordFilter,
) -> Result<Option<StoredRecord>, StoreError> {
    let unreadable = StoreError::Unreadable { table: "request_block", column: "lines" };
    let Ok(line) = serde_json::from_str::<Line<'_, &RawValue>>(line) else { return Err(unreadable) };
    let key = filter.key_id.as_ref().map(ResourceId::as_str);
    let wanted = filter.model.as_ref().is_none_or(|model| *model == line.model)
        && filter.status.is_none_or(|status| status == line.status)
        && (filter.code.is_none() || filter.code.as_deref() == line.code.as_deref())
        && (key.is_none() || key == line.key_id.as_deref());
    if !wanted {
        return Ok(None);
    }
    let Ok(detail) = serde_json::from_str(line.detail.get()) else { return Err(unreadable) };
    let request_id = line.request_id.into_owned();
    Ok(Some(StoredRecord {
        trace_id: line.trace_id.map_or_else(|| request_id.clone(), Cow::into_owned),
        request_id,
        at: line.at,
        key_id: line.key_id.as_deref().and_then(ResourceId::parse),
        user_id: line.user_id.as_deref().and_then(ResourceId::parse),
        tenant_id: tenant_id.to_owned(),
        model: line.model.into_owned(),
        status: line.status,
        code: line.code.map(Cow::into_owned),
        upstream: line.upstream.map(Cow::into_owned),
        usage: usage(&line.usage),
        cost: line.cost_nano.map(NanoUsd),
        latency_ms: line.latency_ms,
        first_byte_ms: line.first_byte_ms,
        detail,
    }))
}

fn usage(tokens: &Tokens) -> Usage {
    Usage {
        input: tokens.input,
        output: tokens.output,
        cache_read: tokens.cache_read,
        cache_write_5m: tokens.cache_write_5m,
        cache_write_1h: tokens.cache_write_1h,
        reasoning: tokens.reasoning,
        audio_in: tokens.audio_in,
        audio_out: tokens.audio_out,
        web_searches: tokens.web_searches,
        source: match tokens.source {
            Some(Source::Measured) => UsageSource::Measured,
            Some(Source::Estimated) => UsageSource::Estimated,
            None => UsageSource::None,
        },
    }
}
