//! Tenants and groups: names with terms, to which keys, users and accounts belong.
//!
//! Both have the same operations, so they share one implementation; which of the two is meant stands in
//! the path. `default` is there from the start in both and cannot be deleted.

pub mod create;
pub mod delete;
pub mod limit;
pub mod list;
pub mod quota;
pub mod reset;
pub mod serving;
pub mod show;
pub mod update;

use axum::extract::FromRequestParts;
use http::request::Parts;
use model::Code;
use model::clock::rfc3339;
use model::quota::{OwnerKind, Quota};
use model::resource::key::{DEFAULT_GROUP, DEFAULT_TENANT};
use model::resource::terms::Serving;
use model::resource::{Party, RateLimit};
use schemars::JsonSchema;
use serde::Serialize;
use store::page::MAX_LIMIT;
use store::{AccountFilter, PageRequest, PartyKind, Scope};

use super::check;
use super::context::Context;
use super::standing::{Left, owner};
use crate::answer::{Answer, Refusal, abandon};

/// Tenants or groups, as the path says.
#[derive(Clone, Copy)]
pub struct Kind(pub PartyKind);

impl<S: Sync> FromRequestParts<S> for Kind {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        match parts.uri.path().split('/').nth(4) {
            Some("tenants") => Ok(Self(PartyKind::Tenant)),
            Some("groups") => Ok(Self(PartyKind::Group)),
            _ => Err(Refusal::internal("the path names neither tenants nor groups")),
        }
    }
}

impl Kind {
    fn owner_kind(self) -> OwnerKind {
        match self.0 {
            PartyKind::Tenant => OwnerKind::Tenant,
            PartyKind::Group => OwnerKind::Group,
        }
    }
}

/// A tenant or group as answers show it.
#[derive(Serialize, JsonSchema)]
pub struct View {
    id: String,
    name: String,
    rate_limit: RateLimit,
    quota: Vec<Quota>,
    #[serde(flatten)]
    left: Left,
    /// Of groups only.
    #[serde(flatten)]
    serving: Option<Serving>,
    created_at: String,
    updated_at: String,
}

impl View {
    fn of(context: &Context, kind: Kind, party: Party) -> Self {
        let payer = owner(kind.owner_kind(), &party.id);
        Self {
            left: Left::of(context, &payer, &party.terms.quota, false),
            serving: (kind.0 == PartyKind::Group).then_some(party.terms.serving),
            id: party.id,
            name: party.name,
            rate_limit: party.terms.rate_limit,
            quota: party.terms.quota,
            created_at: rfc3339(party.created_at),
            updated_at: rfc3339(party.updated_at),
        }
    }
}

/// The tenant or group `id`, if there is one.
async fn find(context: &Context, kind: Kind, id: &str) -> Answer<Party> {
    let party = context.store().find_party(&context.scope, kind.0, id).await?;
    party.ok_or_else(|| Refusal::new(Code::NotFound))
}

/// Changes a tenant or group, unless the caller has seen another state of it.
async fn change(
    context: &Context,
    (kind, id): (Kind, &str),
    edit: impl FnOnce(&mut Party) -> Answer<()> + Send,
) -> Answer<Party> {
    let mut refusal = None;
    let changed = context
        .store()
        .update_party(&context.scope, (kind.0, id), context.now_ms(), |party| {
            let may = context.if_match.check(party.updated_at).and_then(|()| edit(party));
            may.map_err(|why| abandon(&mut refusal, why))
        })
        .await;
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    let party = changed?.ok_or_else(|| Refusal::new(Code::NotFound))?;
    Ok(party)
}

/// The tenant that a body names, by default the caller's own.
///
/// # Errors
/// `INVALID_REQUEST` at `tenant_id` when there is none of the name; `SCOPE_DENIED` for somebody else's.
pub async fn tenant(context: &Context, given: Option<String>) -> Answer<String> {
    let id = context.scope_asked(given.as_deref())?.tenant_id;
    if given.is_none() || *id == *DEFAULT_TENANT {
        return Ok(id.to_string());
    }
    match context.store().find_party(&context.scope, PartyKind::Tenant, &id).await? {
        Some(tenant) => Ok(tenant.id),
        None => Err(Refusal::invalid("tenant_id", "`tenant_id` names no tenant.")),
    }
}

/// Where to look for something that is named by its own id and may be in any tenant: the caller's own
/// tenant first, then, for whoever sees all of them, the others.
///
/// # Errors
/// What the store says.
pub async fn all_scopes(context: &Context) -> Answer<Vec<Scope>> {
    let mut scopes = vec![context.scope.clone()];
    if !context.sees_all_tenants() {
        return Ok(scopes);
    }
    let mut page = PageRequest::first(MAX_LIMIT);
    loop {
        let found = context.store().list_parties(&context.scope, PartyKind::Tenant, &page).await?;
        let others = found.items.iter().filter(|tenant| *tenant.id != *context.scope.tenant_id);
        scopes.extend(others.map(|tenant| context.scope_in(&tenant.id)));
        match found.next {
            Some(next) => page.after = Some(next),
            None => return Ok(scopes),
        }
    }
}

/// The group that a body names, by default the default one. A group is there when it was created, or when
/// an account names it.
///
/// # Errors
/// `INVALID_REQUEST` at `group_id` when there is none of the name.
pub async fn group(context: &Context, given: Option<String>) -> Answer<String> {
    let id = check::group(given)?;
    if id == DEFAULT_GROUP || is_named_by_an_account(context, &id).await? {
        return Ok(id);
    }
    match context.store().find_party(&context.scope, PartyKind::Group, &id).await? {
        Some(group) => Ok(group.id),
        None => Err(Refusal::invalid("group_id", "`group_id` names no group.")),
    }
}

/// Accounts are few, so they are read rather than indexed by group.
async fn is_named_by_an_account(context: &Context, group: &str) -> Answer<bool> {
    let mut page = PageRequest::first(MAX_LIMIT);
    loop {
        let found = context.store().list_accounts(&context.scope, &AccountFilter::default(), &page).await?;
        if found.items.iter().any(|account| account.group_id == group) {
            return Ok(true);
        }
        match found.next {
            Some(next) => page.after = Some(next),
            None => return Ok(false),
        }
    }
}
