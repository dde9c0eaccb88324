//! `GET /api/v1/admin/users/{id}`: one user.

use super::{View, find};
use crate::answer::{Answer, Json, ok};
use crate::api::body::Id;
use crate::api::context::Context;

/// Shows the user.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn handler(context: Context, Id(id): Id) -> Answer<Json<View>> {
    Ok(ok(View::of(&context, find(&context, &id).await?)))
}
