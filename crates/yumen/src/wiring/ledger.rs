//! The ledger: recovered from the database and the journal, opened, and kept going beside the planes.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use control::Readiness;
use ledger::Ledger;
use ledger::journal::{Committer, Fs, Journal, Options, RealFs};
use ledger::projector::{Progress, Projector};
use ledger::recovery::{self, Known, RecoveryError};
use model::Clock;
use store::Store;
use telemetry::failpoint;
use telemetry::metric::{LedgerGauges, Metrics};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Settings;
use crate::problem::{Problem, Reason};
use crate::startup;

/// The journal's directory below the data directory.
const JOURNAL: &str = "journal";
/// Workers that write to the same shard of the journal. A shard is locked for the microsecond that a write
/// takes, so that four workers seldom meet there, and each costs syncs and transactions of its own.
const WORKERS_PER_SHARD: usize = 4;
/// How often holds that have expired are settled, and what can be seen of the ledger is shown.
const SWEEP: Duration = Duration::from_secs(1);

/// The ledger, ready to be asked.
pub struct Opened {
    /// Holds and settles.
    pub ledger: Ledger,
    journal: Committer,
    projector: Projector<Arc<Store>>,
}

/// Brings the ledger back to where it stood; what nobody has ended is settled.
///
/// # Errors
/// The database or the journal cannot be read, or the journal not be written.
pub async fn open(settings: &Settings, store: &Arc<Store>, clock: &dyn Clock) -> Result<Opened, Problem> {
    let known = store.ledger_state().await.map_err(|error| startup::store_problem(&error))?;
    let directory = settings.data.join(JOURNAL);
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let positions = &known.positions;
    let known = Known { balances: &known.balances, windows: &known.windows, positions };
    let recovered = recovery::recover(&fs, &directory, known).map_err(|error| recovery_problem(&error))?;
    let workers = settings.workers.map(std::num::NonZero::get);
    let workers = workers.unwrap_or_else(|| available_parallelism().map_or(1, std::num::NonZero::get));
    let options = Options::new(directory, settings.durability, workers.div_ceil(WORKERS_PER_SHARD));
    check_writable(&*fs, &options.directory).map_err(|error| journal_problem(settings, &error))?;
    let journal = Journal::open(fs, options, positions).map_err(|error| journal_problem(settings, &error))?;
    let journal = Arc::new(journal);
    let ledger = Ledger::open(recovered.book, Arc::<Journal>::clone(&journal), clock.now_ms());
    let orphans = ledger.counts().orphaned;
    if recovered.records > 0 {
        let records = recovered.records;
        tracing::info!(records, orphans, "the ledger stands where it stood");
    }
    failpoint::pass("recovery_after_orphans");
    let projector = Projector::new(Arc::clone(&journal), Arc::clone(store), recovered.start);
    let started = Committer::start(journal);
    let journal = started.map_err(|error| startup::no_thread("cannot start the journal", &error))?;
    Ok(Opened { ledger, journal, projector })
}

/// Whether files can be made in the journal's directory: its first is made with the first request that costs, which is
/// too late to learn it.
fn check_writable(fs: &dyn Fs, directory: &Path) -> io::Result<()> {
    let probe = directory.join(format!(".write-probe-{}", std::process::id()));
    fs.create(&probe)?;
    fs.remove(&probe)
}

/// The ledger at work.
pub struct Running {
    journal: Committer,
    stop: watch::Sender<bool>,
    projecting: JoinHandle<()>,
    sweeping: JoinHandle<()>,
}

impl Opened {
    /// Starts the work beside the planes: projecting, expiring, showing.
    pub fn start(self, clock: Arc<dyn Clock>, readiness: Arc<Readiness>, metrics: Arc<Metrics>) -> Running {
        let (stop, stopping) = watch::channel(false);
        let shown = Shown { progress: self.projector.progress(), readiness, metrics };
        let projecting = tokio::spawn(self.projector.run(stopping));
        let sweeping = tokio::spawn(sweep(self.ledger, clock, shown));
        Running { journal: self.journal, stop, projecting, sweeping }
    }
}

impl Running {
    /// Brings everything to the disk and into the database. Nothing may hold or settle any more.
    pub async fn stop(self) {
        self.sweeping.abort();
        let Self { journal, stop, projecting, .. } = self;
        // The last sync takes as long as the disk does.
        if tokio::task::spawn_blocking(move || journal.stop()).await.is_err() {
            tracing::error!("the journal could not be closed");
        }
        stop.send_replace(true);
        let _ = projecting.await;
    }
}

/// Where the state of the ledger is shown.
struct Shown {
    progress: Arc<Progress>,
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
}

async fn sweep(ledger: Ledger, clock: Arc<dyn Clock>, shown: Shown) {
    let mut turns = tokio::time::interval(SWEEP);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        ledger.sweep(clock.now_ms());
        shown.show(&ledger);
    }
}

impl Shown {
    fn show(&self, ledger: &Ledger) {
        let fault = ledger.fault();
        let counts = ledger.counts();
        self.metrics.set_ledger(LedgerGauges {
            open_holds: counts.open,
            held: counts.held.cost,
            backlog_bytes: self.progress.backlog_bytes(),
            lag: self.progress.lag(),
            is_faulty: fault.is_some(),
        });
        self.readiness.report("journal", fault);
        let frozen = ledger.frozen().len();
        let frozen = (frozen > 0).then(|| format!("{frozen} owners are frozen, their figures contradict"));
        self.readiness.report("ledger", self.progress.fault().or(frozen));
    }
}

fn recovery_problem(error: &RecoveryError) -> Problem {
    let fix = match error {
        RecoveryError::File { .. } => "make the file readable and writable for this user",
        RecoveryError::Foreign { .. } => "start the version that was last used with this data directory",
    };
    Problem::refusal(
        Reason::JournalUnreadable,
        "cannot read the journal of the ledger",
        error.to_string(),
        fix,
    )
}

fn journal_problem(settings: &Settings, error: &io::Error) -> Problem {
    let directory = settings.data.join(JOURNAL);
    Problem::refusal(
        Reason::JournalUnwritable,
        format!("cannot write the journal of the ledger in {}", directory.display()),
        error.to_string(),
        "make the directory writable for this user, on a disk with room",
    )
}
