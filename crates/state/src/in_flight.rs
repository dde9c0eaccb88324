//! How many requests run at each account, and the places that they hold.
//!
//! A place is a [lease](crate::lease). Whoever finds an account full may wait in its
//! [queue](crate::queue): a place that gets free goes to who waits, never past them. An entry lives only
//! while something runs or waits: about 100 bytes, bounded by the requests in flight.

use std::sync::Arc;

use model::ResourceId;
use model::clock::EpochMs;

use crate::lease::{Lease, Places};
use crate::queue::Lines;
use crate::shards::Shards;

/// Requests in flight by account. Clones share the same counters.
#[derive(Clone, Debug, Default)]
pub struct InFlight(pub(crate) Arc<Accounts>);

/// All accounts at which something runs, and who waits for them.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    pub(crate) busy: Shards<ResourceId, Account>,
    /// Locked before a shard of `busy`, never after.
    pub(crate) lines: parking_lot::Mutex<Lines>,
}

/// One account at which something runs or for which somebody waits.
#[derive(Debug, Default)]
pub(crate) struct Account {
    places: Places,
    /// As last told.
    pub(crate) limit: Option<u32>,
    /// Who waits; changes only while the lines are locked too.
    pub(crate) waiting: u32,
}

/// A place at an account; dropping it gives the place to who waits longest, or back.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct Slot {
    account: ResourceId,
    lease: Lease,
    accounts: Arc<Accounts>,
}

impl InFlight {
    /// Nothing in flight.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a place at `account`; `None` when `limit` requests run there already or others wait for it.
    #[must_use]
    pub fn enter(&self, account: &ResourceId, limit: Option<u32>, now_ms: EpochMs) -> Option<Slot> {
        if let Some(entered) = self.0.enter(account, limit, now_ms) {
            return entered;
        }
        self.0.serve(account, Some(now_ms));
        self.0.enter(account, limit, now_ms).flatten()
    }

    /// Requests that run at `account` now.
    #[must_use]
    pub fn running(&self, account: &ResourceId, now_ms: EpochMs) -> u32 {
        let mut busy = self.0.busy.of(account);
        let Some(entry) = busy.get_mut(account) else { return 0 };
        entry.places.lapse(now_ms);
        u32::try_from(entry.places.held()).unwrap_or(u32::MAX)
    }
}

impl Slot {
    /// The account.
    #[must_use]
    pub fn account(&self) -> &ResourceId {
        &self.account
    }

    /// Keeps the place for another [`LEASE_MS`](crate::LEASE_MS). A place that was lost because it was not
    /// renewed in time is taken again, even beyond the account's limit: the request does run there.
    pub fn renew(&mut self, now_ms: EpochMs) {
        let mut busy = self.accounts.busy.of(&self.account);
        let entry = match busy.get_mut(&self.account) {
            Some(entry) => entry,
            None => busy.entry(self.account.clone()).or_default(),
        };
        entry.places.renew(&mut self.lease, now_ms);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.accounts.leave(&self.account, self.lease) {
            self.accounts.serve(&self.account, None);
        }
    }
}

impl Accounts {
    /// Takes a place for somebody new; `None` when others wait, who come first.
    fn enter(
        self: &Arc<Self>,
        account: &ResourceId,
        limit: Option<u32>,
        now_ms: EpochMs,
    ) -> Option<Option<Slot>> {
        let mut busy = self.busy.of(account);
        let entry = match busy.get_mut(account) {
            Some(entry) => entry,
            None if limit == Some(0) => return Some(None),
            None => busy.entry(account.clone()).or_default(),
        };
        // The places that are free go first to who waits; only where none is free is that known already.
        entry.limit = limit;
        let full = entry.is_full(Some(now_ms));
        if entry.waiting > 0 && !full {
            return None;
        }
        let lease = (!full).then(|| entry.places.take(now_ms));
        Some(lease.map(|lease| self.slot(account, lease)))
    }

    /// Takes a place for who waits for `account`, if one is free. Time is not known where a place returns.
    pub(crate) fn take_for_waiting(&self, account: &ResourceId, now_ms: Option<EpochMs>) -> Option<Lease> {
        let mut busy = self.busy.of(account);
        let entry = busy.get_mut(account).filter(|entry| entry.waiting > 0)?;
        if entry.is_full(now_ms) {
            return None;
        }
        Some(entry.places.take_untimed())
    }

    /// Gives a place back; whether somebody waits for it.
    pub(crate) fn leave(&self, account: &ResourceId, lease: Lease) -> bool {
        let mut busy = self.busy.of(account);
        let Some(entry) = busy.get_mut(account) else { return false };
        entry.places.give_back(lease);
        let waited_for = entry.waiting > 0;
        if entry.is_over() {
            busy.remove(account);
        }
        waited_for
    }

    /// Notes that somebody stopped waiting.
    pub(crate) fn stop_waiting(&self, account: &ResourceId) {
        let mut busy = self.busy.of(account);
        let Some(entry) = busy.get_mut(account) else { return };
        entry.waiting = entry.waiting.saturating_sub(1);
        if entry.is_over() {
            busy.remove(account);
        }
    }

    pub(crate) fn slot(self: &Arc<Self>, account: &ResourceId, lease: Lease) -> Slot {
        Slot { account: account.clone(), lease, accounts: Arc::clone(self) }
    }
}

impl Account {
    /// Whether as many run as may. Without a time nothing lapses.
    fn is_full(&mut self, now_ms: Option<EpochMs>) -> bool {
        let limit = self.limit.map_or(u64::MAX, u64::from);
        let held = match now_ms {
            Some(now_ms) => self.places.held_under(limit, now_ms),
            None => self.places.held(),
        };
        held >= limit
    }

    fn is_over(&self) -> bool {
        self.waiting == 0 && self.places.held() == 0
    }
}
