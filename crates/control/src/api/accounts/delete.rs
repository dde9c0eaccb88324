//! `DELETE /api/v1/admin/accounts/{id}`: removes an account and its credential. Records keep its name.

use axum::response::IntoResponse;

use super::find;
use crate::answer::{Answer, done};
use crate::api::body::Id;
use crate::api::context::Context;

/// Removes the account: `204`.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn handler(context: Context, Id(id): Id) -> Answer<impl IntoResponse> {
    find(&context, &id).await?;
    context.store().delete_account(&context.scope, &id).await?;
    context.state().accounts.reset_account(&id);
    context.audit("account.delete", id.as_str());
    Ok(done())
}
