//! What providers want back with the calls of tools that they made, for callers who cannot carry it: by
//! tenant and id of the call. In memory only: what is forgotten, by age or by a restart, is thought anew.

use std::collections::VecDeque;
use std::sync::Arc;

use model::clock::EpochMs;

use crate::shards::Shards;

/// How long something is remembered: longer than any round of tools, approvals by people included.
pub const LIFETIME_MS: u64 = 12 * 60 * 60 * 1000;
/// Most that is remembered, in bytes.
pub const MOST_BYTES: usize = 64 << 20;
/// Of them, in one shard.
const MOST_IN_SHARD: usize = MOST_BYTES / 64;
/// What is larger by itself would push everybody else's out, and is not remembered.
const LARGEST: usize = MOST_IN_SHARD / 4;
/// Longer ids are no provider's, and are not remembered.
const LONGEST_ID: usize = 256;

/// Remembers values of one kind.
#[derive(Debug)]
pub struct Seals<V>(Shards<(), Shelf<V>>);

/// The values of one shard, the oldest first.
#[derive(Debug)]
struct Shelf<V> {
    known: foldhash::HashMap<Key, Known<V>>,
    order: VecDeque<(Key, u64)>,
    bytes: usize,
    next: u64,
}

type Key = (Arc<str>, Box<str>);

#[derive(Debug)]
struct Known<V> {
    value: V,
    bytes: usize,
    until: EpochMs,
    turn: u64,
}

impl<V> Default for Seals<V> {
    fn default() -> Self {
        Self(Shards::default())
    }
}

impl<V> Default for Shelf<V> {
    fn default() -> Self {
        Self { known: foldhash::HashMap::default(), order: VecDeque::new(), bytes: 0, next: 0 }
    }
}

impl<V: Clone> Seals<V> {
    /// Nothing remembered.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers `value`, which takes `bytes`, for the call `call_id` of `tenant`.
    pub fn keep(&self, tenant: &Arc<str>, call_id: &str, (value, bytes): (V, usize), now_ms: EpochMs) {
        if call_id.is_empty() || call_id.len() > LONGEST_ID || bytes > LARGEST {
            return;
        }
        let place = self.0.place(&(tenant.as_ref(), call_id));
        let mut shard = self.0.at(place);
        let shelf = shard.entry(()).or_default();
        let key: Key = (Arc::clone(tenant), call_id.into());
        shelf.drop_known(&key);
        let turn = shelf.next;
        shelf.next += 1;
        shelf.bytes += bytes;
        shelf.known.insert(key.clone(), Known { value, bytes, until: now_ms + LIFETIME_MS, turn });
        shelf.order.push_back((key, turn));
        shelf.make_room(now_ms);
    }

    /// What is remembered for the call `call_id` of `tenant`.
    #[must_use]
    pub fn find(&self, tenant: &Arc<str>, call_id: &str, now_ms: EpochMs) -> Option<V> {
        let place = self.0.place(&(tenant.as_ref(), call_id));
        let shard = self.0.at(place);
        let known = shard.get(&())?.known.get(&(Arc::clone(tenant), Box::from(call_id)))?;
        (known.until > now_ms).then(|| known.value.clone())
    }
}

impl<V> Shelf<V> {
    fn drop_known(&mut self, key: &Key) {
        if let Some(known) = self.known.remove(key) {
            self.bytes -= known.bytes;
        }
    }

    /// Forgets the oldest until the rest fits, and what is too old.
    fn make_room(&mut self, now_ms: EpochMs) {
        while let Some((key, turn)) = self.order.front() {
            let known = self.known.get(key).filter(|known| known.turn == *turn);
            let stays = known.is_some_and(|known| self.bytes <= MOST_IN_SHARD && known.until > now_ms);
            if stays {
                return;
            }
            let replaced = known.is_none();
            if let Some((key, _)) = self.order.pop_front().filter(|_| !replaced) {
                self.drop_known(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_tenants_and_ends() {
        let seals = Seals::new();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        seals.keep(&a, "call_1", ("x", 10), 1_000);
        assert_eq!(seals.find(&a, "call_1", 1_000), Some("x"));
        assert_eq!(seals.find(&b, "call_1", 1_000), None);
        assert_eq!(seals.find(&a, "call_1", 1_000 + LIFETIME_MS), None);
        seals.keep(&a, "call_1", ("y", 10), 2_000);
        assert_eq!(seals.find(&a, "call_1", 2_000), Some("y"));
        seals.keep(&a, "", ("z", 10), 2_000);
        seals.keep(&a, "call_2", ("z", LARGEST + 1), 2_000);
        assert_eq!(seals.find(&a, "call_2", 2_000), None);
    }

    #[test]
    fn never_takes_more_than_its_room() {
        let seals = Seals::new();
        let tenant: Arc<str> = "t".into();
        for number in 0..40_000_u32 {
            seals.keep(&tenant, &format!("call_{number}"), (number, LARGEST / 8), 1_000);
        }
        let bytes: usize = seals.0.each().map(|shard| shard.get(&()).map_or(0, |shelf| shelf.bytes)).sum();
        assert!(bytes <= MOST_BYTES, "{bytes}");
        assert_eq!(seals.find(&tenant, "call_39999", 1_000), Some(39_999));
        assert_eq!(seals.find(&tenant, "call_0", 1_000), None);
        let queued: usize =
            seals.0.each().map(|shard| shard.get(&()).map_or(0, |shelf| shelf.order.len())).sum();
        let known: usize =
            seals.0.each().map(|shard| shard.get(&()).map_or(0, |shelf| shelf.known.len())).sum();
        assert_eq!(queued, known);
    }
}
