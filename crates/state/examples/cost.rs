//! What shared state costs a request, in nanoseconds: the best and the median of several rounds on one
//! thread, then the same with a second thread that uses the same owner.
//!
//! `cargo run --release -p state --example cost [part of a name]`

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use model::ResourceId;
use state::capacity::{Capacity, Most};
use state::outputs::Outputs;
use state::queue::{Queues, Wanted};
use state::replay::{Begin, Replays};
use state::{Demand, InFlight, Level, LimitOwner, Limits, ResolvedLimits};

const NOW: u64 = 1_700_000_000_000;
/// Repetitions of a round, and rounds.
const TIMES: u64 = 200_000;
const ROUNDS: usize = 15;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    limits(&mut out)?;
    places(&mut out)?;
    others(&mut out)
}

/// Measures `work` alone, then with another thread that does the same.
fn measure(out: &mut impl Write, name: &str, work: &(impl Fn(u64) + Sync)) -> std::io::Result<()> {
    if std::env::args().nth(1).is_some_and(|part| !name.contains(&part)) {
        return Ok(());
    }
    let alone = rounds(work);
    let beside = std::thread::scope(|scope| {
        let other = scope.spawn(|| rounds(work));
        let here = rounds(work);
        other.join().map_or(here, |there| here.max(there))
    });
    let ((best, median), (best_of_two, median_of_two)) = (alone, beside);
    writeln!(out, "{name:44} alone {best:5} {median:5} ns   beside {best_of_two:5} {median_of_two:5} ns")
}

/// The best round and the median.
fn rounds(work: &impl Fn(u64)) -> (u64, u64) {
    let mut rounds: Vec<u64> = (0..ROUNDS).map(|_| round(work)).collect();
    rounds.sort_unstable();
    (rounds[0], rounds[ROUNDS / 2])
}

fn round(work: &impl Fn(u64)) -> u64 {
    let begun = Instant::now();
    (0..TIMES).for_each(work);
    u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX) / TIMES
}

fn demands(levels: &[Level]) -> Vec<Demand> {
    let most = Some(u64::MAX / 2);
    let rate = ResolvedLimits { rpm: most, tpm: most, concurrent: most, ..Default::default() };
    let owner = |level: &Level| LimitOwner { level: *level, id: "01hzxk2v9e4q8r6t5y7w3m1n0b".into() };
    levels.iter().map(|level| Demand { owner: owner(level), rate, expected_tokens: 300 }).collect()
}

fn limits(out: &mut impl Write) -> std::io::Result<()> {
    let six = [Level::Ip, Level::Key, Level::User, Level::Tenant, Level::Model, Level::Global];
    for (name, levels) in [("1 level", &six[1..2]), ("2 levels", &six[1..3]), ("6 levels", &six[..])] {
        let (limits, demands) = (Limits::new(), demands(levels));
        measure(out, &format!("Limits: admit and drop, {name}"), &|n| {
            drop(black_box(limits.admit(&demands, NOW + n / 1_000)));
        })?;
        measure(out, &format!("Limits: admit, settle and drop, {name}"), &|n| {
            if let Ok(taken) = limits.admit(&demands, NOW + n / 1_000) {
                limits.settle_tokens(&taken, 500, NOW + n / 1_000);
            }
        })?;
        let held: Vec<_> = (0..1_000).filter_map(|_| limits.admit(&demands, NOW).ok()).collect();
        let held = parking_lot::Mutex::new(held);
        measure(out, &format!("Limits: renew, {name}"), &|n| {
            let at = usize::try_from(n % 1_000).unwrap_or(0);
            held.lock()[at].renew(NOW + n / 1_000);
        })?;
    }
    Ok(())
}

fn places(out: &mut impl Write) -> std::io::Result<()> {
    let (in_flight, account) = (InFlight::new(), ResourceId::mint(1, [1; 10]));
    measure(out, "InFlight: enter and drop, account idle", &|n| {
        drop(black_box(in_flight.enter(&account, Some(100), NOW + n / 1_000)));
    })?;
    let _busy = in_flight.enter(&account, None, NOW);
    measure(out, "InFlight: enter and drop, account busy", &|n| {
        drop(black_box(in_flight.enter(&account, Some(100), NOW + n / 1_000)));
    })?;
    let (queues, user): (_, Arc<str>) = (Queues::new(&in_flight), "u".into());
    let accounts = [(ResourceId::mint(1, [2; 10]), Some(0)), (ResourceId::mint(1, [3; 10]), Some(0))];
    measure(out, "Queues: stand in two lines and leave", &|_| {
        let wanted = Wanted { accounts: &accounts, user: &user, concurrency: Some(5) };
        drop(black_box(queues.enter(&wanted, NOW)));
    })
}

fn others(out: &mut impl Write) -> std::io::Result<()> {
    let capacity = Capacity::new(Most { requests: 10_000, body_bytes: 1 << 30 });
    let tenant: Arc<str> = "default".into();
    measure(out, "Capacity: enter and leave", &|n| {
        drop(black_box(capacity.try_enter(&tenant, NOW + n / 1_000)));
    })?;
    measure(out, "Capacity: enter, grow by 1 KB and leave", &|n| {
        if let Ok(mut admitted) = capacity.try_enter(&tenant, NOW + n / 1_000) {
            _ = black_box(admitted.grow(1_024));
        }
    })?;
    let (outputs, key, model) = (Outputs::new(), ResourceId::mint(1, [1; 10]), Arc::from("gpt-4o-mini"));
    measure(out, "Outputs: expect and note", &|n| {
        let expected = outputs.expect(&key, &model, Some(4_096));
        outputs.note(&key, &model, (expected * 31 + n * 7_919) % 4_000);
    })?;
    let replays = Replays::<u64>::new();
    measure(out, "Replays: begin and complete", &|n| {
        if let Begin::Run(guard) = replays.begin(&key, "0d8f6a52-6a3c-4b8e-9d70-5f2f1c7b9a11", [1; 32]) {
            guard.complete(&Arc::new(n));
        }
    })
}
