//! The course of one request, from its opening to its one end. Pure: no clock, no locks, no I/O.

use std::sync::Arc;

use model::clock::EpochMs;
use model::entry::EntryState;
use model::quota::Amounts;
use model::{NanoUsd, Usage, UsageSource};

use crate::meter::{AttemptCharge, AttemptStart, Progress, Settlement};

/// Attempts remembered of one request; dispatch makes far fewer.
const MOST_ATTEMPTS: usize = 64;
/// What a running answer has used is kept this often (reliability.md R5).
const CHECKPOINT_MS: EpochMs = 5_000;
/// Or after so many tokens: what a crash makes us guess of one request.
const CHECKPOINT_TOKENS: u64 = 2_000;

/// A step that does not fit the course: it has ended, or was never opened. Without effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request has ended")]
pub struct Late;

/// One request.
#[derive(Clone, Debug)]
pub struct Course {
    held: Amounts,
    attempts: Vec<AttemptStart>,
    progress: Option<Progress>,
    /// When a checkpoint was last kept, and how many tokens it counted.
    kept: (EpochMs, u64),
    ended: bool,
}

/// The figures with which a request ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// How they are known.
    pub state: EntryState,
    /// What was used.
    pub usage: Usage,
    /// What the payers owe.
    pub cost: Option<NanoUsd>,
    /// What counts against their quotas.
    pub charged: Amounts,
    /// What each attempt cost us.
    pub attempts: Vec<AttemptCharge>,
}

impl Course {
    /// A request that holds `expected` and has reached no upstream.
    #[must_use]
    pub fn new(expected: Amounts) -> Self {
        Self { held: expected, attempts: Vec::new(), progress: None, kept: (0, 0), ended: false }
    }

    /// A request that had begun when the process ended.
    #[must_use]
    pub fn restored(expected: Amounts, attempts: Vec<AttemptStart>, progress: Option<Progress>) -> Self {
        Self { held: expected, attempts, progress, kept: (0, 0), ended: false }
    }

    /// What is held.
    #[must_use]
    pub fn held(&self) -> Amounts {
        if self.ended { Amounts::default() } else { self.held }
    }

    /// Whether it may have reached an upstream.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        !self.attempts.is_empty()
    }

    /// An attempt is about to be made.
    ///
    /// # Errors
    /// When it has ended.
    pub fn attempt(&mut self, attempt: AttemptStart, at: EpochMs) -> Result<(), Late> {
        self.running()?;
        self.kept.0 = self.kept.0.max(at);
        if self.attempts.len() < MOST_ATTEMPTS {
            self.attempts.push(attempt);
        }
        Ok(())
    }

    /// More is held.
    ///
    /// # Errors
    /// When it has ended.
    pub fn extend(&mut self, more: &Amounts) -> Result<(), Late> {
        self.running()?;
        self.held = self.held.plus(more);
        Ok(())
    }

    /// So much was used so far.
    ///
    /// # Errors
    /// When it has ended.
    pub fn progress(&mut self, so_far: Progress) -> Result<(), Late> {
        self.running()?;
        self.progress = Some(so_far);
        Ok(())
    }

    /// Whether what was used so far is worth keeping now; if so, the next time is later.
    #[must_use]
    pub fn checkpoint_is_due(&mut self, now: EpochMs) -> bool {
        let Some(so_far) = self.progress.filter(|_| self.is_begun() && !self.ended) else { return false };
        let tokens = so_far.usage.total();
        let (at, counted) = self.kept;
        let is_due =
            now.saturating_sub(at) >= CHECKPOINT_MS || tokens.saturating_sub(counted) >= CHECKPOINT_TOKENS;
        if is_due {
            self.kept = (now, tokens);
        }
        is_due
    }

    /// It ends; whatever comes later is too late.
    ///
    /// # Errors
    /// When it had ended.
    pub fn end(&mut self) -> Result<(), Late> {
        self.running()?;
        self.ended = true;
        Ok(())
    }

    /// Whether anything can still happen to it.
    ///
    /// # Errors
    /// When it has ended.
    pub fn running(&self) -> Result<(), Late> {
        if self.ended { Err(Late) } else { Ok(()) }
    }

    /// The figures of a request that ends as its meter was told.
    #[must_use]
    pub fn settled(&self, settlement: &Settlement) -> Figures {
        let Settlement { usage, cost, .. } = *settlement;
        let state = state_of(usage.source);
        let requests = i64::from(self.is_begun() || state != EntryState::Void);
        let charged = amounts(requests, &usage, cost);
        Figures { state, usage, cost, charged, attempts: self.attempts_with(&settlement.attempts) }
    }

    /// The figures of a request that used nothing.
    #[must_use]
    pub fn voided(&self) -> Figures {
        Figures {
            state: EntryState::Void,
            usage: Usage::default(),
            cost: Some(NanoUsd::ZERO),
            charged: Amounts::default(),
            attempts: self.attempts_with(&[]),
        }
    }

    /// The figures of a request that nobody ends: what it had used by its last checkpoint, else all that
    /// was held for it.
    #[must_use]
    pub fn estimated(&self) -> Figures {
        let tokens = u64::try_from(self.held.tokens).unwrap_or(0);
        let expected =
            Progress { usage: Usage { input: tokens, ..Usage::default() }, cost: Some(self.held.cost) };
        let Progress { mut usage, cost } = self.progress.unwrap_or(expected);
        usage.source = UsageSource::Estimated;
        let last = self.attempts.last();
        let last = last.map(|AttemptStart { number, account }| AttemptCharge {
            number: *number,
            account: Arc::clone(account),
            usage,
            cost,
        });
        let attempts = self.attempts_with(last.as_slice());
        Figures { state: EntryState::Estimated, usage, cost, charged: amounts(1, &usage, cost), attempts }
    }

    /// The attempts that are known, and those that were begun and are not: they used nothing.
    fn attempts_with(&self, known: &[AttemptCharge]) -> Vec<AttemptCharge> {
        let mut attempts = known.to_vec();
        for AttemptStart { number, account } in &self.attempts {
            if !known.iter().any(|attempt| attempt.number == *number) {
                let (number, account) = (*number, Arc::clone(account));
                let cost = Some(NanoUsd::ZERO);
                attempts.push(AttemptCharge { number, account, usage: Usage::default(), cost });
            }
        }
        attempts.sort_by_key(|attempt| attempt.number);
        attempts
    }
}

/// How figures are known that come from `source`.
#[must_use]
pub fn state_of(source: UsageSource) -> EntryState {
    match source {
        UsageSource::Measured => EntryState::Measured,
        UsageSource::Estimated => EntryState::Estimated,
        UsageSource::None => EntryState::Void,
    }
}

/// What counts against quotas; a negative cost counts nothing.
fn amounts(requests: i64, usage: &Usage, cost: Option<NanoUsd>) -> Amounts {
    let tokens = i64::try_from(usage.total()).unwrap_or(i64::MAX);
    Amounts { requests, tokens, cost: cost.unwrap_or(NanoUsd::ZERO).max(NanoUsd::ZERO) }
}
