//! How often each account was called for each model, and how that went: what a report on the choice of
//! accounts is made of. Counted since the process began.

use std::sync::Arc;

use model::ResourceId;
use model::clock::EpochMs;

use crate::shards::Shards;

/// Pairs of account and model that are remembered; a gateway with 500 accounts of 60 models has 30,000.
pub const MOST_PAIRS: usize = 65_536;
/// Of them, in one shard.
const MOST_IN_SHARD: usize = MOST_PAIRS / 64;

/// Calls by account and the provider's name of the model.
#[derive(Debug, Default)]
pub struct Trials(Shards<(ResourceId, Arc<str>), Tally>);

/// How the calls of one account for one model went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often it was chosen.
    pub selected: u64,
    /// When it was chosen last.
    pub last_selected: EpochMs,
    /// Calls that ended with an answer.
    pub successes: u64,
    /// Calls that the account or its provider failed.
    pub failures: u64,
    /// How long the calls that ended with an answer took, all together.
    pub latency_ms: u64,
    /// How many of a thousand calls failed lately: each call counts an eighth, and all before it the rest.
    pub lately_failed: u32,
    /// How long streams took to their first token lately, in milliseconds, each counted in the same way; 0
    /// before the first.
    pub first_token_ms: u32,
}

impl Tally {
    fn note(&mut self, failed: bool) {
        self.lately_failed = match failed {
            true => self.lately_failed + (1_000 - self.lately_failed.min(1_000)).div_ceil(8),
            false => self.lately_failed - self.lately_failed.div_ceil(8),
        };
    }

    fn note_first_token(&mut self, ms: u32) {
        let ms = u64::from(ms.max(1));
        let lately = match self.first_token_ms {
            0 => ms,
            before => (7 * u64::from(before) + ms) / 8,
        };
        self.first_token_ms = u32::try_from(lately).unwrap_or(u32::MAX).max(1);
    }
}

impl Trials {
    /// Nothing called yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that an account was chosen.
    pub fn selected(&self, account: &ResourceId, model: &Arc<str>, now_ms: EpochMs) {
        self.with(account, model, |tally| {
            tally.selected += 1;
            tally.last_selected = tally.last_selected.max(now_ms);
        });
    }

    /// Notes an answer that took so long, and how long it was to the first token, of streams.
    pub fn succeeded(
        &self,
        account: &ResourceId,
        model: &Arc<str>,
        latency_ms: u64,
        first_token_ms: Option<u32>,
    ) {
        self.with(account, model, |tally| {
            tally.successes += 1;
            tally.latency_ms = tally.latency_ms.saturating_add(latency_ms);
            tally.note(false);
            if let Some(ms) = first_token_ms {
                tally.note_first_token(ms);
            }
        });
    }

    /// Notes a failure.
    pub fn failed(&self, account: &ResourceId, model: &Arc<str>) {
        self.with(account, model, |tally| {
            tally.failures += 1;
            tally.note(true);
        });
    }

    /// How the calls of an account for a model went.
    #[must_use]
    pub fn of(&self, account: &ResourceId, model: &Arc<str>) -> Tally {
        let pair = (account.clone(), Arc::clone(model));
        self.0.of(&pair).get(&pair).copied().unwrap_or_default()
    }

    fn with(&self, account: &ResourceId, model: &Arc<str>, change: impl FnOnce(&mut Tally)) {
        let pair = (account.clone(), Arc::clone(model));
        let mut shard = self.0.of(&pair);
        if shard.len() >= MOST_IN_SHARD && !shard.contains_key(&pair) {
            // Accounts and models come from the configuration; the one called longest ago is gone from it.
            let oldest = shard.iter().min_by_key(|(_, tally)| tally.last_selected);
            oldest.map(|(pair, _)| pair.clone()).map(|pair| shard.remove(&pair));
        }
        change(shard.entry(pair).or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_was_chosen_and_how_it_went() {
        let (trials, account, model) = (Trials::new(), ResourceId::mint(1, [1; 10]), Arc::from("m"));
        trials.selected(&account, &model, 5);
        trials.succeeded(&account, &model, 30, Some(20));
        trials.selected(&account, &model, 9);
        trials.failed(&account, &model);
        let tally = Tally {
            selected: 2,
            last_selected: 9,
            successes: 1,
            failures: 1,
            latency_ms: 30,
            lately_failed: 125,
            first_token_ms: 20,
        };
        assert_eq!(trials.of(&account, &model), tally);
        assert_eq!(trials.of(&account, &Arc::from("other")), Tally::default());
    }

    #[test]
    fn the_last_calls_weigh_most() {
        let (trials, account, model) = (Trials::new(), ResourceId::mint(1, [1; 10]), Arc::from("m"));
        let of = || trials.of(&account, &model);
        let failed: Vec<u32> = (0..100)
            .map(|_| {
                trials.failed(&account, &model);
                of().lately_failed
            })
            .collect();
        assert_eq!((&failed[..4], failed[99]), (&[125, 235, 331, 415][..], 1_000));
        for _ in 0..60 {
            trials.succeeded(&account, &model, 1, Some(100));
        }
        assert_eq!((of().lately_failed, of().first_token_ms), (0, 100));
        (0..3).for_each(|_| trials.succeeded(&account, &model, 1, Some(900)));
        assert_eq!(of().first_token_ms, 363);
        trials.succeeded(&account, &model, 1, None);
        assert_eq!(of().first_token_ms, 363);
        (0..60).for_each(|_| trials.succeeded(&account, &model, 1, Some(u32::MAX)));
        assert!(of().first_token_ms > u32::MAX / 2);
    }

    #[test]
    fn remembers_a_bounded_number() {
        let (trials, account) = (Trials::new(), ResourceId::mint(1, [1; 10]));
        for n in 0..2 * MOST_PAIRS as u64 {
            trials.selected(&account, &Arc::from(n.to_string()), n);
        }
        let remembered: usize = trials.0.each().map(|shard| shard.len()).sum();
        assert!(remembered <= MOST_PAIRS, "{remembered}");
    }
}
