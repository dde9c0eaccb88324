//! One shard: the records that are gathered, the segment that they go to, and what the disk has of it.
//! Nothing here locks or waits; its caller holds the shard's lock.

use std::io;
use std::path::Path;
use std::sync::Arc;

use telemetry::failpoint;
use tokio::sync::oneshot;

use super::frame;
use super::fs::{File, Fs};
use super::segment::SegmentId;
use crate::event::JournalFault;

/// Gathered bytes from which on a shard is written without waiting for the next intent: a page and then
/// some, so that a write is worth its call.
pub const WORTH_WRITING: usize = 16 * 1024;
/// Gathered bytes that a full disk may leave in memory. Only ends and checkpoints of requests that already
/// run get here, new ones being refused: 16 MiB are more than 40,000 of them.
const MOST_GATHERED: usize = 16 << 20;

/// Who waits until the disk has what was written.
pub type Waiting = oneshot::Sender<Result<(), JournalFault>>;

/// The segment that is written to.
#[derive(Debug)]
pub struct Active {
    /// Its file.
    pub file: Arc<dyn File>,
    /// Which one.
    pub segment: u64,
    /// Bytes that are in it.
    pub written: u64,
    /// Bytes that the disk has.
    pub synced: u64,
}

/// One shard.
#[derive(Debug)]
pub struct Shard {
    number: u32,
    /// The number of the next segment.
    next: u64,
    active: Option<Active>,
    /// Full segments that the disk may not have.
    full: Vec<Arc<dyn File>>,
    /// Whether a segment was made since the directory was last synced.
    unnamed: bool,
    gathered: Vec<u8>,
    waiting: Vec<Waiting>,
    /// The last write or sync of a segment has failed; the next one has not been seen to work.
    distrusted: bool,
}

/// What a sync has to do for one shard.
pub struct Due {
    /// Full segments, then the active one.
    pub files: Vec<Arc<dyn File>>,
    /// Which segment is the active one, and how much of it the disk will have.
    pub active: Option<(u64, u64)>,
    /// Whether the directory has names that the disk may not have.
    pub unnamed: bool,
    /// Who is told.
    pub waiting: Vec<Waiting>,
}

/// What may be read of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Which shard.
    pub shard: u32,
    /// Segments from this number on do not exist yet. Those before it are finished, but for `active`.
    pub next: u64,
    /// The segment that is written to, and the bytes of it that may be read.
    pub active: Option<(u64, u64)>,
}

/// Where segments are made, and how large they become.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The files.
    pub fs: &'a dyn Fs,
    /// The journal's directory.
    pub directory: &'a Path,
    /// A segment with this many bytes is full.
    pub segment_bytes: u64,
}

impl Shard {
    /// A shard whose segments before `next` are somebody else's.
    #[must_use]
    pub fn new(number: u32, next: u64) -> Self {
        Self {
            number,
            next,
            active: None,
            full: Vec::new(),
            unnamed: false,
            gathered: Vec::new(),
            waiting: Vec::new(),
            distrusted: false,
        }
    }

    /// Gathers a record. Returns the bytes gathered before it, to take it back with; `None` when the record
    /// or all of them together are too large.
    pub fn gather(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Option<usize> {
        let before = self.gathered.len();
        if before > MOST_GATHERED {
            return None;
        }
        frame::append(&mut self.gathered, write).map(|_| before)
    }

    /// Takes back all that was gathered since [`Shard::gather`] said `before`.
    pub fn take_back(&mut self, before: usize) {
        self.gathered.truncate(before);
    }

    /// Bytes that are gathered and in no file.
    #[must_use]
    pub fn gathered(&self) -> usize {
        self.gathered.len()
    }

    /// What may be read of it.
    #[must_use]
    pub fn extent(&self) -> Extent {
        let active = self.active.as_ref().map(|active| (active.segment, active.written));
        Extent { shard: self.number, next: self.next, active }
    }

    /// Writes what is gathered, with one call to the system.
    ///
    /// # Errors
    /// The system's; what is gathered is still gathered, and no part of it will be read.
    pub fn flush(&mut self, place: Place<'_>) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        self.open(place)?;
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        failpoint::pass("journal_before_write");
        if let Err(error) = active.file.append(&self.gathered) {
            // What stands beyond `written` must not be taken for records by who reads the file.
            if active.file.cut(active.written).is_err() {
                self.abandon();
            }
            self.distrusted = true;
            return Err(error);
        }
        failpoint::pass("journal_after_write");
        active.written += u64::try_from(self.gathered.len()).unwrap_or(0);
        self.gathered.clear();
        // A burst that a full disk caused must not be kept as capacity.
        self.gathered.shrink_to(4 * WORTH_WRITING);
        Ok(())
    }

    /// Sees to it that there is a segment with room.
    ///
    /// # Errors
    /// The system's; there may be no segment then.
    pub fn open(&mut self, place: Place<'_>) -> io::Result<()> {
        if self.active.as_ref().is_some_and(|active| active.written < place.segment_bytes) {
            return Ok(());
        }
        if let Some(active) = self.active.take() {
            failpoint::pass("journal_before_rotate");
            self.full.push(active.file);
        }
        let id = SegmentId { shard: self.number, segment: self.next };
        // A number is never used twice: what a failed attempt left under it is not ours.
        self.next += 1;
        let path = id.path(place.directory);
        let file = place.fs.create(&path)?;
        if let Err(error) = file.append(&frame::header(id.shard, id.segment)) {
            let _ = place.fs.remove(&path);
            return Err(error);
        }
        self.unnamed = true;
        let written = u64::try_from(frame::HEADER).unwrap_or(0);
        self.active = Some(Active { file, segment: id.segment, written, synced: 0 });
        failpoint::pass("journal_after_rotate");
        Ok(())
    }

    /// Leaves the active segment as it is: nothing more is written to it.
    fn abandon(&mut self) {
        self.active = None;
    }

    /// A segment that must be synced once before this shard is believed to work again; `None` when nothing
    /// has gone wrong.
    ///
    /// # Errors
    /// The system's, when there can be no segment.
    pub fn on_trial(&mut self, place: Place<'_>) -> io::Result<Option<Arc<dyn File>>> {
        if !self.distrusted {
            return Ok(None);
        }
        self.open(place)?;
        Ok(self.active.as_ref().map(|active| Arc::clone(&active.file)))
    }

    /// Notes that [`Shard::on_trial`]'s segment was synced.
    pub fn trust(&mut self) {
        self.distrusted = false;
    }

    /// Lets somebody wait until the disk has all that is written and gathered now.
    pub fn wait(&mut self, waiting: Waiting) {
        self.waiting.push(waiting);
    }

    /// Whether somebody waits.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What has to be synced; `None` when the disk has everything.
    pub fn due(&mut self) -> Option<Due> {
        let mut files = std::mem::take(&mut self.full);
        let active = self.active.as_ref().filter(|active| active.synced < active.written);
        files.extend(active.map(|active| Arc::clone(&active.file)));
        let active = active.map(|active| (active.segment, active.written));
        let waiting = std::mem::take(&mut self.waiting);
        let unnamed = std::mem::take(&mut self.unnamed);
        let is_due = !files.is_empty() || unnamed || !waiting.is_empty();
        is_due.then_some(Due { files, active, unnamed, waiting })
    }

    /// Notes that the disk has what [`Shard::due`] named.
    pub fn synced(&mut self, due: Option<(u64, u64)>) {
        if let (Some((segment, bytes)), Some(active)) = (due, &mut self.active)
            && active.segment == segment
        {
            active.synced = active.synced.max(bytes);
        }
    }

    /// Notes that a sync has failed: what the disk has of the segment is unknown for good.
    pub fn lost(&mut self, due: Option<(u64, u64)>) {
        let same = |active: &Active| due.is_none_or(|(segment, _)| segment == active.segment);
        if self.active.as_ref().is_some_and(same) {
            self.abandon();
        }
        self.distrusted = true;
    }
}
