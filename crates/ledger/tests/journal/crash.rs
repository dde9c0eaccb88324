//! P1 and P3 over many lives of a process: killed or without power at any moment, with segments deleted
//! meanwhile and a database that forgets its last commits. Each request that was allowed upstream has
//! exactly one charge in the end, and no quota is ever exceeded.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use ledger::event::{Event, JournalFault, Need, Written};
use ledger::journal::{Durability, Fs, Journal, SimFs};
use ledger::meter::{Asked, AttemptStart, Facts, Payer, Progress, Settlement};
use ledger::projector::Projector;
use ledger::recovery::{self, Known};
use ledger::{Hold, JournalWriter, Ledger, Meter};
use model::entry::{EntryKind, EntryState, JournalPosition};
use model::quota::{Amounts, Owner, OwnerKind, Period, Quota, Unit};
use model::{NanoUsd, RequestId, Usage, UsageSource};
use parking_lot::Mutex;

use super::database::{Content, Database};
use super::events::{DIRECTORY, NOW, options, request, seeds};

/// Requests that the one key may make.
const LIMIT: i64 = 60;

fn key() -> Owner {
    Owner { kind: OwnerKind::Key, id: "key".into() }
}

/// The journal, written to by whichever thread chance says: the worst that can happen to the order.
struct Spread(Arc<Journal>, Mutex<Rng>);

impl JournalWriter for Spread {
    fn append(&self, event: &Event, need: Need) -> Result<Written, JournalFault> {
        let thread = self.1.lock().usize(0..2);
        self.0.append_as(thread, event, need)
    }

    fn fault(&self) -> Option<String> {
        self.0.fault()
    }
}

/// What became of a request, as its caller knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its intent was not acknowledged: it did not go upstream.
    Kept,
    /// It may have reached an upstream.
    Sent,
    /// It may have, and a power cut has taken the last 10 ms since.
    Doubtful,
}

struct World {
    rng: Rng,
    durability: Durability,
    now: Instant,
    fates: BTreeMap<RequestId, Fate>,
    /// Sent since the disk was last synced.
    fresh: Vec<RequestId>,
    next: u64,
}

struct Life {
    fs: SimFs,
    database: Database,
    journal: Arc<Journal>,
    ledger: Ledger,
    projector: Projector<Database>,
    running: Vec<Hold>,
    waiting: Vec<(RequestId, Hold, Written)>,
}

impl World {
    fn live(&mut self, fs: SimFs, content: Content) -> Life {
        let positions: Vec<JournalPosition> = content.positions.values().copied().collect();
        let windows = content.windows();
        let shared: Arc<dyn Fs> = Arc::new(fs.clone());
        let known = Known { balances: &[], windows: &windows, positions: &positions };
        let recovered = recovery::recover(&shared, Path::new(DIRECTORY), known).expect("recovered");
        let journal = Journal::open(shared, options(self.durability), &positions).expect("opened");
        let journal = Arc::new(journal);
        let spread = Spread(Arc::clone(&journal), Mutex::new(self.rng.fork()));
        let ledger = Ledger::open(recovered.book, Arc::new(spread), NOW);
        let database = Database::new(content, self.now);
        let projector = Projector::new(Arc::clone(&journal), database.clone(), recovered.start);
        Life { fs, database, journal, ledger, projector, running: Vec::new(), waiting: Vec::new() }
    }

    async fn commit(&mut self, life: &mut Life) {
        life.journal.commit();
        self.fresh.clear();
        for (id, hold, written) in std::mem::take(&mut life.waiting) {
            written.durable().await.expect("the disk works");
            self.fates.insert(id, Fate::Sent);
            life.running.push(hold);
        }
    }

    fn begin(&mut self, life: &mut Life) {
        self.next += 1;
        let id = request(self.next);
        let facts =
            Facts { request: id, key: None, user: None, tenant: "default".into(), model: "demo".into() };
        let quota = Quota { unit: Unit::Requests, period: Period::Never, limit: LIMIT };
        let payers = [Payer { owner: key(), quotas: [quota].into(), wallet: false }].into();
        let expected = Amounts { requests: 1, tokens: 10, cost: NanoUsd::ZERO };
        let Ok(mut hold) = life.ledger.hold(Asked { facts, payers, expected, at: NOW }) else {
            return;
        };
        let attempt = AttemptStart { number: 1, account: "main".into() };
        let written = life.ledger.begin(&mut hold, attempt, NOW).expect("the disk works");
        self.fates.insert(id, Fate::Kept);
        if written.is_done() {
            self.fates.insert(id, Fate::Sent);
            self.fresh.push(id);
            life.running.push(hold);
        } else {
            life.waiting.push((id, hold, written));
        }
    }

    fn end(&mut self, life: &mut Life) {
        if life.running.is_empty() {
            return;
        }
        let mut hold = life.running.swap_remove(self.rng.usize(0..life.running.len()));
        let usage = Usage { output: 7, source: UsageSource::Measured, ..Usage::default() };
        match self.rng.u8(0..8) {
            0 => life.ledger.void(hold, "no upstream worked", NOW),
            1 => {
                life.ledger.checkpoint(&mut hold, &Progress { usage, cost: None }, NOW + 60_000);
                life.running.push(hold);
            }
            _ => {
                let settlement = Settlement { usage, cost: None, at: NOW, attempts: Vec::new() };
                life.ledger.settle(hold, settlement);
            }
        }
    }

    async fn step(&mut self, life: &mut Life) {
        match self.rng.u8(0..20) {
            0..8 => self.begin(life),
            8..14 => self.end(life),
            14..17 => self.commit(life).await,
            17..19 => {
                life.database.at(self.now);
                // As at a stop: what is written down then must be right at any moment.
                if self.rng.bool() {
                    life.projector.rest(self.now).await;
                } else {
                    life.projector.round(self.now).await;
                }
            }
            // Long enough at times that projected segments go.
            _ => self.now += Duration::from_secs(self.rng.u64(0..50)),
        }
        let used = life.ledger.standing(&key(), &[], false, NOW);
        assert_eq!(used.overshoot, NanoUsd::ZERO);
    }

    /// The process dies, and maybe the power goes; what is left of it.
    fn die(&mut self, life: Life) -> (SimFs, Content) {
        let Life { fs, database, running, waiting, .. } = life;
        let left = if self.rng.bool() {
            (fs.kill(), database.content())
        } else {
            for id in self.fresh.drain(..) {
                self.fates.insert(id, Fate::Doubtful);
            }
            (fs.power_cut(), database.power_cut(self.now, &mut self.rng))
        };
        // Their guards write to a disk that nobody reads any more.
        drop((running, waiting));
        left
    }

    /// Settles everything, and looks at what the database has then.
    async fn close(&mut self, mut life: Life) -> Content {
        self.commit(&mut life).await;
        while !life.running.is_empty() {
            self.end(&mut life);
        }
        life.journal.commit();
        life.projector.round(self.now).await;
        let quota = Quota { unit: Unit::Requests, period: Period::Never, limit: LIMIT };
        let window = life.ledger.standing(&key(), &[quota], false, NOW).windows[0];
        let content = life.database.content();
        assert_eq!((window.held, window.used), (0, content.used(&key(), Unit::Requests)));
        content
    }
}

async fn lives(seed: u64, durability: Durability) {
    let rng = Rng::with_seed(seed);
    let mut world =
        World { rng, durability, now: Instant::now(), fates: BTreeMap::new(), fresh: Vec::new(), next: 0 };
    let mut left = (SimFs::new(seed), Content::default());
    for _ in 0..world.rng.u8(1..6) {
        let mut life = world.live(left.0, left.1);
        for _ in 0..world.rng.u8(..) {
            world.step(&mut life).await;
        }
        left = world.die(life);
    }
    let life = world.live(left.0, left.1);
    let content = world.close(life).await;
    check(seed, &world, &content);
}

fn check(seed: u64, world: &World, content: &Content) {
    let mut charges: BTreeMap<RequestId, u32> = BTreeMap::new();
    let (mut used, mut estimated) = (0, 0);
    for entry in content.entries.iter().filter(|entry| entry.kind == EntryKind::Charge) {
        *charges.entry(entry.request_id.expect("of a request")).or_default() += 1;
        used += i64::from(entry.state != EntryState::Void);
        estimated += i64::from(entry.state == EntryState::Estimated);
    }
    assert_eq!(content.used(&key(), Unit::Requests), used, "seed {seed}: windows are not the sum of entries");
    // An estimate may stand for a request that used nothing and whose end is lost: what it had given back
    // may have been used by another one. What is known to have been used is within the quota.
    assert!(used - estimated <= LIMIT, "seed {seed}: {used} requests were paid for by a quota of {LIMIT}");
    for (id, fate) in &world.fates {
        let count = charges.remove(id).unwrap_or(0);
        let is_right = if *fate == Fate::Sent { count == 1 } else { count <= 1 };
        assert!(is_right, "seed {seed}: {id} is {fate:?} and has {count} charges");
    }
    assert!(charges.is_empty(), "seed {seed}: invented {charges:?}");
}

#[tokio::test]
async fn every_request_has_one_charge_whatever_kills_the_process_with_durability_power() {
    for seed in seeds(300, 10_000) {
        lives(seed, Durability::Power).await;
    }
}

#[tokio::test]
async fn every_request_has_one_charge_whatever_kills_the_process_with_durability_process() {
    for seed in seeds(300, 10_000) {
        lives(seed, Durability::Process).await;
    }
}
