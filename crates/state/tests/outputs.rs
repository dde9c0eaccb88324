//! Expected outputs: the 95th percentile of the last 200 answers, exactly.

mod chance;

use std::sync::Arc;

use chance::Chance;
use model::ResourceId;
use state::outputs::{ENOUGH, MOST_PAIRS, Outputs, UNKNOWN};

fn key(n: u64) -> ResourceId {
    ResourceId::mint(n, [1; 10])
}

/// The smallest length that at least 95 % of the last 200 do not exceed, by counting.
fn by_counting(all: &[u64]) -> u64 {
    let last = &all[all.len().saturating_sub(200)..];
    let covers = |length: &&u64| {
        let within = last.iter().filter(|other| other <= length).count();
        within * 100 >= last.len() * 95
    };
    last.iter().filter(covers).min().copied().unwrap_or(0)
}

#[test]
fn the_percentile_is_exact() {
    for seed in 1..=12 {
        let (outputs, model) = (Outputs::new(), Arc::from("m"));
        let mut chance = Chance(seed);
        // Few different lengths bring ties, many bring none.
        let spread = [2, 10, 1_000, u32::MAX as usize][chance.below(4)];
        let mut all = Vec::new();
        for n in 0..650 {
            if n < 50 || n % 7 == 0 {
                let expected = if n < ENOUGH { UNKNOWN } else { by_counting(&all) };
                assert_eq!(outputs.expect(&key(1), &model, None), expected, "seed {seed}, answer {n}");
            }
            all.push(chance.below(spread) as u64);
            outputs.note(&key(1), &model, all[n]);
        }
    }
}

#[test]
fn no_more_is_expected_than_was_asked_for() {
    let (outputs, model) = (Outputs::new(), Arc::from("m"));
    assert_eq!(outputs.expect(&key(1), &model, Some(16)), 16);
    assert_eq!(outputs.expect(&key(1), &model, Some(4_096)), UNKNOWN);
    (0..20).for_each(|_| outputs.note(&key(1), &model, u64::MAX));
    assert_eq!(outputs.expect(&key(1), &model, Some(4_096)), 4_096);
    assert_eq!(outputs.expect(&key(1), &model, None), u64::from(u32::MAX));
    (0..200).for_each(|_| outputs.note(&key(1), &model, 0));
    assert_eq!(outputs.expect(&key(1), &model, None), 0);
}

#[test]
fn keys_and_models_do_not_mix() {
    let (outputs, one, two) = (Outputs::new(), Arc::from("one"), Arc::from("two"));
    (0..20).for_each(|_| outputs.note(&key(1), &one, 7));
    assert_eq!(outputs.expect(&key(1), &one, None), 7);
    assert_eq!(outputs.expect(&key(1), &two, None), UNKNOWN);
    assert_eq!(outputs.expect(&key(2), &one, None), UNKNOWN);
}

#[test]
fn strangers_push_out_each_other_and_not_who_is_busy() {
    let (outputs, model) = (Outputs::new(), Arc::from("m"));
    (0..20).for_each(|_| outputs.note(&key(0), &model, 7));
    for n in 1..3 * MOST_PAIRS as u64 {
        outputs.note(&key(n), &model, 1);
        assert_eq!(outputs.expect(&key(0), &model, None), 7, "after {n} strangers");
    }
    assert!(outputs.pairs() <= MOST_PAIRS);
}
