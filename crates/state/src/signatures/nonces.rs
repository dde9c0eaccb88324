//! Nonces that were used, by key. Each is remembered for its whole time: nothing is let go early, and a key
//! that has used as many as it may gets no further ones, which harms nobody but itself.

use std::collections::VecDeque;

use foldhash::HashSet;
use model::ResourceId;
use model::clock::EpochMs;

use crate::shards::Shards;

/// How long a nonce is remembered: three times what the signature that carries it can be valid.
pub const KEPT_MS: u64 = 30 * 60 * 1_000;
/// What `KEPT_MS` is in minutes, with the one under way.
const KEPT_MINUTES: u64 = KEPT_MS / 60_000 + 1;
/// Nonces of a key without a limit on its requests: 1,100 requests a second for half an hour. Each takes
/// some 50 bytes.
const MOST_UNLIMITED: u64 = 2_000_000;

/// How many nonces are remembered of a key with this limit of requests a minute.
#[must_use]
pub fn most(requests_per_minute: Option<u64>) -> u64 {
    let limited = requests_per_minute.map(|rpm| rpm.saturating_mul(KEPT_MINUTES));
    limited.unwrap_or(MOST_UNLIMITED).clamp(1, MOST_UNLIMITED)
}

/// What became of a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "only a fresh nonce lets a request pass"]
pub enum Spend {
    /// It was not used before, and is now.
    Fresh,
    /// It was used before.
    Reused,
    /// The key has used as many as are remembered.
    Full,
    /// It was not used before, but that it is now could not be written down.
    Unsaved,
}

/// The used nonces of all keys.
#[derive(Debug, Default)]
pub struct Nonces(Shards<ResourceId, Spent>);

/// Those of one key.
#[derive(Debug, Default)]
struct Spent {
    used: HashSet<u128>,
    order: VecDeque<(EpochMs, u128)>,
}

impl Nonces {
    /// Uses a nonce, in one step: of many who try at once exactly one is told that it is fresh.
    pub fn spend(&self, key: &ResourceId, nonce: u128, most: u64, now_ms: EpochMs) -> Spend {
        let mut shard = self.0.of(key);
        if !shard.contains_key(key) {
            shard.insert(key.clone(), Spent::default());
        }
        let Some(spent) = shard.get_mut(key) else { return Spend::Full };
        spent.let_go(now_ms);
        if spent.used.contains(&nonce) {
            return Spend::Reused;
        }
        if spent.used.len() as u64 >= most {
            return Spend::Full;
        }
        spent.add(nonce, now_ms);
        Spend::Fresh
    }

    /// Remembers a nonce that was used before a restart; whether it still matters.
    pub(super) fn recall(&self, key: &ResourceId, nonce: u128, at: EpochMs, now_ms: EpochMs) -> bool {
        if at.saturating_add(KEPT_MS) <= now_ms {
            return false;
        }
        self.0.of(key).entry(key.clone()).or_default().add(nonce, at);
        true
    }

    /// Lets go of keys whose nonces are all too old to matter.
    pub fn let_go(&self, now_ms: EpochMs) {
        for mut shard in self.0.each() {
            shard.retain(|_, spent| {
                spent.let_go(now_ms);
                !spent.used.is_empty()
            });
        }
    }

    /// Nonces that are remembered of a key.
    #[must_use]
    pub fn remembered(&self, key: &ResourceId) -> usize {
        self.0.of(key).get(key).map_or(0, |spent| spent.used.len())
    }
}

impl Spent {
    fn add(&mut self, nonce: u128, at: EpochMs) {
        if self.used.insert(nonce) {
            self.order.push_back((at, nonce));
        }
    }

    fn let_go(&mut self, now_ms: EpochMs) {
        while let Some((at, nonce)) = self.order.front()
            && at.saturating_add(KEPT_MS) <= now_ms
        {
            self.used.remove(nonce);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_follows_the_limit_of_requests() {
        assert_eq!((most(Some(60)), most(Some(0)), most(None)), (1_860, 1, 2_000_000));
        assert_eq!(most(Some(u64::MAX)), 2_000_000);
    }
}
