//! `POST /api/v1/admin/users/{id}/balance`: puts money into a user's wallet or takes some out. A user
//! without a wallet gets one, from which all requests of their keys are paid from then on.
//!
//! The money moves last, so an error means that none was moved.

use axum::response::IntoResponse;
use model::{NanoUsd, ResourceId};
use serde::{Deserialize, Serialize};

use super::{find, scope_of, wallet};
use crate::answer::{Answer, Refusal, ok};
use crate::api::body::{Id, JsonBody};
use crate::api::check;
use crate::api::context::Context;
use crate::api::standing::check_open;

/// By how much and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    amount: String,
    reason: String,
}

/// What the wallet holds now.
#[derive(Serialize)]
struct View {
    id: ResourceId,
    balance: NanoUsd,
}

/// Changes the balance.
///
/// # Errors
/// `NOT_FOUND`; `INVALID_REQUEST` names the field; `CONFLICT` with the numbers when less is there than
/// should be taken; `SERVICE_DEGRADED` when the ledger cannot write.
pub async fn handler(
    context: Context,
    Id(id): Id,
    JsonBody(body): JsonBody<Body>,
) -> Answer<impl IntoResponse> {
    let change = check::dollars("amount", &body.amount)?;
    if change == NanoUsd::ZERO {
        return Err(Refusal::invalid("amount", "`amount` must not be zero."));
    }
    let reason = check::name("reason", &body.reason)?;
    let user = find(&context, &id).await?;
    check_open(&context)?;
    if !user.terms.wallet {
        if change < NanoUsd::ZERO {
            return Err(wallet::insufficient(&context, &id, change));
        }
        open(&context, &id).await?;
    }
    let balance = wallet::adjust(&context, &id, change, &reason).await?;
    context.audit("user.balance", id.as_str());
    Ok(ok(View { id, balance }))
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
