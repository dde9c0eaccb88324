//! One shard: the records that are gathered, the segment that they go to, and what the disk has of it.
//! Nothing here locks or waits; its caller holds the shard's lock.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use telemetry::failpoint;
use tokio::sync::oneshot;

use super::frame::{self, HEADER, Header};
use super::fs::{File, Fs};
use super::segment::SegmentId;
use crate::event::JournalFault;

/// Gathered bytes from which on a shard is written without waiting for the next intent: a page and then
/// some, so that a write is worth its call.
pub const WORTH_WRITING: usize = 16 * 1024;
/// Gathered bytes that a full disk may leave in memory, and as many again on the way here. Only ends and checkpoints
/// of requests that already run get here, new ones being refused: 16 MiB are more than 40,000 of them.
pub const MOST_GATHERED: usize = 8 << 20;
/// Capacity of a shard's buffers that outlives a burst.
pub const USUAL_CAPACITY: usize = 4 * WORTH_WRITING;

/// Who waits until the disk has a record.
pub type Waiting = oneshot::Sender<Result<(), JournalFault>>;

/// A place in a shard: segment and bytes.
pub type Place = (u64, u64);

/// Where segments are made, and how large they become.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// The files.
    pub fs: &'a dyn Fs,
    /// The journal's directory.
    pub directory: &'a Path,
    /// A segment with this many bytes is full.
    pub segment_bytes: u64,
}

/// What may be read of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Which shard.
    pub shard: u32,
    /// Segments before this one were there when the journal was opened: they do not change.
    pub own: u64,
    /// What the disk has of the others: nothing beyond this may be read. `None` when it has nothing.
    pub safe: Option<Place>,
}

/// One shard.
#[derive(Debug)]
pub struct Shard {
    number: u32,
    own: u64,
    /// The number of the next segment.
    next: u64,
    active: Option<Active>,
    /// Segments that nothing more is written to and that the disk may not have.
    full: Vec<Active>,
    /// Whether a segment was made since the directory was last synced.
    unnamed: bool,
    /// Records that are in no file.
    gathered: Vec<u8>,
    /// Records that are in a file and maybe not on the disk: they are written again when a sync fails.
    unsynced: Vec<u8>,
    /// Who waits, and which bytes of `unsynced` are their records.
    waiting: Vec<(Range<usize>, Waiting)>,
    /// What the disk has.
    safe: Option<Place>,
    /// Where the shard ends for who reads it, if not where its files do.
    void_from: Option<Place>,
    /// A write or sync has failed; none has been seen to work since.
    distrusted: bool,
}

/// The segment that is written to.
#[derive(Debug)]
struct Active {
    file: Arc<dyn File>,
    segment: u64,
    written: u64,
}

/// What a sync has to do for one shard.
pub struct Due {
    /// The files, oldest first.
    pub files: Vec<Arc<dyn File>>,
    /// Whether the directory has names that the disk may not have.
    pub unnamed: bool,
    /// What the disk has then.
    safe: Place,
    /// How many bytes of `unsynced` those are.
    covered: usize,
}

impl Shard {
    /// A shard whose segments before `next` are somebody else's.
    #[must_use]
    pub fn new(number: u32, next: u64) -> Self {
        Self {
            number,
            own: next,
            next,
            active: None,
            full: Vec::new(),
            unnamed: false,
            gathered: Vec::new(),
            unsynced: Vec::new(),
            waiting: Vec::new(),
            safe: None,
            void_from: None,
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

    /// Gathers whole records; whether it had room for them.
    pub fn take_in(&mut self, records: &[u8]) -> bool {
        let has_room = self.gathered.len() <= MOST_GATHERED;
        if has_room {
            self.gathered.extend_from_slice(records);
        }
        has_room
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
        Extent { shard: self.number, own: self.own, safe: self.safe }
    }

    /// Writes what is gathered, with one call to the system.
    ///
    /// # Errors
    /// The system's; what is gathered is still gathered, and no part of it will be read.
    pub fn flush(&mut self, ground: Ground<'_>) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        self.open(ground)?;
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        failpoint::pass("journal_before_write");
        if let Err(error) = active.file.append(&self.gathered) {
            // What stands beyond `written` must not be taken for records by who reads the file.
            if active.file.cut(active.written).is_err() {
                self.void_from = Some((active.segment, active.written));
                self.full.extend(self.active.take());
            }
            self.distrusted = true;
            return Err(error);
        }
        failpoint::pass("journal_after_write");
        active.written += u64::try_from(self.gathered.len()).unwrap_or(0);
        self.unsynced.append(&mut self.gathered);
        self.gathered.shrink_to(USUAL_CAPACITY);
        Ok(())
    }

    /// Sees to it that there is a segment with room.
    fn open(&mut self, ground: Ground<'_>) -> io::Result<()> {
        if self.active.as_ref().is_some_and(|active| active.written < ground.segment_bytes) {
            return Ok(());
        }
        if let Some(active) = self.active.take() {
            failpoint::pass("journal_before_rotate");
            self.full.push(active);
        }
        let id = SegmentId { shard: self.number, segment: self.next };
        // A number is never used twice: what a failed attempt left under it is not ours.
        self.next += 1;
        let path = id.path(ground.directory);
        let file = ground.fs.create(&path)?;
        let header = Header { shard: id.shard, segment: id.segment, void_from: self.void_from };
        if let Err(error) = file.append(&header.to_bytes()) {
            let _ = ground.fs.remove(&path);
            return Err(error);
        }
        self.unnamed = true;
        self.void_from = None;
        let written = u64::try_from(HEADER).unwrap_or(0);
        self.active = Some(Active { file, segment: id.segment, written });
        failpoint::pass("journal_after_rotate");
        Ok(())
    }

    /// A segment that must be synced once before this shard is believed to work again; `None` when nothing
    /// has gone wrong.
    ///
    /// # Errors
    /// The system's, when there can be no segment.
    pub fn on_trial(&mut self, ground: Ground<'_>) -> io::Result<Option<Arc<dyn File>>> {
        if !self.distrusted {
            return Ok(None);
        }
        self.open(ground)?;
        Ok(self.active.as_ref().map(|active| Arc::clone(&active.file)))
    }

    /// Notes that [`Shard::on_trial`]'s segment was synced.
    pub fn trust(&mut self) {
        self.distrusted = false;
    }

    /// Lets somebody wait until the disk has the last `bytes` bytes that were written.
    pub fn wait(&mut self, bytes: usize, waiting: Waiting) {
        let end = self.unsynced.len();
        self.waiting.push((end.saturating_sub(bytes)..end, waiting));
    }

    /// Whether somebody waits.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What has to be synced; `None` when the disk has everything.
    pub fn due(&mut self) -> Option<Due> {
        let full = std::mem::take(&mut self.full);
        let written = full.iter().chain(&self.active);
        let safe = written.clone().last().map(|active| (active.segment, active.written))?;
        if full.is_empty() && self.safe == Some(safe) {
            return None;
        }
        let files = written.map(|active| Arc::clone(&active.file)).collect();
        let unnamed = std::mem::take(&mut self.unnamed);
        Some(Due { files, unnamed, safe, covered: self.unsynced.len() })
    }

    /// Notes that the disk has what [`Shard::due`] named; returns who waited for it.
    pub fn synced(&mut self, due: &Due) -> Vec<Waiting> {
        self.safe = Some(due.safe);
        self.unsynced.drain(..due.covered);
        self.unsynced.shrink_to(USUAL_CAPACITY);
        let told = self.waiting.extract_if(.., |(record, _)| record.end <= due.covered);
        let told = told.map(|(_, waiting)| waiting).collect();
        for (record, _) in &mut self.waiting {
            *record = record.start - due.covered..record.end - due.covered;
        }
        told
    }

    /// Notes that a sync has failed: what the disk has beyond [`Extent::safe`] is unknown for good, so that
    /// all of it is void and gathered again for another segment. Not what somebody waits for, though: they
    /// are returned, to be told that it will never be.
    pub fn lost(&mut self) -> Vec<Waiting> {
        self.active = None;
        self.full.clear();
        self.distrusted = true;
        self.void_from = Some(self.safe.unwrap_or((self.own, 0)));
        let mut again = std::mem::take(&mut self.unsynced);
        let waiting = std::mem::take(&mut self.waiting);
        for (record, _) in waiting.iter().rev() {
            again.drain(record.clone());
        }
        again.append(&mut self.gathered);
        self.gathered = again;
        waiting.into_iter().map(|(_, waiting)| waiting).collect()
    }
}
