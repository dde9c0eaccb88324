//! `POST /admin/keys`: a new trial key, whose text is shown in this answer only.

use std::sync::Arc;

use model::ResourceId;
use model::clock::rfc3339;
use model::quota::{Period, Quota, Unit};
use model::resource::key::{DEFAULT_GROUP, KeyStatus};
use model::resource::{ApiKey, KeyAccess, KeyKind, KeyTerms};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::label;
use crate::answer::{Answer, Created, Refusal, created};
use crate::api::api_keys::secret::NewSecret;
use crate::api::body::JsonBody;
use crate::api::check;
use crate::api::context::Context;

/// The longest time that a key can be good for: a century, in seconds.
const LONGEST_S: u64 = 100 * 366 * 24 * 3_600;

/// What the trial is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    #[schemars(range(min = 1))]
    quota: i64,
    #[serde(default)]
    unit: TrialUnit,
    /// In seconds, up to 100 years.
    #[schemars(range(min = 1, max = LONGEST_S))]
    expires_in: Option<u64>,
    label: Option<String>,
}

/// What the quota counts.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum TrialUnit {
    #[default]
    Requests,
    Tokens,
}

/// The key, shown once.
#[derive(Serialize, JsonSchema)]
pub struct Made {
    id: ResourceId,
    key: String,
    label: Option<String>,
    unit: Unit,
    quota: i64,
    expires_at: Option<String>,
    created_at: String,
}

/// Creates the key.
///
/// # Errors
/// `INVALID_REQUEST` names the field.
pub async fn handler(context: Context, JsonBody(body): JsonBody<Body>) -> Answer<Created<Made>> {
    if body.quota < 1 {
        return Err(Refusal::invalid("quota", "`quota` must be at least 1."));
    }
    let expires_in = match body.expires_in {
        Some(seconds) if !(1..=LONGEST_S).contains(&seconds) => {
            return Err(Refusal::invalid("expires_in", "`expires_in` must be from 1 second to 100 years."));
        }
        seconds => seconds,
    };
    let unit = match body.unit {
        TrialUnit::Requests => Unit::Requests,
        TrialUnit::Tokens => Unit::Tokens,
    };
    let (id, now_ms) = (context.mint_id(), context.now_ms());
    let secret = NewSecret::mint(&context, KeyKind::Trial, &id)?;
    let name = body.label.as_deref().unwrap_or(KeyKind::Trial.name());
    let quota = vec![Quota { unit, period: Period::Never, limit: body.quota }];
    let key = ApiKey {
        name: check::name("label", name)?.into(),
        secret_hmac: secret.hmac,
        hint: secret.hint.clone().into(),
        kind: KeyKind::Trial,
        status: KeyStatus::Active,
        user_id: None,
        tenant_id: (&*context.scope.tenant_id).into(),
        group_id: DEFAULT_GROUP.into(),
        expires_at: expires_in.map(|seconds| now_ms.saturating_add(seconds * 1_000)),
        models: Box::default(),
        allowed_ips: Box::default(),
        rate_limit: Arc::default(),
        terms: KeyTerms { quota, ..KeyTerms::default() },
        access: KeyAccess::default(),
        created_at: now_ms,
        updated_at: now_ms,
        id,
    };
    context.store().insert_key(&context.scope, &key).await?;
    Ok(created(Made {
        key: secret.text.expose().clone(),
        label: label(&key).map(str::to_owned),
        unit,
        quota: body.quota,
        expires_at: check::written(key.expires_at),
        created_at: rfc3339(now_ms),
        id: key.id,
    }))
}
