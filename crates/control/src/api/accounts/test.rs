//! `POST /api/v1/admin/accounts/{id}/test`: calls the account's upstream with its credential and tells what
//! came of it. Nothing is changed: neither blocks nor circuits hear of it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::find;
use crate::answer::{Answer, Json, Refusal, ok};
use crate::api::body::{Id, OptionalJson};
use crate::api::check;
use crate::api::context::Context;
use crate::state::Probed;

/// What is to be called.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// A model that is asked for one token, which costs money; without it, only what costs nothing is called.
    model: Option<String>,
}

/// Tests the account.
///
/// # Errors
/// `NOT_FOUND`; `INVALID_REQUEST` names `model` where the provider has nothing else to call.
pub async fn handler(
    context: Context,
    Id(id): Id,
    OptionalJson(body): OptionalJson<Body>,
) -> Answer<Json<Probed>> {
    let model = body.model.map(|model| check::name("model", &model)).transpose()?;
    let account = find(&context, &id).await?;
    let probed = context.state().probe.probe(account, model).await.map_err(Refusal::from)?;
    Ok(ok(probed))
}
