//! From what the database knows and what the journal still holds back to a book.
//!
//! Events may come in any order, and more than once where a segment had to be written again.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use model::entry::{Balance, WindowUse};
use model::{NanoUsd, RequestId};

use crate::book::joint::shares;
use crate::book::{Account, Book, account_of};
use crate::course::Course;
use crate::event::{Ended, Event, Opening};
use crate::meter::{AttemptStart, Progress};

/// A book on its way back.
#[derive(Debug, Default)]
pub struct Restoration {
    book: Book,
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
    /// one that began last is current.
    #[must_use]
    pub fn new(balances: &[Balance], windows: &[WindowUse]) -> Self {
        let mut book = Book::new();
        for Balance { owner, amount } in balances {
            account_of(&mut book.accounts, owner).recall_change(*amount);
        }
        for WindowUse { owner, unit, period, began, used } in windows {
            account_of(&mut book.accounts, owner).use_window((*unit, *period, *began), *used);
        }
        Self { book, ..Self::default() }
    }

    /// An event of the journal. `projected` says that the database knows it already.
    pub fn recall(&mut self, event: &Event, projected: bool) {
        match event {
            Event::Opened { opening, attempt, .. } => {
                let begun = self.begun.entry(opening.facts.request).or_default();
                begun.opening = Some(Arc::clone(opening));
                begun.attempts.push(attempt.clone());
            }
            Event::Attempted { request, attempt, .. } => {
                self.begun.entry(*request).or_default().attempts.push(attempt.clone());
            }
            Event::Checkpointed { request, progress, .. } => {
                let known = &mut self.begun.entry(*request).or_default().progress;
                let further = known.is_none_or(|known| known.usage.total() <= progress.usage.total());
                if further {
                    *known = Some(*progress);
                }
            }
            Event::Ended(ended) => {
                let is_new = self.ended.insert(ended.opening.facts.request);
                if is_new && !projected {
                    self.charge(ended);
                }
            }
            Event::Adjusted(_) | Event::WindowReset(_) if projected => {}
            Event::Adjusted(adjusted) => {
                account_of(&mut self.book.accounts, &adjusted.owner).recall_change(adjusted.change);
            }
            Event::WindowReset(reset) => {
                let window = (reset.unit, reset.period, reset.began);
                account_of(&mut self.book.accounts, &reset.owner).use_window(window, reset.change);
            }
        }
    }

    /// The book, and in it, as open requests, those that have begun and not ended.
    #[must_use]
    pub fn finish(self) -> Book {
        let Self { mut book, begun, ended } = self;
        for (request, Begun { opening, mut attempts, progress }) in begun {
            let Some(opening) = opening.filter(|_| !ended.contains(&request)) else { continue };
            attempts.sort_by_key(|attempt| attempt.number);
            attempts.dedup_by_key(|attempt| attempt.number);
            let course = Course::restored(opening.expected, attempts, progress);
            for (place, share) in shares(&opening) {
                let owner = &opening.payers[place].owner;
                account_of(&mut book.accounts, owner).recall_hold(share, &opening.expected);
            }
            book.open.insert(request, (opening, course));
        }
        book.accounts.values_mut().for_each(Account::recalled);
        book
    }

    /// What was charged before; the holds went with the process that had them.
    fn charge(&mut self, ended: &Ended) {
        for (place, share) in shares(&ended.opening) {
            let owner = &ended.opening.payers[place].owner;
            let account = account_of(&mut self.book.accounts, owner);
            for (quota, began) in share.payer.quotas.iter().zip(share.began) {
                account.use_window((quota.unit, quota.period, *began), ended.charged.of(quota.unit));
            }
            if share.wallet {
                account.recall_change(NanoUsd(-ended.paid.0));
            }
        }
    }
}
