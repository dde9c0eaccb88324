//! `PATCH /api/v1/admin/accounts/{id}`: changes the fields that are given; `null` clears one.

use model::resource::Account;
use schemars::JsonSchema;
use serde::Deserialize;

use super::plan::{self, Credential, Offered};
use super::{View, change};
use crate::answer::{Answer, Json, Refusal, ok};
use crate::api::body::{Id, JsonBody};
use crate::api::check;
use crate::api::context::Context;

/// What is to change.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    name: Option<String>,
    #[serde(default, deserialize_with = "check::present")]
    base_url: Option<Option<String>>,
    #[serde(default, deserialize_with = "check::present")]
    api_version: Option<Option<String>>,
    #[serde(default, deserialize_with = "check::present")]
    credential: Option<Option<Credential>>,
    models: Option<Vec<Offered>>,
    priority: Option<u32>,
    weight: Option<u32>,
    #[serde(default, deserialize_with = "check::present")]
    concurrency: Option<Option<u32>>,
    allow_private: Option<bool>,
    group_id: Option<String>,
    /// A label by which `/{family}/v1/…` goes to such accounts alone.
    #[serde(default, deserialize_with = "check::present")]
    family: Option<Option<String>>,
}

/// Changes the account.
///
/// # Errors
/// `NOT_FOUND`; `INVALID_REQUEST` names the field; `CONFLICT` for a name that is taken.
pub async fn handler(context: Context, Id(id): Id, JsonBody(body): JsonBody<Body>) -> Answer<Json<View>> {
    let account = change(&context, &id, |account| edit(account, body)).await?;
    Ok(ok(View::of(&context, account)))
}

fn edit(account: &mut Account, body: Body) -> Answer<()> {
    let before = origin_of(account);
    let is_new_credential = body.credential.is_some();
    merge(account, body)?;
    plan::check(account)?;
    if account.credential.is_some() && !is_new_credential && origin_of(account) != before {
        let message =
            "A new `base_url` needs the `credential` again: the stored one was given for another address.";
        return Err(Refusal::invalid("credential", message));
    }
    Ok(())
}

fn merge(account: &mut Account, body: Body) -> Answer<()> {
    if let Some(name) = body.name {
        account.name = check::name("name", &name)?;
    }
    if let Some(url) = body.base_url {
        account.base_url = url;
    }
    if let Some(version) = body.api_version {
        account.api_version = version.map(|text| check::name("api_version", &text)).transpose()?;
    }
    if let Some(credential) = body.credential {
        account.credential = credential.map(Credential::checked).transpose()?;
    }
    if let Some(models) = body.models {
        account.models = models.into_iter().map(Into::into).collect();
    }
    if let Some(limit) = body.concurrency {
        account.concurrency = limit;
    }
    if let Some(group) = body.group_id {
        account.group_id = check::group(Some(group))?;
    }
    if let Some(family) = body.family {
        account.family = family.map(check::family).transpose()?;
    }
    account.priority = body.priority.unwrap_or(account.priority);
    account.weight = body.weight.unwrap_or(account.weight);
    account.allow_private = body.allow_private.unwrap_or(account.allow_private);
    Ok(())
}

/// A credential goes only to the origin for which it was given.
fn origin_of(account: &Account) -> Option<String> {
    let preset = llm::provider::preset(&account.provider);
    let usual = preset.and_then(|preset| preset.base_url.as_deref());
    let url = account.base_url.as_deref().or(usual)?;
    egress::Origin::parse(url).ok().map(|origin| origin.to_string())
}
