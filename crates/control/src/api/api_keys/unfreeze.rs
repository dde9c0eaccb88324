//! `POST /api/v1/admin/api-keys/{id}/unfreeze`: ends all that bad signatures have frozen of a key.

use super::{Shown, find};
use crate::answer::{Answer, Json, ok};
use crate::api::body::Id;
use crate::api::context::Context;

/// Thaws the key, for all networks at once. A key that is not frozen stays as it is.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn handler(context: Context, Id(id): Id) -> Answer<Json<Shown>> {
    let key = find(&context, &id).await?;
    context.state().freezes.thaw(&id);
    Ok(ok(Shown::of(&context, key)))
}
