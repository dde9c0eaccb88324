//! `POST /api/v1/admin/api-keys/{id}/quota/reset`: declares the current window of a quota unused.

use model::quota::OwnerKind;

use super::find;
use crate::answer::{Answer, Json, ok};
use crate::api::body::{Id, JsonBody};
use crate::api::context::Context;
use crate::api::reset::{Body, View, reset};
use crate::api::standing::owner;

/// Declares it unused.
///
/// # Errors
/// `NOT_FOUND`; as [`reset`].
pub async fn handler(context: Context, Id(id): Id, JsonBody(body): JsonBody<Body>) -> Answer<Json<View>> {
    let key = find(&context, &id).await?;
    let whose = (owner(OwnerKind::Key, id.as_str()), &*key.tenant_id);
    let done = reset(&context, whose, &key.terms.quota, body).await?;
    Ok(ok(done))
}
