//! At which account a response is kept, or can be opened, that an earlier request has made, and whose it is:
//! whoever goes on from it must go there, and nobody else may. What is forgotten for want of room is not found any more, and
//! its owner begins anew.
//!
//! Decisions are made in memory. Each home is written to a log before its request ends, which costs a write to
//! the page cache: a process that is killed forgets none, a power cut takes what was written since
//! [`Homes::keep`] last ran.

mod log;

use std::io;
use std::path::Path;
use std::sync::Arc;

use model::ResourceId;

use foldhash::HashMap;
use parking_lot::MutexGuard;

use crate::shards::Shards;
use log::Log;

type Shard<'a> = MutexGuard<'a, HashMap<Box<str>, Remembered>>;

/// Responses and seals that are remembered: some 16 MB.
pub const MOST: usize = 65_536;
/// Of them, in one shard.
const MOST_IN_SHARD: usize = MOST / 64;
/// Longer ids are no provider's (OpenAI's have 55 characters, seals are known by 48), and are not remembered.
const LONGEST_ID: usize = 256;

/// Where responses are kept.
#[derive(Debug, Default)]
pub struct Homes {
    known: Shards<Box<str>, Remembered>,
    /// `None` where nothing need survive: in tests.
    log: Option<Log>,
}

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
    /// None known, and remembered for the life of the process only.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Those in the log in `directory`, where new ones are written too. Also, how many of its files were cut
    /// off.
    ///
    /// # Errors
    /// The directory cannot be read or written.
    pub fn open(directory: &Path) -> io::Result<(Self, usize)> {
        let mut homes = Self::default();
        let (old, cut) = log::read_all(directory, |id, home| {
            homes.remember(id, home);
        })?;
        homes.log = Some(Log::begin(directory, old)?);
        Ok((homes, cut))
    }

    /// Brings the log to the disk, and shortens it when it has grown. It may wait for the disk.
    ///
    /// # Errors
    /// The system's.
    pub fn keep(&self) -> io::Result<()> {
        let Some(log) = &self.log else { return Ok(()) };
        if log.is_due() {
            let batch = |shard: Shard<'_>| {
                shard.iter().map(|(id, known)| (id.clone(), known.home.clone())).collect::<Vec<_>>()
            };
            return log.take_over(self.known.each().map(batch));
        }
        log.sync()
    }

    /// Remembers where the response `id` is kept. An id that another owner has already stays that one's.
    pub fn note(&self, id: &str, home: Home) {
        let is_noted = self.remember(id, home.clone());
        if let Some(log) = self.log.as_ref().filter(|_| is_noted) {
            log.append(id, &home);
        }
    }

    /// Whether it is remembered.
    fn remember(&self, id: &str, home: Home) -> bool {
        if id.is_empty() || id.len() > LONGEST_ID {
            return false;
        }
        let mut shard = self.known.of(id);
        if let Some(known) = shard.get_mut(id) {
            let is_owners = known.home.owner == home.owner;
            if is_owners {
                *known = Remembered { home, used: true };
            }
            return is_owners;
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
        true
    }

    /// Where the response `id` of `owner` is kept; `None` for ids that are unknown or somebody else's.
    #[must_use]
    pub fn find(&self, id: &str, owner: &ResourceId) -> Option<Home> {
        let mut shard = self.known.of(id);
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

    /// A folder that is removed when dropped.
    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("yumen-homes-{name}-{}", std::process::id()));
            drop(std::fs::remove_dir_all(&path));
            Self(path)
        }

        fn files(&self) -> Vec<std::path::PathBuf> {
            std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn a_process_that_ends_without_a_word_forgets_none() {
        let folder = Folder::new("killed");
        for turn in 0..3_u8 {
            let (homes, cut) = Homes::open(&folder.0).unwrap();
            assert_eq!(cut, 0);
            for earlier in 0..turn {
                assert_eq!(homes.find(&format!("resp_{earlier}"), &home(1).owner), Some(home(1)));
            }
            homes.note(&format!("resp_{turn}"), home(1));
            homes.note("resp_0", home(2));
            if turn == 1 {
                homes.keep().unwrap();
                assert_eq!(folder.files().len(), 1, "the old file has gone");
            }
        }
    }

    #[test]
    fn a_file_that_is_cut_anywhere_gives_what_is_whole() {
        let folder = Folder::new("cut");
        let (homes, _) = Homes::open(&folder.0).unwrap();
        homes.note("resp_1", home(1));
        homes.note("resp_2", home(1));
        drop(homes);
        let path = folder.files().remove(0);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            let cut_folder = Folder::new("cut-here");
            std::fs::create_dir_all(&cut_folder.0).unwrap();
            std::fs::write(cut_folder.0.join("0000000001.log"), &whole[..length]).unwrap();
            let (homes, _) = Homes::open(&cut_folder.0).unwrap();
            let known = |id| homes.find(id, &home(1).owner).is_some();
            assert_eq!((known("resp_1"), known("resp_2")), (length >= 8 + (whole.len() - 8) / 2, false));
        }
    }

    #[test]
    fn the_log_does_not_grow_for_ever() {
        let folder = Folder::new("grows");
        let (homes, _) = Homes::open(&folder.0).unwrap();
        let long = "x".repeat(200);
        // 40 MB of records, of which some 20 are of responses that are still remembered.
        for number in 0..150_000 {
            homes.note(&format!("{long}{number}"), home(1));
            if number % 10_000 == 0 {
                homes.keep().unwrap();
            }
        }
        homes.keep().unwrap();
        let bytes: u64 = folder.files().iter().map(|path| path.metadata().unwrap().len()).sum();
        assert!(bytes < log::FILE_BYTES + (10 << 20), "{bytes}");
        drop(homes);
        let (homes, cut) = Homes::open(&folder.0).unwrap();
        assert_eq!(cut, 0);
        assert!(homes.find(&format!("{long}149999"), &home(1).owner).is_some());
    }

    #[test]
    fn as_many_are_remembered_as_there_is_room_for() {
        let homes = Homes::new();
        for number in 0..2 * MOST {
            homes.note(&format!("resp_{number}"), home(1));
        }
        homes.note(&"x".repeat(LONGEST_ID + 1), home(1));
        let known: usize = homes.known.each().map(|shard| shard.len()).sum();
        assert!((MOST / 2..=MOST).contains(&known), "{known}");
        assert!(homes.find(&format!("resp_{}", 2 * MOST - 1), &home(1).owner).is_some());
    }
}
