//! The small deployment: keys for trial users with a quota and an end, and what was used of them
//! (access.md §6). The same keys as everywhere, under the paths and names of the small deployment.

pub mod check;
pub mod create;
pub mod list;
pub mod revoke;
#[cfg(test)]
mod tests;
pub mod usage;

use model::clock::EpochMs;
use model::quota::{OwnerKind, Period, Quota, Unit};
use model::resource::key::KeyStatus;
use model::resource::{ApiKey, KeyKind};

use super::context::Context;
use super::standing::owner;

/// A key's one quota, and what is left of it.
struct Allowance {
    unit: Unit,
    quota: i64,
    used: i64,
    remaining: i64,
}

impl Allowance {
    /// How `key` stands; `None` for a key without a quota of requests or tokens. The quota that never
    /// begins anew goes first: it is the one that a trial key was made with.
    fn of(context: &Context, key: &ApiKey) -> Option<Self> {
        let counts = |quota: &&Quota| quota.unit != Unit::Cost;
        let quotas = &key.terms.quota;
        let never = quotas.iter().filter(counts).find(|quota| quota.period == Period::Never);
        let quota = *never.or_else(|| quotas.iter().find(counts))?;
        let payer = owner(OwnerKind::Key, key.id.as_str());
        let standing = context.state().ledger.standing(&payer, &[quota], false, context.now_ms());
        let (used, held) = standing.windows.first().map_or((0, 0), |window| (window.used, window.held));
        let remaining = quota.limit.saturating_sub(used).saturating_sub(held).max(0);
        Some(Self { unit: quota.unit, quota: quota.limit, used, remaining })
    }
}

/// How a key is, in one word.
fn status(key: &ApiKey, allowance: Option<&Allowance>, now_ms: EpochMs) -> &'static str {
    match key.status {
        KeyStatus::Revoked | KeyStatus::Disabled => "disabled",
        KeyStatus::Active if key.expires_at.is_some_and(|end| end <= now_ms) => "expired",
        KeyStatus::Active if allowance.is_some_and(|allowance| allowance.remaining == 0) => "exhausted",
        KeyStatus::Active => "active",
    }
}

/// What a trial key is called where nobody named it.
fn label(key: &ApiKey) -> Option<&str> {
    (&*key.name != KeyKind::Trial.name()).then_some(&*key.name)
}
