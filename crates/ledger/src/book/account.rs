//! The account of one owner: its windows and its wallet. Pure: time is an argument, nothing is read.
//!
//! What contradicts itself freezes the account, in shipped builds too: it refuses from then on, while
//! everybody else goes on (reliability.md R23).

use model::NanoUsd;
use model::clock::EpochMs;
use model::quota::{Amounts, Period, Quota, Unit};

use crate::meter::Payer;
use crate::period::{self, window_at};

/// A figure that contradicts another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// More is given back than was held.
    #[error("more is given back than was held")]
    Released,
    /// A sum does not fit.
    #[error("a sum does not fit")]
    Overflow,
    /// More would be used and held than a quota allows.
    #[error("more is held than a quota allows")]
    Exceeded,
    /// More is held or paid than the wallet has.
    #[error("more is held or paid than the wallet has")]
    Overdrawn,
}

/// One window of one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What is counted.
    pub unit: Unit,
    /// For how long.
    pub period: Period,
    /// When it began.
    pub began: EpochMs,
    /// What is used for good.
    pub used: i64,
    /// What requests hold that have not ended.
    pub held: i64,
    /// How many such requests there are; they may hold nothing yet.
    pub open: u32,
}

/// The money of one owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wallet {
    /// What is in it.
    pub balance: i64,
    /// How much of that is held.
    pub held: i64,
}

/// Why an account cannot pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lacks {
    /// It is frozen.
    Frozen,
    /// This window has too little left: what is used or held of it, and when it ends.
    Quota(Quota, i64, Option<EpochMs>),
    /// So much is in the wallet and not held.
    Balance(NanoUsd),
}

/// What a request takes from one payer, and what it gives back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share<'a> {
    /// The payer.
    pub payer: &'a Payer,
    /// When its windows began, one for each of its quotas.
    pub began: &'a [EpochMs],
    /// Whether its wallet pays for this request.
    pub wallet: bool,
}

/// One owner.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// At most one current window for each unit and period; older ones stay while open requests pay from them.
    cells: Vec<Cell>,
    wallet: Wallet,
    /// What was charged and never covered.
    overshoot: i64,
    /// Tokens that were used beyond a quota.
    overshoot_tokens: i64,
    frozen: Option<Violation>,
}

impl Account {
    /// Its money.
    #[must_use]
    pub fn wallet(&self) -> Wallet {
        self.wallet
    }

    /// What was charged and not covered since the process started.
    #[must_use]
    pub fn overshoot(&self) -> NanoUsd {
        NanoUsd(self.overshoot)
    }

    /// Tokens that were used and that a quota did not cover, since the process started.
    #[must_use]
    pub fn overshoot_tokens(&self) -> i64 {
        self.overshoot_tokens
    }

    /// Why it is frozen.
    #[must_use]
    pub fn frozen(&self) -> Option<Violation> {
        self.frozen
    }

    /// All windows of which something is known.
    #[must_use]
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The window of a unit and period that is current at `now`.
    #[must_use]
    pub fn current(&self, unit: Unit, period: Period, now: EpochMs) -> Cell {
        let fresh = |began| Cell { unit, period, began, used: 0, held: 0, open: 0 };
        let Some(last) = self.latest(unit, period) else {
            return fresh(window_at(period, now, None).began);
        };
        // A rolling window of which nothing was used has not begun yet.
        let unused = last.used == 0 && last.held == 0 && period::is_rolling(period);
        let known = if unused { now.max(last.began) } else { last.began };
        let window = window_at(period, now, Some(known));
        if window.began == last.began { *last } else { fresh(window.began) }
    }

    /// When the windows began that would pay for a request of `payer` which is expected to use `expected`.
    pub(crate) fn check(
        &self,
        share: Share<'_>,
        expected: &Amounts,
        now: EpochMs,
        began: &mut Vec<EpochMs>,
    ) -> Result<(), Lacks> {
        self.thawed()?;
        for quota in share.payer.quotas.iter() {
            let cell = self.current(quota.unit, quota.period, now);
            covers(quota, &cell, expected)?;
            began.push(cell.began);
        }
        self.wallet_covers(share, expected)
    }

    /// Whether the windows of a share cover more.
    pub(crate) fn check_more(&self, share: Share<'_>, more: &Amounts) -> Result<(), Lacks> {
        self.thawed()?;
        for (quota, began) in share.payer.quotas.iter().zip(share.began) {
            if more.of(quota.unit) > 0 {
                covers(quota, &self.cell(quota, *began), more)?;
            }
        }
        self.wallet_covers(share, more)
    }

    /// A request opens that pays from these windows: they stay until it has ended.
    pub(crate) fn enter(&mut self, share: Share<'_>) {
        for (quota, began) in share.payer.quotas.iter().zip(share.began) {
            let cell = self.cell_mut(quota.unit, quota.period, *began);
            cell.open = cell.open.saturating_add(1);
        }
    }

    /// Holds `more`, which was checked just before.
    pub(crate) fn take(&mut self, share: Share<'_>, more: &Amounts) -> Result<(), Violation> {
        for (quota, began) in share.payer.quotas.iter().zip(share.began) {
            let amount = more.of(quota.unit);
            let cell = self.cell_mut(quota.unit, quota.period, *began);
            let held = cell.held.checked_add(amount);
            let fits = amount == 0 || wide(cell.used) + wide(cell.held) + wide(amount) <= wide(quota.limit);
            cell.held = held.unwrap_or(i64::MAX);
            self.claim(fits, Violation::Exceeded)?;
            self.claim(held.is_some(), Violation::Overflow)?;
        }
        if share.wallet {
            self.wallet.held = self.wallet.held.saturating_add(more.cost.0);
            let covered = more.cost.0 == 0 || self.wallet.held <= self.wallet.balance;
            self.claim(covered, Violation::Overdrawn)?;
        }
        Ok(())
    }

    /// How much of `cost` the wallet can pay for a request that holds `held`: what others hold is theirs.
    pub(crate) fn payable(&self, held: &Amounts, cost: NanoUsd) -> NanoUsd {
        let others = wide(self.wallet.held) - wide(held.cost.0);
        let available = (wide(self.wallet.balance) - others).clamp(0, wide(i64::MAX));
        NanoUsd(cost.0.min(i64::try_from(available).unwrap_or(i64::MAX)))
    }

    /// By how much a charge, of which `held` was held, exceeds the quotas that count `unit`.
    pub(crate) fn excess(&self, share: Share<'_>, held: &Amounts, charged: &Amounts, unit: Unit) -> i64 {
        let quotas = share.payer.quotas.iter().zip(share.began).filter(|(quota, _)| quota.unit == unit);
        let (held, charged) = (wide(held.of(unit)), wide(charged.of(unit)));
        let excess = quotas.map(|(quota, began)| {
            let cell = self.cell(quota, *began);
            let before = wide(cell.used) + wide(cell.held) - wide(quota.limit);
            let after = before - held + charged;
            (after.max(0) - before.max(0)).clamp(0, charged.max(0))
        });
        i64::try_from(excess.max().unwrap_or(0)).unwrap_or(i64::MAX)
    }

    /// Gives back what was held, and charges what was used.
    pub(crate) fn end(&mut self, share: Share<'_>, held: &Amounts, charge: Charge) -> Result<(), Violation> {
        let tokens = self.excess(share, held, &charge.charged, Unit::Tokens);
        self.overshoot_tokens = self.overshoot_tokens.saturating_add(tokens);
        for (quota, began) in share.payer.quotas.iter().zip(share.began) {
            let cell = self.cell_mut(quota.unit, quota.period, *began);
            let left = cell.held.checked_sub(held.of(quota.unit)).filter(|left| *left >= 0);
            let used = cell.used.checked_add(charge.charged.of(quota.unit));
            cell.held = left.unwrap_or(0);
            cell.open = cell.open.saturating_sub(1);
            cell.used = used.unwrap_or(i64::MAX);
            self.claim(left.is_some(), Violation::Released)?;
            self.claim(used.is_some(), Violation::Overflow)?;
        }
        if share.wallet {
            let left = self.wallet.held - held.cost.0;
            self.wallet.held = left.max(0);
            self.claim(left >= 0, Violation::Released)?;
            self.wallet.balance = self.wallet.balance.saturating_sub(charge.paid.0);
            self.claim(self.wallet.balance >= self.wallet.held, Violation::Overdrawn)?;
        }
        self.overshoot = self.overshoot.saturating_add(charge.overshoot.0);
        if self.cells.len() > share.payer.quotas.len() {
            self.forget_past();
        }
        Ok(())
    }

    /// Adds to the wallet; the caller has checked that what is held stays covered.
    pub(crate) fn adjust(&mut self, change: NanoUsd) -> Result<(), Violation> {
        let balance = self.wallet.balance.checked_add(change.0);
        self.wallet.balance = balance.unwrap_or(self.wallet.balance);
        self.claim(balance.is_some(), Violation::Overflow)?;
        self.claim(change.0 >= 0 || self.wallet.balance >= self.wallet.held, Violation::Overdrawn)
    }

    /// Adds to what is used of a window.
    pub(crate) fn use_window(&mut self, (unit, period, began): (Unit, Period, EpochMs), change: i64) {
        let cell = self.cell_mut(unit, period, began);
        cell.used = cell.used.saturating_add(change);
        let counted = cell.used >= 0;
        // What is frozen says so itself.
        let _ = self.claim(counted, Violation::Released);
        self.forget_past();
    }

    /// A window of which nothing was known yet.
    pub(crate) fn recall_window(&mut self, cell: Cell) {
        self.cells.push(cell);
    }

    /// What is in the wallet of which nothing was known yet.
    pub(crate) fn recall_balance(&mut self, balance: NanoUsd) {
        self.wallet.balance = balance.0;
    }

    /// Holds again what was held when the process ended, covered or not.
    pub(crate) fn recall_hold(&mut self, share: Share<'_>, held: &Amounts) {
        self.enter(share);
        for (quota, began) in share.payer.quotas.iter().zip(share.began) {
            let cell = self.cell_mut(quota.unit, quota.period, *began);
            cell.held = cell.held.saturating_add(held.of(quota.unit));
        }
        if share.wallet {
            self.wallet.held = self.wallet.held.saturating_add(held.cost.0);
        }
    }

    /// Freezes the account when all that was recalled contradicts itself.
    pub(crate) fn recalled(&mut self) {
        let counted = self.cells.iter().all(|cell| cell.used >= 0);
        // What is frozen stays so; the rest goes on.
        let _ = self.claim(counted, Violation::Released);
        let _ = self.claim(self.wallet.balance >= 0, Violation::Overdrawn);
    }

    fn thawed(&self) -> Result<(), Lacks> {
        if self.frozen.is_some() { Err(Lacks::Frozen) } else { Ok(()) }
    }

    /// What must be so, else the account is frozen.
    fn claim(&mut self, is_so: bool, violation: Violation) -> Result<(), Violation> {
        if is_so {
            return Ok(());
        }
        self.frozen.get_or_insert(violation);
        Err(violation)
    }

    fn wallet_covers(&self, share: Share<'_>, more: &Amounts) -> Result<(), Lacks> {
        let available = self.wallet.balance.saturating_sub(self.wallet.held);
        if share.wallet && more.cost.0 > 0 && available < more.cost.0 {
            return Err(Lacks::Balance(NanoUsd(available.max(0))));
        }
        Ok(())
    }

    fn latest(&self, unit: Unit, period: Period) -> Option<&Cell> {
        let same = self.cells.iter().filter(|cell| cell.unit == unit && cell.period == period);
        same.max_by_key(|cell| cell.began)
    }

    fn find(&self, unit: Unit, period: Period, began: EpochMs) -> Option<usize> {
        self.cells.iter().position(|cell| (cell.unit, cell.period, cell.began) == (unit, period, began))
    }

    fn cell(&self, quota: &Quota, began: EpochMs) -> Cell {
        let Quota { unit, period, .. } = *quota;
        let found = self.find(unit, period, began).map(|at| self.cells[at]);
        found.unwrap_or(Cell { unit, period, began, used: 0, held: 0, open: 0 })
    }

    fn cell_mut(&mut self, unit: Unit, period: Period, began: EpochMs) -> &mut Cell {
        let at = self.find(unit, period, began).unwrap_or_else(|| {
            self.cells.push(Cell { unit, period, began, used: 0, held: 0, open: 0 });
            self.cells.len() - 1
        });
        &mut self.cells[at]
    }

    /// Lets go of windows that are over and from which no open request pays.
    fn forget_past(&mut self) {
        let mut at = 0;
        while at < self.cells.len() {
            let cell = self.cells[at];
            let is_latest = self.latest(cell.unit, cell.period).is_some_and(|last| last.began == cell.began);
            if cell.open == 0 && !is_latest {
                self.cells.swap_remove(at);
            } else {
                at += 1;
            }
        }
    }
}

/// What the end of a request adds to one account.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Charge {
    /// What is added to its windows.
    pub charged: Amounts,
    /// What is taken out of its wallet.
    pub paid: NanoUsd,
    /// What it owes and nobody covered.
    pub overshoot: NanoUsd,
}

/// Whether a window covers more.
fn covers(quota: &Quota, cell: &Cell, more: &Amounts) -> Result<(), Lacks> {
    let used = wide(cell.used) + wide(cell.held);
    if used + wide(more.of(quota.unit)) <= wide(quota.limit) {
        return Ok(());
    }
    let used = i64::try_from(used).unwrap_or(i64::MAX);
    Err(Lacks::Quota(*quota, used, period::ends(cell.period, cell.began)))
}

/// Sums of two or three amounts fit.
fn wide(amount: i64) -> i128 {
    i128::from(amount)
}
