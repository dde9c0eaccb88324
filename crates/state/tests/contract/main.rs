//! What every engine of shared state must do, whatever it keeps its numbers in.
//!
//! The engine in memory passes it in `memory`; another one gets a module of its own and the same checks.

mod limits;
mod memory;
mod signatures;

use std::sync::atomic::{AtomicU64, Ordering};

use model::ResourceId;
use state::{Blocks, CircuitDecision, CircuitState, Circuits, InFlight, Punishment};

/// A moment at the start of a minute and of a UTC day.
const MIDNIGHT: u64 = 20_000 * DAY;
/// Milliseconds of a day.
const DAY: u64 = 86_400_000;

fn a_circuit_opens_probes_and_closes(circuits: &Circuits) {
    let now = MIDNIGHT;
    for _ in 0..4 {
        circuits.report("c", false, now);
    }
    circuits.report("c", true, now);
    for _ in 0..4 {
        circuits.report("c", false, now);
    }
    assert_eq!(circuits.admit("c", now), CircuitDecision::Allow);
    circuits.report("c", false, now);
    assert_eq!(circuits.admit("c", now), CircuitDecision::Refuse { until_ms: now + 30_000 });
    circuits.report("c", true, now + 1);
    assert_eq!(circuits.state("c", now + 29_999), CircuitState::Open);
    let later = now + 30_000;
    assert_eq!(circuits.state("c", later), CircuitState::HalfOpen);
    for _ in 0..3 {
        assert_eq!(circuits.admit("c", later), CircuitDecision::AllowProbe);
    }
    assert!(matches!(circuits.admit("c", later), CircuitDecision::Refuse { .. }));
    circuits.cancel_probe("c");
    assert_eq!(circuits.admit("c", later), CircuitDecision::AllowProbe);
    circuits.report("c", true, later);
    assert_eq!(circuits.list(later), [("c".to_owned(), CircuitState::HalfOpen)]);
    circuits.report("c", true, later);
    assert_eq!((circuits.state("c", later), circuits.list(later).len()), (CircuitState::Closed, 0));
}

fn a_failed_probe_opens_the_circuit_again(circuits: &Circuits) {
    (0..5).for_each(|_| circuits.report("p", false, MIDNIGHT));
    let later = MIDNIGHT + 30_000;
    assert_eq!(circuits.admit("p", later), CircuitDecision::AllowProbe);
    circuits.report("p", false, later);
    assert_eq!(circuits.admit("p", later + 1), CircuitDecision::Refuse { until_ms: later + 30_000 });
    let earlier = MIDNIGHT - 86_400_000;
    assert_eq!(circuits.admit("p", earlier), CircuitDecision::Refuse { until_ms: earlier + 30_000 });
    assert_eq!(circuits.admit("p", earlier + 30_000), CircuitDecision::AllowProbe);
    circuits.reset("p");
    assert_eq!(circuits.admit("p", earlier), CircuitDecision::Allow);
}

fn a_block_ends_by_time_or_by_hand(blocks: &Blocks) {
    let (one, two) = (ResourceId::mint(1, [1; 10]), ResourceId::mint(1, [2; 10]));
    assert_eq!(blocks.blocked(&one, "m", MIDNIGHT), None);
    let until = blocks.punish(&one, Punishment::RateLimited, Some(30), MIDNIGHT);
    let block = blocks.blocked(&one, "m", until - 1).expect("blocked");
    assert_eq!((block.until_ms, block.reason), (MIDNIGHT + 30_000, "rate_limited"));
    assert_eq!(blocks.blocked(&two, "m", MIDNIGHT), None);
    assert_eq!(blocks.blocked(&one, "m", until), None);
    blocks.punish(&one, Punishment::CredentialRefused, None, MIDNIGHT);
    assert_eq!(blocks.blocked(&one, "m", u64::MAX - 1).map(|b| b.reason), Some("credential_refused"));
    blocks.punish_model(&two, "gone", MIDNIGHT);
    assert!(blocks.blocked(&two, "gone", MIDNIGHT + 599_999).is_some());
    assert_eq!(blocks.blocked(&two, "other", MIDNIGHT), None);
    let shown = |id| -> Vec<_> {
        blocks.of(id, MIDNIGHT).into_iter().map(|shown| (shown.model, shown.block.reason)).collect()
    };
    assert_eq!(shown(&one), [(None, "credential_refused")]);
    assert_eq!(shown(&two), [(Some("gone".to_owned()), "model_not_found")]);
    assert_eq!(blocks.endless(), std::slice::from_ref(&one));
    blocks.reset(&one);
    assert_eq!((shown(&one).len(), blocks.endless().len()), (0, 0));
    assert_eq!(blocks.blocked(&one, "m", MIDNIGHT), None);
}

fn an_account_never_runs_more_than_its_limit(in_flight: &InFlight) {
    let account = ResourceId::mint(1, [3; 10]);
    let most = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let slot = in_flight.enter(&account, Some(7), MIDNIGHT);
                    most.fetch_max(u64::from(in_flight.running(&account, MIDNIGHT)), Ordering::Relaxed);
                    drop(slot);
                }
            });
        }
    });
    let most = most.load(Ordering::Relaxed);
    assert!((1..=7).contains(&most), "{most}");
    assert_eq!(in_flight.running(&account, MIDNIGHT), 0);
    let held: Vec<_> = (0..3).map_while(|_| in_flight.enter(&account, Some(2), MIDNIGHT)).collect();
    assert_eq!((held.len(), in_flight.running(&account, MIDNIGHT)), (2, 2));
    assert!(in_flight.enter(&account, None, MIDNIGHT).is_some());
    assert!(in_flight.enter(&account, Some(0), MIDNIGHT).is_none());
}

fn a_place_at_an_account_is_a_lease(in_flight: &InFlight) {
    let account = ResourceId::mint(1, [4; 10]);
    let enter = |now_ms| in_flight.enter(&account, Some(2), now_ms);
    let mut streaming = enter(MIDNIGHT).expect("free");
    let dead = enter(MIDNIGHT).expect("free");
    for seconds in (0..3_600).step_by(20) {
        streaming.renew(MIDNIGHT + seconds * 1_000);
    }
    let hour = MIDNIGHT + 3_600_000;
    let next = enter(hour).expect("the place of the dead is free");
    assert!(enter(hour).is_none());
    drop(dead);
    assert!(enter(hour).is_none(), "who lost its place frees nobody else's");
    drop((streaming, next));
    assert_eq!(in_flight.running(&account, hour), 0);
}
