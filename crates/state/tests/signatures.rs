//! What is remembered of signed requests when the process is gone.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use model::ResourceId;
use model::resource::FreezeScope;
use state::signatures::{Frozen, KEPT_MS, Signatures, Source, Spend};

const NOW: u64 = 1_790_000_000_000;
const MINUTE: u64 = 60_000;

/// A folder that is removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("yumen-signatures-{}-{count}", std::process::id()));
        Self(path)
    }

    fn open(&self, now_ms: u64) -> Signatures {
        Signatures::open(&self.0, now_ms).expect("a folder of its own").0
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(&self.0).expect("there").map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn key(n: u8) -> ResourceId {
    ResourceId::mint(1, [n; 10])
}

fn source(n: u8) -> Source {
    Source::of([203, 0, n, 1].into())
}

fn spend(signatures: &Signatures, nonce: u128, now_ms: u64) -> Spend {
    signatures.spend(&key(1), nonce, 1_000_000, now_ms)
}

#[test]
fn a_nonce_stays_used_over_a_restart_for_its_whole_time() {
    let folder = Scratch::new();
    let before = folder.open(NOW);
    assert_eq!(spend(&before, 1, NOW), Spend::Fresh);
    assert_eq!(spend(&before, 2, NOW + MINUTE), Spend::Fresh);
    // Nothing is closed: as when the process is killed.
    std::mem::forget(before);
    for restart in 0..3 {
        let after = folder.open(NOW + 29 * MINUTE + restart);
        assert_eq!(spend(&after, 1, NOW + 29 * MINUTE + restart), Spend::Reused, "{restart}");
    }
    let later = folder.open(NOW + KEPT_MS);
    assert_eq!(
        (spend(&later, 1, NOW + KEPT_MS), spend(&later, 2, NOW + KEPT_MS)),
        (Spend::Fresh, Spend::Reused)
    );
}

#[test]
fn freezes_and_what_thawed_them_survive_a_restart() {
    let folder = Scratch::new();
    let before = folder.open(NOW);
    for (number, scope) in [(1, FreezeScope::Source), (2, FreezeScope::Key), (3, FreezeScope::Source)] {
        for _ in 0..5 {
            before.failed(&key(number), source(1), scope, NOW);
        }
    }
    before.succeeded(&key(1), source(9), NOW);
    before.thaw(&key(3));
    drop(before);
    // Over many new files as well, each of which begins with what still holds.
    for hour in 0..4 {
        let after = folder.open(NOW + hour);
        after.keep(NOW + hour + 11 * MINUTE).expect("kept");
        assert_eq!(after.frozen(&key(1), source(1), NOW), Some(Frozen::Source(NOW + 15 * MINUTE)));
        assert_eq!(after.frozen(&key(1), source(9), NOW), None);
        assert_eq!(after.frozen(&key(2), source(7), NOW), Some(Frozen::Everywhere));
        assert_eq!(after.frozen(&key(3), source(1), NOW), None);
    }
    assert!(folder.files().len() <= 2, "{:?}", folder.files());
}

#[test]
fn how_often_a_source_was_frozen_outlives_the_freeze_its_files_and_the_process() {
    let folder = Scratch::new();
    let fail = |signatures: &Signatures, now_ms: u64| {
        for _ in 0..5 {
            signatures.failed(&key(1), source(1), FreezeScope::Source, now_ms);
        }
    };
    let before = folder.open(NOW);
    fail(&before, NOW);
    for minute in 0..180 {
        before.keep(NOW + minute * MINUTE).expect("kept");
    }
    drop(before);
    let now = NOW + 180 * MINUTE;
    let after = folder.open(now);
    assert_eq!(after.frozen(&key(1), source(1), now), None);
    fail(&after, now);
    assert_eq!(after.frozen(&key(1), source(1), now), Some(Frozen::Source(now + 30 * MINUTE)));
}

#[test]
fn a_success_that_ends_a_series_of_freezes_survives_a_restart() {
    let folder = Scratch::new();
    let before = folder.open(NOW);
    before.succeeded(&key(1), source(1), NOW);
    for _ in 0..5 {
        before.failed(&key(1), source(1), FreezeScope::Source, NOW);
    }
    let now = NOW + 20 * MINUTE;
    before.succeeded(&key(1), source(1), now);
    drop(before);
    let after = folder.open(now);
    for _ in 0..5 {
        after.failed(&key(1), source(1), FreezeScope::Source, now);
    }
    assert_eq!(after.frozen(&key(1), source(1), now), Some(Frozen::Source(now + 15 * MINUTE)));
}

#[test]
fn files_go_once_their_nonces_are_too_old() {
    let folder = Scratch::new();
    let signatures = folder.open(NOW);
    let mut most = 0;
    for minute in 0..180 {
        let now = NOW + minute * MINUTE;
        assert_eq!(spend(&signatures, u128::from(minute), now), Spend::Fresh);
        signatures.keep(now).expect("kept");
        most = most.max(folder.files().len());
        if minute > 29 {
            assert_eq!(spend(&signatures, u128::from(minute - 29), now), Spend::Reused);
        }
    }
    assert!((4..=5).contains(&most), "{most}");
    drop(signatures);
    let now = NOW + 180 * MINUTE;
    let after = folder.open(now);
    assert_eq!(spend(&after, 151, now), Spend::Reused);
    assert_eq!(spend(&after, 150, now), Spend::Fresh);
}

#[test]
fn a_torn_or_damaged_record_costs_no_other() {
    let folder = Scratch::new();
    let before = folder.open(NOW);
    for nonce in 0..10 {
        assert_eq!(spend(&before, nonce, NOW), Spend::Fresh);
    }
    drop(before);
    let file = folder.files().remove(0);
    let mut bytes = std::fs::read(&file).expect("readable");
    let record = (bytes.len() - 8) / 10;
    bytes[8 + 3 * record + 20] ^= 1;
    bytes.truncate(bytes.len() - 5);
    std::fs::write(&file, bytes).expect("writable");
    let (after, recalled) = Signatures::open(&folder.0, NOW).expect("opens");
    assert_eq!((recalled.nonces, recalled.damaged), (8, 2));
    let used = (0..10).filter(|nonce| spend(&after, *nonce, NOW) == Spend::Reused).count();
    assert_eq!(used, 8);
}

#[test]
fn many_threads_write_whole_records() {
    let folder = Scratch::new();
    let before = folder.open(NOW);
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let before = &before;
            scope.spawn(move || {
                for n in 0..500_u128 {
                    let spent = before.spend(&key(thread), n, 1_000, NOW);
                    assert_eq!(spent, Spend::Fresh);
                    if n % 100 == 0 {
                        before.keep(NOW).expect("kept");
                    }
                }
            });
        }
    });
    drop(before);
    let (_, recalled) = Signatures::open(&folder.0, NOW).expect("opens");
    assert_eq!((recalled.nonces, recalled.damaged), (4_000, 0));
}

#[test]
fn a_nonce_that_cannot_be_written_down_lets_nothing_pass() {
    let folder = Scratch::new();
    let signatures = folder.open(NOW);
    // The folder is gone, so that no new file can be begun; the open one still takes records.
    assert_eq!(spend(&signatures, 1, NOW), Spend::Fresh);
    std::fs::remove_dir_all(&folder.0).expect("removed");
    assert!(signatures.keep(NOW + 11 * MINUTE).is_err());
    assert_eq!(spend(&signatures, 1, NOW + 11 * MINUTE), Spend::Reused);
    assert!(Signatures::open(&PathBuf::from("/proc/none"), NOW).is_err());
}
