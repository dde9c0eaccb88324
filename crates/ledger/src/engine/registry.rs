//! All requests that have not ended, for who has to end them when nobody else does, and the counts of those
//! that have. Each thread registers in a slab of its own, so that threads rarely wait for each other.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::quota::Amounts;
use parking_lot::Mutex;

use crate::hold::{Open, Place};

/// Slabs; a power of two, above the number of workers of a common machine.
const SLABS: usize = 16;
/// Open requests in one slab at most, about 40 MB of them: far more than a worker can have in flight.
const MOST_IN_SLAB: usize = 1 << 16;

/// How requests end, in the order of [`Counts::ended`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Settled,
    Voided,
    Abandoned,
    Expired,
    Orphaned,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Requests ever opened.
    pub opened: u64,
    /// How many of them have ended, by [`Way`].
    pub ended: [u64; 5],
    /// Ends that came after the end.
    pub late: u64,
}

/// All open requests.
#[derive(Debug)]
pub(crate) struct Registry(Box<[Mutex<Slab>]>);

#[derive(Debug, Default)]
struct Slab {
    slots: Vec<Option<Arc<Open>>>,
    free: Vec<usize>,
    counts: Counts,
}

impl Registry {
    /// None is open.
    pub fn new() -> Self {
        Self((0..SLABS).map(|_| Mutex::default()).collect())
    }

    /// Registers a request.
    ///
    /// # Errors
    /// The request, when there are too many.
    pub fn insert(&self, mut open: Open) -> Result<Arc<Open>, Open> {
        let slab = of_this_thread();
        let mut locked = self.0[slab].lock();
        let slot = locked.free.pop().unwrap_or(locked.slots.len());
        if slot == locked.slots.len() {
            if slot >= MOST_IN_SLAB {
                return Err(open);
            }
            locked.slots.push(None);
        }
        open.place = Place { slab, slot };
        let open = Arc::new(open);
        locked.slots[slot] = Some(Arc::clone(&open));
        locked.counts.opened += 1;
        Ok(open)
    }

    /// Forgets a request that has ended.
    pub fn remove(&self, place: Place, way: Way) {
        let mut slab = self.0[place.slab].lock();
        // The request itself is freed after the lock.
        let gone = slab.slots[place.slot].take();
        if gone.is_some() {
            slab.free.push(place.slot);
            slab.counts.ended[way as usize] += 1;
        }
        drop(slab);
        drop(gone);
    }

    /// Counts an end that came after the end.
    pub fn count_late(&self, place: Place) {
        self.0[place.slab].lock().counts.late += 1;
    }

    /// The open requests for which `wanted` says so.
    pub fn select(&self, wanted: impl Fn(&Open) -> bool) -> Vec<Arc<Open>> {
        let mut selected = Vec::new();
        for slab in &self.0 {
            let slab = slab.lock();
            selected.extend(slab.slots.iter().flatten().filter(|open| wanted(open)).cloned());
        }
        selected
    }

    /// What was counted, how many are open, and what they hold.
    pub fn counts(&self) -> (Counts, u64, Amounts) {
        let mut counts = Counts::default();
        for slab in &self.0 {
            let slab = slab.lock();
            counts.opened += slab.counts.opened;
            counts.late += slab.counts.late;
            counts.ended.iter_mut().zip(slab.counts.ended).for_each(|(sum, ended)| *sum += ended);
        }
        let open = self.select(|_| true);
        let held = open.iter().fold(Amounts::default(), |sum, open| sum.plus(&open.course().held()));
        (counts, u64::try_from(open.len()).unwrap_or(u64::MAX), held)
    }
}

/// The slab of this thread.
fn of_this_thread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SLAB: Cell<Option<usize>> = const { Cell::new(None) };
    }
    SLAB.with(|slab| {
        slab.get().unwrap_or_else(|| {
            let mine = THREADS.fetch_add(1, Ordering::Relaxed) % SLABS;
            slab.set(Some(mine));
            mine
        })
    })
}
