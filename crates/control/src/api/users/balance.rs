//! `POST /api/v1/admin/users/{id}/balance`: puts money into a user's wallet or takes some out. A user
//! without a wallet gets one, from which all requests of their keys are paid from then on.
//!
//! The money moves last, so an error means that none was moved. With an `Idempotency-Key` the change is
//! made once, however often it is asked for. A change of the balance is a change of the user's state (`ETag`), so
//! with `If-Match` it is made only of the balance that the caller has seen.

use model::clock::{EpochMs, rfc3339};
use model::resource::User;
use model::{NanoUsd, ResourceId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{find, scope_of, wallet};
use crate::answer::{Answer, Json, Refusal, ok};
use crate::api::body::{Id, JsonBody};
use crate::api::check;
use crate::api::context::Context;
use crate::api::standing::check_open;

/// By how much and why.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    amount: String,
    reason: String,
}

/// What the wallet holds now.
#[derive(Serialize, JsonSchema)]
pub struct View {
    id: ResourceId,
    balance: NanoUsd,
    updated_at: String,
}

/// Changes the balance.
///
/// # Errors
/// `NOT_FOUND`; `INVALID_REQUEST` names the field; `CONFLICT` with the numbers when less is there than
/// should be taken, or when the outcome of an earlier use of the `Idempotency-Key` is not known;
/// `IDEMPOTENCY_MISMATCH` when that key was used for another change; `PRECONDITION_FAILED`; `SERVICE_DEGRADED` when the
/// ledger cannot write.
pub async fn handler(context: Context, Id(id): Id, JsonBody(body): JsonBody<Body>) -> Answer<Json<View>> {
    let change = check::dollars("amount", &body.amount)?;
    if change == NanoUsd::ZERO {
        return Err(Refusal::invalid("amount", "`amount` must not be zero."));
    }
    let reason = check::name("reason", &body.reason)?;
    // From the check to the change of state nobody else's change comes between.
    let _alone = context.state().balances.lock().await;
    let user = find(&context, &id).await?;
    context.if_match.check(user.updated_at)?;
    check_open(&context)?;
    let balance = adjust(&context, &user, change, &reason).await?;
    Ok(ok(View { id, balance, updated_at: rfc3339(moved_on(&context, &user).await) }))
}

/// When the user has changed last, now that the balance has. The money has moved by then, so that nothing may
/// fail any more.
async fn moved_on(context: &Context, user: &User) -> EpochMs {
    let changed = match scope_of(context, &user.id).await {
        Ok(scope) => context.store().update_user(&scope, &user.id, context.now_ms(), |_| Ok(())).await,
        Err(_) => Ok(None),
    };
    match changed {
        Ok(changed) => changed.map_or(user.updated_at, |user| user.updated_at),
        Err(error) => {
            tracing::error!(user_id = %user.id, cause = %error, "the state of a user whose balance changed stays");
            user.updated_at
        }
    }
}

async fn adjust(context: &Context, user: &User, change: NanoUsd, reason: &str) -> Answer<NanoUsd> {
    if !user.terms.wallet {
        if change < NanoUsd::ZERO {
            return Err(wallet::insufficient(context, &user.id, change));
        }
        open(context, &user.id).await?;
    }
    let balance = wallet::adjust(context, (&user.id, &user.tenant_id), change, reason).await?;
    Ok(balance)
}

/// Gives the user a wallet, which is empty.
async fn open(context: &Context, id: &ResourceId) -> Answer<()> {
    let scope = scope_of(context, id).await?;
    let opened = context.store().update_user(&scope, id, context.now_ms(), |user| {
        user.terms.wallet = true;
        Ok(())
    });
    opened.await?;
    Ok(())
}
