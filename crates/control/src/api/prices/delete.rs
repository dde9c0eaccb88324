//! `DELETE /api/v1/admin/prices/{model}`: removes an override, so that the catalogue's price holds again.

use axum::response::IntoResponse;
use model::Code;

use crate::answer::{Answer, Refusal, done};
use crate::api::body::Name;
use crate::api::context::Context;

/// Removes the override: `204`.
///
/// # Errors
/// `NOT_FOUND` when the model has none.
pub async fn handler(context: Context, Name(model): Name) -> Answer<impl IntoResponse> {
    if !context.store().delete_price(&context.scope, &model).await? {
        return Err(Refusal::because(Code::NotFound, "The model has no override."));
    }
    context.audit("price.delete", &model);
    Ok(done())
}
