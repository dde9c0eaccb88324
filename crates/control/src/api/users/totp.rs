//! `DELETE /api/v1/admin/users/{id}/totp`: removes the second factor of a user who lost it.

use model::Code;

use super::{check_rank, find, scope_of};
use crate::answer::{Answer, Done, Refusal, done};
use crate::api::body::Id;
use crate::api::context::Context;

/// Removes the second factor: `204`.
///
/// # Errors
/// `NOT_FOUND`, also for a user without one; `SCOPE_DENIED` for an owner.
pub async fn handler(context: Context, Id(id): Id) -> Answer<Done> {
    check_rank(&context, find(&context, &id).await?.role)?;
    let scope = scope_of(&context, &id).await?;
    if !context.store().delete_second_factor(&scope, &id, context.now_ms()).await? {
        return Err(Refusal::because(Code::NotFound, "The user has no second factor."));
    }
    Ok(done())
}
