//! `PUT /api/v1/admin/tenants/{id}/rate-limit` and the same for groups: replaces the limits.

use model::resource::RateLimit;

use super::{Kind, View, change};
use crate::answer::{Answer, Json, ok};
use crate::api::body::{JsonBody, Name};
use crate::api::context::Context;

/// Replaces the limits.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn handler(
    context: Context,
    kind: Kind,
    Name(id): Name,
    JsonBody(limits): JsonBody<RateLimit>,
) -> Answer<Json<View>> {
    let party = change(&context, (kind, &id), |party| {
        party.terms.rate_limit = limits;
        Ok(())
    })
    .await?;
    Ok(ok(View::of(&context, kind, party)))
}
