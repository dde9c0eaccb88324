//! `PATCH /api/v1/admin/users/{id}`: changes the fields that are given. A new password ends every
//! sign-in of the user.

use axum::response::IntoResponse;
use model::resource::Role;
use serde::Deserialize;

use super::{View, check_not_self, check_rank, find, hashed};
use crate::answer::{Answer, ok};
use crate::api::body::{Id, JsonBody};
use crate::api::check;
use crate::api::context::Context;

/// What is to change.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    email: Option<String>,
    name: Option<String>,
    role: Option<Role>,
    password: Option<String>,
}

/// Changes the user.
///
/// # Errors
/// `NOT_FOUND`; `SCOPE_DENIED` where an owner is concerned; `CONFLICT` for a taken e-mail.
pub async fn handler(
    context: Context,
    Id(id): Id,
    JsonBody(body): JsonBody<Body>,
) -> Answer<impl IntoResponse> {
    let before = find(&context, &id).await?;
    check_rank(&context, before.role)?;
    if let Some(role) = body.role.filter(|role| *role != before.role) {
        check_rank(&context, role)?;
        check_not_self(&context, &id)?;
    }
    let email = body.email.map(|text| check::email(&text)).transpose()?;
    let name = body.name.map(|text| check::name("name", &text)).transpose()?;
    let now_ms = context.now_ms();
    if let Some(password) = body.password {
        let hash = hashed(&context, password).await?;
        context.store().set_password(&context.scope, &id, now_ms, &hash).await?;
        context.store().revoke_user_sessions(&context.scope, &id, now_ms).await?;
    }
    let user = super::change(&context, &id, "user.update", |user| {
        user.email = email.unwrap_or_else(|| std::mem::take(&mut user.email));
        user.name = name.unwrap_or_else(|| std::mem::take(&mut user.name));
        user.role = body.role.unwrap_or(user.role);
    })
    .await?;
    Ok(ok(View::from(user)))
}
