//! The book: who has used, holds and owns how much. A pure, synchronous, deterministic state machine: no
//! clock, no I/O, no floats (reliability.md R1).
//!
//! Everything happens in two steps: what is to happen is decided without effect ([`Book::opening`],
//! [`Book::ended`]), and what was decided is applied ([`Book::apply`]). The engine does the same with
//! accounts that are locked one by one; both use the functions of `joint`.

mod account;
mod effect;
pub(crate) mod joint;
mod refusal;
mod restore;

use std::borrow::Cow;
use std::sync::Arc;

use foldhash::HashMap;
use model::clock::EpochMs;
use model::quota::{Amounts, Owner};
use model::{NanoUsd, RequestId};

pub use account::{Account, Cell, Violation, Wallet};
pub use effect::Effects;
pub use refusal::Refusal;
pub use restore::Restoration;

use crate::course::Course;
use crate::event::{Ended, Ending, Event, Opening};
use crate::meter::{Asked, Payer, Settlement};
use joint::{Accounts, End};

/// Why a step was not taken. Without effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A payer cannot pay.
    Payer(Refusal),
    /// The request is not open: it has ended, or never was.
    Late,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was applied.
    Applied,
    /// It was a duplicate, or came too late: without effect.
    Ignored,
}

/// All accounts, and all requests that have not ended.
#[derive(Clone, Debug, Default)]
pub struct Book {
    accounts: HashMap<Owner, Account>,
    open: HashMap<RequestId, (Arc<Opening>, Course)>,
}

impl Book {
    /// A book in which nothing stands.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Decides whether a request's payers cover what it is expected to use, and from which windows.
    ///
    /// # Errors
    /// The first payer that does not.
    pub fn opening(&mut self, asked: Asked, expires: EpochMs) -> Result<Arc<Opening>, Refusal> {
        let payers = Arc::clone(&asked.payers);
        joint::check(&mut self.of(&payers), asked, expires).map(Arc::new)
    }

    /// Holds what was decided just before.
    ///
    /// # Errors
    /// A violated invariant; the account is frozen.
    pub fn hold(&mut self, opening: &Arc<Opening>) -> Result<Outcome, Violation> {
        if self.open.contains_key(&opening.facts.request) {
            return Ok(Outcome::Ignored);
        }
        let course = Course::new(opening.expected);
        self.open.insert(opening.facts.request, (Arc::clone(opening), course));
        joint::open(&mut self.of(&opening.payers), opening)?;
        Ok(Outcome::Applied)
    }

    /// Holds more for a request.
    ///
    /// # Errors
    /// When it has ended, or the first payer that does not cover it; what was held stays held.
    pub fn extend(&mut self, request: RequestId, more: &Amounts) -> Result<Result<(), Violation>, Refused> {
        let (opening, course) = self.open.get_mut(&request).ok_or(Refused::Late)?;
        let opening = Arc::clone(opening);
        let mut accounts = Named { accounts: &mut self.accounts, payers: &opening.payers };
        joint::check_more(&mut accounts, &opening, more).map_err(Refused::Payer)?;
        course.extend(more).map_err(|_| Refused::Late)?;
        Ok(joint::take(&mut accounts, &opening, more))
    }

    /// Decides how a request ends that was settled.
    ///
    /// # Errors
    /// When it has ended.
    pub fn settled(&mut self, request: RequestId, settlement: &Settlement) -> Result<Ended, Refused> {
        let figures = self.course(request)?.settled(settlement);
        self.ended(request, End { ending: Ending::Settled, figures, reason: None, at: settlement.at })
    }

    /// Decides how a request ends for which no upstream worked.
    ///
    /// # Errors
    /// When it has ended.
    pub fn voided(
        &mut self,
        request: RequestId,
        reason: &'static str,
        at: EpochMs,
    ) -> Result<Ended, Refused> {
        let figures = self.course(request)?.voided();
        self.ended(request, End { ending: Ending::Voided, figures, reason: Some(Cow::Borrowed(reason)), at })
    }

    /// Decides how a request ends that nobody settles.
    ///
    /// # Errors
    /// When it has ended.
    pub fn estimated(&mut self, request: RequestId, ending: Ending, at: EpochMs) -> Result<Ended, Refused> {
        let figures = self.course(request)?.estimated();
        let reason = Some(Cow::Borrowed(ending.reason()));
        self.ended(request, End { ending, figures, reason, at })
    }

    /// Applies an event.
    ///
    /// # Errors
    /// A violated invariant; the account is frozen, everything else is applied.
    pub fn apply(&mut self, event: &Event) -> Result<Outcome, Violation> {
        match event {
            Event::Opened { opening, attempt, at } => {
                let held = self.hold(opening);
                let known = self.open.get_mut(&opening.facts.request);
                let begun = known
                    .map(|(_, course)| !course.is_begun() && course.attempt(attempt.clone(), *at).is_ok());
                held?;
                Ok(Outcome::of(begun == Some(true)))
            }
            Event::Attempted { request, attempt, at } => {
                let known = self.open.get_mut(request);
                Ok(Outcome::of(known.is_some_and(|(_, course)| course.attempt(attempt.clone(), *at).is_ok())))
            }
            Event::Checkpointed { request, progress, .. } => {
                let known = self.open.get_mut(request);
                Ok(Outcome::of(known.is_some_and(|(_, course)| course.progress(*progress).is_ok())))
            }
            Event::Ended(ended) => self.end(ended),
            Event::Adjusted(adjusted) => {
                self.account_mut(&adjusted.owner).adjust(adjusted.change).map(|()| Outcome::Applied)
            }
            Event::WindowReset(reset) => {
                let window = (reset.unit, reset.period, reset.began);
                self.account_mut(&reset.owner).use_window(window, reset.change);
                Ok(Outcome::Applied)
            }
        }
    }

    /// Gives back what is held for a request that has reached no upstream.
    ///
    /// # Errors
    /// A violated invariant; the account is frozen.
    pub fn release(&mut self, request: RequestId) -> Result<Outcome, Violation> {
        let Some((opening, course)) = self.open.remove(&request) else { return Ok(Outcome::Ignored) };
        joint::release(&mut self.of(&opening.payers), &opening, &course.held())?;
        Ok(Outcome::Applied)
    }

    /// How much may be taken out of a wallet.
    #[must_use]
    pub fn available(&self, owner: &Owner) -> NanoUsd {
        let wallet = self.accounts.get(owner).map(Account::wallet).unwrap_or_default();
        NanoUsd(wallet.balance.saturating_sub(wallet.held))
    }

    /// The account of an owner of whom something is known.
    #[must_use]
    pub fn account(&self, owner: &Owner) -> Option<&Account> {
        self.accounts.get(owner)
    }

    /// All accounts.
    pub fn accounts(&self) -> impl Iterator<Item = (&Owner, &Account)> {
        self.accounts.iter()
    }

    /// All requests that have not ended, and what they hold.
    pub fn open(&self) -> impl Iterator<Item = (&Arc<Opening>, Amounts)> {
        self.open.values().map(|(opening, course)| (opening, course.held()))
    }

    /// Its accounts, and the requests that have not ended.
    pub(crate) fn into_parts(self) -> Parts {
        (self.accounts, self.open.into_values().collect())
    }

    fn course(&self, request: RequestId) -> Result<&Course, Refused> {
        self.open.get(&request).map(|(_, course)| course).ok_or(Refused::Late)
    }

    fn ended(&mut self, request: RequestId, end: End) -> Result<Ended, Refused> {
        let (opening, course) = self.open.get(&request).ok_or(Refused::Late)?;
        let (opening, held) = (Arc::clone(opening), course.held());
        Ok(joint::ended(&mut self.of(&opening.payers), &opening, &held, end))
    }

    fn end(&mut self, ended: &Ended) -> Result<Outcome, Violation> {
        let Some((_, course)) = self.open.remove(&ended.opening.facts.request) else {
            return Ok(Outcome::Ignored);
        };
        joint::end(&mut self.of(&ended.opening.payers), ended, &course.held())?;
        Ok(Outcome::Applied)
    }

    fn account_mut(&mut self, owner: &Owner) -> &mut Account {
        account_of(&mut self.accounts, owner)
    }

    fn of<'a>(&'a mut self, payers: &'a [Payer]) -> Named<'a> {
        Named { accounts: &mut self.accounts, payers }
    }
}

/// The accounts by owner, and the open requests with their courses.
type Parts = (HashMap<Owner, Account>, Vec<(Arc<Opening>, Course)>);

impl Outcome {
    fn of(applied: bool) -> Self {
        if applied { Self::Applied } else { Self::Ignored }
    }
}

/// The accounts of the payers of one request, found by name.
struct Named<'a> {
    accounts: &'a mut HashMap<Owner, Account>,
    payers: &'a [Payer],
}

impl Accounts for Named<'_> {
    fn at(&mut self, place: usize) -> &mut Account {
        account_of(self.accounts, &self.payers[place].owner)
    }
}

/// The account of an owner; an empty one when nothing was known of it.
fn account_of<'a>(accounts: &'a mut HashMap<Owner, Account>, owner: &Owner) -> &'a mut Account {
    if !accounts.contains_key(owner) {
        accounts.insert(owner.clone(), Account::default());
    }
    accounts.get_mut(owner).expect("it was put there just now")
}
