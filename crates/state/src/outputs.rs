//! How many tokens the next answer is expected to have: the 95th percentile of the last answers of the
//! same key and model (access.md §5). In integers, and about 1 KB for each pair.

use std::cmp::Ordering;
use std::sync::Arc;

use model::ResourceId;

use crate::shards::Shards;

/// Answers that count (access.md §5).
const LAST: usize = 200;
/// Answers below which [`UNKNOWN`] is expected (access.md §5).
pub const ENOUGH: usize = 20;
/// Tokens expected until enough answers are known (access.md §5).
pub const UNKNOWN: u64 = 256;
/// Pairs of key and model that are remembered: 17 MB.
pub const MOST_PAIRS: usize = 16_384;
/// Of them, in one shard.
const MOST_IN_SHARD: usize = MOST_PAIRS / 64;

/// The lengths of the last answers by key and model.
#[derive(Debug, Default)]
pub struct Outputs(Shards<Pair, Box<Lengths>>);

type Pair = (ResourceId, Arc<str>);

/// The last lengths of one pair.
#[derive(Debug)]
struct Lengths {
    /// A ring, in the order in which they came.
    ring: [u32; LAST],
    /// Places of the ring, by the length that stands there, then by the place.
    sorted: [u8; LAST],
    known: u8,
    next: u8,
    /// Whether anybody used it since room was last made.
    used: bool,
}

impl Outputs {
    /// Nothing known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that an answer had so many output tokens.
    pub fn note(&self, key: &ResourceId, model: &Arc<str>, tokens: u64) {
        let pair = (key.clone(), Arc::clone(model));
        let mut shard = self.0.of(&pair);
        if let Some(lengths) = shard.get_mut(&pair) {
            lengths.note(tokens);
            return;
        }
        if shard.len() >= MOST_IN_SHARD {
            // The first that nobody used since the last round goes; when all were used, a new round begins.
            let unused = shard.iter().find(|(_, lengths)| !lengths.used).map(|(pair, _)| pair.clone());
            let goes = unused.or_else(|| {
                shard.values_mut().for_each(|lengths| lengths.used = false);
                shard.keys().next().cloned()
            });
            goes.map(|pair| shard.remove(&pair));
        }
        shard.entry(pair).or_default().note(tokens);
    }

    /// The output tokens expected of the next answer; never more than `most`, what the caller asked for.
    #[must_use]
    pub fn expect(&self, key: &ResourceId, model: &Arc<str>, most: Option<u64>) -> u64 {
        let pair = (key.clone(), Arc::clone(model));
        let expected = self.0.of(&pair).get_mut(&pair).and_then(|lengths| lengths.percentile_95());
        expected.unwrap_or(UNKNOWN).min(most.unwrap_or(u64::MAX))
    }

    /// Pairs of key and model that are remembered.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.0.each().map(|shard| shard.len()).sum()
    }
}

impl Default for Lengths {
    fn default() -> Self {
        Self { ring: [0; LAST], sorted: [0; LAST], known: 0, next: 0, used: true }
    }
}

impl Lengths {
    fn note(&mut self, tokens: u64) {
        self.used = true;
        let (place, known) = (self.next, usize::from(self.known));
        let known = if known == LAST {
            // The oldest, which stands where the newest will.
            let old = self.rank(self.ring[usize::from(place)], place, known).unwrap_or_else(|at| at);
            self.sorted.copy_within(old + 1..known, old);
            known - 1
        } else {
            known
        };
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        self.ring[usize::from(place)] = tokens;
        let at = self.rank(tokens, place, known).unwrap_or_else(|at| at);
        self.sorted.copy_within(at..known, at + 1);
        self.sorted[at] = place;
        self.known = u8::try_from(known + 1).unwrap_or(u8::MAX);
        self.next = if usize::from(place) + 1 == LAST { 0 } else { place + 1 };
    }

    /// Where a length at a place of the ring stands, or would stand, among the first `known`.
    fn rank(&self, tokens: u32, place: u8, known: usize) -> Result<usize, usize> {
        let compare = |other: &u8| -> Ordering {
            self.ring[usize::from(*other)].cmp(&tokens).then_with(|| other.cmp(&place))
        };
        self.sorted[..known].binary_search_by(compare)
    }

    /// The smallest length that at least 95 of 100 answers do not exceed.
    fn percentile_95(&mut self) -> Option<u64> {
        self.used = true;
        let known = usize::from(self.known);
        if known < ENOUGH {
            return None;
        }
        let rank = (known * 95).div_ceil(100) - 1;
        Some(u64::from(self.ring[usize::from(self.sorted[rank])]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_takes_a_kilobyte() {
        let taken = size_of::<Lengths>() + size_of::<(Pair, Box<Lengths>)>();
        assert!(taken <= 1_050, "{taken}");
        assert!(size_of::<Lengths>() <= 1_024);
    }
}
