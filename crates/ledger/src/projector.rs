//! Brings the journal into the database, in the background and in its order, and deletes what is there.
//!
//! The journal is the source: while the database is away, it grows, and nobody is refused for that. Each
//! batch is one transaction that also moves the position, so that nothing arrives twice. Only what the disk
//! has is read: the database must never know an end that a power cut can take out of the journal.

mod batch;
mod cleaning;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::entry::Projection;
use parking_lot::Mutex;
use telemetry::failpoint;
use tokio::sync::watch;

use crate::journal::Journal;
use crate::recovery::Start;
use batch::Reader;
use cleaning::Cleaning;

/// How long records may gather before they are projected: one transaction for all of them costs less than
/// one for each, and the database is hardly more than that behind.
const GATHERING: Duration = Duration::from_millis(400);
/// How much longer when many come: what is written once for a window that many use is then written less often.
const GATHERING_MANY: Duration = Duration::from_millis(600);
/// How much these are: about a hundred requests.
const MANY_BYTES: u64 = 64 * 1024;
/// How often it is looked whether finished segments may go, while there are any.
const CLEANING: Duration = Duration::from_secs(10);
/// The first and the longest pause before a projection is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// How long the last records may take to reach the database when the process ends. The next start brings
/// what is left.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where projections go.
pub trait ProjectionSink: Send + Sync {
    /// Takes a projection, all of it or nothing. One that was taken before is taken again without effect.
    ///
    /// # Errors
    /// Why it was not taken, in words for operators.
    fn project(&self, projection: &Projection) -> impl Future<Output = Result<(), String>> + Send;
}

impl ProjectionSink for Arc<store::Store> {
    async fn project(&self, projection: &Projection) -> Result<(), String> {
        store::Store::project(self, projection).await.map_err(|error| error.to_string())
    }
}

/// How the projector is doing; shared with whoever shows it.
#[derive(Debug, Default)]
pub struct Progress {
    backlog_bytes: AtomicU64,
    /// Since when there is something that the database does not know.
    behind: Mutex<Option<Instant>>,
    fault: Mutex<Option<String>>,
}

impl Progress {
    /// Bytes of the journal that are not in the database.
    #[must_use]
    pub fn backlog_bytes(&self) -> u64 {
        self.backlog_bytes.load(Ordering::Relaxed)
    }

    /// For how long the database has not known all of the journal.
    #[must_use]
    pub fn lag(&self) -> Duration {
        self.behind.lock().map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Why nothing reaches the database, in words; `None` when all is well.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.fault.lock().clone()
    }
}

/// The projector.
pub struct Projector<S> {
    journal: Arc<Journal>,
    sink: S,
    reader: Reader,
    cleaning: Cleaning,
    /// Read and not known to have arrived.
    pending: Option<Projection>,
    progress: Arc<Progress>,
}

impl<S: ProjectionSink> Projector<S> {
    /// A projector that goes on at `start`.
    pub fn new(journal: Arc<Journal>, sink: S, start: Start) -> Self {
        let reader = Reader::new(Arc::clone(&journal), start);
        Self { journal, sink, reader, cleaning: Cleaning::default(), pending: None, progress: Arc::default() }
    }

    /// How it is doing.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Works until `stop` says so, and then until all that the disk has is in the database. Nothing should
    /// be written to the journal by then.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            biased;
            // Whoever is gone wants this to end as well.
            _ = stop.wait_for(|is_over| *is_over) => {}
            () = self.work() => {}
        }
        if tokio::time::timeout(PATIENCE, self.rest(Instant::now())).await.is_err() {
            let backlog_bytes = self.progress.backlog_bytes();
            tracing::warn!(backlog_bytes, "the database lacks the journal's end; the next start brings it");
        }
    }

    async fn work(&mut self) {
        loop {
            self.round(Instant::now()).await;
            let moved = self.journal.moved();
            if self.cleaning.has_work() || self.progress.fault().is_some() {
                // Nothing else would wake it when the time has come, or the fault is over.
                let _ = tokio::time::timeout(CLEANING, moved).await;
            } else {
                moved.await;
            }
            tokio::time::sleep(GATHERING).await;
            if self.reader.unread_bytes() >= MANY_BYTES {
                tokio::time::sleep(GATHERING_MANY).await;
            }
        }
    }

    /// Projects all that the disk has, as long as that takes, and deletes what may go. May be dropped at
    /// any moment: what was read and has not arrived comes first in the next round.
    pub async fn round(&mut self, now: Instant) {
        loop {
            let next = match self.pending.take() {
                Some(pending) => Ok(Some(pending)),
                None => self.reader.next(),
            };
            self.progress.backlog_bytes.store(self.reader.backlog_bytes(), Ordering::Relaxed);
            match next {
                Ok(Some(projection)) => self.project(projection).await,
                Ok(None) => break,
                Err(fault) => return fail(&self.progress, fault),
            }
        }
        *self.progress.behind.lock() = None;
        match self.cleaning.clean(&self.journal, &mut self.reader, now) {
            Ok(()) => *self.progress.fault.lock() = None,
            Err(error) => fail(&self.progress, format!("cannot delete what is projected: {error}")),
        }
    }

    /// A round, and a note of what has not ended, for the next start: what the database knows and the note
    /// covers is not read again.
    pub async fn rest(&mut self, now: Instant) {
        self.round(now).await;
        if let Err(error) = cleaning::note(&self.journal, &mut self.reader, now) {
            tracing::warn!(error = %error, "cannot write down what has not ended; the next start reads more");
        }
    }

    /// Tries for ever.
    async fn project(&mut self, projection: Projection) {
        self.progress.behind.lock().get_or_insert_with(Instant::now);
        let projection = self.pending.insert(projection);
        let (mut pause, longest) = PAUSES;
        loop {
            failpoint::pass("projection_before");
            let Err(cause) = self.sink.project(projection).await else {
                break;
            };
            fail(&self.progress, format!("the database does not take the ledger: {cause}"));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
        failpoint::pass("projection_after");
        self.reader.projected(projection);
        self.pending = None;
    }
}

fn fail(progress: &Progress, cause: String) {
    let mut fault = progress.fault.lock();
    if fault.as_ref() != Some(&cause) {
        tracing::error!(cause, "the ledger does not reach the database; the journal keeps it");
    }
    *fault = Some(cause);
}
