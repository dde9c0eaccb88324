//! `PUT /api/v1/admin/api-keys/{id}/rate-limit`: replaces all limits of a key.

use model::resource::RateLimit;

use super::{View, change};
use crate::answer::{Answer, Json, ok};
use crate::api::body::{Id, JsonBody};
use crate::api::context::Context;

/// Replaces the limits.
///
/// # Errors
/// `NOT_FOUND`; `CONFLICT` for a revoked key.
pub async fn handler(
    context: Context,
    Id(id): Id,
    JsonBody(limits): JsonBody<RateLimit>,
) -> Answer<Json<View>> {
    let key = change(&context, &id, |key| {
        key.rate_limit = limits.into();
        Ok(())
    })
    .await?;
    Ok(ok(View::from(key)))
}
