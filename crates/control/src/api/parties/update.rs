//! `PATCH /api/v1/admin/tenants/{id}` and `PATCH /api/v1/admin/groups/{id}`: changes the fields that are
//! given. The id stays: keys, users and accounts refer to it.

use model::quota::Quota;
use model::resource::RateLimit;
use model::resource::terms::EchoModel;
use schemars::JsonSchema;
use serde::Deserialize;
use store::PartyKind;

use super::serving::ServingChange;
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

/// What of a group is to change.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupBody {
    name: Option<String>,
    rate_limit: Option<RateLimit>,
    quota: Option<Vec<Quota>>,
    echo_model: Option<EchoModel>,
    retry_executed: Option<bool>,
    #[schemars(range(max = 10))]
    max_switches: Option<u8>,
}

/// Changes a tenant.
///
/// # Errors
/// `NOT_FOUND`; `INVALID_REQUEST` names the field.
pub async fn tenant(context: Context, Name(id): Name, JsonBody(body): JsonBody<Body>) -> Answer<Json<View>> {
    update(&context, (Kind(PartyKind::Tenant), &id), body, ServingChange::default()).await
}

/// Changes a group.
///
/// # Errors
/// As for a tenant.
pub async fn group(
    context: Context,
    Name(id): Name,
    JsonBody(body): JsonBody<GroupBody>,
) -> Answer<Json<View>> {
    let GroupBody { name, rate_limit, quota, echo_model, retry_executed, max_switches } = body;
    let serving = ServingChange { echo_model, retry_executed, max_switches };
    update(&context, (Kind(PartyKind::Group), &id), Body { name, rate_limit, quota }, serving).await
}

async fn update(
    context: &Context,
    (kind, id): (Kind, &str),
    body: Body,
    serving: ServingChange,
) -> Answer<Json<View>> {
    let party = change(context, (kind, id), |party| {
        if let Some(name) = body.name {
            party.name = check::name("name", &name)?;
        }
        if let Some(limits) = body.rate_limit {
            party.terms.rate_limit = party.terms.rate_limit.merged(limits);
        }
        if let Some(quotas) = body.quota {
            party.terms.quota = terms::quotas(quotas)?;
        }
        serving.apply(&mut party.terms.serving)
    })
    .await?;
    Ok(ok(View::of(context, kind, party)))
}
