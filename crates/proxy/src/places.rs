//! The places at accounts that the requests of one worker hold: leases, renewed for all of them at once.
//!
//! Renewed here and not by each request, so that a request which only waits, for an upstream's first byte
//! or between two frames, keeps its place without a timer of its own.

use std::cell::RefCell;
use std::rc::Rc;

use state::in_flight::Slot;

/// The places that requests of one worker hold now; bounded by its requests in flight.
#[derive(Default)]
pub(crate) struct Places(Rc<RefCell<Seats>>);

#[derive(Default)]
struct Seats {
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
}

/// A place at an account that is renewed until this is dropped; then it is given back.
pub(crate) struct Place {
    seats: Rc<RefCell<Seats>>,
    index: usize,
}

impl Places {
    /// Keeps `slot` until the answer is dropped.
    pub fn keep(&self, slot: Slot) -> Place {
        let mut seats = self.0.borrow_mut();
        let index = match seats.free.pop() {
            Some(index) => index,
            None => {
                seats.slots.push(None);
                seats.slots.len() - 1
            }
        };
        seats.slots[index] = Some(slot);
        Place { seats: Rc::clone(&self.0), index }
    }

    /// Renews every place; to be called at least three times in [`state::LEASE_MS`].
    pub fn renew(&self, now_ms: u64) {
        self.0.borrow_mut().slots.iter_mut().flatten().for_each(|slot| slot.renew(now_ms));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut seats = self.seats.borrow_mut();
        let slot = seats.slots.get_mut(self.index).and_then(Option::take);
        seats.free.push(self.index);
        if seats.free.len() == seats.slots.len() {
            // Nobody holds a place: what a busy hour needed is not kept.
            *seats = Seats::default();
        }
        drop(seats);
        // Given back last: it may wake who waits for it.
        drop(slot);
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
        assert!(places.0.borrow().slots.is_empty());
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
        assert_eq!(places.0.borrow().slots.len(), 2);
        assert_eq!(in_flight.running(&account, 0), 1);
        drop(first);
        assert_eq!(in_flight.running(&account, 0), 0);
    }
}
