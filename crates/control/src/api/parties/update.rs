//! `PATCH /api/v1/admin/tenants/{id}` and `PATCH /api/v1/admin/groups/{id}`: changes the fields that are
//! given. The id stays: keys, users and accounts refer to it.

use model::quota::Quota;
use model::resource::RateLimit;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Kind, View, change};
use crate::answer::{Answer, Json, ok};
use crate::api::body::{JsonBody, Name};
use crate::api::context::Context;
use crate::api::{check, terms};

/// What is to change.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    name: Option<String>,
    rate_limit: Option<RateLimit>,
    quota: Option<Vec<Quota>>,
}

/// Changes it.
///
/// # Errors
/// `NOT_FOUND`; `INVALID_REQUEST` names the field.
pub async fn handler(
    context: Context,
    kind: Kind,
    Name(id): Name,
    JsonBody(body): JsonBody<Body>,
) -> Answer<Json<View>> {
    let party = change(&context, (kind, &id), |party| {
        if let Some(name) = body.name {
            party.name = check::name("name", &name)?;
        }
        if let Some(limits) = body.rate_limit {
            party.terms.rate_limit = limits;
        }
        if let Some(quotas) = body.quota {
            party.terms.quota = terms::quotas(quotas)?;
        }
        Ok(())
    })
    .await?;
    Ok(ok(View::of(&context, kind, party)))
}
