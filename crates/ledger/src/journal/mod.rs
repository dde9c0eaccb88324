//! The journal: every event of the ledger, on disk before it matters.
//!
//! A few threads share a shard, so that its lock is nearly always free when one comes; what may wait does not even
//! ask for it ([`lane`]). A shard is a row of segments of 16 MiB ([`segment`]); a segment is records with checksums
//! ([`frame`]); a record is one event ([`codec`]). After a start new segments are begun: nothing is ever appended
//! behind a torn tail.
//!
//! **What is written when.** An intent ([`Event::Opened`], [`Event::Attempted`]) and whatever an
//! administrator does is in the page cache before [`append`](JournalWriter::append) returns: from then on
//! it survives the process. Ends and checkpoints are gathered and go with the shard's next intent in the
//! same call to the system, or alone after a nap of [`commit`], which saves the second call of each request.
//! What that risks: `kill -9` within those milliseconds leaves an intent without its end. The request is not
//! lost — it keeps its one entry, because recovery settles what has no end — but the entry says *estimated*
//! where it would have said *measured*. A caller's next request on its connection carries the end of its
//! last one, so at most one entry for each caller can be affected.
//!
//! **What the disk has.** One thread ([`commit`]) syncs what was written, all shards together: at most
//! 10 ms later (`process`), or at once while somebody waits for it (`power`). A sync that fails is never
//! repeated in the hope of a better answer, because kernels forget what they could not write: whatever was
//! to be synced is declared void by the header of another segment and written again there, except what
//! somebody waits for, who is told that it will never be; nothing new is accepted until a sync has worked.
//!
//! **When the disk is full,** intents are refused. Ends are not: a [`reserve`] is given up for them, and
//! what it cannot take stays in memory. Once the reserve could be made again, intents are accepted again.

pub mod codec;
pub mod commit;
pub mod frame;
pub mod fs;
mod lane;
mod reserve;
pub mod segment;
mod shard;
pub mod sim_fs;
pub mod unended;

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use model::entry::JournalPosition;
use parking_lot::Mutex;
use telemetry::failpoint;
use tokio::sync::{Notify, oneshot};

pub use commit::Committer;
pub use fs::{Fs, RealFs};
pub use segment::{Record, Records, SegmentId};
pub use shard::{Extent, Place};
pub use sim_fs::SimFs;

use crate::event::{Event, JournalFault, JournalWriter, Need, Written};
use commit::Bell;
use lane::Lane;
use shard::{Ground, Shard};

/// What an intent survives when [`JournalWriter::append`] has returned and its [`Written`] was waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The process: `kill -9` loses nothing, a power cut at most the last 10 ms.
    #[default]
    Process,
    /// A power cut.
    Power,
}

/// How a journal is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where; made if it is not there.
    pub directory: PathBuf,
    /// What intents survive.
    pub durability: Durability,
    /// How many shards; threads that write take turns among them. At least 1.
    pub shards: usize,
    /// A segment with this many bytes is full.
    pub segment_bytes: u64,
    /// Bytes kept for the day when the disk is full.
    pub reserve_bytes: u64,
}

impl Options {
    /// The usual sizes: segments of 16 MiB, about 50,000 requests each, are read in well under a second;
    /// 64 MiB in reserve are the ends of more than 150,000 requests, many times what can be in flight.
    #[must_use]
    pub fn new(directory: PathBuf, durability: Durability, shards: usize) -> Self {
        Self { directory, durability, shards, segment_bytes: 16 << 20, reserve_bytes: 64 << 20 }
    }
}

/// The journal.
#[derive(Debug)]
pub struct Journal {
    fs: Arc<dyn Fs>,
    options: Options,
    shards: Box<[Lane]>,
    /// Whether `fault` holds something: asked by every intent.
    is_faulty: AtomicBool,
    fault: Mutex<Option<JournalFault>>,
    bell: Bell,
    moved: Notify,
}

impl Journal {
    /// Opens the journal to write to it. Segments that are there are left as they are; `known` says which
    /// numbers the database has seen, so that none is used twice even if its segment is gone.
    ///
    /// # Errors
    /// The system's.
    pub fn open(fs: Arc<dyn Fs>, options: Options, known: &[JournalPosition]) -> io::Result<Self> {
        fs.make_directory(&options.directory)?;
        let mut next: HashMap<u32, u64> = HashMap::new();
        let listed = segment::list(&*fs, &options.directory)?;
        let listed = listed.into_iter().map(|segment| (segment.id.shard, segment.id.segment));
        for (shard, segment) in listed.chain(known.iter().map(|at| (at.shard, at.segment))) {
            let next = next.entry(shard).or_insert(1);
            *next = (*next).max(segment + 1);
        }
        let numbers = 0..u32::try_from(options.shards.max(1)).unwrap_or(1);
        let shards = numbers.map(|n| Lane::new(Shard::new(n, next.get(&n).copied().unwrap_or(1))));
        let shards = shards.collect();
        let (is_faulty, fault) = (AtomicBool::new(false), Mutex::new(None));
        Ok(Self { fs, options, shards, is_faulty, fault, bell: Bell::default(), moved: Notify::new() })
    }

    /// The files that it is kept in.
    #[must_use]
    pub fn fs(&self) -> &Arc<dyn Fs> {
        &self.fs
    }

    /// Where it is kept.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.options.directory
    }

    /// What may be read of each shard: what the disk has. Who reads more could show the database what a
    /// power cut then takes out of the journal.
    #[must_use]
    pub fn extents(&self) -> Vec<Extent> {
        self.shards.iter().map(|shard| shard.lock().extent()).collect()
    }

    /// Returns when the disk has more than the last time that this was asked.
    pub async fn moved(&self) {
        self.moved.notified().await;
    }

    fn ground(&self) -> Ground<'_> {
        let Options { directory, segment_bytes, .. } = &self.options;
        Ground { fs: &*self.fs, directory, segment_bytes: *segment_bytes }
    }

    /// Writes what a shard has gathered; for what already runs, with the room of the reserve if need be.
    fn write(&self, shard: &mut Shard, may_use_reserve: bool) -> Result<(), JournalFault> {
        let mut outcome = shard.flush(self.ground());
        if outcome.as_ref().is_err_and(is_full) && may_use_reserve {
            let given_up = reserve::give_up(&*self.fs, &self.options.directory);
            if given_up {
                failpoint::pass("journal_reserve_freed");
                let cause = JournalFault(Arc::from("the disk is full, the reserve is in use"));
                self.fail(cause);
                outcome = shard.flush(self.ground());
            }
        }
        outcome.map_err(|error| {
            let fault = JournalFault(describe(&error).into());
            self.fail(fault.clone());
            fault
        })
    }

    /// From now on intents are refused.
    fn fail(&self, fault: JournalFault) {
        let mut held = self.fault.lock();
        if held.as_ref() != Some(&fault) {
            tracing::error!(cause = %fault.0, "the journal cannot be written: new paid requests are refused");
        }
        *held = Some(fault);
        self.is_faulty.store(true, Ordering::Release);
    }

    fn trouble(&self) -> Option<JournalFault> {
        if self.is_faulty.load(Ordering::Acquire) { self.fault.lock().clone() } else { None }
    }
}

impl Journal {
    /// Does what [`JournalWriter::append`] does, as the thread with that number.
    ///
    /// # Errors
    /// As there.
    pub fn append_as(&self, thread: usize, event: &Event, need: Need) -> Result<Written, JournalFault> {
        let runs_already = event.may_use_reserve();
        if !runs_already && let Some(fault) = self.trouble() {
            return Err(fault);
        }
        let is_awaited =
            need == Need::Power || (self.options.durability == Durability::Power && !runs_already);
        let lane = &self.shards[thread % self.shards.len()];
        if runs_already && !is_awaited {
            let left = lane.leave(|to| codec::write(event, to)).ok_or_else(too_much)?;
            if left >= shard::WORTH_WRITING {
                // What cannot be written stays gathered, and is tried again until it can.
                let _ = self.write(&mut lane.lock(), true);
            }
            self.bell.ring(false);
            return Ok(Written::done());
        }
        let mut shard = lane.lock();
        let before = shard.gather(|to| codec::write(event, to)).ok_or_else(too_much)?;
        let bytes = shard.gathered() - before;
        if let Err(fault) = self.write(&mut shard, runs_already) {
            shard.take_back(before);
            drop(shard);
            self.bell.ring(false);
            return Err(fault);
        }
        let written = if is_awaited { wait(&mut shard, bytes) } else { Written::done() };
        drop(shard);
        self.bell.ring(is_awaited);
        Ok(written)
    }
}

impl JournalWriter for Journal {
    fn append(&self, event: &Event, need: Need) -> Result<Written, JournalFault> {
        self.append_as(own_place(), event, need)
    }

    fn fault(&self) -> Option<String> {
        self.trouble().map(|fault| fault.0.to_string())
    }
}

fn too_much() -> JournalFault {
    JournalFault(Arc::from("the record is too large, or too much waits for a full disk"))
}

/// Waits for the last record that was written, of so many bytes.
fn wait(shard: &mut Shard, bytes: usize) -> Written {
    let (waiting, told) = oneshot::channel();
    shard.wait(bytes, waiting);
    Written::after(async move {
        told.await.unwrap_or_else(|_| Err(JournalFault(Arc::from("the journal was closed"))))
    })
}

/// The calling thread's number: threads count themselves when they first write.
fn own_place() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PLACE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    PLACE.with(|place| {
        let number = place.get().unwrap_or_else(|| THREADS.fetch_add(1, Ordering::Relaxed));
        place.set(Some(number));
        number
    })
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn describe(error: &io::Error) -> String {
    if is_full(error) { "the disk is full".to_owned() } else { error.to_string() }
}
