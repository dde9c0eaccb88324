//! At which account a response is kept that an earlier request has made, and whose it is: whoever goes on
//! from it must go there, and nobody else may. In memory only: what is forgotten, by age or by a restart,
//! is not found any more, and its owner begins anew.

use std::sync::Arc;

use model::ResourceId;

use crate::shards::Shards;

/// Responses that are remembered: some 8 MB.
pub const MOST: usize = 32_768;
/// Of them, in one shard.
const MOST_IN_SHARD: usize = MOST / 64;
/// Longer ids are no provider's (OpenAI's have 55 characters), and are not remembered.
const LONGEST_ID: usize = 256;

/// Where responses are kept.
#[derive(Debug, Default)]
pub struct Homes(Shards<Box<str>, Remembered>);

#[derive(Debug)]
struct Remembered {
    home: Home,
    /// Whether anybody asked for it since room was last made.
    used: bool,
}

/// Where one response is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The account.
    pub account: ResourceId,
    /// Whose it is: a user, or a key without one.
    pub owner: ResourceId,
    /// The model that made it, by its public name.
    pub model: Arc<str>,
}

impl Homes {
    /// None known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers where the response `id` is kept. An id that another owner has already stays that one's.
    pub fn note(&self, id: &str, home: Home) {
        if id.is_empty() || id.len() > LONGEST_ID {
            return;
        }
        let mut shard = self.0.of(id);
        if let Some(known) = shard.get_mut(id) {
            if known.home.owner == home.owner {
                *known = Remembered { home, used: true };
            }
            return;
        }
        if shard.len() >= MOST_IN_SHARD {
            // The first that nobody used since the last round goes; when all were used, a new round begins.
            let unused = shard.iter().find(|(_, known)| !known.used).map(|(id, _)| id.clone());
            let goes = unused.or_else(|| {
                shard.values_mut().for_each(|known| known.used = false);
                shard.keys().next().cloned()
            });
            goes.map(|id| shard.remove(&id));
        }
        shard.insert(id.into(), Remembered { home, used: true });
    }

    /// Where the response `id` of `owner` is kept; `None` for ids that are unknown or somebody else's.
    #[must_use]
    pub fn find(&self, id: &str, owner: &ResourceId) -> Option<Home> {
        let mut shard = self.0.of(id);
        let known = shard.get_mut(id).filter(|known| known.home.owner == *owner)?;
        known.used = true;
        Some(known.home.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(owner: u8) -> Home {
        Home {
            account: ResourceId::mint(1, [1; 10]),
            owner: ResourceId::mint(1, [owner; 10]),
            model: "m".into(),
        }
    }

    #[test]
    fn a_response_is_found_by_its_owner_only() {
        let homes = Homes::new();
        homes.note("resp_1", home(1));
        homes.note("resp_1", home(2));
        assert_eq!(homes.find("resp_1", &home(1).owner), Some(home(1)));
        assert_eq!(homes.find("resp_1", &home(2).owner), None);
        assert_eq!(homes.find("resp_2", &home(1).owner), None);
    }

    #[test]
    fn as_many_are_remembered_as_there_is_room_for() {
        let homes = Homes::new();
        for number in 0..2 * MOST {
            homes.note(&format!("resp_{number}"), home(1));
        }
        homes.note(&"x".repeat(LONGEST_ID + 1), home(1));
        let known: usize = homes.0.each().map(|shard| shard.len()).sum();
        assert!((MOST / 2..=MOST).contains(&known), "{known}");
        assert!(homes.find(&format!("resp_{}", 2 * MOST - 1), &home(1).owner).is_some());
    }
}
