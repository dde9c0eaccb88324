//! The brake on guessing passwords: per account and per source network, in memory.
//!
//! An attempt is counted before the password is looked at and taken back when it was right, so that
//! attempts made at the same moment cannot all slip under the limit.
//!
//! Guessing must not lock its victim out: from a network that has signed in to an account before, only that
//! network's own failures count.

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
/// A network that has not signed in to an account for this long is a stranger to it again.
const KNOWN_FOR_MS: u64 = 90 * 24 * 60 * 60 * 1_000;
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
    /// Networks that have signed in to an account, with the time they last did.
    known: HashMap<(String, IpAddr), EpochMs>,
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
        let known = counters.knows(email, source, now_ms);
        let Counters { accounts, sources, .. } = &mut *counters;
        make_room(accounts, now_ms);
        make_room(sources, now_ms);
        let mut account = (!known).then(|| accounts.entry(email.to_owned()).or_default());
        let mut source = source.map(|source| sources.entry(network(source)).or_default());
        // Both are asked before either counts: their refusals run at the same time, not in turn.
        let waits = [&mut account, &mut source].map(|one| one.as_mut().map(|one| one.wait_s(now_ms)));
        let longest = waits.into_iter().flatten().max().unwrap_or(0);
        if longest > 0 {
            return Err(longest);
        }
        for one in [account, source].into_iter().flatten() {
            one.times.push_back(now_ms);
        }
        Ok(())
    }

    /// Takes the attempt back: the password was right.
    pub fn succeeded(&self, email: &str, source: Option<IpAddr>, now_ms: EpochMs) {
        let mut counters = self.counters.lock();
        // What strangers have tried is not forgiven because somebody who was not asked about it comes in.
        if !counters.knows(email, source, now_ms) {
            counters.accounts.remove(email);
        }
        let Some(source) = source.map(network) else { return };
        if let Some(failures) = counters.sources.get_mut(&source) {
            failures.times.pop_back();
        }
        counters.remember((email.to_owned(), source), now_ms);
    }
}

impl Counters {
    fn knows(&self, email: &str, source: Option<IpAddr>, now_ms: EpochMs) -> bool {
        let last = source.and_then(|source| self.known.get(&(email.to_owned(), network(source))));
        last.is_some_and(|last| now_ms.saturating_sub(*last) < KNOWN_FOR_MS)
    }

    fn remember(&mut self, pair: (String, IpAddr), now_ms: EpochMs) {
        if self.known.len() >= REMEMBERED && !self.known.contains_key(&pair) {
            let longest_ago = self.known.iter().min_by_key(|(_, last)| **last);
            if let Some(pair) = longest_ago.map(|(pair, _)| pair.clone()) {
                self.known.remove(&pair);
            }
        }
        self.known.insert(pair, now_ms);
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
    use testkit::trust::Proof;

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
        throttle.succeeded("9@b", source, NOW);
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

    /// Guesses that are let through of ten thousand, one a second, and how often the victim came in meanwhile.
    fn guess(networks: u32) -> (usize, usize) {
        let throttle = LoginThrottle::default();
        let home: Option<IpAddr> = "198.51.100.7".parse().ok();
        assert_eq!(throttle.attempt("victim@b", home, NOW), Ok(()));
        throttle.succeeded("victim@b", home, NOW);
        let (mut through, mut served) = (0, 0);
        for second in 0..10_000_u32 {
            let now = NOW + u64::from(second) * 1_000;
            let source = IpAddr::from([10, 0, u8::try_from(second % networks).unwrap(), 1]);
            through += usize::from(throttle.attempt("victim@b", Some(source), now).is_ok());
            if second % 10 == 0 && throttle.attempt("victim@b", home, now).is_ok() {
                throttle.succeeded("victim@b", home, now);
                served += 1;
            }
        }
        (through, served)
    }

    /// T56 for passwords: what is let through stays far below ten a minute and source and a hundred an hour and
    /// account, and a victim who has signed in from elsewhere before does not notice.
    #[test]
    fn ten_thousand_guesses_from_one_and_from_two_hundred_networks_leave_their_victim_alone() {
        let proof = Proof::new(
            "T56-login",
            "R15",
            "10,000 guesses of a password from 1 and from 200 networks: few are looked at, and the victim signs in \
             from another network as ever",
        );
        let [one, many] = [1, 200].map(guess);
        // Ten thousand seconds are 2.8 hours.
        assert!(one.0 <= 60 && many.0 <= 277, "{one:?} {many:?}");
        assert_eq!((one.1, many.1), (1_000, 1_000));
        let figure = format!(
            "{} and {} of 10000 guesses looked at in 2.8 hours; the victim: {} and {} of 1000",
            one.0, many.0, one.1, many.1
        );
        proof.held(&figure).unwrap();
    }
}
