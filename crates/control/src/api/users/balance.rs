//! `POST /api/v1/admin/users/{id}/balance`: puts money into a user's wallet or takes some out. A user
//! without a wallet gets one, from which all requests of their keys are paid from then on.
//!
//! The money moves last, so an error means that none was moved. With an `Idempotency-Key` the change is
//! made once, however often it is asked for.

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
}

/// Changes the balance.
///
/// # Errors
/// `NOT_FOUND`; `INVALID_REQUEST` names the field; `CONFLICT` with the numbers when less is there than
/// should be taken, or when the outcome of an earlier use of the `Idempotency-Key` is not known;
/// `IDEMPOTENCY_MISMATCH` when that key was used for another change; `SERVICE_DEGRADED` when the ledger cannot write.
pub async fn handler(context: Context, Id(id): Id, JsonBody(body): JsonBody<Body>) -> Answer<Json<View>> {
    let change = check::dollars("amount", &body.amount)?;
    if change == NanoUsd::ZERO {
        return Err(Refusal::invalid("amount", "`amount` must not be zero."));
    }
    let reason = check::name("reason", &body.reason)?;
    let user = find(&context, &id).await?;
    check_open(&context)?;
    let balance = adjust(&context, &user, change, &reason).await?;
    Ok(ok(View { id, balance }))
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
