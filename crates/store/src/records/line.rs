//! A record as a line of JSON: how records were written before there were [sheets](crate::sheet), and still
//! are read. Lines are arrays, not objects; names come back when a line is read.

use std::borrow::Cow;

use model::{NanoUsd, ResourceId};
use serde::{Deserialize, Serialize};
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
pub(super) struct Detail {
    pub route: String,
    pub surface: String,
    pub stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub own_us: u32,
    pub revision: u64,
    /// Lines written before there was such a thing end here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub translation: Option<Translation>,
    /// Missing from the lines of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<serde_json::Value>,
    /// Missing from the lines of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated_usage: Option<serde_json::Value>,
}

/// See [`model::record::Translation`].
#[derive(Serialize, Deserialize)]
pub(super) struct Translation {
    pub dialect: String,
    pub losses: Vec<Lost>,
    /// Missing from the lines of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native_finish_reason: Option<String>,
}

/// See [`model::record::Lost`].
#[derive(Serialize, Deserialize)]
pub(super) struct Lost {
    pub path: String,
    pub reason: String,
    pub matters: bool,
}

/// See [`model::record::Check`].
#[derive(Serialize, Deserialize)]
pub(super) struct Check {
    pub name: String,
    pub passed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
}

/// See [`model::record::Candidate`].
#[derive(Serialize, Deserialize)]
pub(super) struct Candidate {
    pub account: String,
    pub eligible: bool,
    pub reason: String,
}

/// See [`model::record::Attempt`].
#[derive(Serialize, Deserialize)]
pub(super) struct Attempt {
    pub account: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub class: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_request_id: Option<String>,
    pub reused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<u32>,
    pub total_ms: u32,
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

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = r#"["req-0199e5a8a07b70ae8aaaaaaaaaaaaaaa","req-4bf92f3577b34da6a3ce929d0e0e4736",1790000000123,"aginyo2ub4byodqmavygqzy2yi",null,"gpt-5",200,null,"main",[12,34,5,0,0,0,0,0,0,"measured"],355000,903,212,["POST /v1/chat/completions","openai_chat",true,"127.0.0.1","gpt-5-2025",null,[["key",true,null,null],["rpm",true,60,3]],[["main",true,"eligible"]],[["main",200,"ok",null,"up-1",true,210,900]],321,4567,41,3]]"#;

    #[test]
    fn what_an_earlier_version_wrote_is_read() {
        let id = "req-0199e5a8a07b70ae8aaaaaaaaaaaaaaa";
        assert_eq!(id_of(WRITTEN), Some(id));
        let trace = "req-4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(own_trace(WRITTEN), Some((id.to_owned(), trace.to_owned())));
        let record = read(WRITTEN, "default", &RecordFilter::default()).expect("readable").expect("wanted");
        assert_eq!((record.trace_id.as_str(), record.usage.output), (trace, 34));
        assert_eq!(record.detail["checks"][1]["used"], 3);
        assert_eq!(record.detail["attempts"][0]["upstream_request_id"], "up-1");
        let other = RecordFilter { status: Some(500), ..RecordFilter::default() };
        assert!(read(WRITTEN, "default", &other).expect("readable").is_none());
    }
}
