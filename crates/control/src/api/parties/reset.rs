//! `POST /api/v1/admin/tenants/{id}/quota/reset` and the same for groups: declares the current window of a
//! quota unused.

use model::quota::OwnerKind;
use model::resource::key::DEFAULT_TENANT;

use super::{Kind, find};
use crate::answer::{Answer, Json, ok};
use crate::api::body::{JsonBody, Name};
use crate::api::context::Context;
use crate::api::reset::{Body, View, reset};
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
) -> Answer<Json<View>> {
    let party = find(&context, kind, &id).await?;
    let owner = owner(kind.owner_kind(), &id);
    // A group belongs to no tenant.
    let tenant = if owner.kind == OwnerKind::Tenant { id.as_str() } else { DEFAULT_TENANT };
    let done = reset(&context, (owner, tenant), &party.terms.quota, body).await?;
    Ok(ok(done))
}
