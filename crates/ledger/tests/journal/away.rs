//! T31, T32: the database is away for a minute. The journal absorbs it, and everything arrives once.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use ledger::event::Need;
use ledger::journal::{Durability, Fs, SimFs};
use ledger::projector::{ProjectionSink, Projector};
use ledger::recovery::{self, Known, Start};
use model::entry::{EntryKind, Projection};
use tokio::sync::watch;

use super::database::{Content, Database};
use super::events::{DIRECTORY, ended, open, opened};

/// Requests while the database is away.
const REQUESTS: u64 = 3_000;

/// A database that nothing reaches until some time has passed.
struct Away {
    until: tokio::time::Instant,
    database: Database,
}

impl ProjectionSink for Away {
    async fn project(&self, projection: &Projection) -> Result<(), String> {
        if tokio::time::Instant::now() < self.until {
            return Err("the database is locked".to_owned());
        }
        self.database.project(projection).await
    }
}

#[tokio::test(start_paused = true)]
async fn the_journal_absorbs_a_minute_without_a_database() {
    let mut rng = Rng::with_seed(7);
    let fs = SimFs::new(7);
    let journal = Arc::new(open(&fs, Durability::Process));
    let database = Database::new(Content::default(), Instant::now());
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    let away = Away { until, database: database.clone() };
    let projector = Projector::new(Arc::clone(&journal), away, Start::default());
    let progress = projector.progress();
    let (stop, stopping) = watch::channel(false);
    let running = tokio::spawn(projector.run(stopping));
    for n in 0..REQUESTS {
        let _ = journal.append_as(rng.usize(0..2), &opened(n, &mut rng), Need::Usual).expect("taken");
        let _ = journal.append_as(rng.usize(0..2), &ended(n, &mut rng), Need::Usual).expect("taken");
        if n % 100 == 0 {
            journal.commit();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    journal.commit();
    assert!(progress.backlog_bytes() > 0);
    assert!(progress.fault().is_some_and(|fault| fault.contains("locked")));
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!((progress.backlog_bytes(), progress.fault()), (0, None));
    stop.send_replace(true);
    running.await.expect("ended");
    let entries = database.content().entries;
    let mut charged: Vec<_> =
        entries.iter().filter(|e| e.kind == EntryKind::Charge).map(|entry| entry.request_id).collect();
    assert_eq!(charged.len(), usize::try_from(REQUESTS).expect("small"));
    charged.sort_unstable();
    charged.dedup();
    assert_eq!(charged.len(), usize::try_from(REQUESTS).expect("small"), "one of them arrived twice");
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_the_database_is_away_ends_and_loses_nothing() {
    let mut rng = Rng::with_seed(8);
    let fs = SimFs::new(8);
    let journal = Arc::new(open(&fs, Durability::Process));
    let database = Database::new(Content::default(), Instant::now());
    let until = tokio::time::Instant::now() + Duration::from_secs(8);
    let away = Away { until, database: database.clone() };
    let projector = Projector::new(Arc::clone(&journal), away, Start::default());
    let (stop, stopping) = watch::channel(false);
    let running = tokio::spawn(projector.run(stopping));
    for n in 0..50 {
        let _ = journal.append_as(0, &ended(n, &mut rng), Need::Usual).expect("taken");
    }
    journal.commit();
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.send_replace(true);
    running.await.expect("ended");
    // It came back within the patience of whoever stops.
    let charges = database.content().entries.iter().filter(|e| e.kind == EntryKind::Charge).count();
    assert_eq!(charges, 50);
    // The next start has nothing to read, but everything if the database has lost what it took.
    let read = |content: &Content| {
        let positions: Vec<_> = content.positions.values().copied().collect();
        let (shared, windows): (Arc<dyn Fs>, _) = (Arc::new(fs.clone()), content.windows());
        let known = Known { balances: &[], windows: &windows, positions: &positions };
        recovery::recover(&shared, Path::new(DIRECTORY), known).expect("recovered").records
    };
    assert_eq!((read(&database.content()), read(&Content::default())), (0, 50));
}
