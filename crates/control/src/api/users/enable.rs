//! `POST /api/v1/admin/users/{id}/enable`.

use super::{View, change, check_rank, find};
use crate::answer::{Answer, Json, ok};
use crate::api::body::Id;
use crate::api::context::Context;

/// Lets a disabled user sign in again.
///
/// # Errors
/// `NOT_FOUND`; `SCOPE_DENIED` for an owner.
pub async fn handler(context: Context, Id(id): Id) -> Answer<Json<View>> {
    check_rank(&context, find(&context, &id).await?.role)?;
    let user = change(&context, &id, |user| user.enabled = true).await?;
    Ok(ok(View::of(&context, user)))
}
