//! The arithmetic of windows: exact, in integers, and safe against a clock that goes back.

use model::clock::EpochMs;

/// Milliseconds of a minute window.
pub(crate) const MINUTE_MS: u64 = 60_000;
/// Milliseconds of a UTC day.
pub(crate) const DAY_MS: u64 = 86_400_000;
/// A clock that goes back by less stands still instead: threads read it at slightly different times.
const JITTER_MS: u64 = MINUTE_MS;

/// A sliding minute of two buckets: `previous × (1 − elapsed/60) + current` (access.md §4). 32 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Minute {
    /// Which minute since the epoch `current` is.
    index: u64,
    previous: u64,
    current: u64,
    /// The latest time seen.
    latest_ms: EpochMs,
}

impl Minute {
    /// Moves to `now_ms`. After a clock went back far, both buckets count as just filled: time lost
    /// creates no budget.
    pub(crate) fn advance(&mut self, now_ms: EpochMs) {
        if now_ms.saturating_add(JITTER_MS) < self.latest_ms {
            self.current = self.current.saturating_add(self.previous);
            (self.previous, self.latest_ms, self.index) = (0, now_ms, now_ms / MINUTE_MS);
            return;
        }
        self.latest_ms = self.latest_ms.max(now_ms);
        let index = self.latest_ms / MINUTE_MS;
        match index - self.index {
            0 => return,
            1 => self.previous = self.current,
            _ => self.previous = 0,
        }
        (self.current, self.index) = (0, index);
    }

    /// The minute that [`Self::add`] adds to.
    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    /// The latest time seen.
    pub(crate) fn latest_ms(&self) -> EpochMs {
        self.latest_ms
    }

    /// What is used, in units × milliseconds: comparing needs no division.
    fn weighted(&self) -> u128 {
        let left = MINUTE_MS - self.latest_ms % MINUTE_MS;
        u128::from(self.previous) * u128::from(left) + u128::from(self.current) * u128::from(MINUTE_MS)
    }

    /// What is used, rounded up.
    pub(crate) fn used(&self) -> u64 {
        let weighted = self.weighted();
        // Nearly always it fits, and dividing 128 bits would be most of what an admission costs.
        match u64::try_from(weighted) {
            Ok(weighted) => weighted.div_ceil(MINUTE_MS),
            Err(_) => u64::try_from(weighted.div_ceil(u128::from(MINUTE_MS))).unwrap_or(u64::MAX),
        }
    }

    /// Whether `more` fits under `limit`.
    pub(crate) fn fits(&self, more: u64, limit: u64) -> bool {
        let minute = u128::from(MINUTE_MS);
        self.weighted() + u128::from(more) * minute <= u128::from(limit) * minute
    }

    /// Counts `more`.
    pub(crate) fn add(&mut self, more: u64) {
        self.current = self.current.saturating_add(more);
    }

    /// Takes back `less` of what was counted in minute `index`, if that still weighs.
    pub(crate) fn take_back(&mut self, less: u64, index: u64) {
        if index == self.index {
            self.current = self.current.saturating_sub(less);
        } else if index + 1 == self.index {
            self.previous = self.previous.saturating_sub(less);
        }
    }

    /// Milliseconds until `more` fits under `limit` if nothing else comes; a whole minute when it never will.
    pub(crate) fn wait_ms(&self, more: u64, limit: u64) -> u64 {
        let elapsed = self.latest_ms % MINUTE_MS;
        let Some(room) = limit.checked_sub(more) else {
            return MINUTE_MS;
        };
        if let Some(room) = room.checked_sub(self.current) {
            return fading_ms(self.previous, room).saturating_sub(elapsed);
        }
        MINUTE_MS - elapsed + fading_ms(self.current, room)
    }

    /// When the bucket in use ends, in whole seconds since the epoch.
    pub(crate) fn ends_at_s(&self) -> u64 {
        (self.index + 1).saturating_mul(MINUTE_MS / 1_000)
    }
}

/// How far into a minute the previous one's `count` weighs no more than `room`.
fn fading_ms(count: u64, room: u64) -> u64 {
    if count <= room {
        return 0;
    }
    let share = u128::from(room) * u128::from(MINUTE_MS) / u128::from(count);
    MINUTE_MS - u64::try_from(share).unwrap_or(MINUTE_MS)
}

/// A UTC day's count. 16 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Day {
    index: u64,
    /// What is used of the day.
    pub used: u64,
}

impl Day {
    /// Moves to `now_ms`. A clock that went back a little stays in the day, one that went back by more
    /// than a day keeps what was counted: time lost creates no budget.
    pub(crate) fn advance(&mut self, now_ms: EpochMs) {
        let index = now_ms / DAY_MS;
        if index > self.index {
            self.used = 0;
        } else if index + 1 >= self.index {
            return;
        }
        self.index = index;
    }

    /// Which day since the epoch it counts.
    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    /// Whether `more` fits under `limit`.
    pub(crate) fn fits(&self, more: u64, limit: u64) -> bool {
        self.used.checked_add(more).is_some_and(|sum| sum <= limit)
    }

    /// Whether nothing of it weighs at `now_ms`.
    pub(crate) fn is_over(&self, now_ms: EpochMs) -> bool {
        self.used == 0 || now_ms / DAY_MS > self.index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Minute 10 holds `previous`, minute 11 `current`, and it is `elapsed_ms` into minute 11.
    fn minute(previous: u64, current: u64, elapsed_ms: u64) -> Minute {
        let mut minute = Minute::default();
        minute.advance(10 * MINUTE_MS);
        minute.add(previous);
        minute.advance(11 * MINUTE_MS + elapsed_ms);
        minute.add(current);
        minute
    }

    #[test]
    fn the_previous_minute_weighs_less_as_this_one_passes() {
        for (previous, current, elapsed_ms, used, admits_one_under_10) in [
            (0, 0, 0, 0, true),
            (0, 9, 0, 9, true),
            (0, 10, 0, 10, false),
            (10, 0, 0, 10, false),
            (10, 0, 5_999, 10, false),
            (10, 0, 6_000, 9, true),
            (10, 5, 30_000, 10, false),
            (10, 4, 30_000, 9, true),
            (10, 9, 59_999, 10, false),
        ] {
            let minute = minute(previous, current, elapsed_ms);
            assert_eq!((minute.used(), minute.fits(1, 10)), (used, admits_one_under_10), "{minute:?}");
        }
    }

    #[test]
    fn the_wait_is_the_first_moment_at_which_it_fits() {
        for (previous, current, elapsed_ms) in
            [(10, 0, 0), (10, 5, 30_000), (0, 10, 1), (7, 10, 59_000), (3, 40, 7)]
        {
            for more in [1, 4, 10] {
                let full = minute(previous, current, elapsed_ms);
                let wait = full.wait_ms(more, 10);
                let at = |ms: u64| {
                    let mut later = full;
                    later.advance(full.latest_ms() + ms);
                    later.fits(more, 10)
                };
                assert!(at(wait), "{full:?} {more} {wait}");
                assert!(wait == 0 || !at(wait - 1), "{full:?} {more} {wait}");
            }
        }
        assert_eq!(minute(0, 0, 0).wait_ms(1, 0), MINUTE_MS);
    }

    #[test]
    fn a_clock_that_goes_back_creates_no_budget_and_does_not_stop_for_ever() {
        for back in [1, 59_999, 60_001, 11 * MINUTE_MS] {
            let mut minute = minute(10, 5, 30_000);
            let used = minute.used();
            minute.advance(11 * MINUTE_MS + 30_000 - back.min(11 * MINUTE_MS));
            assert!(minute.used() >= used, "{back}");
            let now = minute.latest_ms();
            minute.advance(now + 2 * MINUTE_MS);
            assert_eq!(minute.used(), 0, "{back}");
        }
        let mut day = Day::default();
        day.advance(5 * DAY_MS);
        day.used = 7;
        for (at, used) in [(4, 7), (5, 7), (1, 7), (2, 0)] {
            day.advance(at * DAY_MS);
            assert_eq!(day.used, used, "day {at}");
        }
    }

    #[test]
    fn nothing_overflows_at_the_extremes() {
        let mut minute = minute(u64::MAX, u64::MAX, 1);
        minute.add(u64::MAX);
        assert!(!minute.fits(u64::MAX, u64::MAX));
        assert!(minute.wait_ms(u64::MAX, u64::MAX) <= 2 * MINUTE_MS);
        minute.advance(u64::MAX);
        assert!(minute.used() == 0 && minute.ends_at_s() > 0);
    }
}
