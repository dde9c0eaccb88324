//! `PATCH /api/v1/admin/api-keys/{id}`: changes the fields that are given; `null` clears one.

use axum::response::IntoResponse;
use model::quota::Quota;
use model::resource::terms::{StrictUnary, WhenExhausted};
use model::resource::{ApiKey, RateLimit};
use serde::Deserialize;

use super::{View, change, named_user, scope_of};
use crate::answer::{Answer, ok};
use crate::api::body::{Id, JsonBody};
use crate::api::check;
use crate::api::context::Context;
use crate::api::parties;
use crate::api::terms::{Disconnect, TermsChange};

/// What is to change.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    name: Option<String>,
    #[serde(default, deserialize_with = "check::present")]
    user_id: Option<Option<String>>,
    group_id: Option<String>,
    #[serde(default, deserialize_with = "check::present")]
    expires_at: Option<Option<String>>,
    models: Option<Vec<String>>,
    allowed_ips: Option<Vec<String>>,
    rate_limit: Option<RateLimit>,
    quota: Option<Vec<Quota>>,
    is_whitelist: Option<bool>,
    on_disconnect: Option<Disconnect>,
    strict_unary: Option<StrictUnary>,
    when_exhausted: Option<WhenExhausted>,
    idempotency: Option<bool>,
}

/// Changes the key.
///
/// # Errors
/// `NOT_FOUND`; `CONFLICT` for a revoked key; `INVALID_REQUEST` names the field.
pub async fn handler(
    context: Context,
    Id(id): Id,
    JsonBody(mut body): JsonBody<Body>,
) -> Answer<impl IntoResponse> {
    let new_owner = match body.user_id.take() {
        Some(Some(user)) => Some(Some(named_user(&context, &scope_of(&context, &id).await?, &user).await?)),
        Some(None) => Some(None),
        None => None,
    };
    let new_group = match body.group_id.take() {
        Some(group) => Some(parties::group(&context, Some(group)).await?),
        None => None,
    };
    let key = change(&context, &id, "api-key.update", |key| {
        if let Some(group) = new_group {
            key.group_id = group;
        }
        if let Some(owner) = new_owner {
            key.user_id = owner;
        }
        edit(key, body)
    })
    .await?;
    Ok(ok(View::from(key)))
}

fn edit(key: &mut ApiKey, body: Body) -> Answer<()> {
    if let Some(name) = body.name {
        key.name = check::name("name", &name)?;
    }
    if let Some(expiry) = body.expires_at {
        key.expires_at = expiry.map(|text| check::time("expires_at", &text)).transpose()?;
    }
    if let Some(models) = body.models {
        key.models = check::names("models", models)?;
    }
    if let Some(networks) = body.allowed_ips {
        key.allowed_ips = check::networks("allowed_ips", &networks)?;
    }
    if let Some(limits) = body.rate_limit {
        key.rate_limit = limits;
    }
    let terms = TermsChange {
        quota: body.quota,
        is_whitelist: body.is_whitelist,
        on_disconnect: body.on_disconnect,
        strict_unary: body.strict_unary,
        when_exhausted: body.when_exhausted,
        idempotency: body.idempotency,
    };
    terms.apply(&mut key.terms)
}
