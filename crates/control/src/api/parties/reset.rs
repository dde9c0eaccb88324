//! `POST /api/v1/admin/tenants/{id}/quota/reset` and the same for groups: declares the current window of a
//! quota unused.

use axum::response::IntoResponse;
use model::quota::OwnerKind;
use model::resource::key::DEFAULT_TENANT;

use super::{Kind, find};
use crate::answer::{Answer, ok};
use crate::api::body::{JsonBody, Name};
use crate::api::context::Context;
use crate::api::reset::{Body, reset};
use crate::api::standing::owner;

/// Declares it unused.
///
/// # Errors
/// `NOT_FOUND`; as [`reset`].
pub async fn handler(
    context: Context,
    kind: Kind,
    Name(id): Name,
    JsonBody(body): JsonBody<Body>,
) -> Answer<impl IntoResponse> {
    let party = find(&context, kind, &id).await?;
    let owner = owner(kind.owner_kind(), &id);
    // A group belongs to no tenant.
    let tenant = if owner.kind == OwnerKind::Tenant { id.as_str() } else { DEFAULT_TENANT };
    let done = reset(&context, (owner, tenant), &party.terms.quota, body).await?;
    context.audit(kind.verb("tenant.quota-reset", "group.quota-reset"), &id);
    Ok(ok(done))
}
