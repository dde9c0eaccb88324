//! `POST /api/v1/admin/api-keys`: a new key, whose text is shown in this answer only.

use axum::response::IntoResponse;
use model::Code;
use model::resource::key::{DEFAULT_TENANT, KeyStatus};
use model::resource::{ApiKey, KeyKind, RateLimit};
use serde::Deserialize;

use super::{NewSecret, owner};
use crate::answer::{Answer, Refusal, created};
use crate::api::body::JsonBody;
use crate::api::check;
use crate::api::context::Context;

/// What a new key is to be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    name: String,
    user_id: Option<String>,
    group_id: Option<String>,
    #[serde(default)]
    kind: KeyKind,
    expires_at: Option<String>,
    #[serde(default)]
    models: Vec<String>,
    #[serde(default)]
    allowed_ips: Vec<String>,
    #[serde(default)]
    rate_limit: RateLimit,
    signing: Option<String>,
}

/// Creates the key.
///
/// # Errors
/// `INVALID_REQUEST` names the field; `UNSUPPORTED_FEATURE` for signed keys.
pub async fn handler(context: Context, JsonBody(body): JsonBody<Body>) -> Answer<impl IntoResponse> {
    if body.signing.is_some_and(|scheme| scheme != "none") {
        let message = "Signed keys do not exist yet in this version; leave `signing` out.";
        return Err(Refusal::because(Code::UnsupportedFeature, message));
    }
    let user_id = match &body.user_id {
        Some(id) => Some(owner(&context, id).await?),
        None => None,
    };
    let id = context.mint_id();
    let secret = NewSecret::mint(&context, body.kind, &id)?;
    let now_ms = context.now_ms();
    let key = ApiKey {
        name: check::name("name", &body.name)?,
        secret_hmac: secret.hmac,
        hint: secret.hint.clone(),
        kind: body.kind,
        status: KeyStatus::Active,
        user_id,
        tenant_id: DEFAULT_TENANT.to_owned(),
        group_id: check::group(body.group_id)?,
        expires_at: body.expires_at.map(|text| check::time("expires_at", &text)).transpose()?,
        models: check::names("models", body.models)?,
        allowed_ips: check::networks("allowed_ips", &body.allowed_ips)?,
        rate_limit: body.rate_limit,
        terms: model::resource::KeyTerms::default(),
        created_at: now_ms,
        updated_at: now_ms,
        id,
    };
    context.store().insert_key(&context.scope, &key).await?;
    context.audit("api-key.create", key.id.as_str());
    Ok(created(secret.reveal(key)))
}
