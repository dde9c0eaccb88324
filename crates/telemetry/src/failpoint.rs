//! Named points at which a test may make the process die as if by `kill -9`, or what passes it panic.
//!
//! Nothing is armed in normal service, and then a point costs one relaxed load. Only the binary arms one, at
//! its start and from a setting; a second point cannot be armed.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// A table of one-line entries: every point, as `name` and what has and has not happened when it is passed.
#[rustfmt::skip]
pub const POINTS: &[(&str, &str)] = &[
    ("before_intent", "money is held, nothing is journaled"),
    ("after_intent", "the intent is journaled, no upstream is chosen for it yet"),
    ("before_upstream", "the intent is durable as asked, no byte has gone upstream"),
    ("after_upstream", "the request has gone upstream, no byte has come back"),
    ("after_first_byte", "the first byte of the answer has come back"),
    ("before_retry", "an attempt has failed, the next one is not journaled"),
    ("before_checkpoint", "usage is known that no checkpoint has"),
    ("after_checkpoint", "the checkpoint is journaled"),
    ("before_settle", "the request has ended, its terminal record is not journaled"),
    ("after_settle", "the terminal record has been given to the journal"),
    ("before_void", "no upstream worked, and nothing says so yet"),
    ("journal_before_write", "records are gathered, none of them is in the file"),
    ("journal_after_write", "records are in the page cache, the disk may not have them"),
    ("journal_before_sync", "a sync is due"),
    ("journal_after_sync", "the disk has the records, nobody who waits knows"),
    ("journal_before_rotate", "a segment is full, the next one does not exist"),
    ("journal_after_rotate", "the next segment has its header"),
    ("journal_reserve_freed", "the disk was full and the reserve has just been given up"),
    ("projection_before", "a batch is read, the database has nothing of it"),
    ("projection_inside", "the transaction has the batch and is not committed"),
    ("projection_after", "the transaction is committed, the segment still stands"),
    ("segment_before_delete", "a projected segment is about to be deleted"),
    ("segment_after_delete", "a projected segment has been deleted"),
    ("recovery_before_read", "the database's state is known, the journal is unread"),
    ("recovery_before_orphans", "the journal is read, its orphans are open"),
    ("recovery_after_orphans", "the orphans are settled in the journal"),
    ("adjust_before_sync", "an adjustment is journaled, the disk may not have it"),
    ("adjust_after_sync", "the disk has the adjustment, nobody was answered"),
    ("answer_before_stored", "a repeatable answer is whole and not stored"),
    ("answer_after_stored", "a repeatable answer is stored, its caller has not got its end"),
];

/// Why a point cannot be armed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArmError {
    /// There is no point of that name.
    #[error("there is no failpoint {0:?}; there are: {known}", known = names())]
    Unknown(String),
    /// What follows `=` is no number from 1.
    #[error("{0:?} is not a number of passings, from 1")]
    Passings(String),
    /// Another point is armed already.
    #[error("another failpoint is armed")]
    Armed,
}

/// No point: not an index of the table.
const NONE: usize = usize::MAX;

/// Before the name of a point that is to panic.
const PANIC: &str = "panic:";

/// The process has one armed point at most.
static ARMED: Failpoint = Failpoint::new();

/// Passes the point of that name: the process dies here, or the caller panics, when it is armed and this is the passing
/// asked for.
#[inline]
pub fn pass(name: &'static str) {
    if ARMED.is_armed() && ARMED.strikes(name) {
        ARMED.strike(name);
    }
}

/// Arms the point `name`, or `name=N` for its `N`-th passing; after `panic:` it panics. Called once, at the start, by
/// the binary.
///
/// # Errors
/// [`ArmError`] says what is wrong, and names the points that exist.
pub fn arm(asked: &str) -> Result<(), ArmError> {
    ARMED.arm(asked)
}

/// Whether `asked` could be armed, without arming it.
///
/// # Errors
/// As [`arm`].
pub fn check(asked: &str) -> Result<(), ArmError> {
    parse(asked).map(|_| ())
}

fn names() -> String {
    POINTS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// What is asked of which point.
struct Asked {
    /// The index of the point.
    at: usize,
    /// At which passing it strikes.
    passings: u64,
    panics: bool,
}

fn parse(asked: &str) -> Result<Asked, ArmError> {
    let (panics, asked) = asked.strip_prefix(PANIC).map_or((false, asked), |asked| (true, asked));
    let (name, passings) = asked.split_once('=').unwrap_or((asked, "1"));
    let at = POINTS.iter().position(|(known, _)| *known == name);
    let at = at.ok_or_else(|| ArmError::Unknown(name.to_owned()))?;
    let passings = passings.parse().ok().filter(|n| *n > 0);
    let passings = passings.ok_or_else(|| ArmError::Passings(asked.to_owned()))?;
    Ok(Asked { at, passings, panics })
}

struct Failpoint {
    /// Index of the armed point, or [`NONE`].
    at: AtomicUsize,
    /// Passings that are left until it strikes.
    left: AtomicU64,
    panics: AtomicBool,
}

impl Failpoint {
    const fn new() -> Self {
        Self { at: AtomicUsize::new(NONE), left: AtomicU64::new(0), panics: AtomicBool::new(false) }
    }

    #[inline]
    fn is_armed(&self) -> bool {
        self.at.load(Ordering::Relaxed) != NONE
    }

    fn arm(&self, asked: &str) -> Result<(), ArmError> {
        let Asked { at, passings, panics } = parse(asked)?;
        self.left.store(passings, Ordering::SeqCst);
        self.panics.store(panics, Ordering::SeqCst);
        let armed = self.at.compare_exchange(NONE, at, Ordering::SeqCst, Ordering::SeqCst);
        armed.map(|_| ()).map_err(|_| ArmError::Armed)
    }

    #[cold]
    fn strikes(&self, name: &str) -> bool {
        let armed = POINTS.get(self.at.load(Ordering::SeqCst));
        armed.is_some_and(|(point, _)| *point == name) && self.left.fetch_sub(1, Ordering::SeqCst) == 1
    }

    #[cold]
    fn strike(&self, name: &str) {
        assert!(!self.panics.load(Ordering::SeqCst), "panicking at a failpoint, as asked: {name}");
        tracing::error!(name, "dying at a failpoint, as asked");
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_table_names_every_point_once_and_says_what_it_means() {
        let names: BTreeSet<_> = POINTS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), POINTS.len());
        for (name, meaning) in POINTS {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert!(!meaning.is_empty() && !meaning.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn a_point_strikes_at_the_passing_that_was_asked_for_and_no_other_does() {
        for (name, _) in POINTS {
            let point = Failpoint::new();
            assert!(!point.is_armed());
            point.arm(&format!("{name}=3")).expect("it is in the table");
            assert!(point.is_armed());
            let others = POINTS.iter().filter(|(other, _)| other != name);
            assert!(others.clone().all(|(other, _)| !point.strikes(other)), "{name}");
            let struck: Vec<bool> = (0..5).map(|_| point.strikes(name)).collect();
            assert_eq!(struck, [false, false, true, false, false], "{name}");
            assert_eq!(point.arm(name), Err(ArmError::Armed));
        }
    }

    #[test]
    fn a_point_that_is_asked_to_panic_panics() {
        let point = Failpoint::new();
        point.arm("panic:before_intent=2").expect("it is in the table");
        assert_eq!([(); 3].map(|()| point.strikes("before_intent")), [false, true, false]);
        let panic = std::panic::catch_unwind(|| point.strike("before_intent")).expect_err("it panics");
        let said = panic.downcast_ref::<String>().map(String::as_str);
        assert_eq!(said, Some("panicking at a failpoint, as asked: before_intent"));
    }

    #[test]
    fn what_cannot_be_armed_is_refused_with_the_names_that_can() {
        let refusal = check("nowhere").expect_err("unknown").to_string();
        assert!(POINTS.iter().all(|(name, _)| refusal.contains(name)), "{refusal}");
        for asked in ["before_intent=0", "before_intent=x", "before_intent="] {
            assert_eq!(check(asked), Err(ArmError::Passings(asked.to_owned())));
            assert!(check(&format!("panic:{asked}")).is_err());
        }
        assert!(check("panic:nowhere").is_err() && check("panic:before_intent=3").is_ok());
        assert_eq!(check("before_intent"), Ok(()));
    }

    #[test]
    fn nothing_is_armed_in_a_process_that_asked_for_nothing() {
        POINTS.iter().for_each(|(name, _)| pass(name));
    }

    #[test]
    fn the_sources_pass_every_point_of_the_table_and_no_other() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("below crates/");
        let mut passed = Vec::new();
        sources(crates, &mut passed);
        for name in &passed {
            assert!(POINTS.iter().any(|(point, _)| point == name), "{name} is passed and not in the table");
        }
        for (point, _) in POINTS {
            assert!(passed.iter().any(|name| name == point), "{point} is in the table and never passed");
        }
    }

    /// Gathers the names of all calls in the Rust files below `directory`.
    fn sources(directory: &Path, passed: &mut Vec<String>) {
        for entry in std::fs::read_dir(directory).expect("readable").flatten() {
            let path = entry.path();
            if path.is_dir() {
                sources(&path, passed);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = std::fs::read_to_string(&path).expect("UTF-8");
                let calls = text.split("failpoint::pass(\"").skip(1);
                passed.extend(calls.filter_map(|call| Some(call.split_once('"')?.0.to_owned())));
            }
        }
    }
}
