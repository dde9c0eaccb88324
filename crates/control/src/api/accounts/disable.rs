//! `POST /api/v1/admin/accounts/{id}/disable`.

use super::{View, change};
use crate::answer::{Answer, Json, ok};
use crate::api::body::Id;
use crate::api::context::Context;

/// Keeps an account from being chosen; requests on their way finish.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn handler(context: Context, Id(id): Id) -> Answer<Json<View>> {
    let account = change(&context, &id, |account| {
        account.enabled = false;
        Ok(())
    })
    .await?;
    Ok(ok(View::of(&context, account)))
}
