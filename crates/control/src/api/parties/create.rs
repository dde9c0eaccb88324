//! `POST /api/v1/admin/tenants` and `POST /api/v1/admin/groups`.

use model::quota::Quota;
use model::resource::terms::EchoModel;
use model::resource::{OwnerTerms, Party, RateLimit};
use schemars::JsonSchema;
use serde::Deserialize;
use store::PartyKind;

use super::serving::ServingChange;
use super::{Kind, View};
use crate::answer::{Answer, Created, created};
use crate::api::body::JsonBody;
use crate::api::context::Context;
use crate::api::{check, terms};

/// What it is to be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    id: String,
    name: Option<String>,
    #[serde(default)]
    rate_limit: RateLimit,
    #[serde(default)]
    quota: Vec<Quota>,
}

/// What a group is to be: as a tenant, and how its requests are served.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupBody {
    id: String,
    name: Option<String>,
    #[serde(default)]
    rate_limit: RateLimit,
    #[serde(default)]
    quota: Vec<Quota>,
    echo_model: Option<EchoModel>,
    retry_executed: Option<bool>,
    #[schemars(range(max = 10))]
    max_switches: Option<u8>,
}

/// Creates a tenant.
///
/// # Errors
/// `CONFLICT` when the id is taken; `INVALID_REQUEST` names the field.
pub async fn tenant(context: Context, JsonBody(body): JsonBody<Body>) -> Answer<Created<View>> {
    insert(&context, Kind(PartyKind::Tenant), body, ServingChange::default()).await
}

/// Creates a group.
///
/// # Errors
/// As for a tenant.
pub async fn group(context: Context, JsonBody(body): JsonBody<GroupBody>) -> Answer<Created<View>> {
    let GroupBody { id, name, rate_limit, quota, echo_model, retry_executed, max_switches } = body;
    let serving = ServingChange { echo_model, retry_executed, max_switches };
    insert(&context, Kind(PartyKind::Group), Body { id, name, rate_limit, quota }, serving).await
}

async fn insert(context: &Context, kind: Kind, body: Body, serving: ServingChange) -> Answer<Created<View>> {
    let id = check::party(&body.id)?;
    let mut terms = OwnerTerms {
        rate_limit: body.rate_limit,
        quota: terms::quotas(body.quota)?,
        ..OwnerTerms::default()
    };
    serving.apply(&mut terms.serving)?;
    let party = Party {
        name: check::name("name", body.name.as_deref().unwrap_or(&id))?,
        id,
        terms,
        created_at: context.now_ms(),
        updated_at: context.now_ms(),
    };
    context.store().insert_party(&context.scope, kind.0, &party).await?;
    Ok(created(View::of(context, kind, party)))
}
