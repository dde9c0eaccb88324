//! API keys of callers. The text of a key and its signing secret are shown once, at creation and at rotation.

pub mod create;
pub mod disable;
pub mod enable;
pub mod limit;
pub mod list;
pub mod quota;
pub mod reset;
pub mod revoke;
pub mod rotate;
pub(crate) mod secret;
pub mod show;
#[cfg(test)]
mod signing_tests;
#[cfg(test)]
mod tests;
pub mod unfreeze;
pub mod update;
pub mod usage;

use model::clock::rfc3339;
use model::key_text::KeyForm;
use model::quota::OwnerKind;
use model::resource::key::KeyStatus;
use model::resource::{ApiKey, FreezeScope, KeyAccess, KeyKind, RateLimit, Signing};
use model::{Code, ResourceId};
use schemars::JsonSchema;
use serde::Serialize;
use store::{Scope, StoreError};

use super::check;
use super::context::Context;
use super::standing::{Left, owner};
use super::terms::TermsView;
use crate::answer::{Answer, Refusal, abandon};

/// A key as answers show it: never its secret.
#[derive(Serialize, JsonSchema)]
pub struct View {
    id: ResourceId,
    name: String,
    /// The key with its secret left out but for the last characters.
    masked: String,
    kind: KeyKind,
    status: KeyStatus,
    user_id: Option<ResourceId>,
    tenant_id: String,
    group_id: String,
    expires_at: Option<String>,
    models: Vec<String>,
    allowed_ips: Vec<String>,
    rate_limit: RateLimit,
    #[serde(flatten)]
    terms: TermsView,
    signing: Signing,
    /// Whether the text of the key is enough to use it.
    bearer: bool,
    freeze_scope: FreezeScope,
    created_at: String,
    updated_at: String,
}

impl From<ApiKey> for View {
    fn from(key: ApiKey) -> Self {
        Self {
            masked: masked(&key),
            id: key.id,
            name: key.name.into(),
            kind: key.kind,
            status: key.status,
            user_id: key.user_id,
            tenant_id: key.tenant_id.to_string(),
            group_id: key.group_id.to_string(),
            expires_at: check::written(key.expires_at),
            models: key.models.into(),
            allowed_ips: key.allowed_ips.into(),
            rate_limit: *key.rate_limit,
            terms: key.terms.into(),
            signing: key.access.signing,
            bearer: key.access.takes_bearer(),
            freeze_scope: key.access.freeze_scope,
            created_at: rfc3339(key.created_at),
            updated_at: rfc3339(key.updated_at),
        }
    }
}

/// A key's text with its secret left out but for the last characters.
pub(crate) fn masked(key: &ApiKey) -> String {
    let (start, separator) = match KeyForm::of(key.kind) {
        KeyForm::User => ("sk-ym-", '-'),
        KeyForm::Trial => ("trial_", '_'),
    };
    format!("{start}{}{separator}…{}", key.id, key.hint)
}

/// A key with what is left of its quotas, and what is frozen of it.
#[derive(Serialize, JsonSchema)]
pub struct Shown {
    #[serde(flatten)]
    view: View,
    #[serde(flatten)]
    left: Left,
    frozen: Frozen,
    /// Until when a secret that was rotated away still works.
    grace_ends_at: Option<String>,
}

/// What bad signatures have frozen of a key.
#[derive(Serialize, JsonSchema)]
pub struct Frozen {
    /// The key, wherever it is used from, until it is thawed.
    everywhere: bool,
    /// Networks from which it is refused.
    sources: Vec<FrozenSource>,
}

/// A network from which a key is refused for a time.
#[derive(Serialize, JsonSchema)]
pub struct FrozenSource {
    network: String,
    until: String,
}

impl Frozen {
    fn of(context: &Context, key: &ResourceId) -> Self {
        let found = context.state().freezes.of(key, context.now_ms());
        let source = |(network, until)| FrozenSource { network, until: rfc3339(until) };
        Self { everywhere: found.everywhere, sources: found.sources.into_iter().map(source).collect() }
    }
}

impl Shown {
    /// The key, with what is left now.
    #[must_use]
    pub fn of(context: &Context, key: ApiKey) -> Self {
        let payer = owner(OwnerKind::Key, key.id.as_str());
        let left = Left::of(context, &payer, &key.terms.quota, false);
        let frozen = Frozen::of(context, &key.id);
        let grace_ends_at = check::written(key.access.grace_ends(context.now_ms()));
        Self { view: key.into(), left, frozen, grace_ends_at }
    }
}

/// The key `id`, if it is there and the caller may see it.
async fn find(context: &Context, id: &ResourceId) -> Answer<ApiKey> {
    let scope = scope_of(context, id).await?;
    let key = context.store().find_key(&scope, id).await?;
    let visible = key.filter(|key| match context.only_of() {
        Some(user) => key.user_id.as_ref() == Some(&user),
        None => true,
    });
    visible.ok_or_else(|| Refusal::new(Code::NotFound))
}

/// Where the key `id` is found and changed: in its own tenant when the caller sees all tenants.
pub(super) async fn scope_of(context: &Context, id: &ResourceId) -> Answer<Scope> {
    if !context.sees_all_tenants() {
        return Ok(context.scope.clone());
    }
    let tenant = context.store().tenant_of_key(id).await?;
    Ok(tenant.map_or_else(|| context.scope.clone(), |tenant| context.scope_in(&tenant)))
}

/// Changes a key, unless the caller has seen another state of it.
async fn change(
    context: &Context,
    id: &ResourceId,
    edit: impl FnOnce(&mut ApiKey) -> Answer<()> + Send,
) -> Answer<ApiKey> {
    let mut refusal = None;
    let scope = scope_of(context, id).await?;
    let changed = context
        .store()
        .update_key(&scope, id, context.now_ms(), |key| {
            if key.status == KeyStatus::Revoked {
                return Err(StoreError::Refused("the key is revoked, which is final; create a new one"));
            }
            let may = context.if_match.check(key.updated_at).and_then(|()| edit(key));
            may.map_err(|why| abandon(&mut refusal, why))
        })
        .await;
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    let key = changed?.ok_or_else(|| Refusal::new(Code::NotFound))?;
    Ok(key)
}

/// Checks that a key of this kind may prove who it is in this way.
fn check_access(kind: KeyKind, access: &KeyAccess) -> Answer<()> {
    if kind == KeyKind::Trial && access.signing != Signing::None {
        return Err(Refusal::invalid("signing", "`signing`: trial keys do not sign requests."));
    }
    Ok(())
}

/// Checks that the user named in a body exists within `scope`, the key's tenant.
async fn named_user(context: &Context, scope: &Scope, text: &str) -> Answer<ResourceId> {
    let id = check::id("user_id", text)?;
    match context.store().find_user(scope, &id).await? {
        Some(_) => Ok(id),
        None => Err(Refusal::invalid("user_id", "`user_id` names no user of the key's tenant.")),
    }
}
