//! From what the database knows and what the journal still holds back to a book.
//!
//! Events may come in any order, and more than once where a segment had to be written again.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use model::clock::EpochMs;
use model::entry::{Balance, WindowUse};
use model::quota::{Owner, Period, Unit};
use model::{NanoUsd, RequestId};

use crate::book::effect::{Changes, Key};
use crate::book::joint::shares;
use crate::book::{Account, Book, Cell, account_of};
use crate::course::Course;
use crate::event::{Event, Opening};
use crate::meter::{AttemptStart, Progress};

/// A book on its way back.
#[derive(Debug, Default)]
pub struct Restoration {
    changes: Changes,
    begun: HashMap<RequestId, Begun>,
    ended: HashSet<RequestId>,
}

/// What the journal says of a request that has begun.
#[derive(Debug, Default)]
struct Begun {
    opening: Option<Arc<Opening>>,
    attempts: Vec<AttemptStart>,
    progress: Option<Progress>,
}

impl Restoration {
    /// Windows and balances as the database knows them. Of the windows of an owner, unit and period, the
    /// one that began last is current; older ones matter to requests that were left open in them.
    #[must_use]
    pub fn new(balances: &[Balance], windows: &[WindowUse]) -> Self {
        let mut changes = Changes::default();
        for Balance { owner, amount } in balances {
            changes.pay(owner, amount.0);
        }
        for WindowUse { owner, unit, period, began, used } in windows {
            changes.count((owner.clone(), *unit, *period, *began), *used);
        }
        Self { changes, ..Self::default() }
    }

    /// An event of the journal. `projected` says that the database knows it already.
    pub fn recall(&mut self, event: &Event, projected: bool) {
        let is_new = match event {
            Event::Opened { opening, attempt, .. } => {
                let begun = self.begun.entry(opening.facts.request).or_default();
                begun.opening = Some(Arc::clone(opening));
                begun.attempts.push(attempt.clone());
                true
            }
            Event::Attempted { request, attempt, .. } => {
                self.begun.entry(*request).or_default().attempts.push(attempt.clone());
                true
            }
            Event::Checkpointed { request, progress, .. } => {
                let known = &mut self.begun.entry(*request).or_default().progress;
                if known.is_none_or(|known| known.usage.total() <= progress.usage.total()) {
                    *known = Some(*progress);
                }
                true
            }
            Event::Ended(ended) => self.ended.insert(ended.opening.facts.request),
            Event::Adjusted(_) | Event::WindowReset(_) => true,
        };
        if is_new && !projected {
            self.changes.add(event);
        }
    }

    /// The book, and in it, as open requests, those that have begun and not ended.
    #[must_use]
    pub fn finish(self) -> Book {
        let Self { changes, begun, ended } = self;
        let left_open = begun.into_iter().filter(|(request, _)| !ended.contains(request));
        let open: HashMap<_, _> =
            left_open.filter_map(|(request, begun)| Some((request, begun.course()?))).collect();
        let mut book =
            Book { accounts: accounts(changes, open.values().map(|(opening, _)| &**opening)), open };
        for (opening, course) in book.open.values() {
            for (place, share) in shares(opening) {
                let owner = &opening.payers[place].owner;
                account_of(&mut book.accounts, owner).recall_hold(share, &course.held());
            }
        }
        book.accounts.values_mut().for_each(Account::recalled);
        book
    }
}

impl Begun {
    /// The opening, unless it was lost, and all that came after it.
    fn course(self) -> Option<(Arc<Opening>, Course)> {
        let Self { opening, mut attempts, progress } = self;
        let opening = opening?;
        attempts.sort_by_key(|attempt| attempt.number);
        attempts.dedup_by_key(|attempt| attempt.number);
        let course = Course::restored(opening.expected, attempts, progress);
        Some((opening, course))
    }
}

/// The accounts with their current windows, and with older ones that open requests pay from.
fn accounts<'a>(changes: Changes, open: impl Iterator<Item = &'a Opening>) -> HashMap<Owner, Account> {
    let mut latest: HashMap<(Owner, Unit, Period), EpochMs> = HashMap::default();
    for (owner, unit, period, began) in changes.windows.keys() {
        let last = latest.entry((owner.clone(), *unit, *period)).or_insert(*began);
        *last = (*last).max(*began);
    }
    let mut wanted: HashSet<Key> =
        latest.into_iter().map(|((owner, unit, period), began)| (owner, unit, period, began)).collect();
    for opening in open {
        let windows = opening.windows();
        wanted.extend(windows.map(|(place, quota, began)| {
            (opening.payers[place].owner.clone(), quota.unit, quota.period, began)
        }));
    }
    let mut accounts = HashMap::default();
    for (key, used) in changes.windows.into_iter().filter(|(key, _)| wanted.contains(key)) {
        let (owner, unit, period, began) = key;
        account_of(&mut accounts, &owner).recall_window(Cell { unit, period, began, used, held: 0, open: 0 });
    }
    for (owner, amount) in changes.balances {
        account_of(&mut accounts, &owner).recall_balance(NanoUsd(amount));
    }
    accounts
}
