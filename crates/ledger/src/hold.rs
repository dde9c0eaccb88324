//! The guard of what is held for one request, and what is remembered of it until it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::clock::EpochMs;
use model::quota::Amounts;
use model::{NanoUsd, RequestId};
use parking_lot::{Mutex, MutexGuard};

use crate::book::Account;
use crate::course::Course;
use crate::event::Opening;

/// What is held for one request. Give it to [`crate::Meter::settle`] or [`crate::Meter::void`].
#[must_use = "a hold that is dropped is charged as estimated"]
pub struct Hold {
    open: Arc<Open>,
    /// Taken out when the hold ends properly.
    keeper: Option<Arc<dyn Keeper>>,
}

/// Who is told about holds that nobody ended.
pub(crate) trait Keeper: Send + Sync {
    /// A hold was dropped without being settled or voided.
    fn abandoned(&self, open: &Open);
}

/// One request that has not ended: shared by its [`Hold`] and by who ends it when the hold does not.
#[derive(Debug)]
pub(crate) struct Open {
    /// What was opened.
    pub opening: Arc<Opening>,
    /// The accounts of its payers, by their place.
    pub accounts: Box<[Arc<Mutex<Account>>]>,
    /// Where it is registered.
    pub place: Place,
    /// When it expires unless it gives another sign of life.
    expires: AtomicU64,
    course: Mutex<Course>,
}

/// Where an open request is registered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    /// In which of the slabs that are used side by side.
    pub slab: usize,
    /// Where in it.
    pub slot: usize,
}

impl Open {
    /// A request with this course; it pays from `accounts`.
    pub fn new(opening: Arc<Opening>, accounts: Box<[Arc<Mutex<Account>>]>, course: Course) -> Self {
        let expires = AtomicU64::new(opening.expires);
        Self { opening, accounts, place: Place::default(), expires, course: Mutex::new(course) }
    }

    /// What has become of it. Taken before any account is locked.
    pub fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock()
    }

    /// It gave a sign of life at `now`.
    pub fn seen(&self, now: EpochMs) {
        self.expires.store(now.saturating_add(self.lifetime()), Ordering::Relaxed);
    }

    /// When it gave its last sign of life.
    pub fn last_seen(&self) -> EpochMs {
        self.expires.load(Ordering::Relaxed).saturating_sub(self.lifetime())
    }

    /// Whether it has expired.
    pub fn is_expired(&self, now: EpochMs) -> bool {
        now >= self.expires.load(Ordering::Relaxed)
    }

    fn lifetime(&self) -> EpochMs {
        self.opening.expires.saturating_sub(self.opening.at)
    }
}

impl Hold {
    /// The guard of `open`; `keeper` is told when it is dropped.
    pub(crate) fn new(open: Arc<Open>, keeper: Arc<dyn Keeper>) -> Self {
        Self { open, keeper: Some(keeper) }
    }

    /// The request that it is for.
    #[must_use]
    pub fn request(&self) -> RequestId {
        self.open.opening.facts.request
    }

    /// What is held.
    #[must_use]
    pub fn held(&self) -> Amounts {
        self.open.course().held()
    }

    /// The money that is held.
    #[must_use]
    pub fn amount(&self) -> NanoUsd {
        self.held().cost
    }

    /// Whether the request may have reached an upstream.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.open.course().is_begun()
    }

    /// What is remembered of it.
    pub(crate) fn open(&self) -> &Arc<Open> {
        &self.open
    }

    /// Ends the guard properly: its keeper will not be told.
    pub(crate) fn close(mut self) -> Arc<Open> {
        self.keeper = None;
        Arc::clone(&self.open)
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hold({:?} of {})", self.held(), self.request())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.abandoned(&self.open);
        }
    }
}
