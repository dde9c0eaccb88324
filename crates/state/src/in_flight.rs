//! How many requests run at each account, and the places that they hold.
//!
//! An entry lives only while something runs: about 40 bytes, bounded by the requests in flight.

use std::sync::Arc;

use model::ResourceId;

use crate::shards::Shards;

/// Requests in flight by account.
#[derive(Clone, Debug, Default)]
pub struct InFlight(Arc<Shards<ResourceId, u32>>);

/// A place at an account; dropping it gives the place back.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct Slot {
    account: ResourceId,
    counts: Arc<Shards<ResourceId, u32>>,
}

impl InFlight {
    /// Nothing in flight.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a place at `account`; `None` when `limit` requests run there already.
    #[must_use]
    pub fn enter(&self, account: &ResourceId, limit: Option<u32>) -> Option<Slot> {
        let mut counts = self.0.of(account);
        let running = counts.get(account).copied().unwrap_or(0);
        if running >= limit.unwrap_or(u32::MAX) {
            return None;
        }
        counts.insert(account.clone(), running + 1);
        Some(Slot { account: account.clone(), counts: Arc::clone(&self.0) })
    }

    /// Requests that run at `account` now.
    #[must_use]
    pub fn running(&self, account: &ResourceId) -> u32 {
        self.0.of(account).get(account).copied().unwrap_or(0)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.counts.of(&self.account);
        match counts.get_mut(&self.account) {
            Some(running) if *running > 1 => *running -= 1,
            _ => {
                counts.remove(&self.account);
            }
        }
    }
}
