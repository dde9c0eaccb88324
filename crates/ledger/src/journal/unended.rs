//! Requests that have begun and not ended, as of a place in each shard, and the file that keeps them when
//! their segments are deleted, and when the process stops.
//!
//! A start can lie in a segment that is long gone when its request ends, and an end in a segment that goes
//! before the one with its start. Therefore whoever deletes segments first writes down what has not ended:
//! from then on, starts before the places named in that file are known from it and from nowhere else.
//! Whoever stops writes them down as well: the next start need not read what is projected and covered.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashSet};
use model::RequestId;

use super::codec::{self, Step};
use super::frame::{self, Found, HEADER, Header};
use super::fs::{Fs, replace};
use super::shard::Place;
use crate::event::Event;

/// The file below the journal's directory.
const NAME: &str = "unended";
/// What its header says it is: no shard has this number.
const HEADING: Header = Header { shard: u32::MAX, segment: 1, void_from: None };
/// No file is larger: 65,536 requests in flight take about 30 MB.
const MOST_BYTES: usize = 256 << 20;
/// An end whose start has not come by then has none: it was void. Shards are synced one after the other,
/// so that a start may be seen after its end, by the time of a stalled sync.
const PATIENCE: Duration = Duration::from_mins(10);

/// The first byte of each record of the file.
mod kind {
    pub const PLACE: u8 = 1;
    pub const EVENT: u8 = 2;
    pub const ENDED: u8 = 3;
    pub const WHOLE: u8 = 4;
}

/// How far each shard was read.
pub type Places = BTreeMap<u32, Place>;

/// Requests that have not ended.
#[derive(Clone, Debug, Default)]
pub struct Unended {
    begun: HashMap<RequestId, Begun>,
    /// Requests whose end was seen before their start, and when.
    early: HashMap<RequestId, Instant>,
}

/// The records of one request.
#[derive(Clone, Debug, Default)]
struct Begun {
    lasting: Vec<Box<[u8]>>,
    checkpoint: Option<Box<[u8]>>,
}

impl Unended {
    /// A step of a request that was read, and the record that it was read from.
    pub fn add(&mut self, (step, request): (Step, RequestId), record: &[u8], now: Instant) {
        match step {
            Step::Opened if self.early.remove(&request).is_some() => {}
            Step::Opened => {
                let begun = Begun { lasting: vec![record.into()], checkpoint: None };
                self.begun.entry(request).or_insert(begun);
            }
            Step::Ended => {
                if self.begun.remove(&request).is_none() {
                    self.early.insert(request, now);
                }
            }
            // Without its start it says nothing.
            Step::Attempted | Step::Checkpointed => {
                let Some(begun) = self.begun.get_mut(&request) else {
                    return;
                };
                match step {
                    Step::Checkpointed => begun.checkpoint = Some(record.into()),
                    _ => begun.lasting.push(record.into()),
                }
            }
        }
    }

    /// Forgets ends whose starts will not come.
    pub fn forget(&mut self, now: Instant) {
        self.early.retain(|_, seen| now.saturating_duration_since(*seen) < PATIENCE);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.begun.len()
    }

    /// Whether every request has ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.begun.is_empty()
    }

    /// Writes down what has not ended when every shard was read up to its place in `places`.
    ///
    /// # Errors
    /// The system's; the file is as it was, or as it should be.
    pub fn save(&self, fs: &dyn Fs, directory: &Path, places: &Places) -> io::Result<()> {
        let mut bytes = HEADING.to_bytes().to_vec();
        let mut record = |kind: u8, parts: &[&[u8]]| {
            let content = |to: &mut Vec<u8>| {
                to.push(kind);
                parts.iter().for_each(|part| to.extend_from_slice(part));
            };
            frame::append(&mut bytes, content).map(|_| ()).ok_or(io::ErrorKind::FileTooLarge)
        };
        for (shard, (segment, offset)) in places {
            let parts = [&shard.to_le_bytes()[..], &segment.to_le_bytes(), &offset.to_le_bytes()];
            record(kind::PLACE, &parts)?;
        }
        for begun in self.begun.values() {
            for event in begun.lasting.iter().chain(&begun.checkpoint) {
                record(kind::EVENT, &[event])?;
            }
        }
        for request in self.early.keys() {
            record(kind::ENDED, &[&request.to_bytes()])?;
        }
        record(kind::WHOLE, &[])?;
        replace(fs, &path(directory), &bytes)
    }
}

/// What was written down.
#[derive(Debug, Default)]
pub struct Saved {
    /// Starts before these are in `events` or have ended.
    pub places: Places,
    /// The records of what had not ended.
    pub events: Vec<Event>,
    /// Requests that had ended before their start was seen.
    pub ended: HashSet<RequestId>,
    /// The same, to go on with.
    pub unended: Unended,
}

impl Saved {
    /// Reads what was written down; nothing when nothing was.
    ///
    /// # Errors
    /// The system's, or `InvalidData` when the file is damaged: it is only ever written whole.
    pub fn load(fs: &dyn Fs, directory: &Path, now: Instant) -> io::Result<Self> {
        let mut saved = Self::default();
        let bytes = match fs.read(&path(directory), 0, MOST_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(saved),
            other => other?,
        };
        if Header::read(&bytes) != Some(HEADING) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut rest = &bytes[HEADER..];
        while let Found::Record(content, length) = frame::first(rest) {
            rest = &rest[length..];
            if content == [kind::WHOLE] {
                return Ok(saved);
            }
            saved.record(content, now).ok_or(io::ErrorKind::InvalidData)?;
        }
        Err(io::ErrorKind::InvalidData.into())
    }

    fn record(&mut self, content: &[u8], now: Instant) -> Option<()> {
        let (kind, content) = content.split_first()?;
        match *kind {
            kind::PLACE => {
                let long = |at: usize| Some(u64::from_le_bytes(content.get(at..at + 8)?.try_into().ok()?));
                let shard = u32::from_le_bytes(content.get(..4)?.try_into().ok()?);
                self.places.insert(shard, (long(4)?, long(12)?));
            }
            kind::EVENT => {
                let event = codec::read(content)?;
                if let Some(step) = Step::of(&event) {
                    self.unended.add(step, content, now);
                }
                self.events.push(event);
            }
            kind::ENDED => {
                let request = RequestId::from_bytes(content.try_into().ok()?);
                self.ended.insert(request);
                self.unended.early.insert(request, now);
            }
            _ => return None,
        }
        Some(())
    }
}

fn path(directory: &Path) -> PathBuf {
    directory.join(NAME)
}
