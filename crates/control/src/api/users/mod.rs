//! People who sign in, and whose money their keys spend.

pub mod balance;
pub mod create;
pub mod disable;
pub mod enable;
pub mod limit;
pub mod list;
pub mod quota;
pub mod reset;
pub mod show;
pub mod totp;
pub mod update;
mod wallet;

use model::clock::rfc3339;
use model::quota::{OwnerKind, Quota};
use model::resource::key::DEFAULT_TENANT;
use model::resource::{RateLimit, Role, User};
use model::{Code, ResourceId, Secret};
use schemars::JsonSchema;
use serde::Serialize;
use store::Scope;

use super::context::Context;
use super::permission::Actor;
use super::standing::{Left, owner};
use crate::answer::{Answer, Refusal, abandon};
use crate::session::PasswordFault;
use crate::session::password::{LONGEST_PASSWORD, SHORTEST_PASSWORD};

/// A user as answers show it.
#[derive(Serialize, JsonSchema)]
pub struct View {
    id: ResourceId,
    email: String,
    name: String,
    role: Role,
    enabled: bool,
    tenant_id: String,
    rate_limit: RateLimit,
    quota: Vec<Quota>,
    #[serde(flatten)]
    left: Left,
    created_at: String,
    updated_at: String,
}

impl View {
    /// The user, with what they have left.
    #[must_use]
    pub fn of(context: &Context, user: User) -> Self {
        let terms = user.terms;
        let payer = owner(OwnerKind::User, user.id.as_str());
        Self {
            left: Left::of(context, &payer, &terms.quota, terms.wallet),
            rate_limit: terms.rate_limit,
            quota: terms.quota,
            id: user.id,
            email: user.email,
            name: user.name,
            role: user.role,
            enabled: user.enabled,
            tenant_id: user.tenant_id,
            created_at: rfc3339(user.created_at),
            updated_at: rfc3339(user.updated_at),
        }
    }
}

/// The user `id`, if there is one.
async fn find(context: &Context, id: &ResourceId) -> Answer<User> {
    let scope = scope_of(context, id).await?;
    let user = context.store().find_user(&scope, id).await?;
    user.ok_or_else(|| Refusal::new(Code::NotFound))
}

/// Where the user `id` is found and changed: in their own tenant when the caller sees all tenants.
pub(super) async fn scope_of(context: &Context, id: &ResourceId) -> Answer<Scope> {
    if !context.sees_all_tenants() {
        return Ok(context.scope.clone());
    }
    let tenant = context.store().tenant_of_user(id).await?;
    Ok(tenant.map_or_else(|| context.scope.clone(), |tenant| context.scope_in(&tenant)))
}

/// Who belongs to another tenant has nothing to administer: prices, accounts and settings are everybody's.
fn check_place(role: Role, tenant_id: &str) -> Answer<()> {
    if role == Role::User || tenant_id == DEFAULT_TENANT {
        return Ok(());
    }
    let message = format!("`role` must be `user` in a tenant other than `{DEFAULT_TENANT}`.");
    Err(Refusal::invalid("role", message))
}

/// Changes a user, whose rank is checked again within the transaction, unless the caller has seen another state of them.
async fn change(context: &Context, id: &ResourceId, edit: impl FnOnce(&mut User) + Send) -> Answer<User> {
    let mut refusal = None;
    let scope = scope_of(context, id).await?;
    let changed = context
        .store()
        .update_user(&scope, id, context.now_ms(), |user| {
            let may = check_rank(context, user.role).and_then(|()| context.if_match.check(user.updated_at));
            may.map_err(|why| abandon(&mut refusal, why))?;
            edit(user);
            let placed = check_place(user.role, &user.tenant_id);
            placed.map_err(|why| abandon(&mut refusal, why))
        })
        .await;
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    let user = changed?.ok_or_else(|| Refusal::new(Code::NotFound))?;
    Ok(user)
}

/// Only an owner makes or changes owners.
fn check_rank(context: &Context, role: Role) -> Answer<()> {
    if role != Role::Owner || context.actor.role() == Some(Role::Owner) {
        return Ok(());
    }
    let message = "Only a user with the role `owner` makes or changes owners.";
    Err(Refusal::because(Code::ScopeDenied, message))
}

/// Nobody locks themselves out, so there is always an owner who can undo a change.
fn check_not_self(context: &Context, id: &ResourceId) -> Answer<()> {
    match &context.actor {
        Actor::User { user, .. } if user.id == *id => {
            let message = "You cannot disable yourself or change your own role.";
            Err(Refusal::because(Code::Conflict, message))
        }
        _ => Ok(()),
    }
}

/// Checks and hashes a new password.
async fn hashed(context: &Context, password: String) -> Answer<String> {
    let password = Secret::new(password);
    let length = password.expose().len();
    if !(SHORTEST_PASSWORD..=LONGEST_PASSWORD).contains(&length) {
        let message = format!("`password` must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} bytes.");
        return Err(Refusal::invalid("password", message));
    }
    Ok(context.state().passwords.hash(password).await?)
}

impl From<PasswordFault> for Refusal {
    fn from(fault: PasswordFault) -> Self {
        match fault {
            PasswordFault::Busy => model::Rejection::new(Code::Overloaded).retry_after(1).into(),
            PasswordFault::Failed => Self::internal(fault),
        }
    }
}
