//! What every engine of shared state must do, whatever it keeps its numbers in.
//!
//! The engine in memory passes it here; another one gets a module of its own at the end and the same checks.

use std::sync::atomic::{AtomicU64, Ordering};

use model::ResourceId;
use state::{
    Blocks, CircuitDecision, CircuitState, Circuits, Demand, Dimension, InFlight, Level, LimitOwner, Limits,
    Punishment, ResolvedLimits, Violation,
};

/// A moment at the start of a minute and of a UTC day.
const MIDNIGHT: u64 = 20_000 * 86_400_000;

fn demand(level: Level, rate: ResolvedLimits) -> Demand {
    Demand { owner: LimitOwner { level, id: "one".into() }, rate, expected_tokens: 10 }
}

fn rate(dimension: Dimension, limit: u64) -> ResolvedLimits {
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
trait LimitEngine: Send + Sync {
    type Taken: Send;
    fn admit(&self, demands: &[Demand], now_ms: u64) -> Result<Self::Taken, Violation>;
    fn settle(&self, taken: &Self::Taken, real: u64, now_ms: u64);
    fn release(&self, taken: Self::Taken);
}

fn admits_exactly_the_limit_from_many_threads<E: LimitEngine>(engine: &E) {
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
        held.into_inner().into_iter().for_each(|taken| engine.release(taken));
    }
}

fn takes_from_no_level_when_one_refuses<E: LimitEngine>(engine: &E) {
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

fn reports_the_first_violated_level_and_dimension<E: LimitEngine>(engine: &E) {
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

fn says_when_to_come_back_and_then_admits<E: LimitEngine>(engine: &E) {
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

fn corrects_tokens_to_the_real_use_once<E: LimitEngine>(engine: &E) {
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

fn a_place_returns_once_when_released<E: LimitEngine>(engine: &E) {
    let limited = [demand(Level::Ip, rate(Dimension::Concurrent, 2))];
    let first = engine.admit(&limited, MIDNIGHT).expect("fits");
    let second = engine.admit(&limited, MIDNIGHT).expect("fits");
    assert!(engine.admit(&limited, MIDNIGHT).is_err());
    engine.release(first);
    let third = engine.admit(&limited, MIDNIGHT + 1).expect("fits");
    let refused = engine.admit(&limited, MIDNIGHT + 1).err().expect("both places are held");
    assert_eq!((refused.dimension, refused.used), (Dimension::Concurrent, 2));
    engine.release(second);
    engine.release(third);
}

fn a_clock_that_goes_back_creates_no_budget<E: LimitEngine>(engine: &E) {
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
    assert_eq!(blocks.list(MIDNIGHT).len(), 2);
    blocks.reset(&one);
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

mod memory {
    use super::*;

    impl LimitEngine for Limits {
        type Taken = state::Taken;

        fn admit(&self, demands: &[Demand], now_ms: u64) -> Result<state::Taken, Violation> {
            self.admit(demands, now_ms)
        }

        fn settle(&self, taken: &state::Taken, real: u64, now_ms: u64) {
            self.settle_tokens(taken, real, now_ms);
        }

        fn release(&self, taken: state::Taken) {
            self.release(&taken);
        }
    }

    #[test]
    fn limits_keep_the_contract() {
        admits_exactly_the_limit_from_many_threads(&Limits::new());
        takes_from_no_level_when_one_refuses(&Limits::new());
        reports_the_first_violated_level_and_dimension(&Limits::new());
        says_when_to_come_back_and_then_admits(&Limits::new());
        corrects_tokens_to_the_real_use_once(&Limits::new());
        a_place_returns_once_when_released(&Limits::new());
        a_clock_that_goes_back_creates_no_budget(&Limits::new());
    }

    #[test]
    fn circuits_keep_the_contract() {
        a_circuit_opens_probes_and_closes(&Circuits::new());
        a_failed_probe_opens_the_circuit_again(&Circuits::new());
    }

    #[test]
    fn blocks_keep_the_contract() {
        a_block_ends_by_time_or_by_hand(&Blocks::new());
    }

    #[test]
    fn places_keep_the_contract() {
        an_account_never_runs_more_than_its_limit(&InFlight::new());
    }

    #[test]
    fn a_dropped_permit_gives_its_places_back() {
        let limits = Limits::new();
        let limited = [demand(Level::Key, rate(Dimension::Concurrent, 1))];
        for _ in 0..3 {
            let taken = limits.admit(&limited, MIDNIGHT).expect("fits");
            assert!(limits.admit(&limited, MIDNIGHT).is_err());
            drop(taken);
        }
    }

    #[test]
    fn the_headers_show_the_tightest_level() {
        let limits = Limits::new();
        let demands = [
            demand(Level::Key, ResolvedLimits { rpm: Some(9), tpm: Some(500), ..Default::default() }),
            demand(Level::User, ResolvedLimits { rpm: Some(5), ..Default::default() }),
        ];
        let taken = limits.admit(&demands, MIDNIGHT + 1).expect("fits");
        let (requests, tokens) = (taken.requests().expect("limited"), taken.tokens().expect("limited"));
        assert_eq!((requests.limit, requests.remaining, requests.reset_at_s), (5, 4, MIDNIGHT / 1_000 + 60));
        assert_eq!((tokens.limit, tokens.remaining), (500, 490));
        let free = limits.admit(&[], MIDNIGHT).expect("nothing limits");
        assert_eq!((free.requests(), free.tokens()), (None, None));
    }
}
