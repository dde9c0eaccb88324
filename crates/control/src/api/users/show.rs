//! `GET /api/v1/admin/users/{id}`: one user.

use axum::response::IntoResponse;

use super::{View, find};
use crate::answer::{Answer, ok};
use crate::api::body::Id;
use crate::api::context::Context;

/// Shows the user.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn handler(context: Context, Id(id): Id) -> Answer<impl IntoResponse> {
    Ok(ok(View::of(&context, find(&context, &id).await?)))
}
