//! `POST /api/v1/admin/jwt-keys/rotate`: a new key, which signs from now on. Tokens of the key before it stay good
//! until they expire or that key is removed.

use super::View;
use crate::answer::{Answer, Created, created};
use crate::api::context::Context;

/// Rotates.
///
/// # Errors
/// `CONFLICT` when the configuration names the key.
pub async fn handler(context: Context) -> Answer<Created<View>> {
    let keys = &context.state().jwt_keys;
    let made = keys.rotate(context.now_ms())?;
    context.note.object(&made.kid);
    std::future::ready(Ok(created(View::of(made, keys.algorithm().name())))).await
}
