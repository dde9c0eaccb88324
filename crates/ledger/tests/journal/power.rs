//! T09: the power goes at any moment. With `power` nothing that was acknowledged is lost, with `process`
//! nothing older than 10 ms. What is left was written, in the order in which it was written.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use fastrand::Rng;
use ledger::event::{Event, JournalFault, Need};
use ledger::journal::{Durability, SimFs};
use testkit::trust::Proof;

use super::events::{any, open, read_back, seeds};

/// The promise of `process`.
const WINDOW_US: u64 = 10_000;
/// The journal's thread takes a turn at least this often.
const TURN_US: u64 = 8_000;

type Pending = Pin<Box<dyn Future<Output = Result<(), JournalFault>>>>;

/// One event that was given to the journal.
struct Given {
    shard: u32,
    event: Event,
    at_us: u64,
    acknowledged: bool,
    pending: Option<Pending>,
}

impl Given {
    fn ask(&mut self) {
        let Some(pending) = &mut self.pending else {
            return;
        };
        if let Poll::Ready(told) = pending.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            self.acknowledged = told.is_ok();
            self.pending = None;
        }
    }
}

/// Writes until the power goes; returns the disk afterwards, what was given, and when the power went.
fn run(seed: u64, durability: Durability) -> (SimFs, Vec<Given>, u64) {
    let mut rng = Rng::with_seed(seed);
    let fs = SimFs::new(seed);
    let journal = open(&fs, durability);
    let (mut now_us, mut last_turn, mut given) = (0, 0, Vec::<Given>::new());
    for n in 0..rng.u64(1..120) {
        now_us += rng.u64(0..1_500);
        if now_us - last_turn >= TURN_US {
            journal.commit();
            given.iter_mut().for_each(Given::ask);
            last_turn = now_us;
        }
        let (shard, event) = (rng.u32(0..2), any(n, &mut rng));
        let thread = usize::try_from(shard).expect("small");
        let written = journal.append_as(thread, &event, Need::Usual).expect("the disk works");
        let gathered = event.may_use_reserve();
        let acknowledged = written.is_done() && durability == Durability::Process;
        let pending = (!written.is_done() && !gathered).then(|| Box::pin(written.durable()) as Pending);
        given.push(Given { shard, event, at_us: now_us, acknowledged, pending });
    }
    (fs.power_cut(), given, now_us)
}

fn check(seed: u64, durability: Durability) {
    let (disk, given, cut_us) = run(seed, durability);
    let found = read_back(&disk);
    for shard in 0..2 {
        let of_shard: Vec<&Given> = given.iter().filter(|given| given.shard == shard).collect();
        let mut left = found.iter().filter(|(of, _)| *of == shard).map(|(_, event)| event).peekable();
        for given in of_shard {
            if left.next_if(|event| **event == given.event).is_none() && given.acknowledged {
                let is_recent = cut_us - given.at_us <= WINDOW_US;
                assert!(durability == Durability::Process && is_recent, "seed {seed}: lost");
            }
        }
        assert_eq!(left.next(), None, "seed {seed}: invented, or out of order");
    }
}

const POWER: Proof = Proof::new("T09", "P3", "The power goes at any moment, durability = power");
const PROCESS: Proof = Proof::new("T09-process", "P3", "The power goes at any moment, durability = process");

/// Writes down what was proved; the seeds are the numbers from 0 on.
fn held(proof: &Proof, what: &str) {
    let figure = format!("{} simulated power cuts: {what}", seeds(200, 10_000).end);
    proof.held_with(0, &figure).expect("the proof is written down");
}

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged_with_durability_power() {
    seeds(200, 10_000).for_each(|seed| check(seed, Durability::Power));
    held(&POWER, "0 acknowledged records lost");
}

#[test]
fn a_power_cut_takes_at_most_ten_milliseconds_with_durability_process() {
    seeds(200, 10_000).for_each(|seed| check(seed, Durability::Process));
    held(&PROCESS, "nothing older than 10 ms lost, nothing invented");
}

#[test]
fn a_killed_process_loses_no_intent() {
    for seed in seeds(200, 10_000) {
        let mut rng = Rng::with_seed(seed);
        let fs = SimFs::new(seed);
        let journal = open(&fs, Durability::Process);
        let given: Vec<Event> = (0..rng.u64(1..60)).map(|n| any(n, &mut rng)).collect();
        for event in &given {
            let _ = journal.append_as(0, event, Need::Usual).expect("the disk works");
            if rng.u8(0..20) == 0 {
                journal.commit();
            }
        }
        drop(journal);
        let found: Vec<Event> = read_back(&fs).into_iter().map(|(_, event)| event).collect();
        assert_eq!(found, given[..found.len()], "seed {seed}");
        assert!(given[found.len()..].iter().all(Event::may_use_reserve), "seed {seed}: an intent is lost");
    }
}
