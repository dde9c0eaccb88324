//! `DELETE /api/v1/admin/jwt-keys/{id}`: ends a key; whoever holds a token of it signs in or refreshes.

use model::Code;

use crate::answer::{Answer, Done, Refusal, done};
use crate::api::body::Name;
use crate::api::context::Context;

/// Removes the key: `204`.
///
/// # Errors
/// `NOT_FOUND`; `CONFLICT` for the key that signs.
pub async fn handler(context: Context, Name(id): Name) -> Answer<Done> {
    if !context.state().jwt_keys.remove(&id)? {
        return Err(Refusal::new(Code::NotFound));
    }
    std::future::ready(Ok(done())).await
}
