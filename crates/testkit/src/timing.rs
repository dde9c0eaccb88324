//! Whether the time of an operation says which of two kinds of input it was given: Welch's t-test over many runs, as
//! dudect does it (Reparaz, Balasch, Verbauwhede: "Dude, is my code constant time?", 2017).
//!
//! What the harness itself does must not depend on the kind. All inputs are made before a clock is read, each is
//! copied to the same place before its run, and nothing that is timed chooses between two of them.

use std::time::Instant;

use crate::chance::Chance;

/// |t| above this is a difference between the kinds: by chance alone it comes once in more than a hundred thousand tests.
pub const LIMIT: f64 = 4.5;
/// The slowest tenth of all runs is left out: interrupts, not arithmetic.
const KEPT_PERCENT: usize = 90;
/// Inputs that are made at a time: enough to forget the first, few enough to stay in a cache.
const BATCH: usize = 10_000;

/// Of which of the two kinds an input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The same input each time.
    Fixed,
    /// Another input each time.
    Random,
}

/// How long runs took, in nanoseconds, by kind.
#[derive(Debug, Default)]
pub struct Times {
    fixed: Vec<u64>,
    random: Vec<u64>,
}

impl Times {
    /// With one more.
    pub fn add(&mut self, kind: Kind, nanoseconds: u64) {
        match kind {
            Kind::Fixed => self.fixed.push(nanoseconds),
            Kind::Random => self.random.push(nanoseconds),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.fixed.len() + self.random.len()
    }

    /// |t| of Welch's test over all but the slowest runs.
    #[must_use]
    pub fn t(&self) -> f64 {
        let mut all = [self.fixed.as_slice(), &self.random].concat();
        all.sort_unstable();
        let most = all.get(all.len() * KEPT_PERCENT / 100).copied().unwrap_or(u64::MAX);
        let [(one, spread), (other, other_spread)] =
            [&self.fixed, &self.random].map(|times| mean(times, most));
        (one - other).abs() / (spread + other_spread).sqrt()
    }
}

/// The mean of what is at most `most`, and the square of its standard error.
fn mean(times: &[u64], most: u64) -> (f64, f64) {
    let kept: Vec<f64> = times.iter().filter(|time| **time <= most).map(|time| *time as f64).collect();
    let count = kept.len() as f64;
    let mean = kept.iter().sum::<f64>() / count;
    let variance = kept.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, variance / count)
}

/// Times `count` runs on inputs of both kinds in a random order: `place` puts an input where `run`, the only thing
/// that is timed, finds it.
pub fn times<I, S>(
    (seed, count): (u64, usize),
    state: &mut S,
    mut input: impl FnMut(Kind, &mut Chance) -> I,
    place: impl Fn(&mut S, &I),
    run: impl Fn(&S),
) -> Times {
    let mut chance = Chance::seeded(seed);
    let mut times = Times::default();
    let mut batch = Vec::with_capacity(BATCH);
    let mut warm = false;
    while times.count() < count {
        batch.clear();
        batch.extend((0..BATCH).map(|_| {
            let kind = if chance.percent(50) { Kind::Fixed } else { Kind::Random };
            (kind, input(kind, &mut chance), 0)
        }));
        for (_, input, took) in &mut batch {
            place(state, input);
            let before = Instant::now();
            run(state);
            *took = u64::try_from(before.elapsed().as_nanos()).unwrap_or(u64::MAX);
        }
        // The first batch fills caches and teaches the processor the way.
        let measured = batch.iter().filter(|_| warm);
        measured.for_each(|(kind, _, took)| times.add(*kind, *took));
        warm = true;
    }
    times
}

/// The |t| of each round of a measurement, up to three, until one is below [`LIMIT`]: what chance or a busy machine does
/// once it does not do three times, and a difference that is there is there each time.
pub fn rounds(mut measure: impl FnMut(u64) -> f64) -> Vec<f64> {
    let mut found = Vec::new();
    for round in 0..3 {
        found.push(measure(round));
        if found.last().is_some_and(|t| *t < LIMIT) {
            break;
        }
    }
    found
}

/// Whether the last of the rounds shows no difference, and all of them as text.
#[must_use]
pub fn verdict(rounds: &[f64]) -> (bool, String) {
    let shown: Vec<String> = rounds.iter().map(|t| format!("{t:.2}")).collect();
    (rounds.last().is_some_and(|t| *t < LIMIT), shown.join(", then "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times_of(mut of: impl FnMut(Kind, &mut Chance) -> u64) -> Times {
        let (mut chance, mut times) = (Chance::seeded(7), Times::default());
        for number in 0..100_000 {
            let kind = if number % 2 == 0 { Kind::Fixed } else { Kind::Random };
            let took = of(kind, &mut chance);
            times.add(kind, took);
        }
        times
    }

    #[test]
    fn what_takes_alike_long_is_told_from_what_takes_a_little_longer() {
        assert!(times_of(|_, chance| chance.between(100, 140)).t() < LIMIT);
        let longer = |kind, chance: &mut Chance| chance.between(100, 140) + u64::from(kind == Kind::Random);
        assert!(times_of(longer).t() > LIMIT);
    }

    #[test]
    fn a_few_runs_that_were_interrupted_do_not_hide_a_difference() {
        let t = times_of(|kind, chance| match chance.percent(3) {
            true => chance.between(10_000, 1_000_000),
            false => chance.between(100, 140) + 2 * u64::from(kind == Kind::Fixed),
        });
        assert!(t.t() > LIMIT, "{}", t.t());
    }

    #[test]
    fn rounds_end_with_the_first_that_shows_nothing() {
        let found = |all: [f64; 3]| rounds(|round| all[round as usize]);
        assert_eq!(found([1.0, 9.0, 9.0]), [1.0]);
        assert_eq!(verdict(&found([9.0, 1.0, 9.0])), (true, "9.00, then 1.00".to_owned()));
        assert!(!verdict(&found([5.0, 6.0, 7.0])).0 && !verdict(&[]).0);
    }

    #[test]
    fn every_run_is_given_its_own_input_and_the_first_batch_is_not_counted() {
        let state = &mut (0, std::cell::Cell::new(0));
        let mut next = 0;
        let input = |_, _: &mut Chance| {
            next += 1;
            next
        };
        let all = times(
            (1, 15_000),
            state,
            input,
            |state, input| state.0 = *input,
            |state| {
                state.1.set(state.1.get() + state.0);
            },
        );
        assert_eq!(all.count(), 2 * BATCH);
        let runs = 3 * BATCH;
        assert_eq!(state.1.get(), runs * (runs + 1) / 2);
    }
}
