//! `DELETE /api/v1/admin/accounts/{id}`: removes an account and its credential. Records keep its name.

use super::find;
use crate::answer::{Answer, Done, done};
use crate::api::body::Id;
use crate::api::context::Context;

/// Removes the account: `204`.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn handler(context: Context, Id(id): Id) -> Answer<Done> {
    context.if_match.check(find(&context, &id).await?.updated_at)?;
    context.store().delete_account(&context.scope, &id).await?;
    context.state().accounts.forget_account(&id);
    Ok(done())
}
