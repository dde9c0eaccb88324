//! The seam between requests and money: hold before the upstream is called, extend while an answer
//! grows, settle what was used or void.
//!
//! A [`Hold`] cannot be forgotten: dropped without an end it reports itself as abandoned.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use model::clock::EpochMs;
use model::{NanoUsd, Rejection, RequestId, Usage};

/// Holds a payer's money and settles what was used.
pub trait Meter: Send + Sync {
    /// Holds `estimate` for a request, before its upstream is called.
    ///
    /// # Errors
    /// A rejection when the payer cannot cover it.
    fn hold(&self, request: RequestId, estimate: NanoUsd) -> Result<Hold, Rejection>;

    /// Holds `more`, before an answer grows beyond what is held.
    ///
    /// # Errors
    /// A rejection when the payer cannot cover it; what was held before stays held.
    fn extend(&self, hold: &mut Hold, more: NanoUsd) -> Result<(), Rejection>;

    /// Ends a hold with what was really used.
    fn settle(&self, hold: Hold, settlement: Settlement);

    /// Ends a hold of a request for which no upstream worked, and says why.
    fn void(&self, hold: Hold, reason: &'static str);
}

/// What a request really used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The counts, and how they are known.
    pub usage: Usage,
    /// What the payer owes.
    pub amount: NanoUsd,
    /// When it ended.
    pub at: EpochMs,
}

/// Who is told about holds that nobody ended.
pub trait Abandoned: Send + Sync {
    /// A hold was dropped without being settled or voided.
    fn abandoned(&self, request: RequestId, amount: NanoUsd);
}

/// Money held for one request. Give it to [`Meter::settle`] or [`Meter::void`].
#[must_use = "a hold that is dropped is reported as abandoned"]
pub struct Hold {
    request: RequestId,
    amount: NanoUsd,
    /// Taken out when the hold ends properly.
    keeper: Option<Arc<dyn Abandoned>>,
}

impl Hold {
    /// A hold of `amount`; for meters only.
    pub fn open(request: RequestId, amount: NanoUsd, keeper: Arc<dyn Abandoned>) -> Self {
        Self { request, amount, keeper: Some(keeper) }
    }

    /// The request that it is for.
    #[must_use]
    pub fn request(&self) -> RequestId {
        self.request
    }

    /// What is held.
    #[must_use]
    pub fn amount(&self) -> NanoUsd {
        self.amount
    }

    /// Adds to what is held; for meters only.
    pub fn grow(&mut self, more: NanoUsd) {
        self.amount = NanoUsd(self.amount.0.saturating_add(more.0));
    }

    /// Ends the hold properly and says what was held; for meters only.
    pub fn close(mut self) -> NanoUsd {
        self.keeper = None;
        self.amount
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hold({} of {})", self.amount, self.request)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.abandoned(self.request, self.amount);
        }
    }
}

/// A meter that covers everything and only counts: nobody is charged, and every hold can be accounted for.
#[derive(Clone, Debug, Default)]
pub struct MemoryMeter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    opened: AtomicU64,
    settled: AtomicU64,
    voided: AtomicU64,
    abandoned: AtomicU64,
    held_nanos: AtomicI64,
}

/// What a [`MemoryMeter`] has counted. `opened = open + settled + voided + abandoned`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeterCounts {
    /// Holds that have not ended.
    pub open: u64,
    /// Holds ever opened.
    pub opened: u64,
    /// Holds that were settled.
    pub settled: u64,
    /// Holds that were voided.
    pub voided: u64,
    /// Holds that nobody ended.
    pub abandoned: u64,
    /// What is held now.
    pub held: NanoUsd,
}

impl MemoryMeter {
    /// Nothing held.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> MeterCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Acquire);
        let ended = [read(&self.0.settled), read(&self.0.voided), read(&self.0.abandoned)];
        // Read after its parts, so that a hold that ends meanwhile is never counted as less than nothing.
        let opened = read(&self.0.opened);
        Self::checked(opened, ended, NanoUsd(self.0.held_nanos.load(Ordering::Acquire)))
    }

    fn checked(opened: u64, [settled, voided, abandoned]: [u64; 3], held: NanoUsd) -> MeterCounts {
        let open = opened.saturating_sub(settled + voided + abandoned);
        MeterCounts { open, opened, settled, voided, abandoned, held }
    }
}

impl Meter for MemoryMeter {
    fn hold(&self, request: RequestId, estimate: NanoUsd) -> Result<Hold, Rejection> {
        self.0.opened.fetch_add(1, Ordering::AcqRel);
        self.0.held_nanos.fetch_add(estimate.0, Ordering::AcqRel);
        Ok(Hold::open(request, estimate, Arc::<Counts>::clone(&self.0)))
    }

    fn extend(&self, hold: &mut Hold, more: NanoUsd) -> Result<(), Rejection> {
        let before = hold.amount().0;
        hold.grow(more);
        self.0.held_nanos.fetch_add(hold.amount().0 - before, Ordering::AcqRel);
        Ok(())
    }

    fn settle(&self, hold: Hold, _: Settlement) {
        self.0.end(&self.0.settled, hold.close());
    }

    fn void(&self, hold: Hold, _: &'static str) {
        self.0.end(&self.0.voided, hold.close());
    }
}

impl Counts {
    fn end(&self, how: &AtomicU64, amount: NanoUsd) {
        self.held_nanos.fetch_sub(amount.0, Ordering::AcqRel);
        how.fetch_add(1, Ordering::AcqRel);
    }
}

impl Abandoned for Counts {
    fn abandoned(&self, _: RequestId, amount: NanoUsd) {
        self.end(&self.abandoned, amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(n: u8) -> RequestId {
        RequestId::mint(u64::from(n), [n; 10])
    }

    #[test]
    fn every_hold_ends_once_and_a_dropped_one_is_reported() {
        let meter = MemoryMeter::new();
        let shared: Arc<dyn Meter> = Arc::new(meter.clone());
        let mut first = shared.hold(request(1), NanoUsd(100)).expect("covered");
        shared.extend(&mut first, NanoUsd(50)).expect("covered");
        let second = shared.hold(request(2), NanoUsd(7)).expect("covered");
        let third = shared.hold(request(3), NanoUsd(1)).expect("covered");
        assert_eq!((meter.counts().open, meter.counts().held), (3, NanoUsd(158)));
        shared.settle(first, Settlement { usage: Usage::default(), amount: NanoUsd(120), at: 9 });
        shared.void(second, "no upstream worked");
        drop(third);
        let expected =
            MeterCounts { opened: 3, settled: 1, voided: 1, abandoned: 1, ..MeterCounts::default() };
        assert_eq!(meter.counts(), expected);
    }

    #[test]
    fn nothing_leaks_when_a_request_panics() {
        let meter = MemoryMeter::new();
        let held = meter.hold(request(1), NanoUsd(5)).expect("covered");
        let panicked = std::thread::spawn(move || {
            let _held = held;
            panic!("on purpose");
        });
        assert!(panicked.join().is_err());
        assert_eq!((meter.counts().open, meter.counts().abandoned), (0, 1));
    }
}
