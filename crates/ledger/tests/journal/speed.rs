//! How long a start takes that finds a long journal, on the machine's own disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use ledger::event::Need;
use ledger::journal::{Committer, Durability, Fs, Journal, Options, RealFs};
use ledger::recovery::{self, Known};

use super::events::{ended, opened};

/// What a start may take; the promise is one second for all of it.
const MOST: Duration = Duration::from_secs(1);

#[test]
fn a_hundred_thousand_records_are_recovered_within_a_second() {
    // Code that is not optimised takes ten times as long; there it is only seen to work.
    let records: u64 = if cfg!(debug_assertions) { 4_000 } else { 100_000 };
    let directory = std::env::temp_dir().join(format!("yumen-journal-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let options =
        Options { reserve_bytes: 1 << 20, ..Options::new(directory.clone(), Durability::Process, 1) };
    let journal = Arc::new(Journal::open(Arc::clone(&fs), options, &[]).expect("opened"));
    let committer = Committer::start(Arc::clone(&journal)).expect("started");
    let mut rng = Rng::with_seed(1);
    let events: Vec<_> = (0..records / 2).flat_map(|n| [opened(n, &mut rng), ended(n, &mut rng)]).collect();
    let began = Instant::now();
    for event in &events {
        let _ = journal.append_as(0, event, Need::Usual).expect("written");
    }
    let written = began.elapsed();
    committer.stop();
    let began = Instant::now();
    let recovered = recovery::recover(&fs, &directory, Known::default()).expect("recovered");
    let took = began.elapsed();
    let _ = std::fs::remove_dir_all(&directory);
    println!("{records} records: written in {written:?}, recovered in {took:?}");
    assert_eq!(recovered.records, records);
    assert!(cfg!(debug_assertions) || took < MOST, "{took:?}");
}
