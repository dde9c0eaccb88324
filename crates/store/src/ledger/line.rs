//! An entry as a line of JSON: how entries were written before there were [sheets](crate::sheet), and still
//! are read.

use std::borrow::Cow;
use std::sync::Arc;

use model::entry::{EntryKind, EntryState, LedgerEntry};
use model::{NanoUsd, RequestId, ResourceId};
use serde::Deserialize;

use super::row::unreadable;
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

/// Reads a line back: the number of the entry within its projection, and the entry.
pub(super) fn read(line: &str, tenant_id: &Arc<str>) -> Result<(u32, LedgerEntry), StoreError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_version_wrote_is_read() {
        let line = r#"[7,"charge","measured","req-0199e5a8a07b70ae8aaaaaaaaaaaaaaa",0,"aginyo2ub4byodqmavygqzy2yi",null,"gpt-5",null,[12,34,0,0,0,0,0,0,0,"measured"],355000,0,null,null,1790000000123]"#;
        let (number, entry) = read(line, &"default".into()).expect("readable");
        assert_eq!((number, entry.kind, entry.amount), (7, EntryKind::Charge, Some(NanoUsd(355_000))));
        assert_eq!((entry.usage.output, entry.at, entry.account), (34, 1_790_000_000_123, None));
        assert!(read("[7]", &"default".into()).is_err());
    }
}
