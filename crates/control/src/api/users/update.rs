//! `PATCH /api/v1/admin/users/{id}`: changes the fields that are given. A new password ends every
//! sign-in of the user.

use model::quota::Quota;
use model::resource::{RateLimit, Role};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{View, check_not_self, check_place, check_rank, find, hashed, scope_of};
use crate::answer::{Answer, Json, ok};
use crate::api::body::{Id, JsonBody};
use crate::api::check;
use crate::api::context::Context;
use crate::api::terms;

/// What is to change.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    email: Option<String>,
    name: Option<String>,
    role: Option<Role>,
    password: Option<String>,
    rate_limit: Option<RateLimit>,
    quota: Option<Vec<Quota>>,
}

/// Changes the user.
///
/// # Errors
/// `NOT_FOUND`; `SCOPE_DENIED` where an owner is concerned; `CONFLICT` for a taken e-mail.
pub async fn handler(context: Context, Id(id): Id, JsonBody(body): JsonBody<Body>) -> Answer<Json<View>> {
    let before = find(&context, &id).await?;
    check_rank(&context, before.role)?;
    if let Some(role) = body.role.filter(|role| *role != before.role) {
        check_rank(&context, role)?;
        check_not_self(&context, &id)?;
        check_place(role, &before.tenant_id)?;
    }
    let quota = body.quota.map(terms::quotas).transpose()?;
    let email = body.email.map(|text| check::email(&text)).transpose()?;
    let name = body.name.map(|text| check::name("name", &text)).transpose()?;
    let now_ms = context.now_ms();
    if let Some(password) = body.password {
        let hash = hashed(&context, password).await?;
        let scope = scope_of(&context, &id).await?;
        context.store().set_password(&scope, &id, now_ms, &hash).await?;
        context.store().revoke_user_sessions(&scope, &id, now_ms).await?;
    }
    let user = super::change(&context, &id, |user| {
        user.email = email.unwrap_or_else(|| std::mem::take(&mut user.email));
        user.name = name.unwrap_or_else(|| std::mem::take(&mut user.name));
        user.role = body.role.unwrap_or(user.role);
        user.terms.rate_limit = user.terms.rate_limit.merged(body.rate_limit.unwrap_or_default());
        user.terms.quota = quota.unwrap_or_else(|| std::mem::take(&mut user.terms.quota));
    })
    .await?;
    Ok(ok(View::of(&context, user)))
}
