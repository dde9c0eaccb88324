//! `POST /api/v1/admin/accounts/{id}/disable`.

use axum::response::IntoResponse;

use super::{View, change};
use crate::answer::{Answer, ok};
use crate::api::body::Id;
use crate::api::context::Context;

/// Keeps an account from being chosen; requests on their way finish.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn handler(context: Context, Id(id): Id) -> Answer<impl IntoResponse> {
    let account = change(&context, &id, "account.disable", |account| {
        account.enabled = false;
        Ok(())
    })
    .await?;
    Ok(ok(View::from(account)))
}
