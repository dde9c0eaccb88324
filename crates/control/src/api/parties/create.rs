//! `POST /api/v1/admin/tenants` and `POST /api/v1/admin/groups`.

use model::quota::Quota;
use model::resource::{OwnerTerms, Party, RateLimit};
use schemars::JsonSchema;
use serde::Deserialize;

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

/// Creates it.
///
/// # Errors
/// `CONFLICT` when the id is taken; `INVALID_REQUEST` names the field.
pub async fn handler(context: Context, kind: Kind, JsonBody(body): JsonBody<Body>) -> Answer<Created<View>> {
    let id = check::party(&body.id)?;
    let terms = OwnerTerms { rate_limit: body.rate_limit, quota: terms::quotas(body.quota)?, wallet: false };
    let party = Party {
        name: check::name("name", body.name.as_deref().unwrap_or(&id))?,
        id,
        terms,
        created_at: context.now_ms(),
        updated_at: context.now_ms(),
    };
    context.store().insert_party(&context.scope, kind.0, &party).await?;
    Ok(created(View::of(&context, kind, party)))
}
