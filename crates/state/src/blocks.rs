//! Timed blocks of accounts: what an account's own answers cost it, and for how long.
//!
//! How long is [data](PUNISHMENTS), from the table of accounts.md §3. An account without blocks and
//! strikes takes no memory, one with them about 200 bytes and at most [`MODELS`] models; what ended ten
//! minutes ago is forgotten.

use std::sync::atomic::{AtomicUsize, Ordering};

use model::ResourceId;
use model::clock::EpochMs;

use crate::shards::Shards;

/// Models of one account that can be blocked at one time; a further one replaces the one that ends first.
const MODELS: usize = 1_000;
/// Strikes older than this, counted from the end of the block they brought, are forgotten.
const FORGET_MS: u64 = 600_000;
/// The longest block that an upstream can ask for: a day.
const LONGEST_RETRY_AFTER_S: u64 = 86_400;

/// What an account did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Punishment {
    /// It answered 429.
    RateLimited,
    /// It answered 503 or 529.
    Overloaded,
    /// It answered 500 or 502, or could not be reached.
    Failing,
    /// It answered 401, 402 or 403.
    CredentialRefused,
    /// It does not have the model.
    ModelMissing,
}

/// How an account is punished for one kind of answer.
#[derive(Clone, Copy, Debug)]
pub struct Term {
    /// For what.
    pub kind: Punishment,
    /// The reason shown with the block.
    pub reason: &'static str,
    /// How often it goes unpunished in a row.
    pub forgiven: u32,
    /// The first block in milliseconds; each further one in a row is twice as long.
    pub first_ms: u64,
    /// The longest block in milliseconds.
    pub longest_ms: u64,
    /// Whether the time that the upstream names counts instead.
    pub obeys_retry_after: bool,
}

/// A table of one-line entries: every punishment.
#[rustfmt::skip]
pub const PUNISHMENTS: [Term; 5] = [
    Term { kind: Punishment::RateLimited, reason: "rate_limited", forgiven: 0, first_ms: 60_000, longest_ms: 600_000, obeys_retry_after: true },
    Term { kind: Punishment::Overloaded, reason: "overloaded", forgiven: 0, first_ms: 5_000, longest_ms: 60_000, obeys_retry_after: false },
    Term { kind: Punishment::Failing, reason: "failing", forgiven: 1, first_ms: 1_000, longest_ms: 60_000, obeys_retry_after: false },
    Term { kind: Punishment::CredentialRefused, reason: "credential_refused", forgiven: 0, first_ms: u64::MAX, longest_ms: u64::MAX, obeys_retry_after: false },
    Term { kind: Punishment::ModelMissing, reason: "model_not_found", forgiven: 0, first_ms: 600_000, longest_ms: 600_000, obeys_retry_after: false },
];

impl Punishment {
    /// What an upstream's HTTP status brings, if anything. A missing model is not told by its status.
    #[must_use]
    pub fn of_status(status: u16) -> Option<Self> {
        match status {
            429 => Some(Self::RateLimited),
            503 | 529 => Some(Self::Overloaded),
            500 | 502 => Some(Self::Failing),
            401..=403 => Some(Self::CredentialRefused),
            _ => None,
        }
    }

    /// Its row of the table.
    #[must_use]
    pub fn term(self) -> &'static Term {
        &PUNISHMENTS[self as usize]
    }
}

/// Why and until when an account, or one of its models, is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// When it ends, in milliseconds since the epoch; [`EpochMs::MAX`] means when a probe finds that the
    /// account works, its credential or address changes, or an administrator resets it.
    pub until_ms: EpochMs,
    /// Why.
    pub reason: &'static str,
}

/// A block as shown to an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownBlock {
    /// The one model that is blocked; `None` for the whole account.
    pub model: Option<String>,
    /// Until when and why.
    pub block: Block,
}

/// All blocks of the process.
#[derive(Debug, Default)]
pub struct Blocks {
    accounts: Shards<ResourceId, Account>,
    /// Entries in `accounts`: while there are none, which is nearly always, nobody takes a lock.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Account {
    whole: Option<Block>,
    models: Vec<(Box<str>, Block)>,
    strikes: [u32; PUNISHMENTS.len()],
    /// When the last strike, or the block it brought, ends.
    struck_until_ms: EpochMs,
}

impl Blocks {
    /// No blocks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Blocks an account, or one of its models, until `until_ms`. A longer block in force stays.
    pub fn block(&self, account: &ResourceId, model: Option<&str>, until_ms: EpochMs, reason: &'static str) {
        self.change(account, |entry| entry.block(model, Block { until_ms, reason }));
    }

    /// The block that keeps `account` from serving `model` now.
    #[must_use]
    pub fn blocked(&self, account: &ResourceId, model: &str, now_ms: EpochMs) -> Option<Block> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut accounts = self.accounts.of(account);
        let entry = accounts.get_mut(account)?;
        let of_model = entry.models.iter().find(|(name, _)| **name == *model).map(|(_, block)| *block);
        let found = [entry.whole, of_model].into_iter().flatten().find(|block| now_ms < block.until_ms);
        if found.is_none() && entry.is_over(now_ms) {
            accounts.remove(account);
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        found
    }

    /// Punishes an account for an answer: until when it is blocked, `now_ms` when it is forgiven.
    /// `retry_after_s` is what the upstream asked for, in seconds.
    pub fn punish(
        &self,
        account: &ResourceId,
        kind: Punishment,
        retry_after_s: Option<u64>,
        now_ms: EpochMs,
    ) -> EpochMs {
        self.change(account, |entry| {
            let until_ms = entry.strike(kind, retry_after_s, now_ms);
            if until_ms > now_ms {
                entry.block(None, Block { until_ms, reason: kind.term().reason });
            }
            until_ms
        })
    }

    /// Blocks a model that the account turned out not to have; returns until when.
    pub fn punish_model(&self, account: &ResourceId, model: &str, now_ms: EpochMs) -> EpochMs {
        let term = Punishment::ModelMissing.term();
        let until_ms = now_ms.saturating_add(term.first_ms);
        self.block(account, Some(model), until_ms, term.reason);
        until_ms
    }

    /// Notes a success: what the account did before is forgiven. Blocks in force run on.
    pub fn succeeded(&self, account: &ResourceId) {
        if self.count.load(Ordering::Relaxed) > 0
            && let Some(entry) = self.accounts.of(account).get_mut(account)
        {
            entry.strikes = Default::default();
        }
    }

    /// Ends every block of an account and forgets its strikes.
    pub fn reset(&self, account: &ResourceId) {
        if self.accounts.of(account).remove(account).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The blocks of an account in force, that of the whole account first, then by model.
    #[must_use]
    pub fn of(&self, account: &ResourceId, now_ms: EpochMs) -> Vec<ShownBlock> {
        let mut shown =
            self.accounts.of(account).get(account).map_or_else(Vec::new, |entry| entry.shown(now_ms));
        shown.sort_by(|a, b| a.model.cmp(&b.model));
        shown
    }

    /// The accounts whose block no time ends.
    #[must_use]
    pub fn endless(&self) -> Vec<ResourceId> {
        let is_endless = |entry: &Account| entry.whole.is_some_and(|block| block.until_ms == EpochMs::MAX);
        let mut found = Vec::new();
        for shard in self.accounts.each() {
            found.extend(
                shard.iter().filter(|(_, entry)| is_endless(entry)).map(|(account, _)| account.clone()),
            );
        }
        found
    }

    fn change<T>(&self, account: &ResourceId, change: impl FnOnce(&mut Account) -> T) -> T {
        let mut accounts = self.accounts.of(account);
        let entry = accounts.entry(account.clone()).or_insert_with(|| {
            self.count.fetch_add(1, Ordering::Relaxed);
            Account::default()
        });
        change(entry)
    }
}

impl Account {
    fn block(&mut self, model: Option<&str>, block: Block) {
        let Some(model) = model else {
            let current = self.whole.get_or_insert(block);
            if block.until_ms > current.until_ms {
                *current = block;
            }
            return;
        };
        if let Some((_, current)) = self.models.iter_mut().find(|(name, _)| **name == *model) {
            current.until_ms = current.until_ms.max(block.until_ms);
            return;
        }
        if self.models.len() >= MODELS {
            let ends_first = (0..self.models.len()).min_by_key(|&at| self.models[at].1.until_ms);
            self.models.swap_remove(ends_first.unwrap_or(0));
        }
        self.models.push((model.into(), block));
    }

    /// Counts a strike; returns until when it blocks, or `now_ms` when it is forgiven.
    fn strike(&mut self, kind: Punishment, retry_after_s: Option<u64>, now_ms: EpochMs) -> EpochMs {
        if now_ms > self.struck_until_ms.saturating_add(FORGET_MS) {
            self.strikes = Default::default();
        }
        let strikes = &mut self.strikes[kind as usize];
        *strikes = strikes.saturating_add(1);
        let until_ms = now_ms.saturating_add(duration_ms(kind.term(), *strikes, retry_after_s));
        self.struck_until_ms = self.struck_until_ms.max(until_ms);
        until_ms
    }

    fn is_over(&self, now_ms: EpochMs) -> bool {
        let over = |block: &Block| block.until_ms <= now_ms;
        let struck = self.strikes.iter().any(|strikes| *strikes > 0);
        self.whole.as_ref().is_none_or(over)
            && self.models.iter().all(|(_, block)| over(block))
            && (!struck || now_ms > self.struck_until_ms.saturating_add(FORGET_MS))
    }

    fn shown(&self, now_ms: EpochMs) -> Vec<ShownBlock> {
        let whole = self.whole.iter().map(|block| (None, *block));
        let models = self.models.iter().map(|(name, block)| (Some(name.to_string()), *block));
        let in_force = whole.chain(models).filter(|(_, block)| now_ms < block.until_ms);
        in_force.map(|(model, block)| ShownBlock { model, block }).collect()
    }
}

/// How long the `strikes`-th answer of a kind in a row blocks, in milliseconds; 0 when it is forgiven.
fn duration_ms(term: &Term, strikes: u32, retry_after_s: Option<u64>) -> u64 {
    if let (true, Some(seconds)) = (term.obeys_retry_after, retry_after_s) {
        return seconds.clamp(1, LONGEST_RETRY_AFTER_S) * 1_000;
    }
    let Some(doublings) = strikes.checked_sub(term.forgiven + 1) else {
        return 0;
    };
    // Thirty doublings of a millisecond are twelve days: beyond every bound of the table.
    term.first_ms.saturating_mul(1 << doublings.min(30)).min(term.longest_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> ResourceId {
        ResourceId::mint(1, [1; 10])
    }

    #[test]
    fn the_table_stands_in_the_order_of_the_kinds() {
        for (at, term) in PUNISHMENTS.iter().enumerate() {
            assert_eq!(term.kind as usize, at);
            assert_eq!(term.kind.term().reason, term.reason);
        }
    }

    #[test]
    fn each_punishment_lasts_as_the_table_says() {
        const FOREVER: u64 = u64::MAX;
        for (status, retry_after, expected_s) in [
            (429, None, [60, 120, 240, 480, 600, 600]),
            (429, Some(7), [7; 6]),
            (429, Some(0), [1; 6]),
            (429, Some(u64::MAX), [86_400; 6]),
            (503, None, [5, 10, 20, 40, 60, 60]),
            (529, Some(900), [5, 10, 20, 40, 60, 60]),
            (500, None, [0, 1, 2, 4, 8, 16]),
            (502, None, [0, 1, 2, 4, 8, 16]),
            (401, None, [FOREVER; 6]),
            (402, None, [FOREVER; 6]),
            (403, None, [FOREVER; 6]),
        ] {
            let (blocks, account) = (Blocks::new(), account());
            let kind = Punishment::of_status(status).expect("punished");
            for seconds in expected_s {
                let until = blocks.punish(&account, kind, retry_after, 1_000);
                assert_eq!(until, 1_000_u64.saturating_add(seconds.saturating_mul(1_000)), "{status}");
            }
        }
        for status in [200, 400, 404, 408, 413, 422, 504, 524] {
            assert_eq!(Punishment::of_status(status), None, "{status}");
        }
    }

    #[test]
    fn a_success_or_a_quiet_time_ends_the_growth() {
        let (blocks, account) = (Blocks::new(), account());
        let punish = |now| blocks.punish(&account, Punishment::Overloaded, None, now) - now;
        assert_eq!((punish(0), punish(0)), (5_000, 10_000));
        blocks.succeeded(&account);
        assert_eq!((punish(0), punish(0)), (5_000, 10_000));
        assert_eq!(punish(10_000 + FORGET_MS), 20_000);
        assert_eq!(punish(10_000 + 3 * FORGET_MS), 5_000);
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let (blocks, account) = (Blocks::new(), account());
        blocks.punish_model(&account, "m", 0);
        assert_eq!(blocks.count.load(Ordering::Relaxed), 1);
        assert_eq!(blocks.blocked(&account, "m", 600_000), None);
        assert_eq!(blocks.count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn an_account_s_list_of_models_is_bounded() {
        let (blocks, account) = (Blocks::new(), account());
        for n in 0..MODELS as u64 + 10 {
            blocks.block(&account, Some(&format!("m{n}")), 1_000 + n, "model_not_found");
        }
        assert_eq!(blocks.of(&account, 0).len(), MODELS);
        assert_eq!(blocks.blocked(&account, "m0", 0), None);
    }
}
