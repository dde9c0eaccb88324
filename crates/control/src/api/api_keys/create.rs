//! `POST /api/v1/admin/api-keys`: a new key, whose text is shown in this answer only.

use model::quota::Quota;
use model::resource::key::KeyStatus;
use model::resource::terms::{KeyTerms, StrictUnary, TranslationPolicy, WhenExhausted};
use model::resource::{ApiKey, FreezeScope, KeyAccess, KeyKind, RateLimit, Signing};
use schemars::JsonSchema;
use serde::Deserialize;
use store::Scope;

use super::secret::{self, NewSecret, Revealed};
use super::{check_access, named_user};
use crate::answer::{Answer, Created, created};
use crate::api::body::JsonBody;
use crate::api::check;
use crate::api::context::Context;
use crate::api::parties;
use crate::api::terms::{Disconnect, TermsChange};
use crate::api::users::scope_of as scope_of_user;

/// What a new key is to be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    name: String,
    user_id: Option<String>,
    tenant_id: Option<String>,
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
    #[serde(default)]
    signing: Signing,
    #[serde(default)]
    bearer: bool,
    #[serde(default)]
    freeze_scope: FreezeScope,
    quota: Option<Vec<Quota>>,
    is_whitelist: Option<bool>,
    on_disconnect: Option<Disconnect>,
    strict_unary: Option<StrictUnary>,
    when_exhausted: Option<WhenExhausted>,
    idempotency: Option<bool>,
    translation: Option<TranslationPolicy>,
}

impl Body {
    fn terms(&mut self) -> Answer<KeyTerms> {
        let given = TermsChange {
            quota: self.quota.take(),
            is_whitelist: self.is_whitelist,
            on_disconnect: self.on_disconnect,
            strict_unary: self.strict_unary,
            when_exhausted: self.when_exhausted,
            idempotency: self.idempotency,
            translation: self.translation,
        };
        let mut terms = KeyTerms::default();
        given.apply(&mut terms)?;
        Ok(terms)
    }

    /// How the key proves who it is, with a signing secret where it signs.
    fn access(&self, context: &Context) -> Answer<KeyAccess> {
        let mut access = KeyAccess {
            signing: self.signing,
            bearer: self.bearer,
            freeze_scope: self.freeze_scope,
            ..KeyAccess::default()
        };
        check_access(self.kind, &access)?;
        if access.signing != Signing::None {
            access.renew_signing(secret::mint_signing(context), None, context.now_ms());
        }
        Ok(access)
    }
}

/// Creates the key.
///
/// # Errors
/// `INVALID_REQUEST` names the field.
pub async fn handler(context: Context, JsonBody(mut body): JsonBody<Body>) -> Answer<Created<Revealed>> {
    let scope = place(&context, &mut body).await?;
    let user_id = match body.user_id.take() {
        Some(id) => Some(named_user(&context, &scope, &id).await?),
        None => None,
    };
    let group_id = parties::group(&context, body.group_id.take()).await?;
    let id = context.mint_id();
    let secret = NewSecret::mint(&context, body.kind, &id)?;
    let now_ms = context.now_ms();
    let access = body.access(&context)?;
    let key = ApiKey {
        name: check::name("name", &body.name)?.into(),
        secret_hmac: secret.hmac,
        hint: secret.hint.clone().into(),
        kind: body.kind,
        status: KeyStatus::Active,
        user_id,
        tenant_id: (&*scope.tenant_id).into(),
        group_id: group_id.into(),
        terms: body.terms()?,
        access,
        expires_at: body.expires_at.map(|text| check::time("expires_at", &text)).transpose()?,
        models: check::names("models", body.models)?.into(),
        allowed_ips: check::networks("allowed_ips", &body.allowed_ips)?.into(),
        rate_limit: body.rate_limit.into(),
        created_at: now_ms,
        updated_at: now_ms,
        id,
    };
    context.store().insert_key(&scope, &key).await?;
    Ok(created(secret.reveal(&context, key)))
}

/// In which tenant the key is to be: the one that is named, else its user's, else the caller's.
async fn place(context: &Context, body: &mut Body) -> Answer<Scope> {
    if body.tenant_id.is_none()
        && let Some(user) = &body.user_id
    {
        return scope_of_user(context, &check::id("user_id", user)?).await;
    }
    let tenant = parties::tenant(context, body.tenant_id.take()).await?;
    Ok(context.scope_in(&tenant))
}
