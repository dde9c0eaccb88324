//! Entries of the ledger: what was charged, what an attempt cost us, what was put into a wallet. They are
//! only ever added; a mistake is repaired by another entry.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::EpochMs;
use crate::id::{RequestId, ResourceId};
use crate::money::NanoUsd;
use crate::quota::{Owner, Period, Unit};
use crate::usage::Usage;

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// What a request costs its caller; exactly one for each request that may have reached an upstream.
    Charge,
    /// What one attempt cost us; never charged to anybody.
    Attempt,
    /// Money put into or taken from a wallet, or a quota's use changed, by an administrator.
    Topup,
    /// A repair of an earlier charge.
    Correction,
}

impl EntryKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Charge, Self::Attempt, Self::Topup, Self::Correction];

    /// The name in JSON and SQL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Attempt => "attempt",
            Self::Topup => "topup",
            Self::Correction => "correction",
        }
    }
}

/// How the figures of an entry are known; final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EntryState {
    /// The upstream stated the usage.
    Measured,
    /// The usage was computed here.
    Estimated,
    /// Nothing was used.
    Void,
}

impl EntryState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Measured, Self::Estimated, Self::Void];

    /// The name in JSON and SQL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Estimated => "estimated",
            Self::Void => "void",
        }
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// What it is about.
    pub kind: EntryKind,
    /// How its figures are known.
    pub state: EntryState,
    /// The request, for charges, attempts and corrections.
    pub request_id: Option<RequestId>,
    /// Which attempt of the request, from 1; 0 for everything else.
    pub attempt: u8,
    /// The key that was used.
    pub key_id: Option<ResourceId>,
    /// The user who pays, or whose wallet was changed.
    pub user_id: Option<ResourceId>,
    /// The tenant.
    pub tenant_id: Arc<str>,
    /// The public model.
    pub model: Arc<str>,
    /// The account, for attempts.
    pub account: Option<Arc<str>>,
    /// What was used.
    pub usage: Usage,
    /// Money; positive is charged for charges and attempts, and added to the wallet for top-ups. `None`
    /// when the model has no price.
    pub amount: Option<NanoUsd>,
    /// By how much the charge exceeds what was covered when it was made.
    pub overshoot: NanoUsd,
    /// Why, for top-ups, corrections and voids.
    pub reason: Option<Box<str>>,
    /// Who made a top-up or correction.
    pub actor: Option<Box<str>>,
    /// When.
    pub at: EpochMs,
}

/// How much of a quota's period an owner has used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowUse {
    /// Whose.
    pub owner: Owner,
    /// Of what.
    pub unit: Unit,
    /// For how long.
    pub period: Period,
    /// When the period began; 0 for [`Period::Never`].
    pub began: EpochMs,
    /// What is used of it: a count, or nano-dollars.
    pub used: i64,
}

/// What an owner's wallet holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Whose.
    pub owner: Owner,
    /// How much.
    pub amount: NanoUsd,
}

/// How far one file of the journal has been projected into the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalPosition {
    /// Which of the files that are written side by side.
    pub shard: u32,
    /// Which segment of it.
    pub segment: u64,
    /// Bytes of the segment.
    pub offset: u64,
}

/// What the database learns in one transaction: all of it or nothing, and never twice, because `from` must
/// be where the database stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    /// Where the database must stand; `None` when it knows nothing of the shard.
    pub from: Option<JournalPosition>,
    /// Where it stands afterwards.
    pub to: JournalPosition,
    /// New entries, oldest first.
    pub entries: Vec<LedgerEntry>,
    /// By how much windows change; a window that the database does not know begins with this.
    pub windows: Vec<WindowUse>,
    /// By how much balances change.
    pub balances: Vec<Balance>,
}
