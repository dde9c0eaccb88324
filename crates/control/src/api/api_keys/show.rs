//! `GET /api/v1/admin/api-keys/{id}`: one key.

use super::{Shown, find};
use crate::answer::{Answer, Json, ok};
use crate::api::body::Id;
use crate::api::context::Context;

/// Shows the key.
///
/// # Errors
/// `NOT_FOUND`, also when it is somebody else's and the caller is a plain user.
pub async fn handler(context: Context, Id(id): Id) -> Answer<Json<Shown>> {
    Ok(ok(Shown::of(&context, find(&context, &id).await?)))
}
