//! `POST …/{id}/quota/reset` of keys, users, tenants and groups: declares the current window of a quota
//! unused, with a reason. What running requests hold stays held.

use ledger::engine::Reset;
use model::quota::{Owner, Period, Quota, Unit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use super::context::Context;
use super::standing::{Amount, refuse};
use crate::answer::{Answer, Refusal};

/// Which quota, and why.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    unit: Unit,
    period: Period,
    reason: String,
}

/// What became of it.
#[derive(Serialize, JsonSchema)]
pub struct View {
    unit: Unit,
    period: Period,
    /// What was used of the window until now.
    was_used: Amount,
}

/// Declares the window of `owner`, who is of this tenant and has these quotas, unused.
///
/// # Errors
/// `INVALID_REQUEST` names the field; `SERVICE_DEGRADED` when the ledger cannot write.
pub async fn reset(
    context: &Context,
    (owner, tenant): (Owner, &str),
    quotas: &[Quota],
    body: Body,
) -> Answer<View> {
    let Body { unit, period, reason } = body;
    let reason = check::name("reason", &reason)?.into();
    if !quotas.iter().any(|quota| (quota.unit, quota.period) == (unit, period)) {
        let message = format!("There is no quota for `{}` and `{}` here.", unit.name(), period.name());
        return Err(Refusal::invalid("period", message));
    }
    let actor = context.actor.name().into();
    let (tenant, at) = (tenant.into(), context.now_ms());
    let window = Reset { owner, tenant, unit, period, reason, actor, at };
    let used = context.state().ledger.reset_window(window).await.map_err(refuse)?;
    Ok(View { unit, period, was_used: Amount::of(unit, used) })
}
