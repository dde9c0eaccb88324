//! `GET|PUT /api/v1/admin/settings/limits`: the limits above keys and their owners (for each address, for
//! each model, for the whole gateway), and what requests to models without a price may do.

use model::resource::GatewayTerms;

use crate::answer::{Answer, Json, ok};
use crate::api::body::JsonBody;
use crate::api::check;
use crate::api::context::Context;

/// Shows the limits.
///
/// # Errors
/// What the store says.
pub async fn show(context: Context) -> Answer<Json<GatewayTerms>> {
    Ok(ok(context.store().gateway_terms(&context.scope).await?))
}

/// Replaces the limits; what is left out is not limited.
///
/// # Errors
/// `INVALID_REQUEST` names the field.
pub async fn set(context: Context, JsonBody(terms): JsonBody<GatewayTerms>) -> Answer<Json<GatewayTerms>> {
    check::at_most("models", terms.models.len())?;
    for model in terms.models.keys() {
        check::name("models", model)?;
    }
    context.store().set_gateway_terms(&context.scope, context.now_ms(), &terms).await?;
    Ok(ok(terms))
}
