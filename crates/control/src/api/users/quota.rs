//! `PUT /api/v1/admin/users/{id}/quota`: replaces the quotas of all of a user's keys together. What is
//! used of a quota that stays is kept.

use super::{View, change, check_rank, find};
use crate::answer::{Answer, Json, ok};
use crate::api::body::{Id, JsonBody};
use crate::api::context::Context;
use crate::api::terms::QuotaBody;

/// Replaces the quotas.
///
/// # Errors
/// `NOT_FOUND`; `INVALID_REQUEST` for two quotas of one unit and period; `SCOPE_DENIED` for an owner.
pub async fn handler(
    context: Context,
    Id(id): Id,
    JsonBody(body): JsonBody<QuotaBody>,
) -> Answer<Json<View>> {
    let quotas = body.checked()?;
    check_rank(&context, find(&context, &id).await?.role)?;
    let user = change(&context, &id, |user| user.terms.quota = quotas).await?;
    Ok(ok(View::of(&context, user)))
}
