//! Wall-clock time as an argument.
//!
//! Durations are measured with `std::time::Instant` (tokio's under paused time); the wall clock is
//! read only at the edges, through this trait, so that a test can move it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Milliseconds since the Unix epoch, UTC: the unit of time in records and in the database.
pub type EpochMs = u64;

/// Where wall-clock time comes from.
pub trait Clock: Send + Sync {
    /// The current time, in milliseconds since the Unix epoch.
    fn now_ms(&self) -> EpochMs;
}

/// A clock that moves only when told to.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at `now_ms`.
    #[must_use]
    pub fn at(now_ms: EpochMs) -> Self {
        Self(AtomicU64::new(now_ms))
    }

    /// Moves the clock forward by `ms` milliseconds.
    pub fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets the clock, backwards too.
    pub fn set(&self, now_ms: EpochMs) {
        self.0.store(now_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> EpochMs {
        self.0.load(Ordering::SeqCst)
    }
}

/// `now_ms` as RFC 3339 in UTC with milliseconds: the form of every time in JSON answers.
#[must_use]
pub fn rfc3339(now_ms: EpochMs) -> String {
    let ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
    let stamp = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    format!("{stamp:.3}")
}

/// Reads an RFC 3339 time into milliseconds since the epoch; `None` when it is not one or lies before 1970.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<EpochMs> {
    let stamp: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(stamp.as_millisecond()).ok()
}

/// The UTC calendar day of `now_ms` as `YYYY-MM-DD`.
#[must_use]
pub fn utc_day(now_ms: EpochMs) -> String {
    rfc3339(now_ms)[..10].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads_rfc3339() {
        assert_eq!(rfc3339(1_790_000_000_123), "2026-09-21T14:13:20.123Z");
        assert_eq!(parse_rfc3339("2026-09-21T14:13:20.123Z"), Some(1_790_000_000_123));
        assert_eq!(utc_day(1_790_000_000_123), "2026-09-21");
        assert_eq!(parse_rfc3339("yesterday"), None);
    }
}
