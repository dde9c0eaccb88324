//! What every engine that remembers nonces and freezes must do.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::ResourceId;
use model::resource::FreezeScope;
use state::signatures::freezes::{FIRST_FREEZE_MS, LONGEST_FREEZE_MS, MOST_FROZEN};
use state::signatures::{Frozen, KEPT_MS, Source, Spend, Told};

use crate::MIDNIGHT;

/// An engine that remembers nonces and freezes.
pub trait SignatureEngine: Send + Sync {
    fn spend(&self, key: &ResourceId, nonce: u128, most: u64, now_ms: u64) -> Spend;
    fn frozen(&self, key: &ResourceId, source: Source, now_ms: u64) -> Option<Frozen>;
    fn failed(&self, key: &ResourceId, source: Source, scope: FreezeScope, now_ms: u64) -> Told;
    fn succeeded(&self, key: &ResourceId, source: Source, now_ms: u64);
    fn thaw(&self, key: &ResourceId);
}

const MINUTE: u64 = 60_000;

fn key(n: u8) -> ResourceId {
    ResourceId::mint(1, [n; 10])
}

fn source(n: usize) -> Source {
    let [.., a, b] = n.to_be_bytes();
    Source::of(IpAddr::from([10, a, b, 1]))
}

fn fail<E: SignatureEngine>(engine: &E, times: usize, from: Source, now_ms: u64) -> Vec<Told> {
    (0..times).map(|_| engine.failed(&key(1), from, FreezeScope::Source, now_ms)).collect()
}

pub fn of_a_thousand_who_use_one_nonce_exactly_one_passes<E: SignatureEngine>(engine: &E) {
    for nonce in 0..20 {
        let fresh = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..50 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let spent = engine.spend(&key(1), nonce, 100, MIDNIGHT);
                        assert!(matches!(spent, Spend::Fresh | Spend::Reused), "{spent:?}");
                        fresh.fetch_add(usize::from(spent == Spend::Fresh), Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(fresh.into_inner(), 1);
    }
}

pub fn a_nonce_is_remembered_for_half_an_hour_by_its_key<E: SignatureEngine>(engine: &E) {
    assert_eq!(engine.spend(&key(1), 7, 100, MIDNIGHT), Spend::Fresh);
    assert_eq!(engine.spend(&key(2), 7, 100, MIDNIGHT), Spend::Fresh, "another key has its own");
    assert_eq!(engine.spend(&key(1), 7, 100, MIDNIGHT + KEPT_MS - 1), Spend::Reused);
    assert_eq!(engine.spend(&key(1), 7, 100, MIDNIGHT - KEPT_MS), Spend::Reused, "the clock went back");
    assert_eq!(engine.spend(&key(1), 7, 100, MIDNIGHT + KEPT_MS), Spend::Fresh);
}

pub fn a_flood_of_nonces_hurts_only_its_own_key<E: SignatureEngine>(engine: &E) {
    assert_eq!(engine.spend(&key(1), 0, 1_000, MIDNIGHT), Spend::Fresh);
    let spent: Vec<Spend> =
        (1..5_000).map(|nonce| engine.spend(&key(1), nonce, 1_000, MIDNIGHT + 1)).collect();
    assert_eq!(spent.iter().filter(|spent| **spent == Spend::Fresh).count(), 999);
    assert_eq!(spent.iter().filter(|spent| **spent == Spend::Full).count(), 4_000);
    assert_eq!(engine.spend(&key(1), 0, 1_000, MIDNIGHT + 2), Spend::Reused, "none is let go early");
    assert_eq!(engine.spend(&key(2), 1, 1_000, MIDNIGHT + 2), Spend::Fresh);
    assert_eq!(engine.spend(&key(1), 9_999, 1_000, MIDNIGHT + KEPT_MS), Spend::Fresh, "one has ended");
    assert_eq!(engine.spend(&key(1), 9_998, 1_000, MIDNIGHT + KEPT_MS), Spend::Full);
}

pub fn five_in_a_row_freeze_their_source_and_no_other<E: SignatureEngine>(engine: &E) {
    fail(engine, 4, source(1), MIDNIGHT);
    engine.succeeded(&key(1), source(1), MIDNIGHT);
    fail(engine, 4, source(1), MIDNIGHT);
    assert_eq!(engine.frozen(&key(1), source(1), MIDNIGHT), None, "a success starts anew");
    engine.succeeded(&key(1), source(2), MIDNIGHT);
    fail(engine, 1, source(1), MIDNIGHT);
    let end = MIDNIGHT + FIRST_FREEZE_MS;
    assert_eq!(engine.frozen(&key(1), source(1), end - 1), Some(Frozen::Source(end)));
    assert_eq!(engine.frozen(&key(1), source(2), MIDNIGHT), None);
    assert_eq!(engine.frozen(&key(1), source(3), MIDNIGHT), None);
    assert_eq!(engine.frozen(&key(2), source(1), MIDNIGHT), None);
    engine.thaw(&key(1));
    assert_eq!(engine.frozen(&key(1), source(1), MIDNIGHT), None);
}

pub fn freezes_double_up_to_a_day_and_end<E: SignatureEngine>(engine: &E) {
    let mut now = MIDNIGHT;
    for n in 0..9 {
        fail(engine, 5, source(1), now);
        let lasts = (FIRST_FREEZE_MS << n).min(LONGEST_FREEZE_MS);
        assert_eq!(engine.frozen(&key(1), source(1), now), Some(Frozen::Source(now + lasts)), "{n}");
        now += lasts;
        assert_eq!(engine.frozen(&key(1), source(1), now), None, "{n}");
    }
    engine.succeeded(&key(1), source(1), now);
    fail(engine, 5, source(1), now);
    assert_eq!(engine.frozen(&key(1), source(1), now), Some(Frozen::Source(now + FIRST_FREEZE_MS)));
}

pub fn a_key_may_be_frozen_everywhere_until_it_is_thawed<E: SignatureEngine>(engine: &E) {
    for n in 0..5 {
        assert_eq!(engine.frozen(&key(1), source(n), MIDNIGHT), None);
        engine.failed(&key(1), source(n), FreezeScope::Key, MIDNIGHT);
    }
    for now in [MIDNIGHT, MIDNIGHT + 400 * LONGEST_FREEZE_MS] {
        assert_eq!(engine.frozen(&key(1), source(9), now), Some(Frozen::Everywhere));
    }
    engine.thaw(&key(1));
    assert_eq!(engine.frozen(&key(1), source(9), MIDNIGHT), None);
}

pub fn with_too_many_frozen_sources_only_those_pass_that_were_right<E: SignatureEngine>(engine: &E) {
    engine.succeeded(&key(1), source(5_000), MIDNIGHT);
    for n in 0..MOST_FROZEN {
        assert_eq!(engine.frozen(&key(1), source(6_000), MIDNIGHT), None, "{n}");
        fail(engine, 5, source(n), MIDNIGHT);
    }
    assert_eq!(engine.frozen(&key(1), source(6_000), MIDNIGHT), Some(Frozen::Crowded));
    assert_eq!(engine.frozen(&key(1), source(5_000), MIDNIGHT), None);
    assert_eq!(engine.frozen(&key(2), source(6_000), MIDNIGHT), None);
    assert_eq!(engine.frozen(&key(1), source(6_000), MIDNIGHT + FIRST_FREEZE_MS), None);
}

pub fn guesses_have_a_budget<E: SignatureEngine>(engine: &E) {
    let told = |told: Vec<Told>| told.into_iter().filter(|told| *told == Told::Wrong).count();
    let mut from_one = 0;
    for _ in 0..10 {
        from_one += told(fail(engine, 4, source(1), MIDNIGHT));
        engine.succeeded(&key(1), source(1), MIDNIGHT);
    }
    assert_eq!(from_one, 10, "a minute, however often the owner behind the same address is right");
    assert_eq!(told(fail(engine, 1, source(1), MIDNIGHT + MINUTE)), 1);
    let mut from_all = 0;
    for n in 100..300 {
        from_all += told(fail(engine, 5, source(n), MIDNIGHT + 2 * MINUTE));
    }
    assert!((80..=90).contains(&from_all), "{from_all}");
    assert_eq!(told(fail(engine, 1, source(400), MIDNIGHT + 61 * MINUTE)), 1);
}

pub fn a_crowd_of_sources_stays_within_its_bound<E: SignatureEngine>(engine: &E) {
    engine.succeeded(&key(1), source(60_000), MIDNIGHT);
    fail(engine, 5, source(60_001), MIDNIGHT);
    for n in 0..10_000 {
        fail(engine, 1, source(n), MIDNIGHT + 1 + n as u64);
    }
    assert!(engine.frozen(&key(1), source(60_001), MIDNIGHT).is_some(), "a freeze is not pushed out");
    fail(engine, 4, source(9_999), MIDNIGHT + 20_000);
    assert!(engine.frozen(&key(1), source(9_999), MIDNIGHT + 20_000).is_some());
}
