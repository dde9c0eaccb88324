//! `POST /api/v1/admin/accounts/{id}/reset`: forgets an account's blocks and the sessions that go on there, and
//! closes its circuits.

use super::{View, find};
use crate::answer::{Answer, Json, ok};
use crate::api::body::Id;
use crate::api::context::Context;

/// Resets the account.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn handler(context: Context, Id(id): Id) -> Answer<Json<View>> {
    let account = find(&context, &id).await?;
    context.state().accounts.reset_account(&account);
    Ok(ok(View::of(&context, account)))
}
