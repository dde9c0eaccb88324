//! Money of users: what every operation that moves some goes through.

use model::quota::OwnerKind;
use model::{Code, NanoUsd, Rejection, ResourceId};

use crate::answer::{Answer, Refusal};
use crate::api::context::Context;
use crate::api::standing::owner;
use crate::money::{AdjustError, Adjustment};

/// Refuses while the ledger could not write money down, before anything else is changed for it.
///
/// # Errors
/// `SERVICE_DEGRADED`.
pub fn check_open(context: &Context) -> Answer<()> {
    match context.state().ledger.fault() {
        Some(fault) => Err(degraded(fault)),
        None => Ok(()),
    }
}

/// Refuses a change that no balance can show.
///
/// # Errors
/// `INVALID_REQUEST` at `amount`.
pub fn check_fits(context: &Context, id: &ResourceId, change: NanoUsd) -> Answer<()> {
    let (balance, _) = balance_and_held(context, id);
    match balance.checked_add(change) {
        Some(_) => Ok(()),
        None => Err(Refusal::invalid("amount", "`amount`: the balance would be too large.")),
    }
}

/// Adds `change` to the wallet of the user `id`, which may be negative, and gives the new balance.
///
/// # Errors
/// `CONFLICT` with the numbers when less is there; `SERVICE_DEGRADED` when the ledger cannot write.
pub async fn adjust(context: &Context, id: &ResourceId, change: NanoUsd, reason: &str) -> Answer<NanoUsd> {
    let adjustment = Adjustment {
        owner: owner(OwnerKind::User, id.as_str()),
        change,
        reason: reason.into(),
        actor: context.actor.name().into(),
        at: context.now_ms(),
    };
    match context.state().ledger.adjust(adjustment).await {
        Ok(balance) => Ok(balance),
        Err(AdjustError::Insufficient) => Err(insufficient(context, id, change)),
        Err(other) => Err(degraded(other)),
    }
}

/// The refusal to take more than is there, with the numbers.
pub fn insufficient(context: &Context, id: &ResourceId, change: NanoUsd) -> Refusal {
    let (balance, held) = balance_and_held(context, id);
    let message = format!(
        "The change is {change} USD, but the balance is {balance} USD, of which running requests hold {held}."
    );
    Refusal::because(Code::Conflict, message)
}

fn balance_and_held(context: &Context, id: &ResourceId) -> (NanoUsd, NanoUsd) {
    let user = owner(OwnerKind::User, id.as_str());
    let standing = context.state().ledger.standing(&user, &[], true, context.now_ms());
    (standing.balance.unwrap_or_default(), standing.held)
}

fn degraded(cause: impl std::fmt::Display) -> Refusal {
    let message = "The ledger cannot write at the moment; no money was moved.";
    Rejection::because(Code::ServiceDegraded, message).caused_by(cause).retry_after(1).into()
}
