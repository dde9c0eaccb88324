//! A record as a row of a [sheet](crate::sheet).

use model::record::{Attempt, Candidate, Check, RequestRecord};
use model::{NanoUsd, RequestId, ResourceId, TraceId, plain};

use super::line::{self, Detail};
use super::{RecordFilter, StoredRecord};
use crate::sheet::{Cells, Sheet};

/// What ids of requests begin with; rows leave it out.
const PREFIX: &str = "req-";

/// Appends `record` to a sheet. Its tenant stands beside.
pub(super) fn write<'r>(sheet: &mut Sheet<'r>, record: &'r RequestRecord) {
    let id = record.request_id;
    let own_trace = Some(record.trace_id).filter(|trace| *trace != id.into());
    // In the order of `read`.
    hex(sheet, &id.text());
    sheet.optional(own_trace, |sheet, trace: TraceId| hex(sheet, &trace.text()));
    sheet.signed(record.at.cast_signed().wrapping_sub(id.accepted_ms().cast_signed()));
    sheet.optional(record.key_id.as_ref(), |sheet, id| sheet.text(id.as_str()));
    sheet.optional(record.user_id.as_ref(), |sheet, id| sheet.text(id.as_str()));
    sheet.text(&record.model);
    sheet.number(record.status);
    sheet.optional(record.code, |sheet, code| sheet.text(code.name()));
    sheet.optional(record.upstream.as_deref(), Sheet::text);
    sheet.usage(&record.usage);
    sheet.optional(record.cost, |sheet, cost| sheet.signed(cost.0));
    sheet.number(record.latency_ms);
    sheet.optional(record.first_byte_ms, Sheet::number);
    sheet.text(record.route);
    sheet.text(record.surface);
    sheet.number(record.stream);
    sheet.optional(record.client_ip, |sheet, client| sheet.raw(|out| plain::address(out, client)));
    sheet.optional(record.upstream_model.as_deref(), Sheet::text);
    sheet.optional(record.cause.as_deref(), Sheet::own_text);
    sheet.count(record.checks.len());
    record.checks.iter().for_each(|check| write_check(sheet, check));
    sheet.count(record.candidates.len());
    record.candidates.iter().for_each(|candidate| write_candidate(sheet, candidate));
    sheet.count(record.attempts.len());
    record.attempts.iter().for_each(|attempt| write_attempt(sheet, attempt));
    sheet.number(record.bytes_in);
    sheet.number(record.bytes_out);
    sheet.number(record.own_us);
    sheet.number(record.revision);
    sheet.optional(record.program.as_deref(), Sheet::json);
    sheet.optional(record.translation.as_deref(), Sheet::json);
    sheet.optional(record.signature.as_deref(), Sheet::json);
    sheet.optional(record.stated_usage.as_deref(), Sheet::own_text);
    sheet.end();
}

fn hex(sheet: &mut Sheet<'_>, id: &[u8; 36]) {
    sheet.raw(|out| out.extend_from_slice(&id[PREFIX.len()..]));
}

fn write_check<'r>(sheet: &mut Sheet<'r>, check: &'r Check) {
    sheet.text(check.name);
    sheet.number(check.passed);
    sheet.optional(check.limit, Sheet::number);
    sheet.optional(check.used, Sheet::number);
}

fn write_candidate<'r>(sheet: &mut Sheet<'r>, candidate: &'r Candidate) {
    sheet.text(&candidate.account);
    sheet.number(candidate.eligible);
    sheet.text(candidate.reason.name());
}

fn write_attempt<'r>(sheet: &mut Sheet<'r>, attempt: &'r Attempt) {
    sheet.text(&attempt.account);
    sheet.optional(attempt.status, Sheet::number);
    sheet.text(attempt.class);
    sheet.optional(attempt.error.as_deref(), Sheet::own_text);
    sheet.optional(attempt.upstream_request_id.as_deref(), Sheet::own_text);
    sheet.number(attempt.reused);
    sheet.optional(attempt.first_byte_ms, Sheet::number);
    sheet.number(attempt.total_ms);
}

/// The request id of a row, without reading the row.
pub(super) fn id_of(row: &str) -> Option<String> {
    row.get(..32).map(|hex| format!("{PREFIX}{hex}"))
}

/// The request and trace id of a row whose record has a trace id of its own.
pub(super) fn own_trace(row: &str) -> Option<(String, String)> {
    let trace = row.get(33..65).filter(|trace| trace.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    Some((id_of(row)?, format!("{PREFIX}{trace}")))
}

/// Reads a row back; `Some(None)` when `filter` does not want its record. Ids and times are not looked at.
pub(super) fn read(
    mut cells: Cells<'_, '_>,
    tenant_id: &str,
    filter: &RecordFilter,
) -> Option<Option<StoredRecord>> {
    let cells = &mut cells;
    let request_id = format!("{PREFIX}{}", cells.raw()?);
    let accepted_ms = RequestId::parse(&request_id)?.accepted_ms();
    let trace_id = cells.optional(|cells| Some(format!("{PREFIX}{}", cells.raw()?)))?;
    let record = StoredRecord {
        trace_id: trace_id.unwrap_or_else(|| request_id.clone()),
        request_id,
        at: accepted_ms.cast_signed().wrapping_add(cells.signed()?).cast_unsigned(),
        key_id: cells.optional(read_id)?,
        user_id: cells.optional(read_id)?,
        tenant_id: tenant_id.to_owned(),
        model: cells.text()?.to_owned(),
        status: cells.number()?,
        code: cells.optional(owned)?,
        upstream: cells.optional(owned)?,
        usage: cells.usage()?,
        cost: cells.optional(Cells::signed)?.map(NanoUsd),
        latency_ms: cells.number()?,
        first_byte_ms: cells.optional(Cells::number)?,
        detail: serde_json::Value::Null,
    };
    if !is_wanted(&record, filter) {
        return Some(None);
    }
    let detail = serde_json::to_value(read_detail(cells)?).ok()?;
    Some(Some(StoredRecord { detail, ..record }))
}

fn is_wanted(record: &StoredRecord, filter: &RecordFilter) -> bool {
    filter.model.as_ref().is_none_or(|model| *model == record.model)
        && filter.status.is_none_or(|status| status == record.status)
        && (filter.code.is_none() || filter.code == record.code)
        && (filter.key_id.is_none() || filter.key_id == record.key_id)
}

fn read_detail(cells: &mut Cells<'_, '_>) -> Option<Detail> {
    Some(Detail {
        route: owned(cells)?,
        surface: owned(cells)?,
        stream: cells.flag()?,
        client_ip: cells.optional(|cells| cells.raw().map(str::to_owned))?,
        upstream_model: cells.optional(owned)?,
        cause: cells.optional(owned)?,
        checks: cells.many(read_check)?,
        candidates: cells.many(read_candidate)?,
        attempts: cells.many(read_attempt)?,
        bytes_in: cells.number()?,
        bytes_out: cells.number()?,
        own_us: cells.number()?,
        revision: cells.number()?,
        program: cells.optional(Cells::json)?,
        translation: cells.optional(Cells::json)?,
        signature: cells.optional(Cells::json)?,
        // Rows of earlier versions end before.
        stated_usage: cells.optional(|cells| serde_json::from_str(cells.text()?).ok())?,
    })
}

fn owned(cells: &mut Cells<'_, '_>) -> Option<String> {
    cells.text().map(str::to_owned)
}

fn read_id(cells: &mut Cells<'_, '_>) -> Option<ResourceId> {
    ResourceId::parse(cells.text()?)
}

fn read_check(cells: &mut Cells<'_, '_>) -> Option<line::Check> {
    Some(line::Check {
        name: owned(cells)?,
        passed: cells.flag()?,
        limit: cells.optional(Cells::number)?,
        used: cells.optional(Cells::number)?,
    })
}

fn read_candidate(cells: &mut Cells<'_, '_>) -> Option<line::Candidate> {
    Some(line::Candidate { account: owned(cells)?, eligible: cells.flag()?, reason: owned(cells)? })
}

fn read_attempt(cells: &mut Cells<'_, '_>) -> Option<line::Attempt> {
    Some(line::Attempt {
        account: owned(cells)?,
        status: cells.optional(Cells::number)?,
        class: owned(cells)?,
        error: cells.optional(owned)?,
        upstream_request_id: cells.optional(owned)?,
        reused: cells.flag()?,
        first_byte_ms: cells.optional(Cells::number)?,
        total_ms: cells.number()?,
    })
}
