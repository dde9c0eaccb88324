//! `POST /api/v1/admin/users/{id}/quota/reset`: declares the current window of a quota unused.

use axum::response::IntoResponse;
use model::quota::OwnerKind;

use super::find;
use crate::answer::{Answer, ok};
use crate::api::body::{Id, JsonBody};
use crate::api::context::Context;
use crate::api::reset::{Body, reset};
use crate::api::standing::owner;

/// Declares it unused.
///
/// # Errors
/// `NOT_FOUND`; as [`reset`].
pub async fn handler(
    context: Context,
    Id(id): Id,
    JsonBody(body): JsonBody<Body>,
) -> Answer<impl IntoResponse> {
    let user = find(&context, &id).await?;
    let whose = (owner(OwnerKind::User, id.as_str()), user.tenant_id.as_str());
    let done = reset(&context, whose, &user.terms.quota, body).await?;
    context.audit("user.quota-reset", id.as_str());
    Ok(ok(done))
}
