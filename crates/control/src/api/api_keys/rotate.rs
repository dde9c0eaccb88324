//! `POST /api/v1/admin/api-keys/{id}/rotate`: a new secret for the same id, shown in this answer only.

use axum::response::IntoResponse;
use model::Code;
use serde::Deserialize;

use super::{NewSecret, change, find};
use crate::answer::{Answer, Refusal, ok};
use crate::api::body::{Id, QueryString};
use crate::api::context::Context;

/// How to rotate.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct How {
    grace_period_hours: Option<u32>,
}

/// Rotates the secret; the old one stops working at once.
///
/// # Errors
/// `NOT_FOUND`; `CONFLICT` for a revoked key; `UNSUPPORTED_FEATURE` for a grace period.
pub async fn handler(
    context: Context,
    Id(id): Id,
    QueryString(how): QueryString<How>,
) -> Answer<impl IntoResponse> {
    if how.grace_period_hours.is_some_and(|hours| hours > 0) {
        let message =
            "A grace period does not exist yet in this version: the old secret stops working at once.";
        return Err(Refusal::because(Code::UnsupportedFeature, message));
    }
    let kind = find(&context, &id).await?.kind;
    let secret = NewSecret::mint(&context, kind, &id)?;
    let key = change(&context, &id, "api-key.rotate", |key| {
        key.secret_hmac = secret.hmac;
        key.hint.clone_from(&secret.hint);
        Ok(())
    })
    .await?;
    Ok(ok(secret.reveal(key)))
}
