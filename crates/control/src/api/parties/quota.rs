//! `PUT /api/v1/admin/tenants/{id}/quota` and the same for groups: replaces the quotas. What is used of a
//! quota that stays is kept.

use super::{Kind, View, change};
use crate::answer::{Answer, Json, ok};
use crate::api::body::{JsonBody, Name};
use crate::api::context::Context;
use crate::api::terms::QuotaBody;

/// Replaces the quotas.
///
/// # Errors
/// `NOT_FOUND`; `INVALID_REQUEST` for two quotas of one unit and period.
pub async fn handler(
    context: Context,
    kind: Kind,
    Name(id): Name,
    JsonBody(body): JsonBody<QuotaBody>,
) -> Answer<Json<View>> {
    let quotas = body.checked()?;
    let party = change(&context, (kind, &id), |party| {
        party.terms.quota = quotas;
        Ok(())
    })
    .await?;
    Ok(ok(View::of(&context, kind, party)))
}
