//! One map cut into shards by the hash of its keys, so that owners rarely wait for each other.

use foldhash::HashMap;
use foldhash::fast::RandomState;
use std::hash::{BuildHasher, Hash, Hasher};

use parking_lot::{Mutex, MutexGuard};

/// Shards of every map here: well above the number of workers, and one for each bit of a `u64`.
const SHARDS: usize = 64;

/// A sharded map. A lock is held for the time of one look-up, some ten nanoseconds.
#[derive(Debug)]
pub(crate) struct Shards<K, V> {
    hasher: RandomState,
    shards: Box<[Mutex<HashMap<K, V>>]>,
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(HashMap::default())).collect();
        Self { hasher: RandomState::default(), shards }
    }
}

impl<K, V> Shards<K, V> {
    /// Hashes what a key is made of, by this map's own chance.
    pub(crate) fn hasher(&self) -> impl Hasher + use<K, V> {
        self.hasher.build_hasher()
    }

    /// The place of a key's shard, below 64.
    pub(crate) fn place(&self, key: &(impl Hash + ?Sized)) -> usize {
        // The top bits: the maps inside use the others.
        usize::try_from(self.hasher.hash_one(key) >> 58).unwrap_or(0)
    }

    /// Locks the shard at `place`. Whoever needs several locks them in ascending order.
    pub(crate) fn at(&self, place: usize) -> MutexGuard<'_, HashMap<K, V>> {
        self.shards[place % SHARDS].lock()
    }

    /// Locks the shard of `key`.
    pub(crate) fn of(&self, key: &(impl Hash + ?Sized)) -> MutexGuard<'_, HashMap<K, V>> {
        self.at(self.place(key))
    }

    /// Locks one shard after the other.
    pub(crate) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, HashMap<K, V>>> {
        self.shards.iter().map(Mutex::lock)
    }
}
