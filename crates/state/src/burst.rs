//! Requests within any one second, exactly: a list of the milliseconds in which some were admitted.

use std::collections::VecDeque;

use model::clock::EpochMs;

/// Milliseconds of the window.
const SECOND_MS: u64 = 1_000;

/// The admitted requests of the last second: 16 bytes for each millisecond that had one, at most
/// `min(limit, 1000)` of them.
#[derive(Debug, Default)]
pub(crate) struct Burst(VecDeque<(EpochMs, u64)>);

impl Burst {
    /// Forgets what is a second old. After a clock went back, what was counted counts as just admitted.
    pub(crate) fn advance(&mut self, now_ms: EpochMs) {
        for run in &mut self.0 {
            run.0 = run.0.min(now_ms);
        }
        while self.0.front().is_some_and(|run| now_ms - run.0 >= SECOND_MS) {
            self.0.pop_front();
        }
    }

    /// Requests admitted within the last second.
    pub(crate) fn used(&self) -> u64 {
        self.0.iter().map(|run| run.1).sum()
    }

    /// Counts one request at `now_ms`.
    pub(crate) fn add(&mut self, now_ms: EpochMs) {
        match self.0.back_mut() {
            Some(run) if run.0 == now_ms => run.1 += 1,
            _ => self.0.push_back((now_ms, 1)),
        }
    }

    /// Milliseconds until the oldest is a second old.
    pub(crate) fn wait_ms(&self, now_ms: EpochMs) -> u64 {
        self.0.front().map_or(SECOND_MS, |run| SECOND_MS.saturating_sub(now_ms.saturating_sub(run.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_any_one_second_and_not_only_calendar_seconds() {
        let mut burst = Burst::default();
        for (now_ms, used) in [(990, 1), (990, 2), (1_200, 3), (1_989, 4), (1_990, 3), (2_200, 3), (9_000, 1)]
        {
            burst.advance(now_ms);
            burst.add(now_ms);
            assert_eq!(burst.used(), used, "{now_ms}");
        }
    }

    #[test]
    fn a_clock_that_goes_back_creates_no_budget_and_does_not_stop_for_ever() {
        let mut burst = Burst::default();
        burst.add(50_000);
        burst.advance(10_000);
        assert_eq!((burst.used(), burst.wait_ms(10_000)), (1, 1_000));
        burst.advance(11_000);
        assert_eq!(burst.used(), 0);
    }
}
