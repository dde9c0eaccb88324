//! Requests in flight under an `Idempotency-Key`: the first runs, others wait for its answer.
//!
//! Finished answers are the store's; here is only what runs. If the first ends without an answer, one of
//! those who wait runs in its place. The run itself is handed on, so nobody waits for a runner that is gone.

use foldhash::HashMap;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use model::ResourceId;
use parking_lot::Mutex;

use crate::shards::Shards;

/// Idempotency keys in flight at most, in one of 64 shards: 65,536 in all, more than requests can run.
const MOST_IN_SHARD: usize = 1_024;
/// Requests that wait for one answer at most: as many as wait for an account (accounts.md §3).
pub const MOST_WAITING: usize = 100;

/// The digest of a request's body; a caller that uses an idempotency key for another body is told so.
pub type BodyHash = [u8; 32];

/// All idempotency keys in flight, with answers of type `A`. Clones share them.
pub struct Replays<A>(Arc<Shared<A>>);

/// An API key, and what its holder calls the request.
type Name = (ResourceId, Box<str>);

/// What a request that names an idempotency key does.
#[derive(Debug)]
#[must_use = "the first comer runs"]
pub enum Begin<A> {
    /// It is the first: it runs, and gives its answer to the guard.
    Run(Guard<A>),
    /// The same request runs already.
    Wait(Waiting<A>),
    /// Another body runs under this key.
    Mismatch,
    /// As many wait for this answer, or run, as may.
    Full,
}

/// How waiting ends.
#[derive(Debug)]
pub enum Outcome<A> {
    /// With the answer.
    Answer(Arc<A>),
    /// The first ended without an answer: this one runs now.
    Run(Guard<A>),
}

/// The right to run. Dropping it without an answer hands it to the first who waits.
#[must_use = "dropping this lets another run"]
pub struct Guard<A> {
    shared: Arc<Shared<A>>,
    /// Taken when the answer is given.
    name: Option<Arc<Name>>,
}

/// Waits for the answer of the request that runs. Dropping it stops waiting.
#[must_use = "dropping this stops waiting"]
pub struct Waiting<A> {
    shared: Arc<Shared<A>>,
    name: Arc<Name>,
    seat: Arc<Seat<A>>,
}

struct Shared<A>(Shards<Arc<Name>, Running<A>>);

struct Running<A> {
    body: BodyHash,
    waiting: VecDeque<Arc<Seat<A>>>,
}

/// Where one who waits finds what came.
struct Seat<A>(Mutex<Came<A>>);

enum Came<A> {
    Nothing(Option<Waker>),
    Something(Outcome<A>),
    /// The one who waited has left.
    Left,
}

impl<A> Replays<A> {
    /// Nothing in flight.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared(Shards::default())))
    }

    /// Begins a request of `key` that its holder calls `name` and whose body has the digest `body`.
    pub fn begin(&self, key: &ResourceId, name: &str, body: BodyHash) -> Begin<A> {
        let name: Arc<Name> = Arc::new((key.clone(), name.into()));
        let mut shard = self.0.0.of(&name);
        let Some(running) = shard.get_mut(&name) else {
            if shard.len() >= MOST_IN_SHARD {
                return Begin::Full;
            }
            shard.insert(Arc::clone(&name), Running { body, waiting: VecDeque::new() });
            return Begin::Run(Guard { shared: Arc::clone(&self.0), name: Some(name) });
        };
        if running.body != body {
            return Begin::Mismatch;
        }
        if running.waiting.len() >= MOST_WAITING {
            return Begin::Full;
        }
        let seat = Arc::new(Seat(Mutex::new(Came::Nothing(None))));
        running.waiting.push_back(Arc::clone(&seat));
        Begin::Wait(Waiting { shared: Arc::clone(&self.0), name, seat })
    }

    /// Idempotency keys in flight.
    #[must_use]
    pub fn running(&self) -> usize {
        self.0.0.each().map(|shard| shard.len()).sum()
    }

    /// Requests that wait for the answer of another.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let of_shard = |shard: &HashMap<Arc<Name>, Running<A>>| -> usize {
            shard.values().map(|running| running.waiting.len()).sum()
        };
        self.0.0.each().map(|shard| of_shard(&shard)).sum()
    }
}

impl<A> Guard<A> {
    /// Gives the answer to all who wait. Whoever comes later runs again: what must be found by them is
    /// stored before this is called.
    pub fn complete(mut self, answer: &Arc<A>) {
        let Some(name) = self.name.take() else { return };
        let running = self.shared.0.of(&name).remove(&name);
        for seat in running.into_iter().flat_map(|running| running.waiting) {
            // Who has left needs no answer.
            let _left = seat.give(Outcome::Answer(Arc::clone(answer)));
        }
    }
}

impl<A> Drop for Guard<A> {
    fn drop(&mut self) {
        let Some(name) = self.name.take() else { return };
        let mut shard = self.shared.0.of(&name);
        let Some(next) = shard.get_mut(&name).and_then(|running| running.waiting.pop_front()) else {
            shard.remove(&name);
            return;
        };
        drop(shard);
        let guard = Self { shared: Arc::clone(&self.shared), name: Some(name) };
        // If that one has left meanwhile, the guard comes back and its drop looks for the next.
        drop(next.give(Outcome::Run(guard)));
    }
}

impl<A> Seat<A> {
    /// Gives what came to who waits, or back when they have left.
    fn give(&self, outcome: Outcome<A>) -> Option<Outcome<A>> {
        let mut came = self.0.lock();
        let waker = match &mut *came {
            Came::Nothing(waker) => waker.take(),
            Came::Something(_) | Came::Left => return Some(outcome),
        };
        *came = Came::Something(outcome);
        drop(came);
        waker.into_iter().for_each(Waker::wake);
        None
    }
}

impl<A> Future for Waiting<A> {
    type Output = Outcome<A>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome<A>> {
        let waker = context.waker().clone();
        let mut came = self.seat.0.lock();
        let before = match &*came {
            Came::Nothing(_) => std::mem::replace(&mut *came, Came::Nothing(Some(waker))),
            Came::Something(_) => std::mem::replace(&mut *came, Came::Left),
            Came::Left => return Poll::Pending,
        };
        // Dropping a waker may run anything; not under the lock.
        drop(came);
        match before {
            Came::Something(outcome) => Poll::Ready(outcome),
            Came::Nothing(_) | Came::Left => Poll::Pending,
        }
    }
}

impl<A> Drop for Waiting<A> {
    fn drop(&mut self) {
        let came = std::mem::replace(&mut *self.seat.0.lock(), Came::Left);
        if matches!(came, Came::Nothing(_))
            && let Some(running) = self.shared.0.of(&self.name).get_mut(&self.name)
        {
            running.waiting.retain(|seat| !Arc::ptr_eq(seat, &self.seat));
        }
        // A right to run that nobody looked at is handed on by its own drop.
        drop(came);
    }
}

impl<A> Default for Replays<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A> Clone for Replays<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A> fmt::Debug for Replays<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replays").field("running", &self.running()).finish()
    }
}

impl<A> fmt::Debug for Guard<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

impl<A> fmt::Debug for Waiting<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").finish_non_exhaustive()
    }
}
