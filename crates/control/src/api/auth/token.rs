//! `POST /api/v1/auth/token`: an internal key for an access token to the internal channel, so that a
//! front end is given what ends by itself. The key comes as a bearer, or as `{"api_key"}`.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use ipnet::IpNet;
use model::clock::{EpochMs, rfc3339};
use model::key_text;
use model::resource::key::KeyStatus;
use model::resource::{ApiKey, KeyKind};
use model::{Code, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::Scope;
use subtle::ConstantTimeEq;

use crate::answer::{Answer, Json, Refusal, ok};
use crate::api::body::OptionalJson;
use crate::api::context::Context;
use crate::session::Claims;

/// The key, where it is not a bearer.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    api_key: Option<String>,
}

/// The token, shown once.
#[derive(Serialize, JsonSchema)]
pub struct Exchanged {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
}

/// Exchanges the key.
///
/// # Errors
/// `INVALID_API_KEY`, `API_KEY_REVOKED`, `API_KEY_EXPIRED`, `IP_NOT_WHITELISTED` as on a call;
/// `SCOPE_DENIED` for a key that is not internal; `INVALID_SIGNATURE` for one that only signs; `INVALID_REQUEST_CREDENTIALS` for two keys.
pub async fn handler(
    context: Context,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson<Body>,
) -> Answer<Json<Exchanged>> {
    let bearer = bearer(&headers);
    let text = match (bearer, body.api_key.map(Secret::new)) {
        (Some(one), Some(other)) if one.expose() != other.expose() => {
            return Err(Refusal::new(Code::InvalidRequestCredentials));
        }
        (one, other) => one.or(other).ok_or_else(unknown)?,
    };
    let key = find(&context, text.expose()).await?;
    check(&context, &key)?;
    let claims = Claims::exchange(&key, context.now_ms());
    let access_token = context.state().jwt_keys.sign(&claims).map_err(Refusal::internal)?;
    context.note.actor(format!("key:{}", key.id));
    context.note.object(key.id.as_str());
    Ok(ok(Exchanged { access_token, token_type: "bearer", expires_in: claims.exp - claims.iat }))
}

/// The key in the headers.
fn bearer(headers: &HeaderMap) -> Option<Secret<String>> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    // Another kind of token says who is signed in, which is not the question here.
    let is_key = scheme.eq_ignore_ascii_case("bearer") && key_text::is_prefixed(token.trim());
    is_key.then(|| Secret::new(token.trim().to_owned()))
}

/// The key whose text this is. An unknown id and a wrong secret are told apart by nothing: where there is no such key as
/// much is read and hashed.
async fn find(context: &Context, text: &str) -> Answer<ApiKey> {
    let parsed = key_text::parse(text).ok_or_else(unknown)?;
    let store = context.store();
    let tenant = store.tenant_of_key(&parsed.id).await?.unwrap_or_default();
    let found = store.find_key(&Scope::new(&tenant, "token"), &parsed.id).await?;
    let hmac = store.key_ring().hmac_secret(parsed.secret);
    let fits = found.as_ref().map(|key| secret_fits(key, &hmac, context.now_ms()));
    found.filter(|_| fits == Some(true)).ok_or_else(unknown)
}

/// Whether it is the hash of the key's secret, or of one in its grace period.
fn secret_fits(key: &ApiKey, hmac: &[u8; 32], now_ms: EpochMs) -> bool {
    let former = key.access.former.iter().filter(|former| former.until > now_ms).map(|former| &former.hmac);
    let mut stored = std::iter::once(&key.secret_hmac).chain(former);
    stored.any(|stored| bool::from(hmac.ct_eq(stored)))
}

/// Whether the key works, from where the caller is, and is of the kind that is exchanged.
fn check(context: &Context, key: &ApiKey) -> Answer<()> {
    if key.status != KeyStatus::Active {
        return Err(Refusal::new(Code::ApiKeyRevoked));
    }
    if let Some(end) = key.expires_at.filter(|end| *end <= context.now_ms()) {
        let message = format!("The API key expired at {}.", rfc3339(end));
        return Err(Refusal::because(Code::ApiKeyExpired, message));
    }
    let networks = key.allowed_ips.iter().filter_map(|text| text.parse::<IpNet>().ok());
    let allowed =
        |peer| key.allowed_ips.is_empty() || networks.clone().any(|network| network.contains(&peer));
    if context.peer.is_some_and(|peer| !allowed(peer)) {
        return Err(Refusal::new(Code::IpNotWhitelisted));
    }
    if key.kind != KeyKind::Internal {
        let message =
            format!("Only internal keys are exchanged; this one is of the kind `{}`.", key.kind.name());
        return Err(Refusal::because(Code::ScopeDenied, message));
    }
    if !key.access.takes_bearer() {
        let message = "This key is used by signing requests, not as a bearer.";
        return Err(Refusal::because(Code::InvalidSignature, message));
    }
    Ok(())
}

fn unknown() -> Refusal {
    Refusal::because(Code::InvalidApiKey, "The API key is not known here.")
}
