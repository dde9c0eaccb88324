//! Waiting for a place at an account: bounded, fair, by wake-up and never by polling (accounts.md §3).
//!
//! A place that gets free is handed to who is next before anybody else can take it, so nobody is
//! overtaken and no wake-up is lost: who dies or gives up with a place in hand drops it, and the drop
//! hands it on. Users take turns; within one user the first comes first. Who waits for several accounts
//! gets the first place that gets free. All lines stand under one lock: it is taken only while somebody
//! waits. How long to wait is the caller's timer; [`WAIT_MS`] is the promise.

use foldhash::HashMap;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use model::ResourceId;
use model::clock::EpochMs;

use crate::in_flight::{Accounts, InFlight, Slot};

/// How long a request waits at most, in milliseconds (accounts.md §3).
pub const WAIT_MS: u64 = 30_000;
/// Requests that wait for one account at most (accounts.md §3).
pub const MOST_OF_ACCOUNT: u32 = 100;
/// Requests of one user that wait at most, beyond those that it may run at one time (accounts.md §3).
pub const MORE_OF_USER: u32 = 20;

/// What a request waits for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The accounts of which any will do, each with its limit on requests in flight.
    pub accounts: &'a [(ResourceId, Option<u32>)],
    /// Whose turn it takes.
    pub user: &'a Arc<str>,
    /// How many requests the user may run at one time; `None` when nothing limits them.
    pub concurrency: Option<u32>,
}

/// Why a request may not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// As many requests of the user wait as may.
    User,
    /// As many requests wait for every one of the accounts as may, or there is no account.
    Account,
}

/// The queues of all accounts of an [`InFlight`]. Clones, and others made of it, are the same queues.
#[derive(Clone, Debug)]
pub struct Queues(Arc<Accounts>);

/// A request that waits: a future of a place at one of its accounts. Dropping it leaves the queues; if it
/// was given a place meanwhile, the next in line gets that. The place's lease has no time yet: renew it.
#[derive(Debug)]
#[must_use = "dropping this leaves the queue"]
pub struct Waiting {
    accounts: Arc<Accounts>,
    number: u64,
}

impl Queues {
    /// The queues for the places of `in_flight`.
    #[must_use]
    pub fn new(in_flight: &InFlight) -> Self {
        Self(Arc::clone(&in_flight.0))
    }

    /// Stands in line for the accounts that have room for one more to wait. If a place is free and nobody
    /// was first, the future is ready at once.
    ///
    /// # Errors
    /// [`Full`] when neither a place nor room to wait is left.
    pub fn enter(&self, wanted: &Wanted<'_>, now_ms: EpochMs) -> Result<Waiting, Full> {
        self.0.stand_in_line(wanted, now_ms)
    }

    /// Requests that wait for `account` now.
    #[must_use]
    pub fn waiting(&self, account: &ResourceId) -> u32 {
        self.0.busy.of(account).get(account).map_or(0, |entry| entry.waiting)
    }

    /// Requests of `user` that wait now.
    #[must_use]
    pub fn waiting_of(&self, user: &str) -> u32 {
        self.0.lines.lock().users.get(user).copied().unwrap_or(0)
    }

    /// Requests that wait now.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.0.lines.lock().users.values().sum()
    }

    /// Hands on places that lapsed while everybody only waited. Call it each second.
    pub fn sweep(&self, now_ms: EpochMs) {
        let waited_for: Vec<ResourceId> = self.0.lines.lock().lines.keys().cloned().collect();
        waited_for.iter().for_each(|account| self.0.serve(account, Some(now_ms)));
    }
}

impl Future for Waiting {
    type Output = Slot;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Slot> {
        let waker = context.waker().clone();
        let mut lines = self.accounts.lines.lock();
        let Some(waiter) = lines.waiters.get_mut(&self.number) else {
            return Poll::Pending;
        };
        if let Some(slot) = waiter.given.take() {
            lines.waiters.remove(&self.number);
            return Poll::Ready(slot);
        }
        let replaced = waiter.waker.replace(waker);
        // Dropping a waker may run anything; not under the lock.
        drop(lines);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut lines = self.accounts.lines.lock();
        let left = lines.waiters.remove(&self.number);
        if let Some(waiter) = left.as_ref().filter(|waiter| waiter.given.is_none()) {
            lines.leave(self.number, waiter);
            waiter.accounts.iter().for_each(|account| self.accounts.stop_waiting(account));
        }
        // A place in hand is handed on by its own drop, which takes the lock again.
        drop(lines);
    }
}

impl Accounts {
    fn stand_in_line(self: &Arc<Self>, wanted: &Wanted<'_>, now_ms: EpochMs) -> Result<Waiting, Full> {
        let mut woken = Vec::new();
        let mut lines = self.lines.lock();
        let entered = self.join(&mut lines, wanted, now_ms, &mut woken);
        drop(lines);
        woken.into_iter().for_each(Waker::wake);
        entered.map(|number| Waiting { accounts: Arc::clone(self), number })
    }

    fn join(
        self: &Arc<Self>,
        lines: &mut Lines,
        wanted: &Wanted<'_>,
        now_ms: EpochMs,
        woken: &mut Vec<Waker>,
    ) -> Result<u64, Full> {
        let of_user = lines.users.get(wanted.user).copied().unwrap_or(0);
        let most = wanted.concurrency.map_or(u32::MAX, |running| running.saturating_add(MORE_OF_USER));
        if of_user >= most {
            return Err(Full::User);
        }
        let mut joined: Vec<ResourceId> = Vec::with_capacity(wanted.accounts.len());
        for (account, limit) in wanted.accounts {
            let room = !joined.contains(account) && {
                let mut busy = self.busy.of(account);
                let entry = busy.entry(account.clone()).or_default();
                entry.limit = *limit;
                let room = entry.waiting < MOST_OF_ACCOUNT;
                entry.waiting += u32::from(room);
                room
            };
            if room {
                joined.push(account.clone());
            }
        }
        if joined.is_empty() {
            return Err(Full::Account);
        }
        let number = lines.stand(wanted.user, joined);
        // What lapsed, and what is free under a raised limit, goes to who is next, which may be this one.
        for (account, _) in wanted.accounts {
            self.hand_out(lines, account, Some(now_ms), woken);
        }
        Ok(number)
    }

    /// Gives the free places of `account` to who waits for it.
    pub(crate) fn serve(self: &Arc<Self>, account: &ResourceId, now_ms: Option<EpochMs>) {
        let mut woken = Vec::new();
        self.hand_out(&mut self.lines.lock(), account, now_ms, &mut woken);
        woken.into_iter().for_each(Waker::wake);
    }

    fn hand_out(
        self: &Arc<Self>,
        lines: &mut Lines,
        account: &ResourceId,
        now_ms: Option<EpochMs>,
        woken: &mut Vec<Waker>,
    ) {
        while let Some(lease) = self.take_for_waiting(account, now_ms) {
            let Some(number) = lines.next(account) else {
                self.leave(account, lease);
                return;
            };
            let slot = self.slot(account, lease);
            let given = lines.give(number, slot);
            given.accounts.iter().for_each(|account| self.stop_waiting(account));
            woken.extend(given.waker);
        }
    }
}

/// Everybody who waits.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    stood: u64,
    /// Also those with a place in hand that have not looked yet.
    waiters: HashMap<u64, Waiter>,
    lines: HashMap<ResourceId, Line>,
    /// Without those that have a place in hand.
    users: HashMap<Arc<str>, u32>,
}

#[derive(Debug)]
struct Waiter {
    user: Arc<str>,
    accounts: Vec<ResourceId>,
    given: Option<Slot>,
    waker: Option<Waker>,
}

/// What to do for who was given a place.
struct Given {
    accounts: Vec<ResourceId>,
    waker: Option<Waker>,
}

impl Lines {
    fn stand(&mut self, user: &Arc<str>, accounts: Vec<ResourceId>) -> u64 {
        self.stood += 1;
        for account in &accounts {
            self.lines.entry(account.clone()).or_default().push(user, self.stood);
        }
        *self.users.entry(Arc::clone(user)).or_default() += 1;
        self.waiters
            .insert(self.stood, Waiter { user: Arc::clone(user), accounts, given: None, waker: None });
        self.stood
    }

    /// Who is next in the line of `account`. It stays there until [`Self::give`] takes it out.
    fn next(&mut self, account: &ResourceId) -> Option<u64> {
        self.lines.get_mut(account)?.turn()
    }

    /// Puts a place into the hands of who waits, who leaves every line.
    fn give(&mut self, number: u64, slot: Slot) -> Given {
        let mut nobody = Given { accounts: Vec::new(), waker: None };
        let Some(mut waiter) = self.waiters.remove(&number) else { return nobody };
        self.leave(number, &waiter);
        waiter.given = Some(slot);
        nobody.waker = waiter.waker.take();
        nobody.accounts = std::mem::take(&mut waiter.accounts);
        self.waiters.insert(number, waiter);
        nobody
    }

    fn leave(&mut self, number: u64, waiter: &Waiter) {
        for account in &waiter.accounts {
            if let Some(line) = self.lines.get_mut(account) {
                line.remove(&waiter.user, number);
                if line.0.is_empty() {
                    self.lines.remove(account);
                }
            }
        }
        if let Some(waiting) = self.users.get_mut(&waiter.user) {
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                self.users.remove(&waiter.user);
            }
        }
    }
}

/// Who waits for one account, by user; the user at the front has the next turn. At most
/// [`MOST_OF_ACCOUNT`] numbers, so looking through is quick.
#[derive(Debug, Default)]
struct Line(VecDeque<(Arc<str>, VecDeque<u64>)>);

impl Line {
    fn push(&mut self, user: &Arc<str>, number: u64) {
        match self.0.iter_mut().find(|(of, _)| of == user) {
            Some((_, numbers)) => numbers.push_back(number),
            None => self.0.push_back((Arc::clone(user), VecDeque::from([number]))),
        }
    }

    /// The first of the user at the front; the user goes to the back.
    fn turn(&mut self) -> Option<u64> {
        let number = self.0.front()?.1.front().copied();
        self.0.rotate_left(1);
        number
    }

    fn remove(&mut self, user: &Arc<str>, number: u64) {
        if let Some(at) = self.0.iter().position(|(of, _)| of == user) {
            self.0[at].1.retain(|other| *other != number);
            if self.0[at].1.is_empty() {
                self.0.remove(at);
            }
        }
    }
}
