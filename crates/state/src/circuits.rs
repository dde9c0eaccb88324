//! Circuits: a provider's model that keeps failing is left alone for a while, then tried with care.
//!
//! Five consecutive failures open a circuit for 30 s; then at most three calls at a time probe it, and
//! two successes close it (accounts.md §3). Only circuits with failures are remembered: about 100 bytes
//! each, at most [`MOST`].

use std::sync::atomic::{AtomicUsize, Ordering};

use model::clock::EpochMs;

use crate::shards::Shards;

/// Consecutive failures that open a circuit.
pub const FAILURES_TO_OPEN: u32 = 5;
/// How long an open circuit refuses, in milliseconds.
pub const OPEN_MS: u64 = 30_000;
/// Probes at one time while half-open.
pub const PROBES: u32 = 3;
/// Successes that close a half-open circuit.
pub const SUCCESSES_TO_CLOSE: u32 = 2;
/// Circuits remembered at most; a further one is not tracked until another closes.
pub const MOST: usize = 100_000;
/// After this long without news, probes count as lost: no call lasts longer (decisions.md, total timer).
const PROBE_LEASE_MS: u64 = 3_600_000;

/// What a circuit does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// Lets all through.
    Closed,
    /// Refuses all.
    Open,
    /// Lets a few through, to see.
    HalfOpen,
}

impl CircuitState {
    /// The name in answers and in Redis (`gw:circuit:…`).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Open => "OPEN",
            Self::HalfOpen => "HALF_OPEN",
        }
    }

    /// The value of `gateway_circuit_state`: 0 closed, 1 half-open, 2 open.
    #[must_use]
    pub fn metric(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitDecision {
    /// It may.
    Allow,
    /// It may, as a probe: end it with [`Circuits::report`] or [`Circuits::cancel_probe`].
    AllowProbe,
    /// It may not, before this time.
    Refuse {
        /// Milliseconds since the epoch.
        until_ms: EpochMs,
    },
}

/// All circuits of the process.
#[derive(Debug, Default)]
pub struct Circuits {
    known: Shards<Box<str>, Circuit>,
    /// Entries in `known`: while there are none, which is nearly always, nobody takes a lock.
    count: AtomicUsize,
}

/// A circuit with at least one failure.
#[derive(Debug, Default)]
struct Circuit {
    failures: u32,
    /// Set while open or half-open: when it opened.
    opened_ms: Option<EpochMs>,
    probes: u32,
    probed_ms: EpochMs,
    successes: u32,
}

impl Circuits {
    /// All closed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks whether a call may be made; takes a probe's place when half-open.
    #[must_use]
    pub fn admit(&self, key: &str, now_ms: EpochMs) -> CircuitDecision {
        if self.count.load(Ordering::Relaxed) == 0 {
            return CircuitDecision::Allow;
        }
        match self.known.of(key).get_mut(key) {
            Some(circuit) => circuit.admit(now_ms),
            None => CircuitDecision::Allow,
        }
    }

    /// Reports how a call ended, probe or not.
    pub fn report(&self, key: &str, ok: bool, now_ms: EpochMs) {
        if ok && self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut known = self.known.of(key);
        if let Some(circuit) = known.get_mut(key) {
            circuit.report(ok, now_ms);
            if circuit.is_forgettable() {
                known.remove(key);
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
        } else if !ok && self.count.load(Ordering::Relaxed) < MOST {
            known.insert(key.into(), Circuit { failures: 1, ..Circuit::default() });
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Gives the place of a probe back that ended without saying anything about the upstream.
    pub fn cancel_probe(&self, key: &str) {
        if let Some(circuit) = self.known.of(key).get_mut(key) {
            circuit.probes = circuit.probes.saturating_sub(1);
        }
    }

    /// The state now.
    #[must_use]
    pub fn state(&self, key: &str, now_ms: EpochMs) -> CircuitState {
        let known = self.known.of(key);
        known.get(key).map_or(CircuitState::Closed, |circuit| circuit.state(now_ms))
    }

    /// Closes a circuit by hand.
    pub fn reset(&self, key: &str) {
        if self.known.of(key).remove(key).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Every circuit with failures, by name.
    #[must_use]
    pub fn list(&self, now_ms: EpochMs) -> Vec<(String, CircuitState)> {
        let mut list = Vec::new();
        for shard in self.known.each() {
            list.extend(shard.iter().map(|(key, circuit)| (key.to_string(), circuit.state(now_ms))));
        }
        list.sort_by(|a, b| a.0.cmp(&b.0));
        list
    }
}

impl Circuit {
    /// When the circuit, opened at `opened_ms`, begins to be probed. A clock that went back shortens the
    /// time rather than stretching it.
    fn until(opened_ms: EpochMs, now_ms: EpochMs) -> EpochMs {
        opened_ms.min(now_ms).saturating_add(OPEN_MS)
    }

    fn state(&self, now_ms: EpochMs) -> CircuitState {
        match self.opened_ms {
            None => CircuitState::Closed,
            Some(opened_ms) if now_ms < Self::until(opened_ms, now_ms) => CircuitState::Open,
            Some(_) => CircuitState::HalfOpen,
        }
    }

    fn admit(&mut self, now_ms: EpochMs) -> CircuitDecision {
        let Some(opened_ms) = self.opened_ms else {
            return CircuitDecision::Allow;
        };
        // Stored, so that a clock that went back long ago is not reckoned with again and again.
        self.opened_ms = Some(opened_ms.min(now_ms));
        let until_ms = Self::until(opened_ms, now_ms);
        if now_ms < until_ms {
            return CircuitDecision::Refuse { until_ms };
        }
        if now_ms.abs_diff(self.probed_ms) > PROBE_LEASE_MS {
            self.probes = 0;
        }
        if self.probes >= PROBES {
            return CircuitDecision::Refuse { until_ms: now_ms.saturating_add(1_000) };
        }
        (self.probes, self.probed_ms) = (self.probes + 1, now_ms);
        CircuitDecision::AllowProbe
    }

    fn report(&mut self, ok: bool, now_ms: EpochMs) {
        match (self.state(now_ms), ok) {
            (CircuitState::Closed, true) => self.failures = 0,
            (CircuitState::Closed, false) => {
                self.failures += 1;
                if self.failures >= FAILURES_TO_OPEN {
                    self.open(now_ms);
                }
            }
            // News of a call that began before the circuit opened says nothing new.
            (CircuitState::Open, _) => {}
            (CircuitState::HalfOpen, true) => {
                self.probes = self.probes.saturating_sub(1);
                self.successes += 1;
                if self.successes >= SUCCESSES_TO_CLOSE {
                    *self = Self::default();
                }
            }
            (CircuitState::HalfOpen, false) => self.open(now_ms),
        }
    }

    fn open(&mut self, now_ms: EpochMs) {
        *self = Self { failures: self.failures, opened_ms: Some(now_ms), ..Self::default() };
    }

    fn is_forgettable(&self) -> bool {
        self.failures == 0 && self.opened_ms.is_none()
    }
}
