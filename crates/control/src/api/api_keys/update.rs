//! `PATCH /api/v1/admin/api-keys/{id}`: changes the fields that are given; `null` clears one.

use axum::response::IntoResponse;
use model::resource::{ApiKey, RateLimit};
use serde::Deserialize;

use super::{View, change, owner};
use crate::answer::{Answer, ok};
use crate::api::body::{Id, JsonBody};
use crate::api::check;
use crate::api::context::Context;

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
        Some(Some(user)) => Some(Some(owner(&context, &user).await?)),
        Some(None) => Some(None),
        None => None,
    };
    let key = change(&context, &id, "api-key.update", |key| {
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
    if let Some(group) = body.group_id {
        key.group_id = check::group(Some(group))?;
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
    Ok(())
}
