//! The ledger at work: the book's accounts for many threads, and the journal behind them.
//!
//! Locks are taken in one order: the course of a request, then the accounts of its payers in the order of
//! their owners. Nothing waits while it holds one, except for the journal's `write`.

mod accounts;
mod administration;
mod registry;
mod standing;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use model::clock::EpochMs;
use model::quota::Amounts;
use model::{Code, Rejection};
use parking_lot::Mutex;
use telemetry::failpoint;

pub use administration::{AdjustError, Adjustment, Reset};
pub use standing::{LedgerCounts, Standing, WindowStanding};

use crate::book::joint::{self, End};
use crate::book::{Book, Violation};
use crate::course::Course;
use crate::event::{Ending, Event, JournalWriter, Need, Opening, Written};
use crate::hold::{Hold, Keeper, Open};
use crate::memory::late;
use crate::meter::{Asked, AttemptStart, Meter, Payer, Progress, Settlement};
use accounts::{AllAccounts, Locked, Shared};
use registry::{Registry, Way};

/// A hold that gives no sign of life for so long is settled as an estimate. Longer than any request may
/// last, and than the hour by which clocks jump.
pub const LIFETIME_MS: EpochMs = 2 * 60 * 60 * 1_000;
/// Ends that wait for the journal to recover; a crash turns them into estimates. About 64 MB.
const MOST_UNWRITTEN: usize = 1 << 16;

/// The ledger of the process. Clones share the same accounts.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    accounts: AllAccounts,
    registry: Registry,
    journal: Arc<dyn JournalWriter>,
    unwritten: Mutex<Unwritten>,
    /// Administrators change one thing after the other.
    administration: tokio::sync::Mutex<()>,
}

/// Events that the journal did not take.
#[derive(Default)]
struct Unwritten {
    waiting: VecDeque<Event>,
    lost: u64,
}

/// How a request ends.
enum How<'a> {
    Settled(&'a Settlement),
    Voided(&'static str),
    Unsettled(Ending),
}

impl Ledger {
    /// Opens the ledger where `book` stands. Requests that are open in it are settled as estimates.
    #[must_use]
    pub fn open(book: Book, journal: Arc<dyn JournalWriter>, now: EpochMs) -> Self {
        let (accounts, orphans) = book.into_parts();
        let accounts = AllAccounts::new(accounts);
        let (registry, unwritten) = (Registry::new(), Mutex::default());
        let administration = tokio::sync::Mutex::new(());
        let inner = Inner { accounts, registry, journal, unwritten, administration };
        for (opening, course) in orphans {
            let accounts = inner.accounts_of(&opening);
            // More than may be open at one time were never left behind.
            if let Ok(open) = inner.registry.insert(Open::new(opening, accounts, course)) {
                inner.end(&open, &How::Unsettled(Ending::Orphaned), now);
            }
        }
        Self(Arc::new(inner))
    }

    /// Settles what has expired as estimates, and offers the journal what it did not take. To be called
    /// about once a second.
    pub fn sweep(&self, now: EpochMs) {
        for open in self.0.registry.select(|open| open.is_expired(now)) {
            self.0.end(&open, &How::Unsettled(Ending::Expired), now);
        }
        self.0.write_again();
    }

    /// Why the journal cannot keep events at present, in words.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let waiting = self.0.unwritten.lock().waiting.len();
        let unwritten =
            || (waiting > 0).then(|| format!("{waiting} ends of requests are not in the journal yet"));
        self.0.journal.fault().or_else(unwritten)
    }
}

impl Meter for Ledger {
    fn hold(&self, asked: Asked) -> Result<Hold, Rejection> {
        let open = self.0.hold(asked)?;
        Ok(Hold::new(open, Arc::<Inner>::clone(&self.0)))
    }

    fn standing(&self, payer: &Payer, now: EpochMs) -> Standing {
        Self::standing(self, &payer.owner, &payer.quotas, payer.wallet, now)
    }

    fn begin(&self, hold: &mut Hold, attempt: AttemptStart, now: EpochMs) -> Result<Written, Rejection> {
        let open = hold.open();
        open.seen(now);
        let mut course = open.course();
        course.running().map_err(late)?;
        let event = if course.is_begun() {
            Event::Attempted { request: open.opening.facts.request, attempt: attempt.clone(), at: now }
        } else {
            Event::Opened { opening: Arc::clone(&open.opening), attempt: attempt.clone(), at: now }
        };
        let written = self.0.journal.append(&event, Need::Usual)?;
        course.attempt(attempt, now).map_err(late)?;
        Ok(written)
    }

    fn extend(&self, hold: &mut Hold, more: Amounts, now: EpochMs) -> Result<(), Rejection> {
        let open = hold.open();
        open.seen(now);
        let mut course = open.course();
        course.running().map_err(late)?;
        let more = joint::positive(&more);
        let mut locked = Locked::new(&open.accounts);
        joint::check_more(&mut locked, &open.opening, &more)?;
        course.extend(&more).map_err(late)?;
        joint::take(&mut locked, &open.opening, &more).map_err(|why| degraded(why, &open.opening))
    }

    fn checkpoint(&self, hold: &mut Hold, so_far: &Progress, now: EpochMs) {
        let open = hold.open();
        open.seen(now);
        let mut course = open.course();
        if course.progress(*so_far).is_err() || !course.checkpoint_is_due(now) {
            return;
        }
        drop(course);
        let request = open.opening.facts.request;
        let event = Event::Checkpointed { request, progress: *so_far, at: now };
        failpoint::pass("before_checkpoint");
        // Without it the estimate after a crash is coarser, and the journal says itself that it has trouble.
        let _ = self.0.journal.append(&event, Need::Usual);
        failpoint::pass("after_checkpoint");
    }

    fn settle(&self, hold: Hold, settlement: Settlement) {
        let at = settlement.at;
        self.0.end(&hold.close(), &How::Settled(&settlement), at);
    }

    fn void(&self, hold: Hold, reason: &'static str, now: EpochMs) {
        self.0.end(&hold.close(), &How::Voided(reason), now);
    }
}

impl Keeper for Inner {
    fn abandoned(&self, open: &Open) {
        self.end(open, &How::Unsettled(Ending::Abandoned), open.last_seen());
    }
}

impl Inner {
    fn hold(&self, asked: Asked) -> Result<Arc<Open>, Rejection> {
        if !asked.payers.is_sorted_by(|a, b| a.owner < b.owner) {
            return Err(
                Rejection::new(Code::InternalError).caused_by("payers are not in the order of owners")
            );
        }
        let accounts: Box<[Shared]> =
            asked.payers.iter().map(|payer| self.accounts.of(&payer.owner)).collect();
        let expires = asked.at.saturating_add(LIFETIME_MS);
        let mut locked = Locked::new(&accounts);
        let opening = joint::check(&mut locked, asked, expires)?;
        let taken = joint::open(&mut locked, &opening);
        if let Err(why) = taken {
            // The account that is to blame is frozen by now; the others get back what they gave.
            let _ = joint::release(&mut locked, &opening, &opening.expected);
            return Err(degraded(why, &opening));
        }
        drop(locked);
        self.register(Arc::new(opening), accounts)
    }

    fn register(&self, opening: Arc<Opening>, accounts: Box<[Shared]>) -> Result<Arc<Open>, Rejection> {
        let course = Course::new(opening.expected);
        let made = Open::new(opening, accounts, course);
        self.registry.insert(made).map_err(|open| {
            // What was taken a moment ago can be given back.
            let _ = joint::release(&mut Locked::new(&open.accounts), &open.opening, &open.opening.expected);
            Rejection::new(Code::Overloaded)
        })
    }

    /// Ends a request, unless it has ended.
    fn end(&self, open: &Open, how: &How<'_>, at: EpochMs) {
        let mut course = open.course();
        let held = course.held();
        let has_begun = course.is_begun() || matches!(how, How::Settled(_));
        let end = how.end(&course, at);
        if course.end().is_err() {
            return self.registry.count_late(open.place);
        }
        let mut locked = Locked::new(&open.accounts);
        let (ended, outcome) = if has_begun {
            let ended = joint::ended(&mut locked, &open.opening, &held, end);
            let outcome = joint::end(&mut locked, &ended, &held);
            (Some(ended), outcome)
        } else {
            (None, joint::release(&mut locked, &open.opening, &held))
        };
        drop(locked);
        drop(course);
        if let Err(why) = outcome {
            report(why, &open.opening);
        }
        self.registry.remove(open.place, how.way());
        if let Some(ended) = ended {
            self.keep(Event::Ended(Box::new(ended)));
        }
    }

    /// Keeps the end of a request, now or when the journal takes it again.
    fn keep(&self, event: Event) {
        if self.journal.append(&event, Need::Usual).is_ok() {
            return;
        }
        let mut unwritten = self.unwritten.lock();
        if unwritten.waiting.len() < MOST_UNWRITTEN {
            unwritten.waiting.push_back(event);
        } else {
            // Its start is in the journal: the next start of the process settles it as an estimate.
            unwritten.lost += 1;
        }
    }

    fn write_again(&self) {
        let mut unwritten = self.unwritten.lock();
        while let Some(event) = unwritten.waiting.pop_front() {
            if self.journal.append(&event, Need::Usual).is_err() {
                unwritten.waiting.push_front(event);
                return;
            }
        }
    }

    fn accounts_of(&self, opening: &Opening) -> Box<[Shared]> {
        opening.payers.iter().map(|payer| self.accounts.of(&payer.owner)).collect()
    }
}

impl How<'_> {
    fn end(&self, course: &Course, at: EpochMs) -> End {
        let (ending, figures, reason) = match self {
            Self::Settled(settlement) => (Ending::Settled, course.settled(settlement), None),
            Self::Voided(reason) => (Ending::Voided, course.voided(), Some(*reason)),
            Self::Unsettled(ending) => (*ending, course.estimated(), Some(ending.reason())),
        };
        End { ending, figures, reason: reason.map(Cow::Borrowed), at }
    }

    fn way(&self) -> Way {
        match self {
            Self::Settled(_) => Way::Settled,
            Self::Voided(_) => Way::Voided,
            Self::Unsettled(Ending::Expired) => Way::Expired,
            Self::Unsettled(Ending::Orphaned) => Way::Orphaned,
            Self::Unsettled(_) => Way::Abandoned,
        }
    }
}

/// The refusal of a request whose payer was frozen just now.
fn degraded(why: Violation, opening: &Opening) -> Rejection {
    report(why, opening);
    Rejection::new(Code::ServiceDegraded).caused_by(why)
}

fn report(why: Violation, opening: &Opening) {
    tracing::error!(
        request_id = %opening.facts.request,
        violation = %why,
        "an account contradicts itself and was frozen"
    );
}
