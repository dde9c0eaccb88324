//! `POST /api/v1/admin/accounts/{id}/enable`.

use super::{View, change};
use crate::answer::{Answer, Json, ok};
use crate::api::body::Id;
use crate::api::context::Context;

/// Lets a disabled account be chosen again.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn handler(context: Context, Id(id): Id) -> Answer<Json<View>> {
    let account = change(&context, &id, |account| {
        account.enabled = true;
        Ok(())
    })
    .await?;
    Ok(ok(View::of(&context, account)))
}
