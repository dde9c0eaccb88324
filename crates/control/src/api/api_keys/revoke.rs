//! `POST /api/v1/admin/api-keys/{id}/revoke` and `DELETE …/{id}`: ends a key for good.
//!
//! The row stays, so that the key is refused by name and its records keep their meaning. Revoking
//! twice is no error.

use model::ResourceId;
use model::resource::ApiKey;
use model::resource::key::KeyStatus;

use super::{View, change, find};
use crate::answer::{Answer, Done, Json, done, ok};
use crate::api::body::Id;
use crate::api::context::Context;

/// Revokes the key and shows it.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn handler(context: Context, Id(id): Id) -> Answer<Json<View>> {
    Ok(ok(View::from(revoke(&context, &id).await?)))
}

/// Revokes the key: `204`.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn delete(context: Context, Id(id): Id) -> Answer<Done> {
    revoke(&context, &id).await?;
    Ok(done())
}

async fn revoke(context: &Context, id: &ResourceId) -> Answer<ApiKey> {
    let key = find(context, id).await?;
    if key.status == KeyStatus::Revoked {
        return Ok(key);
    }
    change(context, id, |key| {
        key.status = KeyStatus::Revoked;
        Ok(())
    })
    .await
}
