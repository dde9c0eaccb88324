//! The places that the requests of one worker hold, at accounts and under limits: leases, renewed for all
//! of them at once.
//!
//! Renewed here and not by each request, so that a request which only waits, for an upstream's first byte
//! or between two frames, keeps its place without a timer of its own.

use std::cell::RefCell;
use std::rc::Rc;

use state::in_flight::Slot;
use state::limits::Taken;

/// What returns by itself unless it is renewed at least three times in [`state::LEASE_MS`].
pub(crate) trait Lease {
    /// Keeps it for another [`state::LEASE_MS`].
    fn renew(&mut self, now_ms: u64);
}

impl Lease for Slot {
    fn renew(&mut self, now_ms: u64) {
        Self::renew(self, now_ms);
    }
}

impl Lease for Taken {
    fn renew(&mut self, now_ms: u64) {
        Self::renew(self, now_ms);
    }
}

/// Seats whose memory is kept when nobody holds one.
const USUAL_SEATS: usize = 64;

/// The leases that requests of one worker hold now; bounded by its requests in flight.
pub(crate) struct Places<L>(Rc<RefCell<Seats<L>>>);

struct Seats<L> {
    leases: Vec<Option<L>>,
    free: Vec<usize>,
}

impl<L> Default for Seats<L> {
    fn default() -> Self {
        Self { leases: Vec::new(), free: Vec::new() }
    }
}

impl<L> Default for Places<L> {
    fn default() -> Self {
        Self(Rc::default())
    }
}

impl<L> Seats<L> {
    fn clear(&mut self) {
        self.leases.clear();
        self.leases.shrink_to(USUAL_SEATS);
        self.free.clear();
        self.free.shrink_to(USUAL_SEATS);
    }
}

/// A lease that is renewed until this is dropped; then it is given back.
pub(crate) struct Place<L> {
    seats: Rc<RefCell<Seats<L>>>,
    index: usize,
}

impl<L: Lease> Places<L> {
    /// Keeps `lease` until the answer is dropped.
    pub fn keep(&self, lease: L) -> Place<L> {
        let mut seats = self.0.borrow_mut();
        let index = match seats.free.pop() {
            Some(index) => index,
            None => {
                seats.leases.push(None);
                seats.leases.len() - 1
            }
        };
        seats.leases[index] = Some(lease);
        Place { seats: Rc::clone(&self.0), index }
    }

    /// Renews every lease.
    pub fn renew(&self, now_ms: u64) {
        self.0.borrow_mut().leases.iter_mut().flatten().for_each(|lease| lease.renew(now_ms));
    }
}

impl<L> Place<L> {
    /// Ends the place; the lease is the caller's to give back.
    pub fn end(self) -> Option<L> {
        let mut seats = self.seats.borrow_mut();
        seats.leases.get_mut(self.index).and_then(Option::take)
    }
}

impl<L> Drop for Place<L> {
    fn drop(&mut self) {
        let mut seats = self.seats.borrow_mut();
        let lease = seats.leases.get_mut(self.index).and_then(Option::take);
        seats.free.push(self.index);
        if seats.free.len() == seats.leases.len() {
            // Nobody holds a place: what a busy hour needed is not kept.
            seats.clear();
        }
        drop(seats);
        // Given back last: it may wake who waits for it.
        drop(lease);
    }
}

#[cfg(test)]
mod tests {
    use model::ResourceId;
    use state::LEASE_MS;
    use state::in_flight::InFlight;

    use super::*;

    #[test]
    fn a_place_outlives_its_lease_while_it_is_renewed_and_returns_when_dropped() {
        let in_flight = InFlight::new();
        let account = ResourceId::mint(1, [7; 10]);
        let places = Places::default();
        let slot = in_flight.enter(&account, Some(1), 0).expect("nobody is there");
        let place = places.keep(slot);
        for now_ms in (0..10 * LEASE_MS).step_by(15_000) {
            places.renew(now_ms);
            assert!(in_flight.enter(&account, Some(1), now_ms + 10_000).is_none(), "{now_ms}");
        }
        drop(place);
        assert!(in_flight.enter(&account, Some(1), 10 * LEASE_MS).is_some());
        assert!(places.0.borrow().leases.is_empty());
    }

    #[test]
    fn seats_are_used_again() {
        let in_flight = InFlight::new();
        let account = ResourceId::mint(1, [7; 10]);
        let places = Places::default();
        let keep = || places.keep(in_flight.enter(&account, None, 0).expect("no limit"));
        let first = keep();
        for _ in 0..100 {
            drop(keep());
        }
        assert_eq!(places.0.borrow().leases.len(), 2);
        assert_eq!(in_flight.running(&account, 0), 1);
        drop(first);
        assert_eq!(in_flight.running(&account, 0), 0);
    }
}
