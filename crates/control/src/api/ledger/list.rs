//! `GET /api/v1/admin/ledger`: the entries of the ledger, newest first.
//!
//! An entry appears here once it was projected into the database, normally within a second of its
//! request's end. A plain user sees what they were charged and what was put into their wallet, and not
//! what attempts cost us.

use model::clock::rfc3339;
use model::entry::{EntryKind, EntryState, LedgerEntry};
use model::{NanoUsd, ResourceId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{LedgerFilter, Page, Scope};

use crate::answer::{Answer, Json, ok};
use crate::api::body::QueryString;
use crate::api::context::Context;
use crate::api::page::{self, List};
use crate::api::requests::UsageView;
use crate::api::{api_keys, check, parties, users};

/// Which entries; all that is given must hold.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    tenant_id: Option<String>,
    request_id: Option<String>,
    key_id: Option<String>,
    user_id: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

/// An entry as answers show it. Money is a decimal string, `null` when the model had no price.
#[derive(Serialize, JsonSchema)]
pub struct View {
    kind: EntryKind,
    state: EntryState,
    request_id: Option<String>,
    /// Which attempt of the request, from 1; 0 for everything else.
    attempt: u8,
    key_id: Option<ResourceId>,
    user_id: Option<ResourceId>,
    tenant_id: String,
    model: String,
    account: Option<String>,
    usage: UsageView,
    amount: Option<NanoUsd>,
    /// By how much the charge exceeds what was covered when it was made.
    overshoot: NanoUsd,
    reason: Option<Box<str>>,
    actor: Option<Box<str>>,
    at: String,
}

impl From<LedgerEntry> for View {
    fn from(entry: LedgerEntry) -> Self {
        Self {
            kind: entry.kind,
            state: entry.state,
            request_id: entry.request_id.map(|id| id.to_string()),
            attempt: entry.attempt,
            key_id: entry.key_id,
            user_id: entry.user_id,
            tenant_id: entry.tenant_id.to_string(),
            model: entry.model.to_string(),
            account: entry.account.map(|account| account.to_string()),
            usage: entry.usage.into(),
            amount: entry.amount,
            overshoot: entry.overshoot,
            reason: entry.reason,
            actor: entry.actor,
            at: rfc3339(entry.at),
        }
    }
}

/// Lists the entries.
///
/// # Errors
/// `INVALID_REQUEST` names the filter that is not one; `SCOPE_DENIED` for somebody else's tenant.
pub async fn handler(
    context: Context,
    QueryString(mut filter): QueryString<Filter>,
) -> Answer<Json<List<View>>> {
    let page = page::request(filter.cursor.take(), filter.limit)?;
    let only_of = context.only_of();
    let key_id = filter.key_id.as_deref().map(|id| check::id("key_id", id)).transpose()?;
    let asked = filter.user_id.as_deref().map(|id| check::id("user_id", id)).transpose()?;
    let request_id = filter.request_id.take().map(|id| check::request_id("request_id", id)).transpose()?;
    let wanted = LedgerFilter { request_id, key_id, user_id: only_of.clone().or(asked) };
    let mut found = Page { items: Vec::new(), next: None };
    for scope in scopes(&context, filter.tenant_id.as_deref(), &wanted).await? {
        found = context.store().ledger_entries(&scope, &wanted, &page).await?;
        if !found.items.is_empty() {
            break;
        }
    }
    if only_of.is_some() {
        found.items.retain(|entry| entry.kind != EntryKind::Attempt);
    }
    Ok(ok(List::of(found, View::from)))
}

/// In which tenants to look until something is found: the one that is named, else that of the key or the
/// user, else wherever the request may be.
async fn scopes(context: &Context, tenant: Option<&str>, wanted: &LedgerFilter) -> Answer<Vec<Scope>> {
    Ok(match (tenant, wanted) {
        (None, LedgerFilter { key_id: Some(key), .. }) => vec![api_keys::scope_of(context, key).await?],
        (None, LedgerFilter { user_id: Some(user), .. }) => vec![users::scope_of(context, user).await?],
        (None, LedgerFilter { request_id: Some(_), .. }) => parties::all_scopes(context).await?,
        _ => vec![context.scope_asked(tenant)?],
    })
}
