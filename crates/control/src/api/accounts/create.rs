//! `POST /api/v1/admin/accounts`: a new account at a provider.

use model::resource::Account;
use model::resource::account::{DEFAULT_PRIORITY, DEFAULT_WEIGHT};
use model::resource::key::DEFAULT_TENANT;
use schemars::JsonSchema;
use serde::Deserialize;

use super::View;
use super::plan::{self, Credential, Offered};
use crate::answer::{Answer, Created, created};
use crate::api::body::JsonBody;
use crate::api::check;
use crate::api::context::Context;

/// What the account is to be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    name: String,
    provider: String,
    base_url: Option<String>,
    api_version: Option<String>,
    credential: Option<Credential>,
    #[serde(default)]
    models: Vec<Offered>,
    priority: Option<u32>,
    weight: Option<u32>,
    concurrency: Option<u32>,
    #[serde(default)]
    allow_private: bool,
    group_id: Option<String>,
    /// A label by which `/{family}/v1/…` goes to such accounts alone.
    family: Option<String>,
}

/// Creates the account.
///
/// # Errors
/// `INVALID_REQUEST` names the field; `CONFLICT` for a name that is taken.
pub async fn handler(context: Context, JsonBody(body): JsonBody<Body>) -> Answer<Created<View>> {
    let now_ms = context.now_ms();
    let account = Account {
        id: context.mint_id(),
        name: check::name("name", &body.name)?,
        provider: body.provider,
        base_url: body.base_url,
        api_version: body.api_version.map(|text| check::name("api_version", &text)).transpose()?,
        credential: body.credential.map(Credential::checked).transpose()?,
        models: body.models.into_iter().map(Into::into).collect(),
        priority: body.priority.unwrap_or(DEFAULT_PRIORITY),
        weight: body.weight.unwrap_or(DEFAULT_WEIGHT),
        concurrency: body.concurrency,
        allow_private: body.allow_private,
        enabled: true,
        tenant_id: DEFAULT_TENANT.to_owned(),
        group_id: check::group(body.group_id)?,
        family: body.family.map(check::family).transpose()?,
        created_at: now_ms,
        updated_at: now_ms,
    };
    plan::check(&account)?;
    context.store().insert_account(&context.scope, &account).await?;
    Ok(created(View::of(&context, account)))
}
