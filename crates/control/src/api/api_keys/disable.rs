//! `POST /api/v1/admin/api-keys/{id}/disable`.

use model::resource::key::KeyStatus;

use super::{View, change};
use crate::answer::{Answer, Json, ok};
use crate::api::body::Id;
use crate::api::context::Context;

/// Switches a key off until it is enabled again.
///
/// # Errors
/// `NOT_FOUND`; `CONFLICT` for a revoked key.
pub async fn handler(context: Context, Id(id): Id) -> Answer<Json<View>> {
    let key = change(&context, &id, |key| {
        key.status = KeyStatus::Disabled;
        Ok(())
    })
    .await?;
    Ok(ok(View::from(key)))
}
