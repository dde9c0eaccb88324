//! `POST /api/v1/admin/users/{id}/disable` and `DELETE …/{id}`: ends every sign-in of a user.
//!
//! The row stays: keys and records name it.

use model::ResourceId;
use model::resource::User;

use super::{View, change, check_not_self, check_rank, find, scope_of};
use crate::answer::{Answer, Done, Json, done, ok};
use crate::api::body::Id;
use crate::api::context::Context;

/// Disables the user and shows them.
///
/// # Errors
/// `NOT_FOUND`; `SCOPE_DENIED` for an owner; `CONFLICT` for oneself.
pub async fn handler(context: Context, Id(id): Id) -> Answer<Json<View>> {
    Ok(ok(View::of(&context, disable(&context, &id).await?)))
}

/// Disables the user: `204`.
///
/// # Errors
/// As [`handler`].
pub async fn delete(context: Context, Id(id): Id) -> Answer<Done> {
    disable(&context, &id).await?;
    Ok(done())
}

async fn disable(context: &Context, id: &ResourceId) -> Answer<User> {
    check_rank(context, find(context, id).await?.role)?;
    check_not_self(context, id)?;
    let user = change(context, id, |user| user.enabled = false).await?;
    context.store().revoke_user_sessions(&scope_of(context, id).await?, id, context.now_ms()).await?;
    Ok(user)
}
