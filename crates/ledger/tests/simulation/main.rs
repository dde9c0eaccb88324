//! The deterministic simulation of the ledger (T04): random requests, administrators, clocks and crashes
//! against the book, and a naive model beside it that knows what must come out.
//!
//! A run is repeated by its seed: `YUMEN_SEED=<seed> cargo test -p ledger --test simulation`.
//! `YUMEN_SIM_OPS` sets the number of operations, for long runs of an optimised build.

mod calendar;
mod check;
mod database;
mod model;
mod payers;
mod steps;
mod world;

use std::time::Instant;

use testkit::trust::Proof;
use world::{Planted, Tally, World};

/// Seeds of every run.
const SEEDS: [u64; 8] = [1, 2, 3, 5, 8, 13, 0x5EED, 0xC0FFEE];
/// Operations of all seeds together, unless `YUMEN_SIM_OPS` says otherwise.
const OPERATIONS: u64 = 10_000_000;
/// Runs at one time: what a small machine has.
const THREADS: usize = 2;

const SIMULATED: Proof = Proof::new(
    "T04",
    "P1, P2, P3",
    "A simulation of the ledger beside a naive model: random requests, administrators, clocks, crashes, power cuts",
);
const CANARY: Proof =
    Proof::new("T04-canary", "P1, P2, P3", "Bugs planted in the ledger are caught by the simulation");
const ROLLED_OVER: Proof = Proof::new(
    "T16",
    "P1, P2",
    "Windows of every period against a calendar of the model's own, across their ends and jumps of the clock",
);

#[test]
fn nothing_is_ever_overspent_lost_or_charged_twice() {
    let started = Instant::now();
    let asked = std::env::var_os("YUMEN_SIM_OPS").and_then(|text| text.to_str()?.parse().ok());
    let mut seeds = SEEDS.to_vec();
    seeds.extend(own_seed());
    let each = asked.unwrap_or(OPERATIONS) / seeds.len() as u64;
    let share = seeds.len().div_ceil(THREADS);
    let total = std::thread::scope(|scope| {
        let runs: Vec<_> =
            seeds.chunks(share).map(|seeds| scope.spawn(move || run_all(seeds, each))).collect();
        let outcomes = runs.into_iter().map(|run| run.join().expect("the run itself does not panic"));
        outcomes.sum::<Result<Tally, String>>()
    });
    let total = total.unwrap_or_else(|why| panic!("{why}"));
    println!("seeds {seeds:?}: {total:?} in {:?}", started.elapsed());
    assert!(total.settled > 0 && total.refused > 0 && total.crashes > 0 && total.late > 0, "{total:?}");
    let Tally { operations, crashes, power_cuts, .. } = total;
    let figure = format!("{operations} operations, {crashes} crashes, {power_cuts} power cuts: 0 violations");
    for proof in [SIMULATED, ROLLED_OVER] {
        proof.held_with(own_seed().unwrap_or(SEEDS[0]), &figure).expect("the proof is written down");
    }
}

/// A simulation that cannot fail proves nothing.
#[test]
fn every_planted_bug_is_caught() {
    for planted in Planted::BUGS {
        let caught = (1..=5).find_map(|seed| World::new(seed, planted).run(50_000).err());
        let caught = caught.unwrap_or_else(|| panic!("{planted:?} was not caught"));
        println!("{planted:?}: {caught}");
    }
    let figure = format!("{} of {} caught", Planted::BUGS.len(), Planted::BUGS.len());
    CANARY.held_with(1, &figure).expect("the proof is written down");
}

fn run_all(seeds: &[u64], each: u64) -> Result<Tally, String> {
    let runs = seeds.iter().map(|seed| World::new(*seed, Planted::Nothing).run(each));
    runs.sum()
}

fn own_seed() -> Option<u64> {
    std::env::var_os("YUMEN_SEED")?.to_str()?.parse().ok()
}
