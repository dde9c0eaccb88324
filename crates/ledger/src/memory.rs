//! A meter that covers everything and only counts: nobody is charged, and every hold can be accounted for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::clock::EpochMs;
use model::quota::Amounts;
use model::{Code, Rejection};
use parking_lot::Mutex;

use crate::course::{Course, Late};
use crate::event::Opening;
use crate::hold::{Hold, Keeper, Open};
use crate::meter::{Asked, AttemptStart, Meter, Payer, Progress, Settlement, Standing, Written};

/// A meter that covers everything and only counts.
#[derive(Clone, Debug, Default)]
pub struct MemoryMeter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    opened: AtomicU64,
    settled: AtomicU64,
    voided: AtomicU64,
    abandoned: AtomicU64,
    held: Mutex<Amounts>,
    last: Mutex<Option<Settlement>>,
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
    pub held: Amounts,
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
        let [settled, voided, abandoned] =
            [read(&self.0.settled), read(&self.0.voided), read(&self.0.abandoned)];
        // Read after its parts, so that a hold that ends meanwhile is never counted as less than nothing.
        let opened = read(&self.0.opened);
        let open = opened.saturating_sub(settled + voided + abandoned);
        MeterCounts { open, opened, settled, voided, abandoned, held: *self.0.held.lock() }
    }

    /// The settlement that came last.
    #[must_use]
    pub fn last_settlement(&self) -> Option<Settlement> {
        self.0.last.lock().clone()
    }
}

impl Meter for MemoryMeter {
    fn hold(&self, asked: Asked) -> Result<Hold, Rejection> {
        let Asked { facts, payers, expected, at } = asked;
        self.0.opened.fetch_add(1, Ordering::AcqRel);
        self.0.hold(expected);
        let opening = Opening { facts, payers, began: Box::default(), expected, at, expires: at };
        let open = Open::new(Arc::new(opening), Box::default(), Course::new(expected));
        Ok(Hold::new(Arc::new(open), Arc::<Counts>::clone(&self.0)))
    }

    fn standing(&self, _: &Payer, _: EpochMs) -> Standing {
        Standing::default()
    }

    fn begin(&self, hold: &mut Hold, attempt: AttemptStart, now: EpochMs) -> Result<Written, Rejection> {
        hold.open().course().attempt(attempt, now).map_err(late)?;
        Ok(Written::done())
    }

    fn extend(&self, hold: &mut Hold, more: Amounts, _: EpochMs) -> Result<(), Rejection> {
        hold.open().course().extend(&more).map_err(late)?;
        self.0.hold(more);
        Ok(())
    }

    fn checkpoint(&self, hold: &mut Hold, so_far: &Progress, _: EpochMs) {
        // Nobody but its guard ends a hold here, so that it cannot be late.
        let _ = hold.open().course().progress(*so_far);
    }

    fn settle(&self, hold: Hold, settlement: Settlement) {
        self.0.end(&hold.close(), &self.0.settled);
        *self.0.last.lock() = Some(settlement);
    }

    fn void(&self, hold: Hold, _: &'static str, _: EpochMs) {
        self.0.end(&hold.close(), &self.0.voided);
    }
}

impl Counts {
    fn hold(&self, more: Amounts) {
        let mut held = self.held.lock();
        *held = held.plus(&more);
    }

    fn end(&self, open: &Open, how: &AtomicU64) {
        let mut course = open.course();
        let was = course.held();
        if course.end().is_ok() {
            let mut held = self.held.lock();
            held.requests -= was.requests;
            held.tokens -= was.tokens;
            held.cost.0 -= was.cost.0;
            how.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Keeper for Counts {
    fn abandoned(&self, open: &Open) {
        self.end(open, &self.abandoned);
    }
}

/// The refusal of a step that comes after the end.
pub(crate) fn late(late: Late) -> Rejection {
    Rejection::new(Code::InternalError).caused_by(late)
}

#[cfg(test)]
mod tests {
    use model::{NanoUsd, RequestId, Usage};

    use super::*;
    use crate::meter::Facts;

    fn asked(n: u8, nanos: i64) -> Asked {
        let request = RequestId::mint(u64::from(n), [n; 10]);
        let facts = Facts { request, key: None, user: None, tenant: "default".into(), model: "m".into() };
        let expected = Amounts { requests: 1, tokens: 10, cost: NanoUsd(nanos) };
        Asked { facts, payers: Arc::new([]), expected, at: u64::from(n) }
    }

    fn settlement(cost: i64) -> Settlement {
        Settlement { usage: Usage::default(), cost: Some(NanoUsd(cost)), at: 9, attempts: Vec::new() }
    }

    #[test]
    fn every_hold_ends_once_and_a_dropped_one_is_reported() {
        let meter = MemoryMeter::new();
        let shared: Arc<dyn Meter> = Arc::new(meter.clone());
        let mut first = shared.hold(asked(1, 100)).expect("covered");
        let more = Amounts { requests: 0, tokens: 5, cost: NanoUsd(50) };
        shared.extend(&mut first, more, 2).expect("covered");
        let second = shared.hold(asked(2, 7)).expect("covered");
        let third = shared.hold(asked(3, 1)).expect("covered");
        let held = Amounts { requests: 3, tokens: 35, cost: NanoUsd(158) };
        assert_eq!((meter.counts().open, meter.counts().held), (3, held));
        shared.settle(first, settlement(120));
        shared.void(second, "no upstream worked", 9);
        drop(third);
        let expected =
            MeterCounts { opened: 3, settled: 1, voided: 1, abandoned: 1, ..MeterCounts::default() };
        assert_eq!(meter.counts(), expected);
        assert_eq!(meter.last_settlement(), Some(settlement(120)));
    }

    #[test]
    fn nothing_leaks_when_a_request_panics() {
        let meter = MemoryMeter::new();
        let held = meter.hold(asked(1, 5)).expect("covered");
        let panicked = std::thread::spawn(move || {
            let _held = held;
            panic!("on purpose");
        });
        assert!(panicked.join().is_err());
        assert_eq!((meter.counts().open, meter.counts().abandoned), (0, 1));
    }
}
