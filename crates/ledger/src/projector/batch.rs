//! Reads the journal in its order and makes projections of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use model::entry::{JournalPosition, Projection};

use crate::book::Effects;
use crate::journal::codec::Step;
use crate::journal::segment::{self, Listed};
use crate::journal::unended::{Places, Unended};
use crate::journal::{Extent, Journal, Record, Records, SegmentId, codec};
use crate::recovery::Start;

/// Entries of one projection, at most (and those of one event more): a transaction of a few tens of
/// milliseconds, during which nobody else writes to the database.
const MOST_ENTRIES: usize = 8_192;

/// How far one shard is.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    /// Where the database stands.
    stands: Option<JournalPosition>,
    /// Up to where records were read: segment and bytes.
    read: (u64, u64),
}

/// Reads the journal.
pub struct Reader {
    journal: Arc<Journal>,
    cursors: BTreeMap<u32, Cursor>,
    unended: Unended,
    /// What stands before this is in `unended` already.
    seen: Places,
    /// Segments that were read to their end, whose records are in the database.
    finished: Vec<SegmentId>,
    backlog_bytes: u64,
}

impl Reader {
    /// A reader that goes on at `start`.
    pub fn new(journal: Arc<Journal>, start: Start) -> Self {
        let cursor = |at: &JournalPosition| Cursor { stands: Some(*at), read: (at.segment, at.offset) };
        let cursors = start.positions.iter().map(|at| (at.shard, cursor(at))).collect();
        let Start { unended, seen, .. } = start;
        Self { journal, cursors, unended, seen, finished: Vec::new(), backlog_bytes: 0 }
    }

    /// Bytes that were there and not in the database when [`Reader::next`] was last asked.
    pub fn backlog_bytes(&self) -> u64 {
        self.backlog_bytes
    }

    /// What has begun and not ended, and how far each shard was read.
    pub fn unended(&mut self) -> (&mut Unended, Places) {
        let mut places = self.seen.clone();
        for (shard, cursor) in &self.cursors {
            let place = places.entry(*shard).or_default();
            *place = cursor.read.max(*place);
        }
        (&mut self.unended, places)
    }

    /// Takes what was read to its end since this was last asked.
    pub fn finished(&mut self) -> Vec<SegmentId> {
        std::mem::take(&mut self.finished)
    }

    /// The next projection; `None` when the database knows all that changes it and is on the disk.
    ///
    /// # Errors
    /// What cannot be read, in words.
    pub fn next(&mut self) -> Result<Option<Projection>, String> {
        let readable = self.readable()?;
        self.backlog_bytes = readable.iter().map(|one| self.left(one)).sum();
        for one in &readable {
            if let Some(projection) = self.read(one)? {
                return Ok(Some(projection));
            }
        }
        Ok(None)
    }

    /// Bytes that are there now and were not read; none where the journal cannot be looked at.
    pub fn unread_bytes(&self) -> u64 {
        self.readable().map_or(0, |readable| readable.iter().map(|one| self.left(one)).sum())
    }

    /// The segments of which something may be read.
    fn readable(&self) -> Result<Vec<Readable>, String> {
        // In this order: a segment that is made in between is one that must not be read yet.
        let extents = self.journal.extents();
        let listed = segment::list(&**self.journal.fs(), self.journal.directory());
        let listed = listed.map_err(|error| format!("cannot list the journal: {error}"))?;
        Ok(listed.iter().filter_map(|one| readable(&extents, one)).collect())
    }

    /// Notes that a projection has arrived.
    pub fn projected(&mut self, projection: &Projection) {
        self.cursors.entry(projection.to.shard).or_default().stands = Some(projection.to);
    }

    /// Bytes of a segment that were not read.
    fn left(&self, one: &Readable) -> u64 {
        let (segment, offset) = self.cursors.get(&one.id.shard).map_or((0, 0), |cursor| cursor.read);
        match one.id.segment {
            of if of < segment => 0,
            of if of == segment => one.until.saturating_sub(offset),
            _ => one.until,
        }
    }

    fn read(&mut self, one: &Readable) -> Result<Option<Projection>, String> {
        let Readable { id, until, closed } = *one;
        let cursor = self.cursors.entry(id.shard).or_default();
        if id.segment < cursor.read.0 {
            // Read before this process began, or a moment ago.
            self.finish(id);
            return Ok(None);
        }
        if id.segment > cursor.read.0 {
            cursor.read = (id.segment, 0);
        }
        let (from, fs) = (cursor.stands, Arc::clone(self.journal.fs()));
        let mut records = Records::new(fs, self.journal.directory(), id, until).from(cursor.read.1);
        let mut effects = Effects::new();
        let now = Instant::now();
        let failed =
            |why: &str| format!("cannot read {}: {why}", id.path(self.journal.directory()).display());
        while effects.entries.len() < MOST_ENTRIES {
            let Record { content, end } = match records.read() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(error) => return Err(failed(&error.to_string())),
            };
            let step = Step::of_record(content);
            if let Some(step) = step
                && self.seen.get(&id.shard).is_none_or(|seen| *seen < (id.segment, end))
            {
                self.unended.add(step, content, now);
            }
            // Of a request, only its end changes what the database knows: the rest is not read.
            if step.is_none_or(|(step, _)| step == Step::Ended) {
                let event = codec::read(content).ok_or_else(|| failed("a record of another version"))?;
                effects.add(&event);
            }
        }
        let offset = records.offset();
        let cursor = self.cursors.entry(id.shard).or_default();
        cursor.read = (id.segment, offset);
        if effects.entries.is_empty() {
            if closed {
                self.finish(id);
            }
            return Ok(None);
        }
        let to = JournalPosition { shard: id.shard, segment: id.segment, offset };
        let (windows, balances) = (effects.windows(), effects.balances());
        Ok(Some(Projection { from, to, entries: effects.entries, windows, balances }))
    }

    fn finish(&mut self, id: SegmentId) {
        if !self.finished.contains(&id) {
            self.finished.push(id);
        }
    }
}

/// A segment of which something may be read.
#[derive(Clone, Copy, Debug)]
struct Readable {
    id: SegmentId,
    until: u64,
    /// Whether nothing more will be written to it.
    closed: bool,
}

fn readable(extents: &[Extent], listed: &Listed) -> Option<Readable> {
    let Listed { id, until, .. } = *listed;
    // A shard that this process does not write has only what was there before it.
    let extent = extents.iter().find(|extent| extent.shard == id.shard && extent.own <= id.segment);
    let Some(extent) = extent else {
        return Some(Readable { id, until, closed: true });
    };
    let (segment, offset) = extent.safe?;
    match id.segment {
        of if of < segment => Some(Readable { id, until, closed: true }),
        of if of == segment => Some(Readable { id, until: until.min(offset), closed: false }),
        _ => None,
    }
}
