//! `GET /v1/quota/check`: tells a trial user what is left, also when nothing is.

use model::quota::Unit;
use model::{Code, ResourceId};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Allowance, status};
use crate::answer::{Answer, Json, Refusal, ok};
use crate::api::check::written;
use crate::api::context::Context;
use crate::api::permission::Actor;

/// How the caller's key stands.
#[derive(Serialize, JsonSchema)]
pub struct Standing {
    id: ResourceId,
    valid: bool,
    status: &'static str,
    unit: Option<Unit>,
    quota: Option<i64>,
    used: Option<i64>,
    remaining: Option<i64>,
    expires_at: Option<String>,
}

/// Tells what is left.
///
/// # Errors
/// `INVALID_API_KEY` when the key is gone.
pub async fn handler(context: Context) -> Answer<Json<Standing>> {
    let gone = || Refusal::new(Code::InvalidApiKey);
    let Actor::Key(id) = &context.actor else {
        return Err(gone());
    };
    let tenant = context.store().tenant_of_key(id).await?.ok_or_else(gone)?;
    let key = context.store().find_key(&context.scope_in(&tenant), id).await?.ok_or_else(gone)?;
    let allowance = Allowance::of(&context, &key);
    let figure = |of: fn(&Allowance) -> i64| allowance.as_ref().map(of);
    let status = status(&key, allowance.as_ref(), context.now_ms());
    Ok(ok(Standing {
        valid: status == "active",
        status,
        unit: allowance.as_ref().map(|allowance| allowance.unit),
        quota: figure(|allowance| allowance.quota),
        used: figure(|allowance| allowance.used),
        remaining: figure(|allowance| allowance.remaining),
        expires_at: written(key.expires_at),
        id: key.id,
    }))
}
