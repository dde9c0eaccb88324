//! Capacity: never more than there is, everything comes back, and no tenant starves.

mod chance;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chance::Chance;
use state::capacity::{ACTIVE_MS, Admitted, Busy, Capacity, Most};

const NOW: u64 = 1_700_000_000_000;

fn of_requests(requests: u64) -> Capacity {
    Capacity::new(Most { requests, body_bytes: 1_000 })
}

fn tenant(n: usize) -> Arc<str> {
    format!("tenant {n}").into()
}

/// One tenant takes all there is.
fn fill(capacity: &Capacity, now_ms: u64) {
    let most = std::iter::from_fn(|| capacity.try_enter(&tenant(99), now_ms).ok()).collect::<Vec<_>>();
    assert!(most.len() >= 50);
}

#[test]
fn one_tenant_alone_may_use_everything() {
    let capacity = of_requests(100);
    let held: Vec<Admitted> = (0..100).map(|_| capacity.try_enter(&tenant(1), NOW).expect("room")).collect();
    assert_eq!(capacity.try_enter(&tenant(1), NOW).expect_err("full"), Busy::Requests);
    assert_eq!(capacity.requests(), 100);
    drop(held);
    assert_eq!(capacity.requests(), 0);
}

#[test]
fn above_three_quarters_each_has_its_share() {
    let capacity = of_requests(100);
    let mut held = vec![capacity.try_enter(&tenant(2), NOW).expect("room")];
    let mut greedy = 0;
    while let Ok(admitted) = capacity.try_enter(&tenant(1), NOW) {
        held.push(admitted);
        greedy += 1;
    }
    assert_eq!(greedy, 74, "three quarters are for who comes first");
    assert_eq!(capacity.try_enter(&tenant(1), NOW).expect_err("above its half"), Busy::Share);
    for _ in 0..25 {
        held.push(capacity.try_enter(&tenant(2), NOW).expect("below its half"));
    }
    assert_eq!(capacity.try_enter(&tenant(2), NOW).expect_err("full"), Busy::Requests);
}

#[test]
fn who_was_refused_keeps_its_share_until_it_comes_back() {
    let capacity = of_requests(100);
    let mut held: Vec<Admitted> =
        (0..100).map(|_| capacity.try_enter(&tenant(1), NOW).expect("room")).collect();
    assert_eq!(capacity.try_enter(&tenant(2), NOW).expect_err("full"), Busy::Requests);
    held.truncate(90);
    assert_eq!(capacity.try_enter(&tenant(1), NOW + 999).expect_err("half is another's"), Busy::Share);
    assert!(capacity.try_enter(&tenant(2), NOW + 1_000).is_ok());
    // Who does not come back is forgotten, and leaves its share to the others.
    assert!(capacity.try_enter(&tenant(1), NOW + 1_000 + ACTIVE_MS).is_ok());
    assert_eq!(capacity.active_tenants(), 1);
}

#[test]
fn bytes_of_bodies_are_bounded_and_shared() {
    let capacity = Capacity::new(Most { requests: 10, body_bytes: 1_000 });
    let mut one = capacity.try_enter(&tenant(1), NOW).expect("room");
    let mut two = capacity.try_enter(&tenant(2), NOW).expect("room");
    one.grow(750).expect("free");
    assert_eq!(one.grow(1).expect_err("above its half"), Busy::Share);
    assert_eq!(two.grow(251).expect_err("more than is left"), Busy::Bytes);
    assert_eq!(two.grow(u64::MAX).expect_err("more than there is"), Busy::Bytes);
    two.grow(250).expect("below its half");
    assert_eq!(capacity.body_bytes(), 1_000);
    one.forget_body();
    assert_eq!(capacity.body_bytes(), 250);
    two.grow(250).expect("its half");
    two.shrink(100);
    assert_eq!(capacity.body_bytes(), 400);
    // Never more than was taken.
    two.shrink(1_000);
    assert_eq!(capacity.body_bytes(), 0);
    drop((one, two));
    assert_eq!((capacity.body_bytes(), capacity.requests()), (0, 0));
}

#[test]
fn never_more_than_there_is_from_many_threads_and_all_comes_back() {
    let capacity = Capacity::new(Most { requests: 50, body_bytes: 5_000 });
    let most = [AtomicU64::new(0), AtomicU64::new(0)];
    let admitted = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..16_u64 {
            let (capacity, most, admitted) = (&capacity, &most, &admitted);
            scope.spawn(move || {
                let mut chance = Chance(thread);
                let mut held = Vec::new();
                for n in 0..3_000 {
                    // Time passes and sometimes jumps, so that idle tenants are forgotten meanwhile.
                    let now_ms = NOW + n * 7 - if chance.below(50) == 0 { 100_000_000 } else { 0 };
                    match chance.below(3) {
                        0 | 1 => {
                            if let Ok(mut one) = capacity.try_enter(&tenant(chance.below(20)), now_ms) {
                                _ = one.grow(chance.below(300) as u64);
                                admitted.fetch_add(1, Ordering::Relaxed);
                                held.push(one);
                            }
                        }
                        _ => held.truncate(chance.below(8)),
                    }
                    most[0].fetch_max(capacity.requests(), Ordering::Relaxed);
                    most[1].fetch_max(capacity.body_bytes(), Ordering::Relaxed);
                }
            });
        }
    });
    let most = most.map(AtomicU64::into_inner);
    assert!(most[0] <= 50 && most[1] <= 5_000 && admitted.into_inner() > 1_000, "{most:?}");
    assert_eq!((capacity.requests(), capacity.body_bytes()), (0, 0));
    fill(&capacity, NOW + 1_000_000);
    assert_eq!(capacity.active_tenants(), 1, "all others are forgotten");
}

/// Reliability T29 in miniature: five times as many requests as fit, most of one tenant. Each step is 10 ms,
/// each request takes a second.
#[test]
fn under_overload_no_tenant_gets_less_than_four_fifths_of_its_share() {
    const PLACES: usize = 200;
    for seed in 1..=20 {
        let capacity = of_requests(PLACES as u64);
        let mut chance = Chance(seed);
        let mut running: Vec<(u64, usize, Admitted)> = Vec::new();
        let mut done = [0_u64; 4];
        for step in 0..3_000_u64 {
            let now_ms = NOW + step * 10;
            running.retain(|(until, _, _)| *until > step);
            // Ten requests a step are five times what fits; seven of ten are the first tenant's.
            for _ in 0..10 {
                let of = chance.below(10).saturating_sub(6);
                if let Ok(admitted) = capacity.try_enter(&tenant(of), now_ms) {
                    running.push((step + 100, of, admitted));
                    // The first ten seconds are for the shares to settle.
                    done[of] += u64::from(step >= 1_000);
                }
            }
        }
        let served: u64 = done.iter().sum();
        let peak = 20 * PLACES as u64;
        assert!(served * 100 >= peak * 80, "seed {seed}: {served} of {peak}");
        let share = peak / 4;
        assert!(done.iter().all(|done| done * 100 >= share * 80), "seed {seed}: {done:?} of {share}");
    }
}

#[test]
fn many_tenants_are_forgotten_even_while_nothing_is_scarce() {
    let capacity = of_requests(100);
    for n in 0..20_000 {
        drop(capacity.try_enter(&tenant(n), NOW + n as u64 * 10));
    }
    assert!(capacity.active_tenants() <= 1_500, "{}", capacity.active_tenants());
}

#[test]
fn a_clock_that_goes_back_does_not_keep_the_gone_active() {
    let capacity = of_requests(100);
    for n in 0..10 {
        drop(capacity.try_enter(&tenant(n), NOW));
    }
    let back = NOW - 86_400_000;
    fill(&capacity, back);
    assert_eq!(capacity.active_tenants(), 11, "they count as having just asked");
    fill(&capacity, back + ACTIVE_MS);
    assert_eq!(capacity.active_tenants(), 1);
}
