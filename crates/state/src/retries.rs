//! How many requests to a model may be sent again: a share of all of them (reliability contract, R7), so that
//! retries cannot multiply the load of upstreams that fail because they have too much of it.
//!
//! Counted over the last ten seconds. Below some requests a second the share would be nothing, and a single
//! failure could not be made good: a few retries are always allowed.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use model::clock::EpochMs;

/// Of so many requests one may be sent again: 20 %.
pub const REQUESTS_PER_RETRY: u32 = 5;
/// So many more may be, over [`SECONDS`], however few requests there are.
pub const ALWAYS: u32 = 100;
/// Over how many seconds it is counted.
pub const SECONDS: u64 = PLACES as u64;
const PLACES: usize = 10;

/// The budget of one model. Counting is not exact where a second begins: a few requests may be missed.
#[derive(Debug, Default)]
pub struct RetryBudget {
    seconds: [Second; PLACES],
}

/// What came within one second.
#[derive(Debug, Default)]
struct Second {
    /// Which, since the epoch.
    number: AtomicU64,
    requests: AtomicU32,
    retries: AtomicU32,
}

/// What the budget says of a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may be made.
    pub allowed: bool,
    /// How many might have been made within the last seconds.
    pub limit: u32,
    /// How many were, this one not counted.
    pub used: u32,
}

impl RetryBudget {
    /// Counts a request that is sent for the first time.
    pub fn note_request(&self, now_ms: EpochMs) {
        self.second(now_ms).requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a request may be sent once more; counts it if so.
    #[must_use]
    pub fn take(&self, now_ms: EpochMs) -> Verdict {
        let verdict = self.look(now_ms);
        if verdict.allowed {
            self.second(now_ms).retries.fetch_add(1, Ordering::Relaxed);
        }
        verdict
    }

    /// Whether a request might be sent once more now; counts nothing.
    #[must_use]
    pub fn look(&self, now_ms: EpochMs) -> Verdict {
        let now = now_ms / 1_000;
        let (mut requests, mut used) = (0_u32, 0_u32);
        for second in &self.seconds {
            if now.saturating_sub(second.number.load(Ordering::Relaxed)) < SECONDS {
                requests = requests.saturating_add(second.requests.load(Ordering::Relaxed));
                used = used.saturating_add(second.retries.load(Ordering::Relaxed));
            }
        }
        let limit = (requests / REQUESTS_PER_RETRY).saturating_add(ALWAYS);
        Verdict { allowed: used < limit, limit, used }
    }

    /// The place of the present second, emptied when it was an earlier one's.
    fn second(&self, now_ms: EpochMs) -> &Second {
        let number = now_ms / 1_000;
        let second = &self.seconds[usize::try_from(number % SECONDS).unwrap_or_default()];
        let before = second.number.load(Ordering::Relaxed);
        // A clock that was set back counts into the second that it had reached.
        if before < number
            && second.number.compare_exchange(before, number, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            second.requests.store(0, Ordering::Relaxed);
            second.retries.store(0, Ordering::Relaxed);
        }
        second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(budget: &RetryBudget, now_ms: EpochMs, wanted: u32) -> u32 {
        (0..wanted).filter(|_| budget.take(now_ms).allowed).count().try_into().unwrap()
    }

    #[test]
    fn a_few_retries_are_always_allowed_and_then_a_fifth() {
        let budget = RetryBudget::default();
        assert_eq!(taken(&budget, 5_000, 1_000), ALWAYS);
        (0..1_000).for_each(|_| budget.note_request(6_000));
        assert_eq!(taken(&budget, 6_500, 1_000), 200);
        assert_eq!(budget.take(6_999), Verdict { allowed: false, limit: 300, used: 300 });
    }

    #[test]
    fn what_is_ten_seconds_old_counts_no_more() {
        let budget = RetryBudget::default();
        (0..500).for_each(|_| budget.note_request(1_000));
        assert_eq!(taken(&budget, 1_000, 1_000), 200);
        assert!(!budget.take(10_999).allowed, "within the ten seconds");
        assert_eq!(taken(&budget, 11_000, 1_000), ALWAYS);
        assert_eq!(taken(&budget, 500_000, 1_000), ALWAYS, "after a long rest");
    }

    #[test]
    fn a_clock_set_back_gives_nothing_anew() {
        let budget = RetryBudget::default();
        assert_eq!(taken(&budget, 60_000, 1_000), ALWAYS);
        assert_eq!(taken(&budget, 50_000, 1_000), 0);
    }

    #[test]
    fn threads_share_one_budget() {
        let budget = RetryBudget::default();
        let taken: u32 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| taken(&budget, 5_000, 200))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!((ALWAYS..ALWAYS + 4).contains(&taken), "{taken}: at most one more for each other thread");
    }
}
