//! `GET|PUT /api/v1/admin/settings/limits`: the limits above keys and their owners (for each address, for
//! each model, for the whole gateway), and what requests to models without a price may do.

use model::resource::GatewayTerms;

use crate::answer::{Answer, Tagged, abandon};
use crate::api::body::JsonBody;
use crate::api::check;
use crate::api::context::Context;

/// Shows the limits.
///
/// # Errors
/// What the store says.
pub async fn show(context: Context) -> Answer<Tagged<GatewayTerms>> {
    let (terms, updated_at) = context.store().gateway_terms(&context.scope).await?;
    Ok(Tagged(terms, updated_at))
}

/// Replaces the limits; what is left out is not limited.
///
/// # Errors
/// `INVALID_REQUEST` names the field.
pub async fn set(context: Context, JsonBody(terms): JsonBody<GatewayTerms>) -> Answer<Tagged<GatewayTerms>> {
    check::at_most("models", terms.models.len())?;
    for model in terms.models.keys() {
        check::name("models", model)?;
    }
    let mut stale = None;
    let (store, now_ms) = (context.store(), context.now_ms());
    let set = store.set_gateway_terms(&context.scope, now_ms, &terms, |updated_at| {
        context.if_match.check(updated_at).map_err(|why| abandon(&mut stale, why))
    });
    let set = set.await;
    match stale {
        Some(refusal) => Err(refusal),
        None => Ok(Tagged(terms, set?)),
    }
}
