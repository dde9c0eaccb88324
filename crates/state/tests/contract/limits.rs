//! What every engine of limits must do.

use std::sync::atomic::{AtomicU64, Ordering};

use state::{Demand, Dimension, LEASE_MS, Level, LimitOwner, ResolvedLimits, Violation};

use crate::{DAY, MIDNIGHT};

pub fn demand(level: Level, rate: ResolvedLimits) -> Demand {
    Demand { owner: LimitOwner { level, id: "one".into() }, rate, expected_tokens: 10 }
}

pub fn rate(dimension: Dimension, limit: u64) -> ResolvedLimits {
    let mut rate = ResolvedLimits::default();
    let field = match dimension {
        Dimension::Rpm => &mut rate.rpm,
        Dimension::Tpm => &mut rate.tpm,
        Dimension::Rpd => &mut rate.rpd,
        Dimension::Tpd => &mut rate.tpd,
        Dimension::Concurrent => &mut rate.concurrent,
        Dimension::Burst => &mut rate.burst,
    };
    *field = Some(limit);
    rate
}

/// An engine of limits. `admit` keeps what it took until `release`.
pub trait LimitEngine: Send + Sync {
    type Taken: Send;
    fn admit(&self, demands: &[Demand], now_ms: u64) -> Result<Self::Taken, Violation>;
    fn settle(&self, taken: &Self::Taken, real: u64, now_ms: u64);
    fn renew(&self, taken: &mut Self::Taken, now_ms: u64);
    /// May come twice for what was taken once.
    fn release(&self, taken: &Self::Taken);
}

pub fn admits_exactly_the_limit_from_many_threads<E: LimitEngine>(engine: &E) {
    for dimension in Dimension::ALL {
        let per_request = if matches!(dimension, Dimension::Tpm | Dimension::Tpd) { 10 } else { 1 };
        let mut limited = demand(Level::Key, rate(dimension, 1_000 * per_request));
        limited.owner.id = dimension.name().into();
        let demands = [limited];
        let admitted = AtomicU64::new(0);
        let held = parking_lot::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..64 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        if let Ok(taken) = engine.admit(&demands, MIDNIGHT) {
                            admitted.fetch_add(1, Ordering::Relaxed);
                            held.lock().push(taken);
                        }
                    }
                });
            }
        });
        assert_eq!(admitted.load(Ordering::Relaxed), 1_000, "{dimension:?}");
        held.into_inner().iter().for_each(|taken| engine.release(taken));
    }
}

pub fn takes_from_no_level_when_one_refuses<E: LimitEngine>(engine: &E) {
    let wide = ResolvedLimits { rpm: Some(3), concurrent: Some(3), ..ResolvedLimits::default() };
    let key = demand(Level::Key, wide);
    let model = demand(Level::Model, rate(Dimension::Rpm, 0));
    for _ in 0..10 {
        let refused = engine.admit(&[key.clone(), model.clone()], MIDNIGHT).err().expect("refused");
        assert_eq!((refused.level, refused.dimension), (Level::Model, Dimension::Rpm));
    }
    for _ in 0..3 {
        assert!(engine.admit(std::slice::from_ref(&key), MIDNIGHT).is_ok());
    }
}

pub fn reports_the_first_violated_level_and_dimension<E: LimitEngine>(engine: &E) {
    let levels = [Level::Global, Level::Model, Level::Tenant, Level::User, Level::Key, Level::Ip];
    for from in 0..levels.len() {
        let demands: Vec<Demand> =
            levels[..=from].iter().map(|level| demand(*level, rate(Dimension::Rpd, 0))).collect();
        let refused = engine.admit(&demands, MIDNIGHT).err().expect("refused");
        assert_eq!((refused.level, refused.dimension), (levels[from], Dimension::Rpd));
    }
    let mut all = ResolvedLimits::default();
    for dimension in Dimension::ALL.into_iter().rev() {
        let one = rate(dimension, 0);
        all = ResolvedLimits {
            rpm: one.rpm.or(all.rpm),
            tpm: one.tpm.or(all.tpm),
            rpd: one.rpd.or(all.rpd),
            tpd: one.tpd.or(all.tpd),
            concurrent: one.concurrent.or(all.concurrent),
            burst: one.burst.or(all.burst),
        };
        let refused = engine.admit(&[demand(Level::Key, all)], MIDNIGHT).err().expect("refused");
        assert_eq!(refused.dimension, dimension);
    }
}

pub fn says_when_to_come_back_and_then_admits<E: LimitEngine>(engine: &E) {
    for (dimension, now_ms, retry_after_s) in [
        (Dimension::Rpm, MIDNIGHT, 90),
        (Dimension::Rpm, MIDNIGHT + 59_000, 31),
        (Dimension::Rpd, MIDNIGHT + 86_399_500, 1),
        (Dimension::Rpd, MIDNIGHT + 1_000, 86_399),
        (Dimension::Burst, MIDNIGHT, 1),
    ] {
        let mut limited = demand(Level::User, rate(dimension, 2));
        limited.owner.id = format!("{dimension:?} {now_ms}").into();
        let limited = [limited];
        for _ in 0..2 {
            assert!(engine.admit(&limited, now_ms).is_ok());
        }
        let refused = engine.admit(&limited, now_ms).err().expect("refused");
        assert_eq!(
            (refused.retry_after_s, refused.limit, refused.used),
            (retry_after_s, 2, 2),
            "{dimension:?}"
        );
        assert_eq!(refused.reset_at_s, (now_ms + retry_after_s * 1_000) / 1_000);
        assert!(engine.admit(&limited, refused.reset_at_s * 1_000 - 1_000).is_err(), "{dimension:?}");
        assert!(engine.admit(&limited, refused.reset_at_s * 1_000).is_ok(), "{dimension:?}");
    }
}

pub fn corrects_tokens_to_the_real_use_once<E: LimitEngine>(engine: &E) {
    let limited =
        [demand(Level::Tenant, ResolvedLimits { tpm: Some(100), tpd: Some(100), ..Default::default() })];
    let first = engine.admit(&limited, MIDNIGHT).expect("fits");
    for _ in 0..2 {
        engine.settle(&first, 95, MIDNIGHT + 1);
    }
    let refused = engine.admit(&limited, MIDNIGHT + 1).err().expect("refused");
    assert_eq!((refused.dimension, refused.used), (Dimension::Tpm, 95));
    let next_day = MIDNIGHT + 86_400_000;
    for _ in 0..2 {
        let taken: Vec<_> = (0..10).map(|_| engine.admit(&limited, next_day).expect("fits")).collect();
        assert!(engine.admit(&limited, next_day).is_err());
        taken.iter().for_each(|taken| engine.settle(taken, 0, next_day + 1));
    }
}

pub fn a_place_returns_once_when_released<E: LimitEngine>(engine: &E) {
    let limited = [demand(Level::Ip, rate(Dimension::Concurrent, 2))];
    let first = engine.admit(&limited, MIDNIGHT).expect("fits");
    let second = engine.admit(&limited, MIDNIGHT).expect("fits");
    assert!(engine.admit(&limited, MIDNIGHT).is_err());
    engine.release(&first);
    engine.release(&first);
    let third = engine.admit(&limited, MIDNIGHT + 1).expect("fits");
    let refused = engine.admit(&limited, MIDNIGHT + 1).err().expect("both places are held");
    assert_eq!((refused.dimension, refused.used), (Dimension::Concurrent, 2));
    engine.release(&second);
    engine.release(&third);
}

pub fn a_clock_that_goes_back_creates_no_budget<E: LimitEngine>(engine: &E) {
    for dimension in [Dimension::Rpm, Dimension::Rpd, Dimension::Burst] {
        let mut limited = demand(Level::Model, rate(dimension, 5));
        limited.owner.id = format!("back {dimension:?}").into();
        let limited = [limited];
        for _ in 0..5 {
            assert!(engine.admit(&limited, MIDNIGHT + 30_000).is_ok());
        }
        for back in [1, 10_000, 45_000, 200_000, 86_400_000, MIDNIGHT] {
            assert!(
                engine.admit(&limited, MIDNIGHT + 30_000 - back.min(MIDNIGHT)).is_err(),
                "{dimension:?} {back}"
            );
        }
    }
}

/// Places of one owner that are held, told by what a refusal says.
fn running<E: LimitEngine>(engine: &E, id: &str, now_ms: u64) -> u64 {
    let mut full = demand(Level::Key, rate(Dimension::Concurrent, 0));
    full.owner.id = id.into();
    engine.admit(&[full], now_ms).err().expect("0 allows nothing").used
}

pub fn a_place_is_a_lease<E: LimitEngine>(engine: &E) {
    let mut limited = demand(Level::Key, rate(Dimension::Concurrent, 2));
    limited.owner.id = "lease".into();
    let limited = [limited];
    let mut streaming = engine.admit(&limited, MIDNIGHT).expect("fits");
    let dead = engine.admit(&limited, MIDNIGHT).expect("fits");
    assert!(engine.admit(&limited, MIDNIGHT + LEASE_MS - 1).is_err());
    for seconds in (0..3_600).step_by(20) {
        engine.renew(&mut streaming, MIDNIGHT + seconds * 1_000);
    }
    let hour = MIDNIGHT + 3_600_000;
    assert_eq!(running(engine, "lease", hour), 1, "the stream holds its place, the dead one lost it");
    let next = engine.admit(&limited, hour).expect("the place of the dead is free");
    engine.release(&dead);
    engine.release(&dead);
    assert_eq!(running(engine, "lease", hour), 2, "who lost its place frees nobody else's");
    engine.release(&streaming);
    engine.release(&streaming);
    assert_eq!(running(engine, "lease", hour), 1);
    engine.release(&next);
    assert_eq!(running(engine, "lease", hour), 0);
}

pub fn a_holder_that_renews_late_counts_again<E: LimitEngine>(engine: &E) {
    let mut limited = demand(Level::Key, rate(Dimension::Concurrent, 1));
    limited.owner.id = "late".into();
    let limited = [limited];
    let mut late = engine.admit(&limited, MIDNIGHT).expect("fits");
    let now_ms = MIDNIGHT + LEASE_MS;
    let other = engine.admit(&limited, now_ms).expect("the first was not renewed");
    engine.renew(&mut late, now_ms);
    assert_eq!(running(engine, "late", now_ms), 2, "both run");
    engine.release(&other);
    assert!(engine.admit(&limited, now_ms).is_err());
    engine.release(&late);
    engine.renew(&mut late, now_ms);
    assert_eq!(running(engine, "late", now_ms), 0, "what was released is not renewed");
}

/// Every level has one more than the one before it, so each is at one time the one that refuses.
pub fn takes_from_all_six_levels_or_from_none<E: LimitEngine>(engine: &E) {
    const LEVELS: [Level; 6] =
        [Level::Ip, Level::Key, Level::User, Level::Tenant, Level::Model, Level::Global];
    for dimension in Dimension::ALL {
        let per_request = if matches!(dimension, Dimension::Tpm | Dimension::Tpd) { 10 } else { 1 };
        for (tightest, level) in LEVELS.into_iter().enumerate() {
            let limit = |at: usize| if at == tightest { 40 } else { 60 } * per_request;
            let name = format!("six {dimension:?} {tightest}");
            let of = |at: usize, limit| {
                let mut limited = demand(LEVELS[at], rate(dimension, limit));
                limited.owner.id = name.as_str().into();
                limited
            };
            let all: Vec<Demand> = (0..LEVELS.len()).rev().map(|at| of(at, limit(at))).collect();
            let (taken, refused) = take_from_threads(engine, &all, 8, 10);
            assert_eq!(taken.len(), 40, "{name}");
            assert!(refused.iter().all(|by| by.level == level), "{name}: {refused:?}");
            // Refusals took nothing: every other level has room for exactly twenty more.
            let others = (0..LEVELS.len()).filter(|at| *at != tightest);
            let others: Vec<Demand> = others.map(|at| of(at, limit(at))).collect();
            let (more, _) = take_from_threads(engine, &others, 4, 10);
            assert_eq!(more.len(), 20, "{name}");
        }
    }
}

fn take_from_threads<E: LimitEngine>(
    engine: &E,
    demands: &[Demand],
    threads: usize,
    each: usize,
) -> (Vec<E::Taken>, Vec<Violation>) {
    let results = parking_lot::Mutex::new((Vec::new(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..each {
                    match engine.admit(demands, MIDNIGHT) {
                        Ok(taken) => results.lock().0.push(taken),
                        Err(refused) => results.lock().1.push(refused),
                    }
                }
            });
        }
    });
    results.into_inner()
}

pub fn of_ten_thousand_at_once_exactly_the_limit_is_taken<E: LimitEngine>(engine: &E) {
    let mut key = demand(Level::Key, rate(Dimension::Rpd, 3_333));
    let mut user = demand(Level::User, rate(Dimension::Concurrent, 5_000));
    key.owner.id = "ten thousand".into();
    user.owner.id = "ten thousand".into();
    let (taken, refused) = take_from_threads(engine, &[key, user.clone()], 100, 100);
    assert_eq!((taken.len(), refused.len()), (3_333, 6_667));
    assert!(refused.iter().all(|by| by.dimension == Dimension::Rpd && by.used == 3_333));
    let (more, _) = take_from_threads(engine, &[user], 100, 20);
    assert_eq!(more.len(), 5_000 - 3_333);
}

/// Reliability T16: a clock that jumps under load never grants more than time going on would, and time
/// going on always brings new budget.
pub fn no_jump_of_the_clock_grants_twice<E: LimitEngine>(engine: &E) {
    const HOUR: u64 = 3_600_000;
    for (number, jump_ms) in [0, HOUR, 12 * HOUR, DAY, 365 * DAY].into_iter().enumerate() {
        for dimension in [Dimension::Rpm, Dimension::Rpd, Dimension::Tpd, Dimension::Burst] {
            let limit = if dimension == Dimension::Tpd { 100 } else { 10 };
            let mut limited = demand(Level::Tenant, rate(dimension, limit));
            limited.owner.id = format!("jump {number} {dimension:?}").into();
            let limited = [limited];
            let admit = |now_ms| (0..25).filter(|_| engine.admit(&limited, now_ms).is_ok()).count();
            let last = MIDNIGHT + DAY - 1;
            assert_eq!(admit(last), 10, "{dimension:?}");
            // A jump back grants nothing, and the jump forth no more than the same time passing would.
            assert_eq!(admit(last - jump_ms), 0, "{dimension:?} {jump_ms}");
            let passed = match dimension {
                Dimension::Rpm | Dimension::Burst => jump_ms >= HOUR,
                _ => jump_ms > DAY,
            };
            assert_eq!(admit(last), if passed { 10 } else { 0 }, "{dimension:?} {jump_ms}");
            // Forward by two days there is one new budget, and only one.
            assert_eq!(admit(last + 2 * DAY), 10, "{dimension:?} {jump_ms}");
            assert_eq!(admit(last + 2 * DAY), 0, "{dimension:?} {jump_ms}");
        }
    }
}

pub fn midnight_begins_exactly_one_new_day<E: LimitEngine>(engine: &E) {
    let mut limited = demand(Level::User, rate(Dimension::Rpd, 100));
    limited.owner.id = "midnight".into();
    let limited = [limited];
    let admitted = AtomicU64::new(0);
    // Threads read the clock at slightly different times: half are still in the old day.
    std::thread::scope(|scope| {
        for thread in 0..16_u64 {
            let (limited, admitted) = (&limited, &admitted);
            scope.spawn(move || {
                for n in 0..100 {
                    let now_ms = MIDNIGHT + DAY - 1 + (thread + n) % 2;
                    let fits = engine.admit(limited, now_ms).is_ok();
                    admitted.fetch_add(u64::from(fits), Ordering::Relaxed);
                }
            });
        }
    });
    let admitted = admitted.load(Ordering::Relaxed);
    assert!((100..=200).contains(&admitted), "{admitted}");
    assert!(engine.admit(&limited, MIDNIGHT + DAY).is_err());
}
