//! `POST /api/v1/admin/users`: a new user. Without a password they cannot sign in until one is set.

use axum::response::IntoResponse;
use model::resource::key::DEFAULT_TENANT;
use model::resource::{Role, User};
use serde::Deserialize;

use super::{View, check_rank, hashed};
use crate::answer::{Answer, created};
use crate::api::body::JsonBody;
use crate::api::check;
use crate::api::context::Context;

/// Who the user is to be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    email: String,
    name: Option<String>,
    #[serde(default)]
    role: Role,
    password: Option<String>,
}

/// Creates the user.
///
/// # Errors
/// `CONFLICT` when the e-mail is taken; `SCOPE_DENIED` for an owner made by somebody else.
pub async fn handler(context: Context, JsonBody(body): JsonBody<Body>) -> Answer<impl IntoResponse> {
    check_rank(&context, body.role)?;
    let email = check::email(&body.email)?;
    let name = match body.name {
        Some(name) => check::name("name", &name)?,
        None => email.clone(),
    };
    let password_hash = match body.password {
        Some(password) => Some(hashed(&context, password).await?),
        None => None,
    };
    let now_ms = context.now_ms();
    let user = User {
        id: context.mint_id(),
        email,
        name,
        role: body.role,
        enabled: true,
        tenant_id: DEFAULT_TENANT.to_owned(),
        terms: model::resource::OwnerTerms::default(),
        created_at: now_ms,
        updated_at: now_ms,
    };
    context.store().insert_user(&context.scope, &user, password_hash.as_deref()).await?;
    context.audit("user.create", user.id.as_str());
    Ok(created(View::from(user)))
}
