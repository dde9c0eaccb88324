//! The thread that brings to the disk what the others have written, for all of them together.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use telemetry::failpoint;

use super::lane::Lane;
use super::shard::Due;
use super::{Journal, describe, reserve};
use crate::event::JournalFault;

/// The disk has what was written within this time: so much a power cut can take at most.
const PROMISE: Duration = Duration::from_millis(10);
/// How long the thread rests after a turn at least, so that a slow disk is not all that it works for.
const LEAST_NAP: Duration = Duration::from_millis(2);
/// How often it is tried whether a fault is over.
const TRIAL: Duration = Duration::from_secs(1);

const AWAKE: u8 = 0;
const NAPPING: u8 = 1;
const ASLEEP: u8 = 2;

/// How writers call the thread. Ringing costs two loads while the thread is busy anyway.
#[derive(Debug, Default)]
pub struct Bell {
    /// Something was written since the last turn began.
    rung: AtomicBool,
    state: AtomicU8,
    thread: OnceLock<Thread>,
}

impl Bell {
    /// Something was written. `urgent` when somebody waits for the disk.
    pub fn ring(&self, urgent: bool) {
        if !self.rung.load(Ordering::SeqCst) {
            self.rung.store(true, Ordering::SeqCst);
        }
        let state = self.state.load(Ordering::SeqCst);
        if (state == ASLEEP || (urgent && state == NAPPING))
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}

impl Journal {
    /// One turn: writes what is gathered, brings everything to the disk, tells who waits, and, while there
    /// is a fault, tries whether it is over. Says whether there was anything to do.
    pub fn commit(&self) -> bool {
        let mut worked = false;
        // All are written before the first is synced: what was written survives the process.
        for shard in &self.shards {
            let mut shard = shard.lock();
            if shard.gathered() > 0 {
                worked = true;
                // What cannot be written stays gathered until the next turn.
                let _ = self.write(&mut shard, true);
            }
        }
        for shard in &self.shards {
            let due = shard.lock().due();
            if let Some(due) = due {
                worked = true;
                self.sync(shard, &due);
            }
        }
        worked
    }

    fn sync(&self, shard: &Lane, due: &Due) {
        failpoint::pass("journal_before_sync");
        let outcome = self.sync_files(due);
        failpoint::pass("journal_after_sync");
        let (told, answer) = match outcome {
            Ok(()) => {
                let told = shard.lock().synced(due);
                self.moved.notify_one();
                (told, Ok(()))
            }
            Err(error) => {
                let fault = JournalFault(Arc::from(format!("cannot sync: {}", describe(&error))));
                self.fail(fault.clone());
                (shard.lock().lost(), Err(fault))
            }
        };
        for waiting in told {
            // Whoever has stopped waiting does not want to know.
            let _ = waiting.send(answer.clone());
        }
    }

    fn sync_files(&self, due: &Due) -> io::Result<()> {
        due.files.iter().try_for_each(|file| file.sync())?;
        if due.unnamed { self.fs.sync_directory(&self.options.directory) } else { Ok(()) }
    }

    /// Makes the reserve if it is not there, and tries whether every shard works. Intents are accepted
    /// again if so, and refused if not.
    pub fn try_again(&self) {
        let made = reserve::make(&*self.fs, &self.options.directory, self.options.reserve_bytes);
        let tried = made.and_then(|()| self.shards.iter().try_for_each(|shard| self.try_shard(shard)));
        match tried {
            Ok(()) => {
                let mut fault = self.fault.lock();
                if fault.take().is_some() {
                    tracing::info!("the journal can be written again");
                }
                self.is_faulty.store(false, Ordering::Release);
            }
            Err(error) => self.fail(JournalFault(describe(&error).into())),
        }
    }

    fn try_shard(&self, shard: &Lane) -> io::Result<()> {
        let on_trial = {
            let mut shard = shard.lock();
            shard.flush(self.ground())?;
            shard.on_trial(self.ground())?
        };
        let Some(file) = on_trial else {
            return Ok(());
        };
        file.sync()?;
        self.fs.sync_directory(&self.options.directory)?;
        shard.lock().trust();
        Ok(())
    }
}

/// The running thread.
#[derive(Debug)]
pub struct Committer {
    journal: Arc<Journal>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread. The reserve is made with the first write, not at the start.
    ///
    /// # Errors
    /// The system's, when there can be no more threads.
    pub fn start(journal: Arc<Journal>) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (of_thread, told) = (Arc::clone(&journal), Arc::clone(&stop));
        let run = move || run(&of_thread, &told);
        let thread = thread::Builder::new().name("journal".to_owned()).spawn(run)?;
        // The thread may be asleep already: it is woken below only if something was written before.
        let _ = journal.bell.thread.set(thread.thread().clone());
        thread.thread().unpark();
        Ok(Self { journal, stop, thread: Some(thread) })
    }

    /// Brings everything to the disk and ends the thread. Nothing should be written any more.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the journal's thread had failed");
            }
            self.journal.commit();
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.end();
    }
}

fn run(journal: &Arc<Journal>, stop: &AtomicBool) {
    let mut tried: Option<Instant> = None;
    let mut trial: Option<JoinHandle<()>> = None;
    while !stop.load(Ordering::SeqCst) {
        journal.bell.state.store(AWAKE, Ordering::SeqCst);
        let rung = journal.bell.rung.swap(false, Ordering::SeqCst);
        let began = Instant::now();
        let worked = journal.commit();
        let turn = began.elapsed();
        let is_faulty = journal.is_faulty.load(Ordering::Acquire);
        // The reserve is made when something is first written, and anew while there is a fault.
        let is_due = (is_faulty || (rung && tried.is_none())) && tried.is_none_or(|at| at.elapsed() >= TRIAL);
        if is_due && trial.as_ref().is_none_or(JoinHandle::is_finished) {
            trial = begin_trial(journal);
            tried = Some(Instant::now());
        }
        let is_busy = worked || rung || is_faulty;
        rest(journal, is_busy.then(|| nap(turn)));
    }
}

/// Filling the reserve takes longer than anybody may wait for a sync: it has a thread of its own meanwhile.
/// Without one it is tried again later.
fn begin_trial(journal: &Arc<Journal>) -> Option<JoinHandle<()>> {
    let journal = Arc::clone(journal);
    let trial = thread::Builder::new().name("reserve".to_owned());
    trial.spawn(move || journal.try_again()).inspect_err(|error| tracing::warn!(%error, "no thread")).ok()
}

/// How long to rest between turns that take as long as the last one. What is written when a turn has begun
/// waits for that turn's end, then so long, and then for its own turn.
fn nap(turn: Duration) -> Duration {
    PROMISE.saturating_sub(turn * 2).max(LEAST_NAP)
}

/// Naps, or sleeps until something is written.
fn rest(journal: &Journal, nap: Option<Duration>) {
    let state = if nap.is_some() { NAPPING } else { ASLEEP };
    journal.bell.state.store(state, Ordering::SeqCst);
    if let Some(nap) = nap {
        // Whoever came during the turn and waits for the disk has rung while nobody slept.
        if !journal.shards.iter().any(|shard| shard.lock().is_awaited()) {
            thread::park_timeout(nap);
        }
    } else if !journal.bell.rung.load(Ordering::SeqCst) {
        thread::park();
    }
}
