//! `DELETE /api/v1/admin/prices/{model}`: removes an override, so that the catalogue's price holds again.

use model::Code;

use crate::answer::{Answer, Done, Refusal, done};
use crate::api::body::Name;
use crate::api::context::Context;

/// Removes the override: `204`.
///
/// # Errors
/// `NOT_FOUND` when the model has none.
pub async fn handler(context: Context, Name(model): Name) -> Answer<Done> {
    let none = || Refusal::because(Code::NotFound, "The model has no override.");
    let before = context.store().find_price(&context.scope, &model).await?.ok_or_else(none)?;
    context.if_match.check(before.updated_at)?;
    if context.store().delete_price(&context.scope, &model).await? { Ok(done()) } else { Err(none()) }
}
