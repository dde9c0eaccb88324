//! Which account serves a request: the best priority first, then by weight.

use fastrand::Rng;

/// What the choice looks at in one eligible account.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Lower goes first.
    pub priority: u32,
    /// Share among accounts of the same priority; 0 is never chosen.
    pub weight: u32,
}

/// Chooses among eligible accounts: the lowest priority number wins, and within it each account is
/// taken in proportion to its weight. `None` when no account has a weight.
pub fn weighted(standings: &[Standing], rng: &mut Rng) -> Option<usize> {
    let best = standings.iter().filter(|s| s.weight > 0).map(|s| s.priority).min()?;
    let in_play = |s: &Standing| s.priority == best && s.weight > 0;
    let total: u64 = standings.iter().filter(|s| in_play(s)).map(|s| u64::from(s.weight)).sum();
    let mut ticket = rng.u64(0..total);
    for (index, standing) in standings.iter().enumerate() {
        if !in_play(standing) {
            continue;
        }
        let weight = u64::from(standing.weight);
        if ticket < weight {
            return Some(index);
        }
        ticket -= weight;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(priority: u32, weight: u32) -> Standing {
        Standing { priority, weight }
    }

    #[test]
    fn the_best_priority_takes_all() {
        let mut rng = Rng::with_seed(1);
        let field = [standing(60, 100), standing(50, 1), standing(40, 0)];
        assert!((0..100).all(|_| weighted(&field, &mut rng) == Some(1)));
    }

    #[test]
    fn shares_follow_the_weights_over_a_thousand_calls() {
        let mut rng = Rng::with_seed(7);
        let field = [standing(50, 1), standing(50, 3), standing(50, 0), standing(50, 6)];
        let mut taken = [0_u32; 4];
        for _ in 0..1_000 {
            taken[weighted(&field, &mut rng).expect("some account has a weight")] += 1;
        }
        // Three standard deviations of a binomial at n = 1,000 are at most 48.
        for (count, expected) in taken.iter().zip([100, 300, 0, 600]) {
            assert!(count.abs_diff(expected) <= 48, "{taken:?}");
        }
        assert_eq!(taken[2], 0);
    }

    #[test]
    fn nothing_to_choose_from_is_nothing() {
        let mut rng = Rng::with_seed(1);
        assert_eq!(weighted(&[], &mut rng), None);
        assert_eq!(weighted(&[standing(1, 0)], &mut rng), None);
    }
}
