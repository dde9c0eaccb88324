//! `PUT /api/v1/admin/api-keys/{id}/quota`: replaces all quotas of a key. What is used of a quota that
//! stays is kept.

use super::{Shown, change};
use crate::answer::{Answer, Json, ok};
use crate::api::body::{Id, JsonBody};
use crate::api::context::Context;
use crate::api::terms::QuotaBody;

/// Replaces the quotas.
///
/// # Errors
/// `NOT_FOUND`; `INVALID_REQUEST` for two quotas of one unit and period; `CONFLICT` for a revoked key.
pub async fn handler(
    context: Context,
    Id(id): Id,
    JsonBody(body): JsonBody<QuotaBody>,
) -> Answer<Json<Shown>> {
    let quotas = body.checked()?;
    let key = change(&context, &id, |key| {
        key.terms.quota = quotas;
        Ok(())
    })
    .await?;
    Ok(ok(Shown::of(&context, key)))
}
