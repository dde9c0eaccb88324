//! How much of the gateway is in use, and who may use the rest: the first check of a request, before its
//! body is read (reliability.md R18).
//!
//! While capacity is free anybody may use it. Once more than three quarters are used, a tenant that
//! has its fair share (all, divided by the tenants that are active) is refused until others have theirs.
//! Administration and health do not pass here: their capacity is not taken from them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::clock::EpochMs;

use crate::shards::Shards;

/// A tenant that asked this recently, in milliseconds, is active even if nothing of it runs: one that is
/// refused is told to come back in a second and must find its share kept.
pub const ACTIVE_MS: u64 = 3_000;
/// Tenants from which on idle ones are forgotten though nothing is scarce: about 100 KB.
const MANY_TENANTS: u64 = 1_024;
/// How often the tenants are looked through at most, in milliseconds; clocks of threads differ by less.
const SWEEP_MS: u64 = 1_000;
/// Seconds after which who was refused may try again.
pub const RETRY_AFTER_S: u64 = 1;

/// What the gateway can carry at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// Requests in flight.
    pub requests: u64,
    /// Bytes of request bodies in memory.
    pub body_bytes: u64,
}

/// Why a request, or more of its body, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// As many requests run as can.
    Requests,
    /// As many bytes are held as can be.
    Bytes,
    /// The tenant has its fair share and little is left for others.
    Share,
}

/// All capacity of the process. Clones share it.
#[derive(Clone, Debug)]
pub struct Capacity(Arc<Used>);

#[derive(Debug)]
struct Used {
    most: Most,
    requests: AtomicU64,
    body_bytes: AtomicU64,
    /// Entries of `tenants`.
    active: AtomicU64,
    /// When the tenants were last looked through for idle ones.
    swept_ms: AtomicU64,
    tenants: Shards<Arc<str>, Tenant>,
}

#[derive(Debug, Default)]
struct Tenant {
    requests: u64,
    body_bytes: u64,
    asked_ms: EpochMs,
}

/// A request that was let in, and the bytes of its body. Dropping it gives everything back.
#[derive(Debug)]
#[must_use = "the capacity is given back when this is dropped"]
pub struct Admitted {
    used: Arc<Used>,
    tenant: Arc<str>,
    place: usize,
    body_bytes: u64,
}

impl Capacity {
    /// All free.
    #[must_use]
    pub fn new(most: Most) -> Self {
        Self(Arc::new(Used {
            most,
            requests: AtomicU64::new(0),
            body_bytes: AtomicU64::new(0),
            active: AtomicU64::new(0),
            swept_ms: AtomicU64::new(0),
            tenants: Shards::default(),
        }))
    }

    /// Lets a request of `tenant` in.
    ///
    /// # Errors
    /// [`Busy`] when all is used, or when the tenant uses its share and little is left.
    pub fn try_enter(&self, tenant: &Arc<str>, now_ms: EpochMs) -> Result<Admitted, Busy> {
        let used = &self.0;
        let place = used.tenants.place(tenant);
        if used.active.load(Ordering::Relaxed) > MANY_TENANTS {
            used.sweep(now_ms);
        }
        match used.enter(tenant, place, now_ms) {
            // Shares are counted over who is active now, not over who was once.
            Err(Busy::Share) if used.sweep(now_ms) => used.enter(tenant, place, now_ms)?,
            entered => entered?,
        }
        Ok(Admitted { used: Arc::clone(used), tenant: Arc::clone(tenant), place, body_bytes: 0 })
    }

    /// Requests in flight.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::Relaxed)
    }

    /// Bytes of request bodies in memory.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        self.0.body_bytes.load(Ordering::Relaxed)
    }

    /// Tenants with something in flight, or that asked within [`ACTIVE_MS`] of the last look.
    #[must_use]
    pub fn active_tenants(&self) -> u64 {
        self.0.active.load(Ordering::Relaxed)
    }
}

impl Admitted {
    /// Takes room for `more` bytes of the body, or none.
    ///
    /// # Errors
    /// [`Busy`] when all is used, or when the tenant uses its share and little is left.
    pub fn grow(&mut self, more: u64) -> Result<(), Busy> {
        match self.used.grow(&self.tenant, self.place, more) {
            Err((Busy::Share, asked_ms)) if self.used.sweep(asked_ms) => {
                self.used.grow(&self.tenant, self.place, more).map_err(|(busy, _)| busy)?;
            }
            grown => grown.map_err(|(busy, _)| busy)?,
        }
        self.body_bytes += more;
        Ok(())
    }

    /// Gives `less` of the bytes back: what they were counted for is gone.
    pub fn shrink(&mut self, less: u64) {
        let less = less.min(self.body_bytes);
        self.body_bytes -= less;
        self.give_back(0, less);
    }

    /// Gives the bytes back before the request ends: its body was sent on.
    pub fn forget_body(&mut self) {
        let bytes = std::mem::take(&mut self.body_bytes);
        self.give_back(0, bytes);
    }

    fn give_back(&self, requests: u64, body_bytes: u64) {
        if let Some(entry) = self.used.tenants.at(self.place).get_mut(&self.tenant) {
            entry.requests = entry.requests.saturating_sub(requests);
            entry.body_bytes = entry.body_bytes.saturating_sub(body_bytes);
        }
        if requests > 0 {
            self.used.requests.fetch_sub(requests, Ordering::Relaxed);
        }
        if body_bytes > 0 {
            self.used.body_bytes.fetch_sub(body_bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.give_back(1, self.body_bytes);
    }
}

impl Used {
    /// Counts one request of a tenant.
    fn enter(&self, tenant: &Arc<str>, place: usize, now_ms: EpochMs) -> Result<(), Busy> {
        let mut shard = self.tenants.at(place);
        let entry = match shard.get_mut(tenant) {
            Some(entry) => entry,
            None => {
                self.active.fetch_add(1, Ordering::Relaxed);
                shard.entry(Arc::clone(tenant)).or_default()
            }
        };
        entry.asked_ms = now_ms;
        let most = self.most.requests;
        take(&self.requests, 1, most, entry.requests, self.share(most))
            .map_err(|all| if all { Busy::Requests } else { Busy::Share })?;
        entry.requests += 1;
        Ok(())
    }

    /// Counts bytes of a tenant; a refusal says when the tenant asked last, which is nearly now.
    fn grow(&self, tenant: &Arc<str>, place: usize, more: u64) -> Result<(), (Busy, EpochMs)> {
        let mut shard = self.tenants.at(place);
        let entry = shard.get_mut(tenant).expect("a tenant with a request in flight is not forgotten");
        let most = self.most.body_bytes;
        take(&self.body_bytes, more, most, entry.body_bytes, self.share(most))
            .map_err(|all| (if all { Busy::Bytes } else { Busy::Share }, entry.asked_ms))?;
        entry.body_bytes += more;
        Ok(())
    }

    /// What a tenant may have of `all` when little is left. Rounded up: rounding must not idle capacity.
    fn share(&self, all: u64) -> u64 {
        all.div_ceil(self.active.load(Ordering::Relaxed).max(1))
    }

    /// Forgets idle tenants, at most once a second; whether it did.
    fn sweep(&self, now_ms: EpochMs) -> bool {
        let last_ms = self.swept_ms.load(Ordering::Relaxed);
        if now_ms.abs_diff(last_ms) < SWEEP_MS
            || self.swept_ms.compare_exchange(last_ms, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return false;
        }
        for mut shard in self.tenants.each() {
            let before = shard.len();
            shard.retain(|_, tenant| {
                // After a clock went back, who asked later than now asked just now.
                tenant.asked_ms = tenant.asked_ms.min(now_ms);
                tenant.requests > 0 || tenant.body_bytes > 0 || now_ms - tenant.asked_ms < ACTIVE_MS
            });
            self.active.fetch_sub((before - shard.len()) as u64, Ordering::Relaxed);
        }
        true
    }
}

/// Adds `more` if it fits; `Err(true)` when nothing is left, `Err(false)` when the rest is for others.
fn take(used: &AtomicU64, more: u64, most: u64, of_tenant: u64, share: u64) -> Result<(), bool> {
    let over_share = of_tenant.saturating_add(more) > share;
    let three_quarters = most - most / 4;
    let mut all_used = false;
    let fits = |used: u64| {
        let after = used.checked_add(more).filter(|after| *after <= most);
        all_used = after.is_none();
        after.filter(|after| !over_share || *after <= three_quarters)
    };
    match used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
        Ok(_) => Ok(()),
        Err(_) => Err(all_used),
    }
}
