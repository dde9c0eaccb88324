//! The accounts of all owners of the process: one lock each, so that owners never wait for each other.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::HashMap;
use foldhash::fast::RandomState;
use model::quota::Owner;
use parking_lot::{Mutex, MutexGuard};

use crate::book::{Account, joint};

/// Shards of the map of names; a power of two, well above the number of workers.
const SHARDS: usize = 64;

/// An account that its owner's requests share.
pub(crate) type Shared = Arc<Mutex<Account>>;

/// All accounts by name. They stay for as long as the process does: what they count is not known anywhere
/// else yet. There are at most as many as configured keys, users, tenants and groups.
#[derive(Debug)]
pub(crate) struct AllAccounts {
    hasher: RandomState,
    shards: Box<[Mutex<HashMap<Owner, Shared>>]>,
}

impl AllAccounts {
    /// These accounts.
    pub fn new(accounts: impl IntoIterator<Item = (Owner, Account)>) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(HashMap::default())).collect();
        let all = Self { hasher: RandomState::default(), shards };
        for (owner, account) in accounts {
            all.shard(&owner).lock().insert(owner, Arc::new(Mutex::new(account)));
        }
        all
    }

    /// The account of an owner; an empty one when nothing was known of it.
    pub fn of(&self, owner: &Owner) -> Shared {
        let mut shard = self.shard(owner).lock();
        if let Some(account) = shard.get(owner) {
            return Arc::clone(account);
        }
        Arc::clone(shard.entry(owner.clone()).or_default())
    }

    /// The account of an owner of whom something is known.
    pub fn known(&self, owner: &Owner) -> Option<Shared> {
        self.shard(owner).lock().get(owner).cloned()
    }

    /// All accounts, shard after shard.
    pub fn all(&self) -> Vec<(Owner, Shared)> {
        let of_shard = |shard: &Mutex<HashMap<Owner, Shared>>| -> Vec<(Owner, Shared)> {
            shard.lock().iter().map(|(owner, account)| (owner.clone(), Arc::clone(account))).collect()
        };
        self.shards.iter().flat_map(of_shard).collect()
    }

    fn shard(&self, owner: &Owner) -> &Mutex<HashMap<Owner, Shared>> {
        // The top bits: the maps inside use the others.
        let at = usize::try_from(self.hasher.hash_one(owner) >> 58).unwrap_or(0);
        &self.shards[at % SHARDS]
    }
}

/// The accounts of one request's payers, locked together. Everybody locks in the order of owners, so nobody
/// waits in a circle.
pub(crate) struct Locked<'a>(Vec<MutexGuard<'a, Account>>);

impl<'a> Locked<'a> {
    /// Locks accounts that stand in the order of their owners, none of them twice.
    pub fn new(accounts: &'a [Shared]) -> Self {
        Self(accounts.iter().map(|account| account.lock()).collect())
    }
}

impl joint::Accounts for Locked<'_> {
    fn at(&mut self, place: usize) -> &mut Account {
        &mut self.0[place]
    }
}
