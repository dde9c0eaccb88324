//! Chance that can be repeated: every random choice of a run follows from one printed number.

use std::sync::OnceLock;

use crate::environment;

static SEED: OnceLock<u64> = OnceLock::new();

/// The seed of this run: `YUMEN_SEED`, else the time. It is printed once, before it is used.
#[expect(clippy::disallowed_methods, clippy::print_stderr, reason = "a test run's seed comes from outside")]
pub fn seed() -> u64 {
    *SEED.get_or_init(|| {
        let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let seed = environment::number("YUMEN_SEED").unwrap_or_else(|| now().as_secs());
        eprintln!("YUMEN_SEED={seed}");
        seed
    })
}

/// A stream of random numbers (SplitMix64): good enough to mix a load, never for secrets.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The stream that belongs to a seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.number() % (high.saturating_sub(low) + 1)
    }

    /// True in `percent` of a hundred cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.between(0, 99) < percent
    }

    /// One of several.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        let index = self.between(0, choices.len().saturating_sub(1) as u64);
        choices.get(usize::try_from(index).unwrap_or_default()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_within_their_bounds() {
        let (mut one, mut two) = (Chance::seeded(7), Chance::seeded(7));
        for _ in 0..1_000 {
            let number = one.between(20, 300);
            assert!((20..=300).contains(&number));
            assert_eq!(number, two.between(20, 300));
        }
        assert_ne!(Chance::seeded(8).number(), Chance::seeded(7).number());
    }
}
