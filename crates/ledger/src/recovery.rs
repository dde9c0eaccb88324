//! From what the database knows and what the journal holds back to where the ledger stood.
//!
//! Nothing is written here but for one thing: what a killed process has left in the page cache is brought to
//! the disk before anybody builds on it. Requests that have begun and not ended come back as open ones;
//! whoever opens the ledger with them settles them as estimates.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use model::entry::{Balance, JournalPosition, WindowUse};
use telemetry::failpoint;

use crate::book::{Book, Restoration};
use crate::event::Event;
use crate::journal::codec::Step;
use crate::journal::segment::{self, Listed};
use crate::journal::unended::{Places, Saved, Unended};
use crate::journal::{Fs, Place, Record, Records, codec};

/// Why the ledger cannot stand where it stood.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// A file cannot be read, or not be brought to the disk.
    #[error("{path}: {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A sound record that this version does not know: a newer one has written it.
    #[error("{path}: the record before byte {offset} was written by another version")]
    Foreign {
        /// In which file.
        path: PathBuf,
        /// Where it ends.
        offset: u64,
    },
}

/// What the database knows of money.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// Balances.
    pub balances: &'a [Balance],
    /// Windows.
    pub windows: &'a [WindowUse],
    /// How far each shard of the journal is in them.
    pub positions: &'a [JournalPosition],
}

/// Where the ledger stood.
#[derive(Debug)]
pub struct Recovered {
    /// All accounts, and the requests that nobody has ended.
    pub book: Book,
    /// Where the projector goes on.
    pub start: Start,
    /// Records that were read.
    pub records: u64,
}

/// Where the projector goes on.
#[derive(Debug, Default)]
pub struct Start {
    /// How far each shard is in the database.
    pub positions: Vec<JournalPosition>,
    /// What had begun and not ended there, or, where that is further, up to `seen`.
    pub unended: Unended,
    /// How far each shard is in `unended`, even if it is not so far in the database.
    pub seen: Places,
}

/// Reads the journal in `directory`.
///
/// # Errors
/// [`RecoveryError`]. Torn tails and damaged records are no errors: they end their segment.
pub fn recover(fs: &Arc<dyn Fs>, directory: &Path, known: Known<'_>) -> Result<Recovered, RecoveryError> {
    failpoint::pass("recovery_before_read");
    let at_directory = |cause| RecoveryError::File { path: directory.to_owned(), cause };
    fs.make_directory(directory).map_err(at_directory)?;
    let now = Instant::now();
    let saved = Saved::load(&**fs, directory, now).map_err(at_directory)?;
    let mut reading = Reading {
        restoration: Restoration::new(known.balances, known.windows),
        projected: known.positions.iter().map(|at| (at.shard, (at.segment, at.offset))).collect(),
        saved,
        now,
        records: 0,
    };
    for event in std::mem::take(&mut reading.saved.events) {
        reading.restoration.recall(&event, true);
    }
    for listed in segment::list(&**fs, directory).map_err(at_directory)? {
        reading.segment(fs, directory, listed)?;
    }
    fs.sync_directory(directory).map_err(at_directory)?;
    let Reading { restoration, saved, records, .. } = reading;
    let book = restoration.finish();
    failpoint::pass("recovery_before_orphans");
    let start = Start { positions: known.positions.to_vec(), unended: saved.unended, seen: saved.places };
    Ok(Recovered { book, start, records })
}

struct Reading {
    restoration: Restoration,
    /// How far each shard is in the database.
    projected: Places,
    saved: Saved,
    now: Instant,
    records: u64,
}

impl Reading {
    fn segment(&mut self, fs: &Arc<dyn Fs>, directory: &Path, listed: Listed) -> Result<(), RecoveryError> {
        let path = listed.id.path(directory);
        let failed = |cause| RecoveryError::File { path: path.clone(), cause };
        let from = match self.known(listed.id.shard) {
            (segment, _) if listed.id.segment < segment => return Ok(()),
            (segment, offset) if listed.id.segment == segment => offset,
            _ => 0,
        };
        let mut records = Records::new(Arc::clone(fs), directory, listed.id, listed.until).from(from);
        let mut last = from;
        while let Some(Record { content, end }) = records.read().map_err(failed)? {
            let foreign = || RecoveryError::Foreign { path: path.clone(), offset: end };
            let event = codec::read(content).ok_or_else(foreign)?;
            self.event(&event, content, (listed.id.shard, listed.id.segment, end));
            last = end;
        }
        if !is_within(&self.projected, (listed.id.shard, listed.id.segment, last)) {
            fs.sync(&path).map_err(failed)?;
        }
        if last < listed.until {
            let lost = listed.until - last;
            tracing::warn!(path = %path.display(), lost_bytes = lost, "a segment of the journal has a torn end");
        }
        Ok(())
    }

    /// Up to where a shard has nothing to say: the database knows what ended before, and what had not
    /// ended was written down.
    fn known(&self, shard: u32) -> Place {
        let of = |places: &Places| places.get(&shard).copied().unwrap_or_default();
        of(&self.projected).min(of(&self.saved.places))
    }

    /// An event that ends at that byte of a segment of a shard.
    fn event(&mut self, event: &Event, record: &[u8], at: (u32, u64, u64)) {
        self.records += 1;
        let is_projected = is_within(&self.projected, at);
        let is_course =
            matches!(event, Event::Opened { .. } | Event::Attempted { .. } | Event::Checkpointed { .. });
        let has_ended = event.request().is_some_and(|request| self.saved.ended.contains(&request));
        // What was written down when segments were deleted is all there is of starts before that.
        let is_known = is_within(&self.saved.places, at);
        if is_course && (is_known || has_ended) {
            return;
        }
        self.restoration.recall(event, is_projected);
        if is_projected
            && !is_known
            && let Some(step) = Step::of(event)
        {
            self.saved.unended.add(step, record, self.now);
        }
    }
}

/// Whether a record that ends there lies before the place of its shard.
fn is_within(places: &Places, (shard, segment, end): (u32, u64, u64)) -> bool {
    places.get(&shard).is_some_and(|place| (segment, end) <= *place)
}
