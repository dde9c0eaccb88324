//! What owners have left, as answers show it: wallets and windows.

use std::sync::Arc;

use ledger::engine::{AdjustError, Standing, WindowStanding};
use model::quota::{Owner, OwnerKind, Quota, Unit};
use model::{Code, NanoUsd, Rejection};
use schemars::JsonSchema;
use serde::Serialize;

use super::check;
use super::context::Context;
use crate::answer::{Answer, Refusal, capitalised};

/// A count, or money as a decimal string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Amount {
    /// Requests or tokens.
    Count(i64),
    /// US dollars.
    Money(NanoUsd),
}

impl Amount {
    /// The amount as its unit is written.
    #[must_use]
    pub fn of(unit: Unit, amount: i64) -> Self {
        match unit {
            Unit::Cost => Self::Money(NanoUsd(amount)),
            Unit::Requests | Unit::Tokens => Self::Count(amount),
        }
    }
}

/// A quota and what is left of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Window {
    /// Whose it is: `key`, `user`, `tenant`, `group`.
    owner: OwnerKind,
    /// The quota's period.
    window: &'static str,
    unit: Unit,
    limit: Amount,
    /// What is settled; running requests hold more, which `remaining` leaves out too.
    used: Amount,
    remaining: Amount,
    /// `null` for a quota that never begins anew, and for a rolling one that nothing has begun.
    resets_at: Option<String>,
    /// `remaining` as a number, of whatever `unit` says.
    #[serde(skip)]
    left: i64,
}

impl Window {
    fn of(owner: OwnerKind, standing: &WindowStanding) -> Self {
        let Quota { unit, period, limit } = standing.quota;
        let left = limit.saturating_sub(standing.used).saturating_sub(standing.held).max(0);
        Self {
            owner,
            window: period.name(),
            unit,
            limit: Amount::of(unit, limit),
            used: Amount::of(unit, standing.used),
            remaining: Amount::of(unit, left),
            resets_at: check::written(standing.resets_at),
            left,
        }
    }

    /// Whether nothing is left of it.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.left == 0
    }

    /// What is left in money; `None` for a window that counts something else.
    #[must_use]
    pub fn money_left(&self) -> Option<NanoUsd> {
        (self.unit == Unit::Cost).then_some(NanoUsd(self.left))
    }
}

/// What one owner has left.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Left {
    /// What the wallet holds, of which `held` is promised to running requests; only with a wallet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<NanoUsd>,
    /// What running requests hold of the wallet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<NanoUsd>,
    /// What answers cost beyond what was left; only when there is some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overshoot: Option<NanoUsd>,
    /// Tokens that answers had beyond what was left, since the process started; only when there are some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overshoot_tokens: Option<i64>,
    /// The quotas' windows.
    pub windows: Vec<Window>,
}

impl Left {
    /// What the owner has left now.
    #[must_use]
    pub fn of(context: &Context, owner: &Owner, quotas: &[Quota], wallet: bool) -> Self {
        let standing = context.state().ledger.standing(owner, quotas, wallet, context.now_ms());
        Self::shown(owner.kind, &standing, wallet)
    }

    fn shown(kind: OwnerKind, standing: &Standing, wallet: bool) -> Self {
        Self {
            balance: wallet.then(|| standing.balance.unwrap_or_default()),
            held: wallet.then_some(standing.held),
            overshoot: (standing.overshoot > NanoUsd::ZERO).then_some(standing.overshoot),
            overshoot_tokens: Some(standing.overshoot_tokens).filter(|tokens| *tokens > 0),
            windows: standing.windows.iter().map(|window| Window::of(kind, window)).collect(),
        }
    }

    /// What may still be spent from the wallet; `None` without one.
    #[must_use]
    pub fn spendable(&self) -> Option<NanoUsd> {
        let held = self.held.unwrap_or_default();
        self.balance.map(|balance| NanoUsd(balance.0.saturating_sub(held.0).max(0)))
    }
}

/// The owner `id` of a kind.
#[must_use]
pub fn owner(kind: OwnerKind, id: &str) -> Owner {
    Owner { kind, id: Arc::from(id) }
}

/// Refuses while the ledger could not write a change down, before anything else is changed for it.
///
/// # Errors
/// `SERVICE_DEGRADED`.
pub fn check_open(context: &Context) -> Answer<()> {
    match context.state().ledger.fault() {
        Some(fault) => {
            context.note.settle();
            Err(degraded(fault))
        }
        None => Ok(()),
    }
}

/// The refusal for what the ledger did not change.
#[must_use]
pub fn refuse(error: AdjustError) -> Refusal {
    match error {
        AdjustError::Journal(fault) => degraded(fault),
        other => Refusal::because(Code::Conflict, format!("{}.", capitalised(&other.to_string()))),
    }
}

fn degraded(cause: impl std::fmt::Display) -> Refusal {
    let message = "The ledger cannot confirm changes at the moment. Nothing was changed; read the ledger before \
        the change is repeated.";
    Rejection::because(Code::ServiceDegraded, message).caused_by(cause).retry_after(1).into()
}
