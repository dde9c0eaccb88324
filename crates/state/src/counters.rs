//! All that is counted for one owner, and the check of one demand against it.
//!
//! About 200 bytes with the key and the map's share, and what a burst limit adds.

use model::clock::EpochMs;

use crate::burst::Burst;
use crate::lease::{Lease, Places};
use crate::limits::{Dimension, ResolvedLimits, WindowState};
use crate::window::{DAY_MS, Day, MINUTE_MS, Minute};

/// The counters of one owner.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub requests: Minute,
    pub tokens: Minute,
    pub requests_today: Day,
    pub tokens_today: Day,
    /// Only once a limit on requests in flight is configured.
    pub places: Option<Box<Places>>,
    /// Only while a burst limit is configured.
    pub burst: Option<Box<Burst>>,
}

/// Why a demand does not fit.
#[derive(Debug)]
pub(crate) struct Exceeded {
    pub dimension: Dimension,
    pub limit: u64,
    pub used: u64,
    /// Milliseconds until it would fit if nothing else came.
    pub wait_ms: u64,
}

impl Counters {
    /// Moves every window to `now_ms`.
    pub(crate) fn advance(&mut self, now_ms: EpochMs) {
        self.requests.advance(now_ms);
        self.tokens.advance(now_ms);
        self.requests_today.advance(now_ms);
        self.tokens_today.advance(now_ms);
        if let Some(burst) = &mut self.burst {
            burst.advance(now_ms);
        }
    }

    /// Checks every dimension, in the order of [`Dimension::ALL`]. Takes nothing.
    pub(crate) fn check(
        &mut self,
        rate: &ResolvedLimits,
        tokens: u64,
        now_ms: EpochMs,
    ) -> Result<(), Exceeded> {
        minute(Dimension::Rpm, &self.requests, 1, rate.rpm)?;
        minute(Dimension::Tpm, &self.tokens, tokens, rate.tpm)?;
        day(Dimension::Rpd, &self.requests_today, 1, rate.rpd, now_ms)?;
        day(Dimension::Tpd, &self.tokens_today, tokens, rate.tpd, now_ms)?;
        let wait_ms = 1_000;
        let limit = rate.concurrent.unwrap_or(u64::MAX);
        let running = self.places.as_mut().map_or(0, |places| places.held_under(limit, now_ms));
        count(Dimension::Concurrent, running, rate.concurrent, wait_ms)?;
        let burst = self.burst.as_deref();
        let wait_ms = burst.map_or(wait_ms, |burst| burst.wait_ms(now_ms));
        count(Dimension::Burst, burst.map_or(0, Burst::used), rate.burst, wait_ms)
    }

    /// Takes one request and its expected tokens. What has no limit is not kept beyond the minute. The
    /// place among the requests in flight is the caller's to give back.
    pub(crate) fn take(&mut self, rate: &ResolvedLimits, tokens: u64, now_ms: EpochMs) -> Option<Lease> {
        self.requests.add(1);
        self.tokens.add(tokens);
        if rate.rpd.is_some() {
            self.requests_today.used = self.requests_today.used.saturating_add(1);
        }
        if rate.tpd.is_some() {
            self.tokens_today.used = self.tokens_today.used.saturating_add(tokens);
        }
        if rate.burst.is_some() {
            self.burst.get_or_insert_default().add(now_ms);
        }
        rate.concurrent.map(|_| self.places.get_or_insert_default().take(now_ms))
    }

    /// Gives a place among the requests in flight back.
    pub(crate) fn give_back(&mut self, lease: Lease) {
        if let Some(places) = &mut self.places {
            places.give_back(lease);
        }
    }

    /// Requests in flight, without those that were not renewed in time.
    pub(crate) fn running(&mut self, now_ms: EpochMs) -> u64 {
        self.places.as_mut().map_or(0, |places| {
            places.lapse(now_ms);
            places.held()
        })
    }

    /// Whether forgetting the owner now would lose nothing.
    pub(crate) fn is_idle(&mut self, now_ms: EpochMs) -> bool {
        let minutes_over = now_ms.saturating_sub(self.requests.latest_ms()) >= 2 * MINUTE_MS;
        let days_over = self.requests_today.is_over(now_ms) && self.tokens_today.is_over(now_ms);
        self.running(now_ms) == 0 && minutes_over && days_over
    }
}

fn minute(dimension: Dimension, window: &Minute, more: u64, limit: Option<u64>) -> Result<(), Exceeded> {
    let Some(limit) = limit else { return Ok(()) };
    // Nothing is allowed at 0, not even a request that would use no tokens.
    if limit > 0 && window.fits(more, limit) {
        return Ok(());
    }
    let wait_ms = if limit == 0 { MINUTE_MS } else { window.wait_ms(more, limit) };
    Err(Exceeded { dimension, limit, used: window.used(), wait_ms })
}

fn day(
    dimension: Dimension,
    day: &Day,
    more: u64,
    limit: Option<u64>,
    now_ms: EpochMs,
) -> Result<(), Exceeded> {
    let Some(limit) = limit else { return Ok(()) };
    if limit > 0 && day.fits(more, limit) {
        return Ok(());
    }
    let ends_ms = (day.index() + 1).saturating_mul(DAY_MS);
    Err(Exceeded { dimension, limit, used: day.used, wait_ms: ends_ms.saturating_sub(now_ms) })
}

fn count(dimension: Dimension, used: u64, limit: Option<u64>, wait_ms: u64) -> Result<(), Exceeded> {
    match limit {
        Some(limit) if used >= limit => Err(Exceeded { dimension, limit, used, wait_ms }),
        _ => Ok(()),
    }
}

/// How a minute window stands under `limit`, as the headers of an answer say it.
pub(crate) fn standing(window: &Minute, limit: u64) -> WindowState {
    WindowState { limit, remaining: limit.saturating_sub(window.used()), reset_at_s: window.ends_at_s() }
}
