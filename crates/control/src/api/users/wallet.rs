//! Money of users: what every operation that moves some goes through.

use ledger::engine::{AdjustError, Adjustment};
use model::quota::OwnerKind;
use model::{Code, NanoUsd, ResourceId};

use crate::answer::{Answer, Refusal};
use crate::api::context::Context;
use crate::api::standing::{owner, refuse};

/// Adds `change` to the wallet of a user of this tenant, which may be negative, and gives the new balance.
///
/// # Errors
/// `CONFLICT` with the numbers when less is there; `SERVICE_DEGRADED` when the ledger cannot write.
pub async fn adjust(
    context: &Context,
    (id, tenant): (&ResourceId, &str),
    change: NanoUsd,
    reason: &str,
) -> Answer<NanoUsd> {
    let adjustment = Adjustment {
        owner: owner(OwnerKind::User, id.as_str()),
        tenant: tenant.into(),
        change,
        reason: reason.into(),
        actor: context.actor.name().into(),
        at: context.now_ms(),
    };
    match context.state().ledger.adjust(adjustment).await {
        Ok(balance) => Ok(balance),
        Err(AdjustError::Insufficient { .. }) => Err(insufficient(context, id, change)),
        Err(AdjustError::TooLarge) => {
            Err(Refusal::invalid("amount", "`amount`: the balance would be too large."))
        }
        Err(other) => Err(refuse(other)),
    }
}

/// The refusal to take more than is there, with the numbers.
pub fn insufficient(context: &Context, id: &ResourceId, change: NanoUsd) -> Refusal {
    let user = owner(OwnerKind::User, id.as_str());
    let standing = context.state().ledger.standing(&user, &[], true, context.now_ms());
    let (balance, held) = (standing.balance.unwrap_or_default(), standing.held);
    let message = format!(
        "The change is {change} USD, but the balance is {balance} USD, of which running requests hold {held}."
    );
    Refusal::because(Code::Conflict, message)
}
