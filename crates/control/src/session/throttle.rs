//! The brake on guessing passwords: per account and per source network, in memory.
//!
//! An attempt is counted before the password is looked at and taken back when it was right, so that
//! attempts made at the same moment cannot all slip under the limit.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use model::clock::EpochMs;
use parking_lot::Mutex;

/// Failed attempts that an account or a source may make within [`WINDOW_MS`].
const ALLOWED_FAILURES: usize = 10;
/// The span in which failures are counted.
const WINDOW_MS: u64 = 15 * 60 * 1_000;
/// The first refusal lasts this long; each further one twice as long as the last.
const FIRST_DELAY_MS: u64 = 60 * 1_000;
/// No refusal lasts longer.
const LONGEST_DELAY_MS: u64 = 60 * 60 * 1_000;
/// A subject without failures for this long is forgotten, its grown delay included.
const FORGET_AFTER_MS: u64 = 24 * 60 * 60 * 1_000;
/// Subjects remembered per kind: about 200 bytes each.
const REMEMBERED: usize = 10_000;

/// Counts failed sign-ins.
#[derive(Default)]
pub struct LoginThrottle {
    counters: Mutex<Counters>,
}

#[derive(Default)]
struct Counters {
    accounts: HashMap<String, Failures>,
    sources: HashMap<IpAddr, Failures>,
}

#[derive(Default)]
struct Failures {
    times: VecDeque<EpochMs>,
    refused_until: EpochMs,
    refusals: u32,
}

impl LoginThrottle {
    /// Counts an attempt for `email` from `source`.
    ///
    /// # Errors
    /// The seconds to wait, when the account or the source has failed too often.
    pub fn attempt(&self, email: &str, source: Option<IpAddr>, now_ms: EpochMs) -> Result<(), u64> {
        let mut counters = self.counters.lock();
        let Counters { accounts, sources } = &mut *counters;
        make_room(accounts, now_ms);
        make_room(sources, now_ms);
        let account = accounts.entry(email.to_owned()).or_default();
        let mut source = source.map(|source| sources.entry(network(source)).or_default());
        // Both are asked before either counts: their refusals run at the same time, not in turn.
        let waits = [Some(account.wait_s(now_ms)), source.as_mut().map(|source| source.wait_s(now_ms))];
        let longest = waits.into_iter().flatten().max().unwrap_or(0);
        if longest > 0 {
            return Err(longest);
        }
        account.times.push_back(now_ms);
        if let Some(source) = source {
            source.times.push_back(now_ms);
        }
        Ok(())
    }

    /// Takes the attempt back: the password was right.
    pub fn succeeded(&self, email: &str, source: Option<IpAddr>) {
        let mut counters = self.counters.lock();
        counters.accounts.remove(email);
        if let Some(failures) = source.and_then(|source| counters.sources.get_mut(&network(source))) {
            failures.times.pop_back();
        }
    }
}

impl Failures {
    /// Seconds to wait; 0 when an attempt may be made. When a refusal has run out, one more attempt is
    /// let through: if it fails too, the next refusal is twice as long.
    fn wait_s(&mut self, now_ms: EpochMs) -> u64 {
        if now_ms < self.refused_until {
            return (self.refused_until - now_ms).div_ceil(1_000);
        }
        self.times.retain(|at| now_ms.saturating_sub(*at) < WINDOW_MS);
        if self.times.len() < ALLOWED_FAILURES {
            return 0;
        }
        let delay = FIRST_DELAY_MS.saturating_mul(1 << self.refusals.min(16)).min(LONGEST_DELAY_MS);
        self.refusals = self.refusals.saturating_add(1);
        self.refused_until = now_ms.saturating_add(delay);
        self.times.pop_front();
        delay.div_ceil(1_000)
    }

    fn last_ms(&self) -> EpochMs {
        self.times.back().copied().unwrap_or(0).max(self.refused_until)
    }
}

/// The network that a source is counted as: an IPv6 caller owns at least a /64.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Keeps a map within its bound: the forgotten go first, then whoever has been quiet longest.
fn make_room<K: std::hash::Hash + Eq + Clone>(map: &mut HashMap<K, Failures>, now_ms: EpochMs) {
    if map.len() < REMEMBERED {
        return;
    }
    map.retain(|_, failures| now_ms.saturating_sub(failures.last_ms()) < FORGET_AFTER_MS);
    if map.len() < REMEMBERED {
        return;
    }
    let quietest = map.iter().min_by_key(|(_, failures)| failures.last_ms());
    if let Some(key) = quietest.map(|(key, _)| key.clone()) {
        map.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: EpochMs = 1_790_000_000_000;

    fn fail_ten_times(throttle: &LoginThrottle) {
        for _ in 0..10 {
            assert_eq!(throttle.attempt("a@b", None, NOW), Ok(()));
        }
    }

    #[test]
    fn refuses_the_eleventh_attempt_and_names_the_wait() {
        let throttle = LoginThrottle::default();
        fail_ten_times(&throttle);
        assert_eq!(throttle.attempt("a@b", None, NOW), Err(60));
        assert_eq!(throttle.attempt("a@b", None, NOW + 30_000), Err(30));
        assert_eq!(throttle.attempt("other@b", None, NOW), Ok(()));
    }

    #[test]
    fn waits_twice_as_long_after_each_further_failure() {
        let throttle = LoginThrottle::default();
        fail_ten_times(&throttle);
        assert_eq!(throttle.attempt("a@b", None, NOW), Err(60));
        assert_eq!(throttle.attempt("a@b", None, NOW + 60_000), Ok(()));
        assert_eq!(throttle.attempt("a@b", None, NOW + 60_000), Err(120));
        assert_eq!(throttle.attempt("a@b", None, NOW + 180_000), Ok(()));
        assert_eq!(throttle.attempt("a@b", None, NOW + 180_000), Err(240));
    }

    #[test]
    fn a_right_password_clears_the_account_but_not_the_source() {
        let throttle = LoginThrottle::default();
        let source: Option<IpAddr> = "192.0.2.1".parse().ok();
        for n in 0..10 {
            assert_eq!(throttle.attempt(&format!("{n}@b"), source, NOW), Ok(()));
        }
        throttle.succeeded("9@b", source);
        assert_eq!(throttle.attempt("9@b", source, NOW), Ok(()));
        assert_eq!(throttle.attempt("9@b", source, NOW), Err(60));
    }

    #[test]
    fn failures_are_forgotten_after_a_quarter_of_an_hour() {
        let throttle = LoginThrottle::default();
        fail_ten_times(&throttle);
        assert_eq!(throttle.attempt("a@b", None, NOW + WINDOW_MS), Ok(()));
    }

    #[test]
    fn counts_an_ipv6_caller_by_its_network() {
        let throttle = LoginThrottle::default();
        for n in 0..10 {
            let source = format!("2001:db8::{n}").parse().ok();
            assert_eq!(throttle.attempt(&format!("{n}@b"), source, NOW), Ok(()));
        }
        let again = "2001:db8::ffff".parse().ok();
        assert_eq!(throttle.attempt("z@b", again, NOW), Err(60));
    }
}
