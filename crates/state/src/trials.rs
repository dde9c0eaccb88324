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

    /// Notes an answer that took so long.
    pub fn succeeded(&self, account: &ResourceId, model: &Arc<str>, latency_ms: u64) {
        self.with(account, model, |tally| {
            tally.successes += 1;
            tally.latency_ms = tally.latency_ms.saturating_add(latency_ms);
        });
    }

    /// Notes a failure.
    pub fn failed(&self, account: &ResourceId, model: &Arc<str>) {
        self.with(account, model, |tally| tally.failures += 1);
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
        trials.succeeded(&account, &model, 30);
        trials.selected(&account, &model, 9);
        trials.failed(&account, &model);
        let tally = Tally { selected: 2, last_selected: 9, successes: 1, failures: 1, latency_ms: 30 };
        assert_eq!(trials.of(&account, &model), tally);
        assert_eq!(trials.of(&account, &Arc::from("other")), Tally::default());
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
