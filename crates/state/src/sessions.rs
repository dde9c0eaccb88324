//! At which account the requests of one session go on, so that what its provider has cached of the
//! conversation is of use (accounts contract, §3). In memory only: what is forgotten, by age, for want of
//! room or by a restart, is chosen anew.

use std::hash::Hasher;

use model::ResourceId;
use model::clock::EpochMs;

use crate::shards::Shards;

/// How long a session is remembered after its last request: 1 h (accounts contract, §3).
pub const LIFETIME_MS: u64 = 60 * 60 * 1_000;
/// Sessions that are remembered: some 8 MB.
pub const MOST: usize = 131_072;
/// Of them, in one shard.
const MOST_IN_SHARD: usize = MOST / 64;

/// The accounts of sessions.
#[derive(Debug, Default)]
pub struct Sessions(Shards<u64, Known>);

/// What a session is known by. Two that are mistaken for one share an account, and no more than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionKey(u64);

/// Where a session goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The account.
    pub account: ResourceId,
    /// How long the account took to its first token when the session came to it, in milliseconds; 0 where
    /// that was not known.
    pub first_token_ms: u32,
}

#[derive(Debug)]
struct Known {
    bound: Bound,
    until: EpochMs,
    /// Whether it was asked for or bound since room was last made.
    used: bool,
}

impl Sessions {
    /// None known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The key of the session that `feed` writes the name of.
    pub fn key(&self, feed: impl FnOnce(&mut dyn Hasher)) -> SessionKey {
        let mut hasher = self.0.hasher();
        feed(&mut hasher);
        SessionKey(hasher.finish())
    }

    /// Where the session goes on, if that is remembered.
    #[must_use]
    pub fn find(&self, key: SessionKey, now_ms: EpochMs) -> Option<Bound> {
        let mut shard = self.0.of(&key.0);
        let known = shard.get_mut(&key.0).filter(|known| known.until > now_ms)?;
        known.used = true;
        Some(known.bound.clone())
    }

    /// Remembers where the session goes on, from now for [`LIFETIME_MS`].
    pub fn bind(&self, key: SessionKey, bound: Bound, now_ms: EpochMs) {
        let mut shard = self.0.of(&key.0);
        let known = Known { bound, until: now_ms.saturating_add(LIFETIME_MS), used: true };
        if shard.len() >= MOST_IN_SHARD && !shard.contains_key(&key.0) {
            // One that has ended, or that nobody used since the last round; when all were used, a new round
            // begins with the one whose last request is longest ago.
            let goes = |(key, known): (&u64, &Known)| (known.until <= now_ms || !known.used).then_some(*key);
            let goes = shard.iter().find_map(goes).or_else(|| {
                shard.values_mut().for_each(|known| known.used = false);
                shard.iter().min_by_key(|(_, known)| known.until).map(|(key, _)| *key)
            });
            goes.map(|key| shard.remove(&key));
        }
        shard.insert(key.0, known);
    }

    /// Forgets the sessions of an account; how many that were.
    pub fn release(&self, account: &ResourceId) -> usize {
        let stay = |_: &u64, known: &mut Known| known.bound.account != *account;
        let released = self.0.each().map(|mut shard| {
            let before = shard.len();
            shard.retain(stay);
            before - shard.len()
        });
        released.sum()
    }

    /// Sessions that are remembered.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.each().map(|shard| shard.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(account: u8) -> Bound {
        Bound { account: ResourceId::mint(1, [account; 10]), first_token_ms: 5 }
    }

    fn key(sessions: &Sessions, name: &str) -> SessionKey {
        sessions.key(|hasher| hasher.write(name.as_bytes()))
    }

    #[test]
    fn a_session_is_remembered_for_an_hour_after_its_last_request() {
        let sessions = Sessions::new();
        let (one, other) = (key(&sessions, "one"), key(&sessions, "other"));
        assert_eq!(one, key(&sessions, "one"));
        sessions.bind(one, at(1), 1_000);
        assert_eq!(sessions.find(one, 1_000 + LIFETIME_MS - 1), Some(at(1)));
        assert_eq!(sessions.find(one, 1_000 + LIFETIME_MS), None);
        assert_eq!(sessions.find(other, 1_000), None);
        sessions.bind(one, at(2), 2_000);
        assert_eq!(sessions.find(one, 1_000 + LIFETIME_MS), Some(at(2)));
    }

    #[test]
    fn the_sessions_of_an_account_are_released_together() {
        let sessions = Sessions::new();
        for number in 0..100_u8 {
            sessions.bind(key(&sessions, &number.to_string()), at(number % 2), 1_000);
        }
        assert_eq!((sessions.release(&at(0).account), sessions.count()), (50, 50));
        assert_eq!(sessions.find(key(&sessions, "0"), 1_000), None);
        assert_eq!(sessions.find(key(&sessions, "1"), 1_000), Some(at(1)));
    }

    #[test]
    fn as_many_are_remembered_as_there_is_room_for_and_those_in_use_stay() {
        let sessions = Sessions::new();
        let busy = key(&sessions, "busy");
        for number in 0..(MOST + MOST / 8) as u64 {
            sessions.bind(busy, at(1), number);
            sessions.bind(key(&sessions, &number.to_string()), at(2), number);
        }
        assert_eq!(sessions.find(busy, LIFETIME_MS), Some(at(1)));
        let known = sessions.count();
        assert!((MOST / 2..=MOST).contains(&known), "{known}");
    }
}
