//! The control plane's hand on the ledger: what owners have left, and money put in or taken out.

use std::pin::Pin;

use model::NanoUsd;
use model::clock::EpochMs;
use model::quota::{Owner, Quota};

/// What an owner has left.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// What the wallet holds; `None` without one.
    pub balance: Option<NanoUsd>,
    /// How much of that running requests hold.
    pub held: NanoUsd,
    /// What answers cost beyond what was covered.
    pub overshoot: NanoUsd,
    /// The windows of the quotas that were asked about, in their order.
    pub windows: Vec<WindowStanding>,
}

/// What is left of a quota.
#[derive(Clone, Debug)]
pub struct WindowStanding {
    /// The quota.
    pub quota: Quota,
    /// What is used for good, in the quota's unit.
    pub used: i64,
    /// What running requests hold besides.
    pub held: i64,
    /// When the window began.
    pub began: EpochMs,
    /// When it ends; `None` when it never does.
    pub resets_at: Option<EpochMs>,
}

/// Money for a wallet.
#[derive(Clone, Debug)]
pub struct Adjustment {
    /// Whose wallet.
    pub owner: Owner,
    /// What is added; negative when it is taken out.
    pub change: NanoUsd,
    /// Why.
    pub reason: Box<str>,
    /// Who does it.
    pub actor: Box<str>,
    /// When.
    pub at: EpochMs,
}

/// Why no money was moved.
#[derive(Debug, thiserror::Error)]
pub enum AdjustError {
    /// Less is there, and not held, than should be taken out.
    #[error("the wallet has less than that")]
    Insufficient,
    /// The journal cannot be written.
    #[error("{0}")]
    Journal(String),
}

/// What an adjustment becomes.
pub type Adjusted<'l> = Pin<Box<dyn Future<Output = Result<NanoUsd, AdjustError>> + Send + 'l>>;

/// What administrators see and change of the ledger.
pub trait LedgerControl: Send + Sync {
    /// What `owner` has left of its quotas and, with a wallet, of its money.
    fn standing(&self, owner: &Owner, quotas: &[Quota], wallet: bool, now_ms: EpochMs) -> Standing;
    /// Puts money into a wallet or takes some out; it is safely written before this resolves.
    fn adjust(&self, adjustment: Adjustment) -> Adjusted<'_>;
    /// What is wrong with the journal, while requests that cost cannot be taken.
    fn fault(&self) -> Option<String>;
}
