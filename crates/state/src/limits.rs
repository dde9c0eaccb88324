//! Rate limits at all levels of a request: all are checked, then all are taken, in one step (access.md §4).
//!
//! Minutes are two-bucket sliding windows, days are UTC days, a burst is any one second, and running
//! requests are [leases](crate::lease) that return when [`Taken`] is dropped or not renewed. An owner
//! takes about 200 bytes; idle ones are let go of when their shard is full (see [`MOST_OWNERS`]).

mod terms;

use foldhash::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::clock::EpochMs;
use parking_lot::MutexGuard;

use crate::counters::{self, Counters, Exceeded};
use crate::few::Few;
use crate::lease::Lease;
use crate::shards::Shards;

pub use terms::{Demand, Dimension, Level, LimitOwner, ResolvedLimits, Violation, WindowState};

/// Owners remembered at most, about 200 MB; with more, those not seen for longest are forgotten first.
/// Owners with running requests are never forgotten: those requests are bounded elsewhere.
pub const MOST_OWNERS: usize = 1 << 20;
/// Of them, in one shard.
const MOST_IN_SHARD: usize = MOST_OWNERS / 64;
/// Levels, and so owners that a request usually has at most; more are admitted, with an allocation.
const LEVELS: usize = 6;

/// What a request took. Dropping it gives its places among the running requests back.
#[derive(Debug)]
#[must_use = "dropping this gives the places among the running requests back"]
pub struct Taken {
    owners: Arc<Owners>,
    parts: Few<Part, 1>,
    standing: Standing,
    settled: AtomicBool,
    released: AtomicBool,
}

/// How the tightest levels stand.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    requests: Option<WindowState>,
    tokens: Option<WindowState>,
}

/// What was taken from one owner.
#[derive(Debug)]
struct Part {
    owner: LimitOwner,
    /// Where the owner's shard is.
    place: usize,
    /// The place among the requests in flight, where they are limited.
    lease: Option<Lease>,
    /// Whether the day's tokens are limited, and so counted.
    tokens_by_day: bool,
    expected_tokens: u64,
    minute: u64,
    day: u64,
}

type Owners = Shards<LimitOwner, Counters>;
type Shard<'a> = MutexGuard<'a, HashMap<LimitOwner, Counters>>;

/// All limits of the process. Clones share the same counters.
#[derive(Clone, Debug, Default)]
pub struct Limits(Arc<Owners>);

impl Limits {
    /// Nothing taken yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes from the limits of every owner, or from none. Demands that come in the order of their levels
    /// need not be sorted.
    ///
    /// # Errors
    /// The first violated limit, by level, then by dimension.
    pub fn admit(&self, demands: &[Demand], now_ms: EpochMs) -> Result<Taken, Violation> {
        let mut standing = Standing::default();
        let parts = match demands {
            [one] => self.admit_one(one, now_ms, &mut standing)?,
            many => self.admit_all(many, now_ms, &mut standing)?,
        };
        Ok(Taken {
            owners: Arc::clone(&self.0),
            parts,
            standing,
            settled: AtomicBool::new(false),
            released: AtomicBool::new(false),
        })
    }

    /// As [`Self::admit_all`], without the lists and with one look-up: most requests have one limited owner.
    fn admit_one(
        &self,
        demand: &Demand,
        now_ms: EpochMs,
        standing: &mut Standing,
    ) -> Result<Few<Part, 1>, Violation> {
        let mut parts = Few::with_capacity(1);
        if is_limited(demand) {
            let asked = Asked { demand, place: self.0.place(&demand.owner) };
            let mut shard = self.0.at(asked.place);
            parts.push(match shard.get_mut(&demand.owner) {
                Some(counters) => {
                    check(counters, demand, now_ms)?;
                    asked.take_from(counters, now_ms, standing)
                }
                None => {
                    check(&mut Counters::default(), demand, now_ms)?;
                    asked.take_from(enter(&mut shard, &demand.owner, now_ms), now_ms, standing)
                }
            });
        }
        Ok(parts)
    }

    fn admit_all(
        &self,
        demands: &[Demand],
        now_ms: EpochMs,
        standing: &mut Standing,
    ) -> Result<Few<Part, 1>, Violation> {
        if !demands.is_sorted_by_key(|demand| demand.owner.level) {
            let mut sorted = demands.to_vec();
            sorted.sort_by_key(|demand| demand.owner.level);
            return self.admit_all(&sorted, now_ms, standing);
        }
        let mut asked: Few<Asked<'_>, LEVELS> = Few::with_capacity(demands.len());
        for demand in demands.iter().filter(|demand| is_limited(demand)) {
            asked.push(Asked { demand, place: self.0.place(&demand.owner) });
        }
        let mut locked = Locked::lock(&self.0, asked.iter().map(|asked| asked.place));
        for asked in asked.iter() {
            match locked.shard(asked.place).get_mut(&asked.demand.owner) {
                Some(counters) => check(counters, asked.demand, now_ms)?,
                None => check(&mut Counters::default(), asked.demand, now_ms)?,
            }
        }
        let mut parts = Few::with_capacity(demands.len());
        for asked in asked.iter() {
            let shard = locked.shard(asked.place);
            parts.push(match shard.get_mut(&asked.demand.owner) {
                Some(counters) => asked.take_from(counters, now_ms, standing),
                None => asked.take_from(enter(shard, &asked.demand.owner, now_ms), now_ms, standing),
            });
        }
        Ok(parts)
    }

    /// Corrects the expected tokens to the real ones; only the first call for a `Taken` counts.
    pub fn settle_tokens(&self, taken: &Taken, real: u64, now_ms: EpochMs) {
        if taken.settled.swap(true, Ordering::AcqRel) {
            return;
        }
        for part in taken.parts.iter() {
            if let Some(counters) = self.0.at(part.place).get_mut(&part.owner) {
                counters.advance(now_ms);
                settle(counters, part, real);
            }
        }
    }

    /// Gives the places among the running requests back now rather than when `taken` is dropped.
    pub fn release(&self, taken: &Taken) {
        taken.release();
    }
}

impl Taken {
    /// The requests per minute of the tightest level that limits them.
    #[must_use]
    pub fn requests(&self) -> Option<WindowState> {
        self.standing.requests
    }

    /// The tokens per minute of the tightest level that limits them.
    #[must_use]
    pub fn tokens(&self) -> Option<WindowState> {
        self.standing.tokens
    }

    /// Keeps the places among the running requests for another [`LEASE_MS`](crate::LEASE_MS). Places that
    /// were lost because they were not renewed in time are taken again, even beyond the limit: the request
    /// does run. After a release nothing happens.
    pub fn renew(&mut self, now_ms: EpochMs) {
        if *self.released.get_mut() {
            return;
        }
        for part in self.parts.iter_mut() {
            if let Some(lease) = &mut part.lease {
                let mut shard = self.owners.at(part.place);
                let counters = shard.entry(part.owner.clone()).or_default();
                counters.places.get_or_insert_default().renew(lease, now_ms);
            }
        }
    }

    fn release(&self) {
        if self.released.swap(true, Ordering::AcqRel) {
            return;
        }
        for part in self.parts.iter() {
            if let Some(lease) = part.lease
                && let Some(counters) = self.owners.at(part.place).get_mut(&part.owner)
            {
                counters.give_back(lease);
            }
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.release();
    }
}

/// A demand and where its owner's shard is: hashing is most of what a check costs.
struct Asked<'a> {
    demand: &'a Demand,
    place: usize,
}

fn is_limited(demand: &Demand) -> bool {
    demand.rate != ResolvedLimits::default()
}

/// The shards of all owners of one request, locked together.
struct Locked<'a> {
    /// A bit for each place that is locked.
    places: u64,
    /// By place, ascending: everybody locks in this order, so nobody waits in a circle.
    shards: Few<Shard<'a>, LEVELS>,
}

impl<'a> Locked<'a> {
    fn lock(owners: &'a Owners, places: impl Iterator<Item = usize>) -> Self {
        let places = places.fold(0_u64, |places, place| places | 1 << place);
        let mut shards = Few::with_capacity(places.count_ones() as usize);
        let mut left = places;
        while left > 0 {
            shards.push(owners.at(left.trailing_zeros() as usize));
            left &= left - 1;
        }
        Self { places, shards }
    }

    fn shard(&mut self, place: usize) -> &mut Shard<'a> {
        let before = self.places & ((1 << place) - 1);
        let shard = self.shards.get_mut(before.count_ones() as usize);
        shard.expect("the shard of every demand was locked")
    }
}

/// Moves an owner's counters to `now_ms` and checks what is asked of them.
fn check(counters: &mut Counters, demand: &Demand, now_ms: EpochMs) -> Result<(), Violation> {
    counters.advance(now_ms);
    let checked = counters.check(&demand.rate, demand.expected_tokens, now_ms);
    checked.map_err(|exceeded| violation(demand.owner.level, &exceeded, now_ms))
}

/// The counters of an owner that was not known, moved to `now_ms`.
fn enter<'s>(shard: &'s mut Shard<'_>, owner: &LimitOwner, now_ms: EpochMs) -> &'s mut Counters {
    if shard.len() >= MOST_IN_SHARD && !shard.contains_key(owner) {
        make_room(shard, now_ms);
    }
    shard.entry(owner.clone()).or_insert_with(|| {
        let mut counters = Counters::default();
        counters.advance(now_ms);
        counters
    })
}

impl Asked<'_> {
    /// Takes from an owner's counters, and keeps the tightest standing seen so far.
    fn take_from(&self, counters: &mut Counters, now_ms: EpochMs, standing: &mut Standing) -> Part {
        let Demand { owner, rate, expected_tokens } = self.demand;
        let lease = counters.take(rate, *expected_tokens, now_ms);
        tighten(&mut standing.requests, rate.rpm.map(|limit| counters::standing(&counters.requests, limit)));
        tighten(&mut standing.tokens, rate.tpm.map(|limit| counters::standing(&counters.tokens, limit)));
        Part {
            owner: owner.clone(),
            place: self.place,
            lease,
            tokens_by_day: rate.tpd.is_some(),
            expected_tokens: *expected_tokens,
            minute: counters.tokens.index(),
            day: counters.tokens_today.index(),
        }
    }
}

/// Keeps the standing with less left.
fn tighten(tightest: &mut Option<WindowState>, next: Option<WindowState>) {
    if let Some(next) = next
        && tightest.is_none_or(|other| next.remaining < other.remaining)
    {
        *tightest = Some(next);
    }
}

fn violation(level: Level, exceeded: &Exceeded, now_ms: EpochMs) -> Violation {
    Violation {
        dimension: exceeded.dimension,
        level,
        limit: exceeded.limit,
        used: exceeded.used,
        retry_after_s: exceeded.wait_ms.div_ceil(1_000).max(1),
        reset_at_s: now_ms.saturating_add(exceeded.wait_ms).div_ceil(1_000),
    }
}

/// Replaces the expected tokens by the real ones: too much is given back where it was taken, if that
/// still weighs; too little is charged now.
fn settle(counters: &mut Counters, part: &Part, real: u64) {
    let more = real.saturating_sub(part.expected_tokens);
    let less = part.expected_tokens.saturating_sub(real);
    counters.tokens.add(more);
    counters.tokens.take_back(less, part.minute);
    if part.tokens_by_day {
        let today = &mut counters.tokens_today;
        today.used = today.used.saturating_add(more);
        if today.index() == part.day {
            today.used = today.used.saturating_sub(less);
        }
    }
}

/// Lets go of idle owners; when there are none, of the eighth that was not seen for longest.
fn make_room(shard: &mut Shard<'_>, now_ms: EpochMs) {
    shard.retain(|_, counters| !counters.is_idle(now_ms));
    if shard.len() < MOST_IN_SHARD {
        return;
    }
    let mut seen: Vec<EpochMs> = shard.values().map(|counters| counters.requests.latest_ms()).collect();
    let (_, oldest, _) = seen.select_nth_unstable(MOST_IN_SHARD / 8);
    let oldest = *oldest;
    shard.retain(|_, counters| counters.running(now_ms) > 0 || counters.requests.latest_ms() > oldest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_fill_the_memory() {
        let owners = Owners::default();
        let mut shard = owners.at(0);
        let stranger = |n: usize| LimitOwner { level: Level::Ip, id: n.to_string().into() };
        let now_ms = 1_000_000_000;
        for n in 0..MOST_IN_SHARD {
            let mut counters = Counters::default();
            counters.advance(now_ms + n as u64);
            counters.requests_today.used = 1;
            if n == 0 {
                counters.places.get_or_insert_default().take(now_ms + MOST_IN_SHARD as u64);
            }
            shard.insert(stranger(n), counters);
        }
        make_room(&mut shard, now_ms + MOST_IN_SHARD as u64);
        assert!(shard.len() < MOST_IN_SHARD);
        assert!(shard.contains_key(&stranger(0)), "it still has a request running");
        assert!(!shard.contains_key(&stranger(1)) && shard.contains_key(&stranger(MOST_IN_SHARD - 1)));
        let tomorrow = now_ms + 2 * 86_400_000;
        make_room(&mut shard, tomorrow);
        assert_eq!(shard.len(), 0, "all are idle by then, and the place was not renewed");
    }
}
