//! The queues for places at accounts: fair, bounded, and no place is ever lost between two.

mod chance;

use std::collections::HashMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use chance::Chance;
use model::ResourceId;
use state::queue::{Full, MORE_OF_USER, MOST_OF_ACCOUNT, Queues, Waiting, Wanted};
use state::{InFlight, LEASE_MS, Slot};

/// Counts how often it is called.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn account(n: u8) -> ResourceId {
    ResourceId::mint(1, [n; 10])
}

fn look(waiting: &mut Waiting) -> Option<Slot> {
    look_with(waiting, Waker::noop())
}

fn look_with(waiting: &mut Waiting, waker: &Waker) -> Option<Slot> {
    match Pin::new(waiting).poll(&mut Context::from_waker(waker)) {
        Poll::Ready(slot) => Some(slot),
        Poll::Pending => None,
    }
}

fn enter(queues: &Queues, user: &str, accounts: &[(ResourceId, Option<u32>)]) -> Result<Waiting, Full> {
    queues.enter(&Wanted { accounts, user: &user.into(), concurrency: None }, 0)
}

#[test]
fn users_take_turns_and_the_first_of_a_user_comes_first() {
    let in_flight = InFlight::new();
    let queues = Queues::new(&in_flight);
    let one = [(account(1), Some(1))];
    let mut slot = in_flight.enter(&one[0].0, Some(1), 0).expect("free");
    let order = ["greedy 0", "greedy 1", "greedy 2", "greedy 3", "modest 0", "other 0", "modest 1"];
    let mut waiting: Vec<(&str, Waiting)> = order
        .iter()
        .map(|name| (*name, enter(&queues, name.split(' ').next().unwrap_or(""), &one).expect("room")))
        .collect();
    for next in ["greedy 0", "modest 0", "other 0", "greedy 1", "modest 1", "greedy 2", "greedy 3"] {
        assert!(waiting.iter_mut().all(|(_, waiting)| look(waiting).is_none()));
        drop(slot);
        let at = waiting.iter().position(|(name, _)| *name == next).expect("waits");
        slot = look(&mut waiting.remove(at).1).expect("it has its turn");
    }
    drop(slot);
    assert_eq!((in_flight.running(&one[0].0, 0), queues.total()), (0, 0));
}

#[test]
fn a_place_goes_to_who_waits_and_not_to_who_comes() {
    let in_flight = InFlight::new();
    let queues = Queues::new(&in_flight);
    let one = [(account(1), Some(1))];
    let slot = in_flight.enter(&one[0].0, Some(1), 0).expect("free");
    let bell = Arc::new(Bell::default());
    let mut waiting = enter(&queues, "u", &one).expect("room");
    assert!(look_with(&mut waiting, &Waker::from(Arc::clone(&bell))).is_none());
    drop(slot);
    assert_eq!(bell.0.load(Ordering::SeqCst), 1);
    assert!(in_flight.enter(&one[0].0, Some(1), 0).is_none());
    assert_eq!((queues.waiting(&one[0].0), queues.waiting_of("u")), (0, 0), "it was given a place");
    assert_eq!(look(&mut waiting).expect("given").account(), &one[0].0);
}

#[test]
fn a_free_place_is_given_at_once() {
    let in_flight = InFlight::new();
    let queues = Queues::new(&in_flight);
    let both = [(account(1), Some(0)), (account(2), Some(1))];
    let slot = look(&mut enter(&queues, "u", &both).expect("room")).expect("free");
    assert_eq!((slot.account(), queues.total()), (&both[1].0, 0));
    assert_eq!((queues.waiting(&both[0].0), queues.waiting(&both[1].0)), (0, 0));
}

#[test]
fn who_waits_for_several_gets_the_first_that_gets_free() {
    let in_flight = InFlight::new();
    let queues = Queues::new(&in_flight);
    let both = [(account(1), Some(1)), (account(2), Some(1))];
    let slots = [0, 1].map(|at| in_flight.enter(&both[at].0, Some(1), 0).expect("free"));
    let mut first = enter(&queues, "u", &both).expect("room");
    let mut second = enter(&queues, "u", &both).expect("room");
    let [slot_1, slot_2] = slots;
    drop(slot_2);
    assert_eq!(look(&mut first).expect("given").account(), &both[1].0);
    // What the first was given has been dropped above, so the second has it by now.
    assert_eq!(look(&mut second).expect("handed on").account(), &both[1].0);
    drop(slot_1);
    assert_eq!((in_flight.running(&both[0].0, 0), in_flight.running(&both[1].0, 0)), (0, 0));
}

#[test]
fn who_leaves_with_a_place_in_hand_passes_it_on() {
    let in_flight = InFlight::new();
    let queues = Queues::new(&in_flight);
    let one = [(account(1), Some(1))];
    let slot = in_flight.enter(&one[0].0, Some(1), 0).expect("free");
    let mut waiting: Vec<Waiting> = (0..50).map(|_| enter(&queues, "u", &one).expect("room")).collect();
    let mut last = waiting.pop().expect("fifty");
    drop(slot);
    waiting.truncate(25);
    drop(waiting);
    assert!(look(&mut last).is_some());
    assert_eq!((in_flight.running(&one[0].0, 0), queues.total()), (0, 0));
}

#[test]
fn queues_are_bounded_by_user_and_by_account() {
    let in_flight = InFlight::new();
    let queues = Queues::new(&in_flight);
    let accounts = [(account(1), Some(0)), (account(2), Some(0))];
    let user: Arc<str> = "u".into();
    let enter_as =
        |user: &Arc<str>, accounts| queues.enter(&Wanted { accounts, user, concurrency: Some(5) }, 0);
    let mut waiting: Vec<Waiting> = Vec::new();
    for _ in 0..5 + MORE_OF_USER {
        waiting.push(enter_as(&user, &accounts[..1]).expect("room"));
    }
    assert_eq!(enter_as(&user, &accounts).expect_err("full"), Full::User);
    for n in waiting.len()..MOST_OF_ACCOUNT as usize {
        waiting.push(enter_as(&format!("user {n}").into(), &accounts[..1]).expect("room"));
    }
    let other: Arc<str> = "other".into();
    assert_eq!(enter_as(&other, &accounts[..1]).expect_err("full"), Full::Account);
    assert_eq!(enter_as(&other, &[]).expect_err("none"), Full::Account);
    let second = enter_as(&other, &accounts).expect("the second account has room");
    assert_eq!((queues.waiting(&accounts[0].0), queues.waiting(&accounts[1].0)), (MOST_OF_ACCOUNT, 1));
    waiting.pop();
    assert!(enter_as(&other, &accounts[..1]).is_ok());
    drop((waiting, second));
    assert_eq!((queues.total(), queues.waiting(&accounts[0].0)), (0, 0));
}

#[test]
fn the_place_of_a_dead_holder_goes_to_who_waits() {
    let in_flight = InFlight::new();
    let queues = Queues::new(&in_flight);
    let one = [(account(1), Some(1))];
    std::mem::forget(in_flight.enter(&one[0].0, Some(1), 0).expect("free"));
    let mut waiting = enter(&queues, "u", &one).expect("room");
    queues.sweep(LEASE_MS - 1);
    assert!(look(&mut waiting).is_none());
    assert!(in_flight.enter(&one[0].0, Some(1), LEASE_MS).is_none(), "it goes to who waits");
    let mut slot = look(&mut waiting).expect("handed on");
    slot.renew(LEASE_MS);
    assert_eq!(in_flight.running(&one[0].0, 2 * LEASE_MS - 1), 1);
}

#[test]
fn a_raised_limit_lets_those_in_who_wait() {
    let in_flight = InFlight::new();
    let queues = Queues::new(&in_flight);
    let id = account(1);
    let slot = in_flight.enter(&id, Some(1), 0).expect("free");
    let mut waiting: Vec<Waiting> =
        (0..3).map(|_| enter(&queues, "u", &[(id.clone(), Some(1))]).expect("room")).collect();
    assert!(in_flight.enter(&id, Some(3), 0).is_none(), "two wait who come first");
    let given: Vec<Slot> = waiting.iter_mut().filter_map(look).collect();
    assert_eq!((given.len(), in_flight.running(&id, 0), queues.waiting(&id)), (2, 3, 1));
    drop((given, slot));
    assert!(look(&mut waiting[2]).is_some());
}

/// One of those who wait, as the model knows it.
struct Known {
    number: u32,
    user: usize,
    accounts: Vec<u8>,
    waiting: Waiting,
    bell: Arc<Bell>,
    /// Turns that others had since it came, by account and user.
    passed_by: HashMap<(u8, usize), u32>,
}

/// A random history, and what must hold after each of its steps.
struct History {
    chance: Chance,
    in_flight: InFlight,
    queues: Queues,
    limits: [u32; 3],
    known: Vec<Known>,
    slots: Vec<Slot>,
    came: u32,
}

impl History {
    fn new(seed: u64) -> Self {
        let in_flight = InFlight::new();
        let queues = Queues::new(&in_flight);
        let mut chance = Chance(seed);
        let limits = [0; 3].map(|_: u32| 1 + chance.below(3) as u32);
        Self { chance, in_flight, queues, limits, known: Vec::new(), slots: Vec::new(), came: 0 }
    }

    fn limit(&self, account: u8) -> Option<u32> {
        Some(self.limits[usize::from(account)])
    }

    fn step(&mut self) {
        match self.chance.below(10) {
            0 | 1 => {
                let at = self.chance.below(3) as u8;
                self.slots.extend(self.in_flight.enter(&account(at), self.limit(at), 0));
            }
            2..=5 => self.come(),
            6 if !self.known.is_empty() => {
                // Leaves, perhaps with a place in hand.
                let at = self.chance.below(self.known.len());
                drop(self.known.swap_remove(at));
            }
            _ if !self.slots.is_empty() => {
                let at = self.chance.below(self.slots.len());
                drop(self.slots.swap_remove(at));
            }
            _ => {}
        }
    }

    fn come(&mut self) {
        let accounts: Vec<u8> = (0..3).filter(|_| self.chance.below(2) == 0).collect();
        let wanted: Vec<_> = accounts.iter().map(|at| (account(*at), self.limit(*at))).collect();
        let user = self.chance.below(4);
        let Ok(waiting) = enter(&self.queues, &format!("user {user}"), &wanted) else {
            assert!(accounts.is_empty());
            return;
        };
        self.came += 1;
        let (number, bell, passed_by) = (self.came, Arc::new(Bell::default()), HashMap::new());
        let mut known = Known { number, user, accounts, waiting, bell, passed_by };
        match look_with(&mut known.waiting, &Waker::from(Arc::clone(&known.bell))) {
            Some(slot) => self.slots.push(slot),
            None => self.known.push(known),
        }
    }

    /// Takes what was given; only who was woken may have something.
    fn take_given(&mut self, seed: u64) {
        let mut at = 0;
        while at < self.known.len() {
            let woken = self.known[at].bell.0.load(Ordering::SeqCst);
            assert!(woken <= 1, "seed {seed}");
            // Some are slow to look.
            if woken == 1 && self.chance.below(3) == 0 {
                at += 1;
                continue;
            }
            let waker = Waker::from(Arc::clone(&self.known[at].bell));
            match look_with(&mut self.known[at].waiting, &waker) {
                Some(slot) => {
                    assert_eq!(woken, 1, "seed {seed}: given without a wake-up");
                    self.known.remove(at);
                    self.slots.push(slot);
                }
                None => {
                    assert_eq!(woken, 0, "seed {seed}: woken for nothing");
                    at += 1;
                }
            }
        }
    }

    fn check(&self, seed: u64) {
        let still = |known: &&Known| known.bell.0.load(Ordering::SeqCst) == 0;
        for at in 0..3_u8 {
            let waiting =
                self.known.iter().filter(still).filter(|known| known.accounts.contains(&at)).count();
            let running = self.in_flight.running(&account(at), 0);
            assert!(running <= self.limits[usize::from(at)], "seed {seed}");
            assert_eq!(self.queues.waiting(&account(at)) as usize, waiting, "seed {seed}: counts who waits");
            let idle = waiting > 0 && running < self.limits[usize::from(at)];
            assert!(!idle, "seed {seed}: somebody waits for a free place");
        }
        for user in 0..4 {
            let waiting = self.known.iter().filter(still).filter(|known| known.user == user).count();
            let counted = self.queues.waiting_of(&format!("user {user}"));
            assert_eq!(counted as usize, waiting, "seed {seed}");
        }
    }
}

#[test]
fn no_place_is_idle_while_somebody_waits_in_three_thousand_histories() {
    for seed in 1..=3_000 {
        let mut history = History::new(seed);
        for _ in 0..60 {
            history.step();
            history.check(seed);
            history.take_given(seed);
            history.check(seed);
        }
        // Everybody is served if those who run end.
        while !history.known.is_empty() {
            let before = history.known.len();
            history.slots.clear();
            for _ in 0..20 {
                history.take_given(seed);
            }
            assert!(history.known.len() < before, "seed {seed}: nobody was served");
        }
        history.slots.clear();
        assert_eq!(history.queues.total(), 0, "seed {seed}");
        for at in 0..3 {
            assert_eq!(history.in_flight.running(&account(at), 0), 0, "seed {seed}");
        }
    }
}

#[test]
fn nobody_is_overtaken_twice_by_the_same_user_in_two_thousand_histories() {
    for seed in 1..=2_000 {
        let mut history = History::new(seed);
        history.limits = [1; 3];
        history.slots.extend((0..3).filter_map(|at| history.in_flight.enter(&account(at), Some(1), 0)));
        for _ in 0..60 {
            match history.chance.below(2) {
                0 => history.come(),
                _ => end_one_and_see_who_is_next(&mut history, seed),
            }
        }
    }
}

fn end_one_and_see_who_is_next(history: &mut History, seed: u64) {
    if history.slots.is_empty() {
        return;
    }
    let at = history.chance.below(history.slots.len());
    drop(history.slots.swap_remove(at));
    let woken = |known: &Known| known.bell.0.load(Ordering::SeqCst) > 0;
    let Some(next) = history.known.iter().position(woken) else { return };
    let mut next = history.known.remove(next);
    let slot = look(&mut next.waiting).expect("woken with a place");
    let at = (0..3).find(|at| account(*at) == *slot.account()).expect("one of the three");
    for other in history.known.iter_mut().filter(|other| other.accounts.contains(&at)) {
        if other.user == next.user {
            assert!(next.number < other.number, "seed {seed}: the first of a user comes first");
            continue;
        }
        let passed_by = other.passed_by.entry((at, next.user)).or_default();
        *passed_by += 1;
    }
    // A turn of the user is what those of the same user behind it wait for as well.
    for other in history.known.iter_mut().filter(|other| other.user == next.user) {
        other.passed_by.retain(|(account, _), _| *account != at);
    }
    let overtaken = history.known.iter().flat_map(|known| known.passed_by.values()).max();
    assert!(overtaken.is_none_or(|times| *times <= 1), "seed {seed}: overtaken {overtaken:?} times");
    history.slots.push(slot);
}

/// Parks its thread until woken; panics when nothing comes.
struct Parked(std::thread::Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for the future on this thread, as a runtime of its own would.
fn wait_for(waiting: Waiting, seed: u64) -> Slot {
    let waker = Waker::from(Arc::new(Parked(std::thread::current())));
    let mut waiting = pin!(waiting);
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        if let Poll::Ready(slot) = waiting.as_mut().poll(&mut Context::from_waker(&waker)) {
            return slot;
        }
        std::thread::park_timeout(Duration::from_secs(5));
        assert!(Instant::now() < until, "seed {seed}: a wake-up was lost");
    }
}

#[test]
fn no_wake_up_is_lost_between_threads() {
    for seed in 1..=1_000 {
        let in_flight = InFlight::new();
        let queues = Queues::new(&in_flight);
        let accounts = [(account(1), Some(1)), (account(2), Some(2))];
        let running = [AtomicU32::new(0), AtomicU32::new(0)];
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (queues, accounts, running, in_flight) = (&queues, &accounts, &running, &in_flight);
                scope.spawn(move || {
                    let mut chance = Chance(seed * 31 + thread);
                    for _ in 0..12 {
                        let Some(slot) = some_way_in(&mut chance, in_flight, queues, accounts, seed) else {
                            continue;
                        };
                        let at = accounts.iter().position(|(id, _)| id == slot.account()).unwrap_or(0);
                        let now = running[at].fetch_add(1, Ordering::SeqCst) + 1;
                        assert!(now <= at as u32 + 1, "seed {seed}");
                        (0..chance.below(3)).for_each(|_| std::thread::yield_now());
                        running[at].fetch_sub(1, Ordering::SeqCst);
                        drop(slot);
                    }
                });
            }
        });
        assert_eq!(queues.total(), 0, "seed {seed}");
        for (account, _) in &accounts {
            assert_eq!((in_flight.running(account, 0), queues.waiting(account)), (0, 0), "seed {seed}");
        }
    }
}

/// Walks in, waits to the end, or gives up after a moment.
fn some_way_in(
    chance: &mut Chance,
    in_flight: &InFlight,
    queues: &Queues,
    accounts: &[(ResourceId, Option<u32>); 2],
    seed: u64,
) -> Option<Slot> {
    let wanted = match chance.below(3) {
        0 => &accounts[..1],
        1 => &accounts[1..],
        _ => &accounts[..],
    };
    let user = format!("user {}", chance.below(3));
    match chance.below(4) {
        0 => in_flight.enter(&wanted[0].0, wanted[0].1, 0),
        1 => {
            let mut waiting = enter(queues, &user, wanted).expect("room");
            (0..chance.below(4)).for_each(|_| std::thread::yield_now());
            if chance.below(2) == 0 { look(&mut waiting) } else { None }
        }
        _ => Some(wait_for(enter(queues, &user, wanted).expect("room"), seed)),
    }
}
