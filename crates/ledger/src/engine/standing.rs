//! What can be seen of the ledger: how owners stand, and what is held altogether.

use model::NanoUsd;
use model::clock::EpochMs;
use model::quota::{Amounts, Owner, Quota};

use super::Ledger;
use super::registry::Way;
use crate::book::Violation;
use crate::period;

/// How an owner stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// What is in the wallet, held or not; `None` without one.
    pub balance: Option<NanoUsd>,
    /// How much of it is held.
    pub held: NanoUsd,
    /// What was charged and not covered since the process started.
    pub overshoot: NanoUsd,
    /// Tokens that were used beyond a quota since the process started.
    pub overshoot_tokens: i64,
    /// The windows, one for each quota, in their order.
    pub windows: Vec<WindowStanding>,
}

/// How a quota stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowStanding {
    /// Which.
    pub quota: Quota,
    /// What is used for good.
    pub used: i64,
    /// What requests hold that have not ended.
    pub held: i64,
    /// When the window began; for a rolling one of which nothing is used, now.
    pub began: EpochMs,
    /// When it begins anew; `None` when it never does.
    pub resets_at: Option<EpochMs>,
}

/// What the ledger has counted since the process started. `opened` is the sum of `open` and of all ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerCounts {
    /// Requests that have not ended.
    pub open: u64,
    /// What they hold.
    pub held: Amounts,
    /// Requests ever opened.
    pub opened: u64,
    /// Requests that were settled.
    pub settled: u64,
    /// Requests for which no upstream worked.
    pub voided: u64,
    /// Requests whose hold was dropped.
    pub abandoned: u64,
    /// Requests whose hold expired.
    pub expired: u64,
    /// Requests that the process before this one left open.
    pub orphaned: u64,
    /// Ends that came after the end, without effect.
    pub late: u64,
    /// Ends that the journal has not taken yet.
    pub unwritten: u64,
    /// Ends that it will only learn as estimates, at the next start.
    pub lost: u64,
}

impl Ledger {
    /// How an owner with these quotas stands at `now`.
    #[must_use]
    pub fn standing(&self, owner: &Owner, quotas: &[Quota], wallet: bool, now: EpochMs) -> Standing {
        let account = self.0.accounts.known(owner).map(|account| account.lock().clone());
        let account = account.unwrap_or_default();
        let window = |quota: &Quota| {
            let cell = account.current(quota.unit, quota.period, now);
            let resets_at = period::ends(quota.period, cell.began);
            WindowStanding { quota: *quota, used: cell.used, held: cell.held, began: cell.began, resets_at }
        };
        Standing {
            balance: wallet.then_some(NanoUsd(account.wallet().balance)),
            held: NanoUsd(account.wallet().held),
            overshoot: account.overshoot(),
            overshoot_tokens: account.overshoot_tokens(),
            windows: quotas.iter().map(window).collect(),
        }
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> LedgerCounts {
        let (counts, open, held) = self.0.registry.counts();
        let ended = |way: Way| counts.ended[way as usize];
        let unwritten = self.0.unwritten.lock();
        LedgerCounts {
            open,
            held,
            opened: counts.opened,
            settled: ended(Way::Settled),
            voided: ended(Way::Voided),
            abandoned: ended(Way::Abandoned),
            expired: ended(Way::Expired),
            orphaned: ended(Way::Orphaned),
            late: counts.late,
            unwritten: u64::try_from(unwritten.waiting.len()).unwrap_or(u64::MAX),
            lost: unwritten.lost,
        }
    }

    /// The owners whose figures contradict themselves; they are refused until the process is started again.
    #[must_use]
    pub fn frozen(&self) -> Vec<(Owner, Violation)> {
        let accounts = self.0.accounts.all().into_iter();
        accounts.filter_map(|(owner, account)| Some((owner, account.lock().frozen()?))).collect()
    }
}
