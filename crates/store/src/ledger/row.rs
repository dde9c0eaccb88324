//! An entry as a row of a [sheet](crate::sheet), and read back whichever version wrote it.

use std::sync::Arc;

use model::entry::{EntryKind, EntryState, LedgerEntry};
use model::{NanoUsd, RequestId, ResourceId};

use super::line;
use crate::error::StoreError;
use crate::sheet::{Block, Cells, Sheet};

/// Appends the `number`th entry of a projection to a sheet. The tenant stands beside.
pub(super) fn write<'e>(sheet: &mut Sheet<'e>, number: usize, entry: &'e LedgerEntry) {
    // In the order of `read_row`.
    sheet.count(number);
    sheet.optional(entry.request_id, |sheet, id: RequestId| sheet.raw(|out| out.extend(&id.text()[4..])));
    sheet.text(entry.kind.name());
    sheet.text(entry.state.name());
    sheet.number(entry.attempt);
    sheet.optional(entry.key_id.as_ref(), |sheet, id| sheet.text(id.as_str()));
    sheet.optional(entry.user_id.as_ref(), |sheet, id| sheet.text(id.as_str()));
    sheet.text(&entry.model);
    sheet.optional(entry.account.as_deref(), Sheet::text);
    sheet.usage(&entry.usage);
    sheet.optional(entry.amount, |sheet, amount| sheet.signed(amount.0));
    sheet.signed(entry.overshoot.0);
    sheet.optional(entry.reason.as_deref(), Sheet::text);
    sheet.optional(entry.actor.as_deref(), Sheet::text);
    sheet.number(entry.at);
    sheet.end();
}

/// Reads a row of a block back: the number of the entry within its projection, and the entry.
pub(super) fn read(
    block: &Block<'_>,
    row: &str,
    tenant_id: &Arc<str>,
) -> Result<(u32, LedgerEntry), StoreError> {
    match &block.texts {
        Some(texts) => read_row(&mut Cells::of(texts, row), tenant_id).ok_or_else(unreadable),
        None => line::read(row, tenant_id),
    }
}

/// The error of a block, or an entry, that cannot be read.
pub(super) fn unreadable() -> StoreError {
    StoreError::Unreadable { table: "ledger_block", column: "lines" }
}

fn read_row(cells: &mut Cells<'_, '_>, tenant_id: &Arc<str>) -> Option<(u32, LedgerEntry)> {
    let number = cells.number()?;
    let entry = LedgerEntry {
        request_id: cells.optional(|cells| RequestId::parse(&format!("req-{}", cells.raw()?)))?,
        kind: named(cells, &EntryKind::ALL, EntryKind::name)?,
        state: named(cells, &EntryState::ALL, EntryState::name)?,
        attempt: cells.number()?,
        key_id: cells.optional(|cells| ResourceId::parse(cells.text()?))?,
        user_id: cells.optional(|cells| ResourceId::parse(cells.text()?))?,
        tenant_id: Arc::clone(tenant_id),
        model: cells.text()?.into(),
        account: cells.optional(Cells::text)?.map(Into::into),
        usage: cells.usage()?,
        amount: cells.optional(Cells::signed)?.map(NanoUsd),
        overshoot: NanoUsd(cells.signed()?),
        reason: cells.optional(Cells::text)?.map(Into::into),
        actor: cells.optional(Cells::text)?.map(Into::into),
        at: cells.number()?,
    };
    Some((number, entry))
}

/// The one of `all` whose name the next cell means.
fn named<T: Copy>(cells: &mut Cells<'_, '_>, all: &[T], name: fn(T) -> &'static str) -> Option<T> {
    let text = cells.text()?;
    all.iter().copied().find(|one| name(*one) == text)
}
