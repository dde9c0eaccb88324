//! An entry as a line of JSON, written and read back: an array, for bytes are what writing an entry costs.

use std::borrow::Cow;
use std::sync::Arc;

use model::entry::{EntryKind, EntryState, LedgerEntry};
use model::{NanoUsd, RequestId, ResourceId};
use serde::Deserialize;

use crate::error::StoreError;
use crate::tokens::Tokens;

/// In the order of the line.
#[derive(Deserialize)]
struct Line<'l> {
    number: u32,
    kind: EntryKind,
    state: EntryState,
    #[serde(borrow)]
    request_id: Option<Cow<'l, str>>,
    attempt: u8,
    #[serde(borrow)]
    key_id: Option<Cow<'l, str>>,
    #[serde(borrow)]
    user_id: Option<Cow<'l, str>>,
    #[serde(borrow)]
    model: Cow<'l, str>,
    #[serde(borrow)]
    account: Option<Cow<'l, str>>,
    #[serde(borrow)]
    usage: Tokens<'l>,
    amount_nano: Option<i64>,
    overshoot_nano: i64,
    reason: Option<Box<str>>,
    actor: Option<Box<str>>,
    at: u64,
}

/// Appends the `number`th entry of a projection with a line feed to `out`. The tenant stands beside.
pub(super) fn write(out: &mut Vec<u8>, number: usize, entry: &LedgerEntry) {
    let request = entry.request_id.map(|id| id.text());
    // In the order of `Line`.
    let line = (
        number,
        entry.kind,
        entry.state,
        request.as_ref().map(|id| std::str::from_utf8(id).expect("an id is hex digits")),
        entry.attempt,
        &entry.key_id,
        &entry.user_id,
        &*entry.model,
        entry.account.as_deref(),
        Tokens::of(&entry.usage),
        entry.amount.map(|amount| amount.0),
        entry.overshoot.0,
        entry.reason.as_deref(),
        entry.actor.as_deref(),
        entry.at,
    );
    serde_json::to_writer(&mut *out, &line).expect("an entry's parts always serialise");
    out.push(b'\n');
}

/// Reads a line back: the number of the entry within its projection, and the entry.
pub(super) fn read(line: &str, tenant_id: &Arc<str>) -> Result<(u32, LedgerEntry), StoreError> {
    let unreadable = || StoreError::Unreadable { table: "ledger_block", column: "lines" };
    let line: Line<'_> = serde_json::from_str(line).map_err(|_| unreadable())?;
    let id = |text: Cow<'_, str>| ResourceId::parse(&text).ok_or_else(unreadable);
    let request = |text: Cow<'_, str>| RequestId::parse(&text).ok_or_else(unreadable);
    let entry = LedgerEntry {
        kind: line.kind,
        state: line.state,
        request_id: line.request_id.map(request).transpose()?,
        attempt: line.attempt,
        key_id: line.key_id.map(id).transpose()?,
        user_id: line.user_id.map(id).transpose()?,
        tenant_id: Arc::clone(tenant_id),
        model: (&*line.model).into(),
        account: line.account.as_deref().map(Into::into),
        usage: line.usage.usage(),
        amount: line.amount_nano.map(NanoUsd),
        overshoot: NanoUsd(line.overshoot_nano),
        reason: line.reason,
        actor: line.actor,
        at: line.at,
    };
    Ok((line.number, entry))
}
