//! Who guesses at signatures, and what is frozen because of it.
//!
//! Five wrong signatures in a row freeze a key for the network they came from, for longer each time. Ids of
//! keys are public, so a stranger must not be able to freeze a key for its owner: that takes a key that was
//! set up so. How many guesses are answered as such is bounded besides, by source and by key; beyond that a
//! wrong signature is answered like a frozen one, while a right one, which is no guess, still passes.

use std::collections::VecDeque;

use foldhash::HashMap;
use model::ResourceId;
use model::clock::EpochMs;
use model::resource::FreezeScope;

use super::log::Event;
use super::source::Source;
use crate::shards::Shards;

/// Wrong signatures in a row that freeze.
pub const MOST_IN_A_ROW: u8 = 5;
/// Frozen sources of one key; with so many, sources that were never right are refused.
pub const MOST_FROZEN: usize = 1_024;
/// How long the first freeze of a source lasts; each further one twice as long,
pub const FIRST_FREEZE_MS: u64 = 15 * 60 * 1_000;
/// up to this.
pub const LONGEST_FREEZE_MS: u64 = 24 * 60 * 60 * 1_000;
/// Guesses that are answered as such, a minute and source (reliability.md T56),
const MOST_TOLD_BY_SOURCE: usize = 10;
const MINUTE_MS: u64 = 60_000;
/// and an hour and key.
const MOST_TOLD_BY_KEY: usize = 100;
const HOUR_MS: u64 = 3_600_000;
/// Sources of one key that are remembered at all; those longest quiet are forgotten first.
const MOST_SOURCES: usize = 2 * MOST_FROZEN;

/// Why a signature is not even looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frozen {
    /// The key is frozen everywhere, until an administrator thaws it.
    Everywhere,
    /// It is frozen for this source until then.
    Source(EpochMs),
    /// It is frozen for so many sources that only those pass which were right before.
    Crowded,
}

/// What the sender of a wrong signature may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// That it is wrong.
    Wrong,
    /// Nothing more than if it was frozen: too many guesses were answered already.
    Frozen,
}

/// The freezes of all keys.
#[derive(Debug, Default)]
pub struct Freezes(Shards<ResourceId, OfKey>);

#[derive(Debug, Default)]
struct OfKey {
    everywhere: bool,
    /// Wrong ones in a row, wherever they came from.
    in_a_row: u8,
    told: Recent,
    sources: HashMap<Source, OfSource>,
}

#[derive(Debug, Default)]
struct OfSource {
    in_a_row: u8,
    told: Recent,
    /// How often it was frozen; decides how long the next freeze lasts.
    freezes: u8,
    frozen_until: EpochMs,
    /// Whether it was ever right.
    succeeded: bool,
    last: EpochMs,
}

/// The times of the last few answers, of which only so many may lie within a span.
#[derive(Debug, Default)]
struct Recent(VecDeque<EpochMs>);

impl Recent {
    /// Whether fewer than `most` lie within the last `span`; then this is one more.
    fn take(&mut self, most: usize, span: u64, now_ms: EpochMs) -> bool {
        while self.0.front().is_some_and(|at| at.saturating_add(span) <= now_ms) {
            self.0.pop_front();
        }
        let fits = self.0.len() < most;
        if fits {
            self.0.push_back(now_ms);
        }
        fits
    }
}

impl Freezes {
    /// Whether signatures of `key` from `source` are refused unseen.
    #[must_use]
    pub fn frozen(&self, key: &ResourceId, source: Source, now_ms: EpochMs) -> Option<Frozen> {
        let shard = self.0.of(key);
        let of_key = shard.get(key)?;
        if of_key.everywhere {
            return Some(Frozen::Everywhere);
        }
        let known = of_key.sources.get(&source);
        if let Some(known) = known.filter(|known| known.frozen_until > now_ms) {
            return Some(Frozen::Source(known.frozen_until));
        }
        let trusted = known.is_some_and(|known| known.succeeded);
        (!trusted && of_key.is_crowded(now_ms)).then_some(Frozen::Crowded)
    }

    /// A signature was wrong. Also gives what is to be written down, if that froze something.
    pub(super) fn failed(
        &self,
        key: &ResourceId,
        source: Source,
        scope: FreezeScope,
        now_ms: EpochMs,
    ) -> (Told, Option<Event>) {
        let mut shard = self.0.of(key);
        let of_key = shard.entry(key.clone()).or_default();
        of_key.in_a_row = of_key.in_a_row.saturating_add(1);
        let total = of_key.in_a_row;
        let by_source = of_key.source(source, now_ms).told.take(MOST_TOLD_BY_SOURCE, MINUTE_MS, now_ms);
        let by_key = by_source && of_key.told.take(MOST_TOLD_BY_KEY, HOUR_MS, now_ms);
        let told = if by_key { Told::Wrong } else { Told::Frozen };
        let known = of_key.source(source, now_ms);
        known.in_a_row = known.in_a_row.saturating_add(1);
        let event = match scope {
            FreezeScope::Key if total.max(known.in_a_row) >= MOST_IN_A_ROW => {
                of_key.everywhere = true;
                Some(Event::FrozenEverywhere { key: key.clone() })
            }
            FreezeScope::Source if known.in_a_row >= MOST_IN_A_ROW => {
                known.freeze(now_ms);
                let (until, freezes) = (known.frozen_until, known.freezes);
                Some(Event::Frozen { key: key.clone(), source, until, freezes })
            }
            FreezeScope::Key | FreezeScope::Source => None,
        };
        (told, event)
    }

    /// A request was right in all: its source starts anew. Also gives what is to be written down, if it is
    /// the first from there or ends a series of freezes.
    pub(super) fn succeeded(&self, key: &ResourceId, source: Source, now_ms: EpochMs) -> Option<Event> {
        let mut shard = self.0.of(key);
        if !shard.contains_key(key) {
            shard.insert(key.clone(), OfKey::default());
        }
        let of_key = shard.get_mut(key)?;
        of_key.in_a_row = 0;
        let known = of_key.source(source, now_ms);
        let first = !std::mem::replace(&mut known.succeeded, true);
        let news = first || known.freezes > 0;
        (known.in_a_row, known.freezes) = (0, 0);
        news.then(|| Event::Succeeded { key: key.clone(), source })
    }

    /// Ends all freezes of a key; whether there may have been any.
    pub(super) fn thaw(&self, key: &ResourceId) -> bool {
        let mut shard = self.0.of(key);
        let Some(of_key) = shard.get_mut(key) else { return false };
        of_key.sources.retain(|_, known| {
            *known = OfSource { succeeded: known.succeeded, last: known.last, ..OfSource::default() };
            known.succeeded
        });
        (of_key.everywhere, of_key.in_a_row, of_key.told) = (false, 0, Recent::default());
        true
    }

    /// What is frozen of a key.
    #[must_use]
    pub fn of(&self, key: &ResourceId, now_ms: EpochMs) -> (bool, Vec<(Source, EpochMs)>) {
        let shard = self.0.of(key);
        let Some(of_key) = shard.get(key) else { return (false, Vec::new()) };
        let frozen = of_key.sources.iter().filter(|(_, known)| known.frozen_until > now_ms);
        let mut sources: Vec<_> = frozen.map(|(source, known)| (*source, known.frozen_until)).collect();
        sources.sort_unstable();
        (of_key.everywhere, sources)
    }

    /// Everything that must survive a restart.
    pub(super) fn snapshot(&self, now_ms: EpochMs) -> Vec<Event> {
        let mut events = Vec::new();
        for shard in self.0.each() {
            for (key, of_key) in shard.iter() {
                if of_key.everywhere {
                    events.push(Event::FrozenEverywhere { key: key.clone() });
                }
                for (source, known) in &of_key.sources {
                    let (key, source) = (key.clone(), *source);
                    if known.succeeded {
                        events.push(Event::Succeeded { key: key.clone(), source });
                    }
                    // One that is over still decides how long the next one lasts.
                    if known.freezes > 0 && !known.is_forgiven(now_ms) {
                        let (until, freezes) = (known.frozen_until, known.freezes);
                        events.push(Event::Frozen { key, source, until, freezes });
                    }
                }
            }
        }
        events
    }

    /// Brings back what was written down before a restart.
    pub(super) fn recall(&self, event: &Event) {
        match event {
            Event::Nonce { .. } => {}
            Event::FrozenEverywhere { key } => {
                self.0.of(key).entry(key.clone()).or_default().everywhere = true;
            }
            Event::Frozen { key, source, until, freezes } => {
                let mut shard = self.0.of(key);
                let known = shard.entry(key.clone()).or_default().source(*source, 0);
                (known.frozen_until, known.freezes, known.in_a_row) = (*until, *freezes, 0);
            }
            Event::Succeeded { key, source } => {
                let mut shard = self.0.of(key);
                let known = shard.entry(key.clone()).or_default().source(*source, 0);
                (known.succeeded, known.in_a_row, known.freezes) = (true, 0, 0);
            }
            Event::Thawed { key } => {
                self.thaw(key);
            }
        }
    }
}

impl OfKey {
    /// Whether as many sources are frozen as are kept. Counted only when there can be so many.
    fn is_crowded(&self, now_ms: EpochMs) -> bool {
        let frozen = || self.sources.values().filter(|known| known.frozen_until > now_ms).count();
        self.sources.len() >= MOST_FROZEN && frozen() >= MOST_FROZEN
    }

    fn source(&mut self, source: Source, now_ms: EpochMs) -> &mut OfSource {
        if self.sources.len() >= MOST_SOURCES && !self.sources.contains_key(&source) {
            self.forget_one(now_ms);
        }
        let known = self.sources.entry(source).or_default();
        known.last = now_ms;
        known
    }

    /// Forgets the source that matters least: not frozen before frozen, never right before right, then by age.
    fn forget_one(&mut self, now_ms: EpochMs) {
        let least = self
            .sources
            .iter()
            .min_by_key(|(_, known)| (known.frozen_until > now_ms, known.succeeded, known.last));
        if let Some(least) = least.map(|(source, _)| *source) {
            self.sources.remove(&least);
        }
    }
}

impl OfSource {
    /// Whether the last freeze is over for as long as the longest one lasts: the next is the shortest again.
    fn is_forgiven(&self, now_ms: EpochMs) -> bool {
        self.frozen_until.saturating_add(LONGEST_FREEZE_MS) < now_ms
    }

    fn freeze(&mut self, now_ms: EpochMs) {
        if self.is_forgiven(now_ms) {
            self.freezes = 0;
        }
        let doubled = FIRST_FREEZE_MS.checked_shl(u32::from(self.freezes)).unwrap_or(LONGEST_FREEZE_MS);
        self.frozen_until = now_ms.saturating_add(doubled.min(LONGEST_FREEZE_MS));
        self.freezes = self.freezes.saturating_add(1).min(32);
        self.in_a_row = 0;
    }
}
