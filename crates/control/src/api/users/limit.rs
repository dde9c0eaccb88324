//! `PUT /api/v1/admin/users/{id}/rate-limit`: replaces the limits of all of a user's keys together.

use model::resource::RateLimit;

use super::{View, change, check_rank, find};
use crate::answer::{Answer, Json, ok};
use crate::api::body::{Id, JsonBody};
use crate::api::context::Context;

/// Replaces the limits.
///
/// # Errors
/// `NOT_FOUND`; `SCOPE_DENIED` for an owner.
pub async fn handler(
    context: Context,
    Id(id): Id,
    JsonBody(limits): JsonBody<RateLimit>,
) -> Answer<Json<View>> {
    check_rank(&context, find(&context, &id).await?.role)?;
    let user = change(&context, &id, |user| user.terms.rate_limit = limits).await?;
    Ok(ok(View::of(&context, user)))
}
