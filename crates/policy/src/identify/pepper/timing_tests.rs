//! T57: how long a look-up takes says neither how much of a secret is right nor whether there is such a key.

use std::hint::black_box;
use std::time::Instant;

use aws_lc_rs::hmac;
use testkit::environment::nightly;
use testkit::trust::Proof;

use super::Pepper;

/// Welch's t above this is a difference (dudect, Reparaz et al. 2017).
const LIMIT: f64 = 4.5;
/// The slowest share of all samples is left out: interrupts, not arithmetic.
const KEPT: f64 = 0.9;

/// How long `run` takes on each of two inputs, in nanoseconds, taken in a random order.
fn samples(count: u32, mut run: impl FnMut(bool)) -> [Vec<f64>; 2] {
    let mut taken = [Vec::new(), Vec::new()];
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..count {
        // xorshift64 (Marsaglia 2003): which input comes next must not follow a pattern.
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let second = chance & 1 == 1;
        let before = Instant::now();
        run(second);
        taken[usize::from(second)].push(before.elapsed().as_secs_f64() * 1e9);
    }
    taken
}

/// Welch's t of two samples, each without what is slower than most of both.
fn welch(taken: &[Vec<f64>; 2]) -> f64 {
    let mut all = taken.concat();
    all.sort_by(f64::total_cmp);
    let at = all.len() / 100 * 90;
    let most = all.get(at).copied().unwrap_or(f64::MAX);
    debug_assert!((at as f64) <= KEPT * all.len() as f64 + 1.0, "the share that is kept");
    let [one, two] = [0, 1].map(|index| {
        let kept: Vec<f64> = taken[index].iter().copied().filter(|time| *time <= most).collect();
        let count = kept.len() as f64;
        let mean = kept.iter().sum::<f64>() / count;
        let variance = kept.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    });
    (one.0 - two.0) / (one.1 + two.1).sqrt()
}

/// The smallest |t| of three rounds: chance alone passes the limit once in a hundred thousand rounds, a shared
/// machine more often; a difference that is there passes it in each.
fn smallest(count: u32, mut run: impl FnMut(bool)) -> f64 {
    (0..3).map(|_| welch(&samples(count, &mut run)).abs()).fold(f64::MAX, f64::min)
}

#[test]
fn a_look_up_takes_as_long_whatever_is_wrong_with_the_secret() {
    let count = if nightly() { 1_000_000 } else { 100_000 };
    let pepper = Pepper::new(&[7; 32]);
    let secret = "k".repeat(58);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]), secret.as_bytes());
    let stored: [u8; 32] = tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes");
    let nearly = format!("{}x", &secret[..57]);
    let wrong = "x".repeat(58);
    let prefix = smallest(count, |second| {
        let text = if second { &nearly } else { &wrong };
        black_box(pepper.recognises(black_box(text), black_box(Some(&stored))));
    });
    let unknown = smallest(count, |second| {
        let known = (!second).then_some(&stored);
        black_box(pepper.recognises(black_box(&wrong), black_box(known)));
    });
    // A look-up that spares the hash where there is no key is found out, or nothing is shown here.
    let sparing = smallest(count / 10, |second| {
        let known = (!second).then_some(&stored);
        black_box(black_box(known).is_some_and(|stored| pepper.verifies(black_box(&wrong), stored)));
    });
    assert!(sparing > LIMIT, "{sparing}");
    assert!(prefix < LIMIT && unknown < LIMIT, "prefix {prefix}, unknown {unknown}");
    let what =
        "The time of a look-up says neither how much of a secret is right nor whether there is such a key";
    let figure =
        format!("{count} samples: |t| {prefix:.2} for 57 right characters of 58, {unknown:.2} for no key");
    Proof::new("T57", "R15", what).held(&figure).expect("the figure is kept");
}
