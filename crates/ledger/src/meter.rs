//! The seam between requests and money: hold before the upstream is called, extend while an answer
//! grows, settle what was used or void.
//!
//! A [`Hold`] cannot be forgotten: dropped without an end it is charged as estimated.

use std::sync::Arc;

use model::clock::EpochMs;
use model::quota::{Amounts, Owner, Quota};
use model::{NanoUsd, Rejection, RequestId, ResourceId, Usage};

pub use crate::engine::{Standing, WindowStanding};
pub use crate::event::Written;
pub use crate::hold::Hold;
pub use crate::memory::{MemoryMeter, MeterCounts};

/// Holds what a request may use of its payers' quotas and wallets, and settles what it did use.
///
/// Nothing here waits, except on [`Written`].
pub trait Meter: Send + Sync {
    /// Holds what a request is expected to use, from all of its payers or from none.
    ///
    /// # Errors
    /// The code of the first quota that does not cover it, `INSUFFICIENT_BALANCE`, or `SERVICE_DEGRADED`
    /// when a payer is frozen.
    fn hold(&self, asked: Asked) -> Result<Hold, Rejection>;

    /// How a payer stands at `now`, for the record of a request.
    fn standing(&self, payer: &Payer, now: EpochMs) -> Standing;

    /// Says that the request is about to reach an upstream; to be called, and waited for, before the
    /// first byte of each attempt.
    ///
    /// # Errors
    /// `SERVICE_DEGRADED` when this cannot be kept: the upstream must not be called then.
    fn begin(&self, hold: &mut Hold, attempt: AttemptStart, now: EpochMs) -> Result<Written, Rejection>;

    /// Holds `more`, before an answer grows beyond what is held.
    ///
    /// # Errors
    /// As [`Meter::hold`]; what was held before stays held.
    fn extend(&self, hold: &mut Hold, more: Amounts, now: EpochMs) -> Result<(), Rejection>;

    /// Says what an answer has used so far: what is charged if nobody ends the hold. Cheap; to be called
    /// as often as the figures change.
    fn checkpoint(&self, hold: &mut Hold, so_far: &Progress, now: EpochMs);

    /// Ends a hold with what was really used.
    fn settle(&self, hold: Hold, settlement: Settlement);

    /// Ends a hold of a request for which no upstream worked, and says why.
    fn void(&self, hold: Hold, reason: &'static str, now: EpochMs);
}

/// Somebody who pays for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payer {
    /// Who; at most once in a request.
    pub owner: Owner,
    /// What limits it: at most one for each unit and period.
    pub quotas: Arc<[Quota]>,
    /// Whether money is taken from its wallet. Only the first wallet of a request pays.
    pub wallet: bool,
}

/// Whose request it is; written into its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Which request.
    pub request: RequestId,
    /// The key that was used.
    pub key: Option<ResourceId>,
    /// The user whose key it is.
    pub user: Option<ResourceId>,
    /// The tenant.
    pub tenant: Arc<str>,
    /// The public model.
    pub model: Arc<str>,
}

/// What a request asks for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Whose request.
    pub facts: Facts,
    /// Who pays, in the order of checking, which is that of [`Owner`]: key, user, tenant, group. Empty when
    /// nobody does; the request still leaves its entries.
    pub payers: Arc<[Payer]>,
    /// What it is expected to use.
    pub expected: Amounts,
    /// When.
    pub at: EpochMs,
}

/// An attempt that is about to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptStart {
    /// Which one, from 1.
    pub number: u8,
    /// The account.
    pub account: Arc<str>,
}

/// What an answer has used so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The counts, and how they are known.
    pub usage: Usage,
    /// What they cost; `None` when the model has no price.
    pub cost: Option<NanoUsd>,
}

/// What a request really used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The counts; their source decides whether the entry is measured or estimated.
    pub usage: Usage,
    /// What the payers owe; `None` when the model has no price.
    pub cost: Option<NanoUsd>,
    /// When it ended.
    pub at: EpochMs,
    /// What each attempt cost us. An attempt that was begun and is not named here used nothing.
    pub attempts: Vec<AttemptCharge>,
}

/// What one attempt cost us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptCharge {
    /// Which one, from 1.
    pub number: u8,
    /// The account.
    pub account: Arc<str>,
    /// What it used.
    pub usage: Usage,
    /// What it cost; `None` when the model has no price.
    pub cost: Option<NanoUsd>,
}
