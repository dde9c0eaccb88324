//! `PUT /api/v1/admin/tenants/{id}/quota` and the same for groups: replaces the quotas. What is used of a
//! quota that stays is kept.

use axum::response::IntoResponse;

use super::{Kind, View, change};
use crate::answer::{Answer, ok};
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
) -> Answer<impl IntoResponse> {
    let quotas = body.checked()?;
    let verb = kind.verb("tenant.quota", "group.quota");
    let party = change(&context, (kind, &id), verb, |party| {
        party.terms.quota = quotas;
        Ok(())
    })
    .await?;
    Ok(ok(View::of(&context, kind, party)))
}
