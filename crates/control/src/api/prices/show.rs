//! `GET /api/v1/admin/prices/{model}`: the price in force: the override, else the catalogue's.

use ledger::Catalogue;
use model::Code;

use super::View;
use crate::answer::{Answer, Json, Refusal, ok};
use crate::api::body::Name;
use crate::api::context::Context;

/// No preset has this id, so the catalogue answers for the first provider that lists the model.
const ANY_PROVIDER: &str = "";

/// Shows the price.
///
/// # Errors
/// `NOT_FOUND` when nothing prices the model.
pub async fn handler(context: Context, Name(model): Name) -> Answer<Json<View>> {
    let found = context.store().find_price(&context.scope, &model).await?;
    let listed = || Catalogue::builtin().find(ANY_PROVIDER, &model).map(View::from);
    let price = found.map(View::from).or_else(listed);
    let price = price.ok_or_else(|| Refusal::because(Code::NotFound, "Nothing prices this model."));
    Ok(ok(price?))
}
