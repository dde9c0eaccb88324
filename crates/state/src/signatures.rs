//! What is remembered of signed requests: nonces that were used, and keys that are frozen for networks from
//! which wrong signatures came.
//!
//! Decisions are made in memory. What must survive a restart is written to a log of its own before the
//! request goes on: that costs a write to the page cache, so a process that is killed forgets nothing, and a
//! power cut takes at most what was written since [`Signatures::keep`] last ran, which is every second.

pub mod freezes;
mod log;
pub mod nonces;
pub mod source;

use std::io;
use std::path::Path;

use model::ResourceId;
use model::clock::EpochMs;
use model::resource::FreezeScope;

pub use freezes::{Freezes, Frozen, Told};
pub use nonces::{KEPT_MS, Nonces, Spend};
pub use source::Source;

use log::{Event, Log};

/// What all workers remember of signed requests.
#[derive(Debug, Default)]
pub struct Signatures {
    nonces: Nonces,
    freezes: Freezes,
    /// `None` where nothing need survive: in tests.
    log: Option<Log>,
}

/// What was found when the log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recalled {
    /// Nonces that are still remembered.
    pub nonces: usize,
    /// Records that were damaged, and skipped.
    pub damaged: usize,
}

impl Signatures {
    /// Remembers for the life of the process only.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// Remembers what the log in `directory` holds, and writes there what must survive.
    ///
    /// # Errors
    /// The directory cannot be read or written.
    pub fn open(directory: &Path, now_ms: EpochMs) -> io::Result<(Self, Recalled)> {
        let (nonces, freezes) = (Nonces::default(), Freezes::default());
        let mut recalled = Recalled::default();
        let old = log::read_all(directory, |event| match event {
            Some(Event::Nonce { key, nonce, at }) => {
                recalled.nonces += usize::from(nonces.recall(&key, nonce, at, now_ms));
            }
            Some(event) => freezes.recall(&event),
            None => recalled.damaged += 1,
        })?;
        let log = Log::begin(directory, old, now_ms, &freezes.snapshot(now_ms))?;
        Ok((Self { nonces, freezes, log: Some(log) }, recalled))
    }

    /// Whether signatures of `key` from `source` are refused unseen, and why.
    #[must_use]
    pub fn frozen(&self, key: &ResourceId, source: Source, now_ms: EpochMs) -> Option<Frozen> {
        self.freezes.frozen(key, source, now_ms)
    }

    /// A signature of `key` from `source` was wrong; says what its sender may be told.
    pub fn failed(&self, key: &ResourceId, source: Source, scope: FreezeScope, now_ms: EpochMs) -> Told {
        let (told, event) = self.freezes.failed(key, source, scope, now_ms);
        if let Some(event) = event {
            // A freeze that only memory has still holds until the restart.
            let _ = self.write(&event);
        }
        told
    }

    /// A request of `key` from `source` was right in all.
    pub fn succeeded(&self, key: &ResourceId, source: Source, now_ms: EpochMs) {
        if let Some(event) = self.freezes.succeeded(key, source, now_ms) {
            let _ = self.write(&event);
        }
    }

    /// Spends a nonce of `key`, of which at most `most` are remembered. Call this only once the signature
    /// has been found right: whoever cannot sign must not be able to use nonces up.
    pub fn spend(&self, key: &ResourceId, nonce: u128, most: u64, now_ms: EpochMs) -> Spend {
        match self.nonces.spend(key, nonce, most, now_ms) {
            Spend::Fresh => {
                let event = Event::Nonce { key: key.clone(), nonce, at: now_ms };
                if self.write(&event).is_ok() { Spend::Fresh } else { Spend::Unsaved }
            }
            spent => spent,
        }
    }

    /// Ends all freezes of a key.
    pub fn thaw(&self, key: &ResourceId) {
        if self.freezes.thaw(key) {
            let _ = self.write(&Event::Thawed { key: key.clone() });
        }
    }

    /// What is frozen of a key: whether it is everywhere, and the sources with their ends.
    #[must_use]
    pub fn freezes_of(&self, key: &ResourceId, now_ms: EpochMs) -> (bool, Vec<(Source, EpochMs)>) {
        self.freezes.of(key, now_ms)
    }

    /// Brings what was written to the disk, begins a new file when it is time, and lets go of what is no
    /// longer needed. To be called every second; it waits for the disk.
    ///
    /// # Errors
    /// The disk's; nonces are refused until it works again.
    pub fn keep(&self, now_ms: EpochMs) -> io::Result<()> {
        self.nonces.let_go(now_ms);
        match &self.log {
            Some(log) => log.keep(now_ms, || self.freezes.snapshot(now_ms)),
            None => Ok(()),
        }
    }

    /// Nonces that are remembered of a key.
    #[must_use]
    pub fn remembered(&self, key: &ResourceId) -> usize {
        self.nonces.remembered(key)
    }

    fn write(&self, event: &Event) -> io::Result<()> {
        self.log.as_ref().map_or(Ok(()), |log| log.append(event))
    }
}
