//! `PATCH /api/v1/admin/api-keys/{id}`: changes the fields that are given; `null` clears one.

use model::Secret;
use model::clock::EpochMs;
use model::quota::Quota;
use model::resource::terms::{StrictUnary, TranslationPolicy, WhenExhausted};
use model::resource::{ApiKey, FreezeScope, RateLimit, Signing};
use schemars::JsonSchema;
use serde::Deserialize;

use super::secret::{self, Revealed};
use super::{change, check_access, named_user, scope_of};
use crate::answer::{Answer, Json, ok};
use crate::api::body::{Id, JsonBody};
use crate::api::check;
use crate::api::context::Context;
use crate::api::parties;
use crate::api::terms::{Disconnect, TermsChange};

/// What is to change.
#[derive(Deserialize, JsonSchema)]
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
    translation: Option<TranslationPolicy>,
    signing: Option<Signing>,
    bearer: Option<bool>,
    freeze_scope: Option<FreezeScope>,
}

/// Changes the key. One that begins to sign gets its signing secret, shown in this answer only.
///
/// # Errors
/// `NOT_FOUND`; `CONFLICT` for a revoked key; `INVALID_REQUEST` names the field.
pub async fn handler(
    context: Context,
    Id(id): Id,
    JsonBody(mut body): JsonBody<Body>,
) -> Answer<Json<Revealed>> {
    let new_owner = match body.user_id.take() {
        Some(Some(user)) => Some(Some(named_user(&context, &scope_of(&context, &id).await?, &user).await?)),
        Some(None) => Some(None),
        None => None,
    };
    let new_group = match body.group_id.take() {
        Some(group) => Some(parties::group(&context, Some(group)).await?),
        None => None,
    };
    let access = AccessChange {
        signing: body.signing,
        bearer: body.bearer,
        freeze_scope: body.freeze_scope,
        secret: secret::mint_signing(&context),
        now: context.now_ms(),
    };
    let mut begins_to_sign = false;
    let key = change(&context, &id, |key| {
        if let Some(group) = new_group {
            key.group_id = group.into();
        }
        if let Some(owner) = new_owner {
            key.user_id = owner;
        }
        begins_to_sign = access.apply(key)?;
        edit(key, body)
    })
    .await?;
    if begins_to_sign {
        return Ok(ok(Revealed::signing_only(&context, key)));
    }
    Ok(ok(Revealed::nothing(key)))
}

/// What is to change of how a key proves who it is.
struct AccessChange {
    signing: Option<Signing>,
    bearer: Option<bool>,
    freeze_scope: Option<FreezeScope>,
    /// For a key that begins to sign.
    secret: Secret<String>,
    now: EpochMs,
}

impl AccessChange {
    /// Says whether the key begins to sign with this.
    fn apply(self, key: &mut ApiKey) -> Answer<bool> {
        let access = &mut key.access;
        access.bearer = self.bearer.unwrap_or(access.bearer);
        access.freeze_scope = self.freeze_scope.unwrap_or(access.freeze_scope);
        access.signing = self.signing.unwrap_or(access.signing);
        check_access(key.kind, access)?;
        if access.signing == Signing::None {
            access.secrets.clear();
        }
        let begins = access.signing != Signing::None && access.secrets.is_empty();
        if begins {
            access.renew_signing(self.secret, None, self.now);
        }
        Ok(begins)
    }
}

fn edit(key: &mut ApiKey, body: Body) -> Answer<()> {
    if let Some(name) = body.name {
        key.name = check::name("name", &name)?.into();
    }
    if let Some(expiry) = body.expires_at {
        key.expires_at = expiry.map(|text| check::time("expires_at", &text)).transpose()?;
    }
    if let Some(models) = body.models {
        key.models = check::names("models", models)?.into();
    }
    if let Some(networks) = body.allowed_ips {
        key.allowed_ips = check::networks("allowed_ips", &networks)?.into();
    }
    if let Some(limits) = body.rate_limit {
        key.rate_limit = key.rate_limit.merged(limits).into();
    }
    let terms = TermsChange {
        quota: body.quota,
        is_whitelist: body.is_whitelist,
        on_disconnect: body.on_disconnect,
        strict_unary: body.strict_unary,
        when_exhausted: body.when_exhausted,
        idempotency: body.idempotency,
        translation: body.translation,
    };
    terms.apply(&mut key.terms)
}
