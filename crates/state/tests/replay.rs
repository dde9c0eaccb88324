//! Requests under one idempotency key: one runs, all get its answer, and nobody waits for a runner that is gone.

mod chance;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use chance::Chance;
use model::ResourceId;
use state::replay::{Begin, Guard, MOST_WAITING, Outcome, Replays, Waiting};

fn key() -> ResourceId {
    ResourceId::mint(1, [1; 10])
}

fn look<A>(waiting: &mut Waiting<A>) -> Option<Outcome<A>> {
    match Pin::new(waiting).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

fn run<A>(replays: &Replays<A>) -> Guard<A> {
    match replays.begin(&key(), "name", [1; 32]) {
        Begin::Run(guard) => guard,
        _ => unreachable!("nothing runs"),
    }
}

fn wait<A>(replays: &Replays<A>) -> Waiting<A> {
    match replays.begin(&key(), "name", [1; 32]) {
        Begin::Wait(waiting) => waiting,
        _ => unreachable!("one runs"),
    }
}

#[test]
fn all_who_wait_get_the_answer_of_the_first() {
    let replays = Replays::new();
    let guard = run(&replays);
    let mut waiting: Vec<_> = (0..3).map(|_| wait(&replays)).collect();
    assert_eq!((replays.running(), replays.waiting()), (1, 3));
    assert!(waiting.iter_mut().all(|waiting| look(waiting).is_none()));
    guard.complete(&Arc::new("answer"));
    for mut waiting in waiting {
        assert!(matches!(look(&mut waiting), Some(Outcome::Answer(answer)) if *answer == "answer"));
    }
    assert_eq!((replays.running(), replays.waiting()), (0, 0));
    assert!(matches!(replays.begin(&key(), "name", [2; 32]), Begin::Run(_)));
}

#[test]
fn another_body_is_refused_and_another_key_or_name_runs() {
    let replays = Replays::<()>::new();
    let _guard = run(&replays);
    assert!(matches!(replays.begin(&key(), "name", [2; 32]), Begin::Mismatch));
    assert!(matches!(replays.begin(&key(), "other", [2; 32]), Begin::Run(_)));
    assert!(matches!(replays.begin(&ResourceId::mint(1, [2; 10]), "name", [2; 32]), Begin::Run(_)));
}

#[test]
fn if_the_first_ends_without_an_answer_exactly_one_runs() {
    let replays = Replays::<()>::new();
    let guard = run(&replays);
    let mut waiting: Vec<_> = (0..5).map(|_| wait(&replays)).collect();
    drop(guard);
    assert_eq!(replays.waiting(), 4);
    // The one whose turn it is leaves without having looked; the next has left before.
    drop(waiting.remove(1));
    drop(waiting.remove(0));
    let mut ran: Vec<_> = waiting.iter_mut().filter_map(look).collect();
    assert_eq!((ran.len(), replays.running(), replays.waiting()), (1, 1, 2));
    assert!(matches!(ran.pop(), Some(Outcome::Run(_))));
    drop((ran, waiting));
    assert_eq!((replays.running(), replays.waiting()), (0, 0));
}

#[test]
fn who_waits_and_what_runs_is_bounded() {
    let replays = Replays::<()>::new();
    let guard = run(&replays);
    let waiting: Vec<_> = (0..MOST_WAITING).map(|_| wait(&replays)).collect();
    assert!(matches!(replays.begin(&key(), "name", [1; 32]), Begin::Full));
    drop(waiting);
    assert!(matches!(replays.begin(&key(), "name", [1; 32]), Begin::Wait(_)));
    let begun: Vec<_> = (0..100_000).map(|n| replays.begin(&key(), &n.to_string(), [1; 32])).collect();
    assert!(begun.iter().any(|begin| matches!(begin, Begin::Full)));
    assert!(replays.running() <= 65_536);
    drop((guard, begun));
    assert_eq!(replays.running(), 0);
}

struct Parked(std::thread::Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits on this thread, as a runtime of its own would.
fn wait_for<A>(waiting: Waiting<A>, seed: u64) -> Outcome<A> {
    let waker = Waker::from(Arc::new(Parked(std::thread::current())));
    let mut waiting = pin!(waiting);
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        if let Poll::Ready(outcome) = waiting.as_mut().poll(&mut Context::from_waker(&waker)) {
            return outcome;
        }
        std::thread::park_timeout(Duration::from_secs(5));
        assert!(Instant::now() < until, "seed {seed}: a wake-up was lost");
    }
}

/// Reliability T28: a herd asks at once, and the work is done once.
#[test]
fn of_a_thousand_at_once_one_runs() {
    let replays = Replays::new();
    let (runs, answered, full) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let guard = run(&replays);
    let done = std::sync::Barrier::new(101);
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                let mut waiting = Vec::new();
                for _ in 0..10 {
                    match replays.begin(&key(), "name", [1; 32]) {
                        Begin::Wait(one) => waiting.push(one),
                        Begin::Full => _ = full.fetch_add(1, Ordering::SeqCst),
                        Begin::Run(_) | Begin::Mismatch => _ = runs.fetch_add(1, Ordering::SeqCst),
                    }
                }
                done.wait();
                for one in waiting {
                    match wait_for(one, 0) {
                        Outcome::Answer(answer) => _ = answered.fetch_add(*answer, Ordering::SeqCst),
                        Outcome::Run(_) => _ = runs.fetch_add(1, Ordering::SeqCst),
                    }
                }
            });
        }
        done.wait();
        guard.complete(&Arc::new(1));
    });
    let counts = [&runs, &answered, &full].map(|count| count.load(Ordering::SeqCst));
    assert_eq!(counts, [0, MOST_WAITING, 1_000 - MOST_WAITING]);
}

#[test]
fn everybody_ends_with_an_answer_or_a_run_whoever_dies() {
    for seed in 1..=1_000 {
        let replays = Replays::new();
        let running = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (replays, running) = (&replays, &running);
                scope.spawn(move || {
                    let mut chance = Chance(seed * 17 + thread);
                    for _ in 0..10 {
                        take_part(&mut chance, replays, running, seed);
                    }
                });
            }
        });
        assert_eq!((replays.running(), replays.waiting()), (0, 0), "seed {seed}");
    }
}

fn take_part(chance: &mut Chance, replays: &Replays<u64>, running: &AtomicUsize, seed: u64) {
    let guard = match replays.begin(&key(), "name", [1; 32]) {
        Begin::Run(guard) => guard,
        Begin::Wait(mut waiting) => match chance.below(3) {
            0 => {
                // Gives up, perhaps with the right to run in hand.
                std::thread::yield_now();
                match look(&mut waiting) {
                    Some(Outcome::Run(guard)) => guard,
                    _ => return,
                }
            }
            _ => match wait_for(waiting, seed) {
                Outcome::Run(guard) => guard,
                Outcome::Answer(answer) => return assert_eq!(*answer, seed),
            },
        },
        Begin::Mismatch | Begin::Full => unreachable!("four threads with one body"),
    };
    assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "seed {seed}: two run");
    std::thread::yield_now();
    running.fetch_sub(1, Ordering::SeqCst);
    if chance.below(2) == 0 {
        guard.complete(&Arc::new(seed));
    }
}
