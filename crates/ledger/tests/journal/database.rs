//! A database that takes projections, is away at times, and may lose its last commits in a power cut.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::projector::ProjectionSink;
use model::entry::{JournalPosition, LedgerEntry, Projection, WindowUse};
use model::quota::{Owner, Period, Unit};
use parking_lot::Mutex;

/// Commits older than this are on the disk whatever the database syncs: the system has written them out.
const WRITTEN_OUT: Duration = Duration::from_secs(35);

/// What the database holds.
#[derive(Clone, Debug, Default)]
pub struct Content {
    pub positions: BTreeMap<u32, JournalPosition>,
    pub entries: Vec<LedgerEntry>,
    windows: BTreeMap<(Owner, Unit, Period, u64), i64>,
}

impl Content {
    pub fn windows(&self) -> Vec<WindowUse> {
        let window = |((owner, unit, period, began), used): (&(Owner, Unit, Period, u64), &i64)| WindowUse {
            owner: owner.clone(),
            unit: *unit,
            period: *period,
            began: *began,
            used: *used,
        };
        self.windows.iter().map(window).collect()
    }

    pub fn used(&self, owner: &Owner, unit: Unit) -> i64 {
        self.windows
            .iter()
            .filter(|((of, is, ..), _)| of == owner && *is == unit)
            .map(|(_, used)| *used)
            .sum()
    }
}

/// The database; clones are the same one.
#[derive(Clone)]
pub struct Database(Arc<Mutex<Vec<(Instant, Content)>>>);

impl Database {
    pub fn new(content: Content, now: Instant) -> Self {
        Self(Arc::new(Mutex::new(vec![(now, content)])))
    }

    /// Time goes on: what happens from now on happens at `now`.
    pub fn at(&self, now: Instant) {
        let mut history = self.0.lock();
        let last = history.last().expect("never empty").1.clone();
        history.push((now, last));
    }

    pub fn content(&self) -> Content {
        self.0.lock().last().expect("never empty").1.clone()
    }

    /// What a power cut at `now` leaves: any state since the last one that is on the disk for certain.
    pub fn power_cut(&self, now: Instant, rng: &mut fastrand::Rng) -> Content {
        let history = self.0.lock();
        let is_certain = |(at, _): &&(Instant, Content)| now.duration_since(*at) >= WRITTEN_OUT;
        let first = history.iter().take_while(is_certain).count().saturating_sub(1);
        history[rng.usize(first..history.len())].1.clone()
    }
}

impl ProjectionSink for Database {
    async fn project(&self, projection: &Projection) -> Result<(), String> {
        let mut history = self.0.lock();
        let content = &mut history.last_mut().expect("never empty").1;
        let Projection { from, to, entries, windows, .. } = projection;
        assert_eq!(content.positions.get(&to.shard), from.as_ref(), "a projection leaves something out");
        content.positions.insert(to.shard, *to);
        content.entries.extend(entries.iter().cloned());
        for WindowUse { owner, unit, period, began, used } in windows {
            *content.windows.entry((owner.clone(), *unit, *period, *began)).or_default() += used;
        }
        Ok(())
    }
}
