//! Places that return by themselves: each is a lease that its holder renews.
//!
//! A request of any length keeps its places by renewing them; what a dead holder kept returns after
//! [`LEASE_MS`]. There is no timer: whoever finds the owner full looks for leases that have lapsed.

use std::sync::atomic::{AtomicU64, Ordering};

use model::clock::EpochMs;

/// How long a place is held without being renewed, in milliseconds (accounts.md §3, "slots are leases").
/// Renew at least three times in it, so that one late renewal loses nothing.
pub const LEASE_MS: u64 = 60_000;

/// Tells the places of an owner that was forgotten from those of its next life.
static LIVES: AtomicU64 = AtomicU64::new(0);

/// The places of one owner that are held: 16 bytes each, as many as ever were at one time.
#[derive(Debug)]
pub(crate) struct Places {
    life: u64,
    taken: u64,
    seats: Vec<Seat>,
    free: Vec<u32>,
    /// No lease lapses before this; what has no time yet is not looked at.
    first_lapse_ms: EpochMs,
}

#[derive(Debug)]
struct Seat {
    /// Which taking holds it; 0 when it is free.
    number: u64,
    until_ms: EpochMs,
}

/// One place, held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    life: u64,
    number: u64,
    seat: u32,
}

impl Default for Places {
    fn default() -> Self {
        let life = LIVES.fetch_add(1, Ordering::Relaxed);
        Self { life, taken: 0, seats: Vec::new(), free: Vec::new(), first_lapse_ms: EpochMs::MAX }
    }
}

impl Places {
    /// Places that are held, lapsed ones included until somebody looks.
    pub(crate) fn held(&self) -> u64 {
        (self.seats.len() - self.free.len()) as u64
    }

    /// Places that are held, after a look at those that lapsed if that could matter under `limit`.
    pub(crate) fn held_under(&mut self, limit: u64, now_ms: EpochMs) -> u64 {
        if self.held() >= limit {
            self.lapse(now_ms);
        }
        self.held()
    }

    /// Takes a place. Whether one is free is the caller's to know.
    pub(crate) fn take(&mut self, now_ms: EpochMs) -> Lease {
        let until_ms = now_ms.saturating_add(LEASE_MS);
        self.first_lapse_ms = self.first_lapse_ms.min(until_ms);
        self.seat(until_ms)
    }

    /// Takes a place for somebody without a clock: its time begins with the first look or renewal.
    pub(crate) fn take_untimed(&mut self) -> Lease {
        self.seat(EpochMs::MAX)
    }

    /// Holds the place for [`LEASE_MS`] from now. If it has lapsed and was given up, it is taken again,
    /// beyond any limit: its holder does run, and counts.
    pub(crate) fn renew(&mut self, lease: &mut Lease, now_ms: EpochMs) {
        let until_ms = now_ms.saturating_add(LEASE_MS);
        match self.find(*lease) {
            Some(seat) => {
                seat.until_ms = until_ms;
                self.first_lapse_ms = self.first_lapse_ms.min(until_ms);
            }
            None => *lease = self.take(now_ms),
        }
    }

    /// Gives a place back; nothing happens if it was given back or lapsed before.
    pub(crate) fn give_back(&mut self, lease: Lease) {
        if let Some(seat) = self.find(lease) {
            seat.number = 0;
            self.free.push(lease.seat);
        }
        if self.held() == 0 {
            self.clear();
        }
    }

    /// Gives up what was not renewed in time.
    pub(crate) fn lapse(&mut self, now_ms: EpochMs) {
        let latest_ms = now_ms.saturating_add(LEASE_MS);
        if (now_ms.saturating_add(1)..=latest_ms).contains(&self.first_lapse_ms) {
            return;
        }
        self.first_lapse_ms = EpochMs::MAX;
        for (at, seat) in self.seats.iter_mut().enumerate().filter(|(_, seat)| seat.number > 0) {
            // Later than any renewal could set: without a time yet, or the clock went back.
            seat.until_ms = seat.until_ms.min(latest_ms);
            if seat.until_ms <= now_ms {
                seat.number = 0;
                self.free.push(u32::try_from(at).unwrap_or(u32::MAX));
            } else {
                self.first_lapse_ms = self.first_lapse_ms.min(seat.until_ms);
            }
        }
        if self.held() == 0 {
            self.clear();
        }
    }

    fn seat(&mut self, until_ms: EpochMs) -> Lease {
        self.taken += 1;
        let number = self.taken;
        let seat = match self.free.pop() {
            Some(seat) => seat,
            None => {
                self.seats.push(Seat { number, until_ms });
                u32::try_from(self.seats.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(seat) = self.seats.get_mut(seat as usize) {
            *seat = Seat { number, until_ms };
        }
        Lease { life: self.life, number, seat }
    }

    fn find(&mut self, lease: Lease) -> Option<&mut Seat> {
        let seat = self.seats.get_mut(lease.seat as usize)?;
        (lease.life == self.life && lease.number == seat.number).then_some(seat)
    }

    /// Nobody holds anything: the next place is again the first.
    fn clear(&mut self) {
        self.seats.clear();
        self.free.clear();
        self.first_lapse_ms = EpochMs::MAX;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_lapses_when_it_is_not_renewed() {
        let mut places = Places::default();
        let dead = places.take(0);
        let mut alive = places.take(0);
        for now_ms in (0..10 * LEASE_MS).step_by(20_000) {
            places.renew(&mut alive, now_ms);
        }
        assert_eq!(places.held(), 2, "nobody looked");
        assert_eq!(places.held_under(2, 10 * LEASE_MS), 1);
        places.give_back(dead);
        assert_eq!(places.held(), 1);
        places.give_back(alive);
        places.give_back(alive);
        assert_eq!(places.held(), 0);
    }

    #[test]
    fn who_lost_a_place_frees_nobody_elses() {
        let mut places = Places::default();
        let lost = places.take(0);
        assert_eq!(places.held_under(1, LEASE_MS), 0);
        let next = places.take(LEASE_MS);
        assert_eq!(next.seat, lost.seat);
        places.give_back(lost);
        assert_eq!(places.held(), 1);
        let mut next_life = Places::default();
        next_life.take(0);
        next_life.give_back(next);
        assert_eq!(next_life.held(), 1);
    }

    #[test]
    fn a_holder_that_comes_back_late_counts_again() {
        let mut places = Places::default();
        let mut late = places.take(0);
        assert_eq!(places.held_under(1, LEASE_MS), 0);
        let other = places.take(LEASE_MS);
        places.renew(&mut late, LEASE_MS + 1);
        assert_eq!(places.held(), 2);
        places.give_back(other);
        places.give_back(late);
        assert_eq!(places.held(), 0);
    }

    #[test]
    fn a_place_without_a_time_and_a_clock_that_goes_back_wait_one_lease() {
        let mut places = Places::default();
        places.take_untimed();
        places.take(1_000 * LEASE_MS);
        assert_eq!(places.held_under(2, 5), 2);
        assert_eq!(places.held_under(2, 4 + LEASE_MS), 2);
        assert_eq!(places.held_under(2, 5 + LEASE_MS), 0);
    }
}
