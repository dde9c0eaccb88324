//! The machine's clock, the only one that is read outside tests.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::Clock;
use model::clock::EpochMs;

/// Wall-clock time from the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> EpochMs {
        #[expect(clippy::disallowed_methods, reason = "this is the one clock that all others stand in for")]
        let now = SystemTime::now();
        // A clock before 1970 reads as 1970, which the start-up check refuses.
        let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_a_time_after_2025() {
        assert!(SystemClock.now_ms() > 1_735_689_600_000);
    }
}
