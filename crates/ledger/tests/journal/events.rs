//! Events from a seed, and reading a journal back.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use fastrand::Rng;
use ledger::event::{Adjustment, Ended, Ending, Event, Opening, WindowReset};
use ledger::journal::{Durability, Fs, Journal, Options, Records, SimFs, codec, segment};
use ledger::meter::{AttemptCharge, AttemptStart, Facts, Payer, Progress};
use model::entry::EntryState;
use model::quota::{Amounts, Owner, OwnerKind, Period, Quota, Unit};
use model::{NanoUsd, RequestId, ResourceId, Usage, UsageSource};

pub const NOW: u64 = 1_790_000_000_000;
pub const DIRECTORY: &str = "journal";

/// The seeds of a test: few with every commit, all of them at night.
pub fn seeds(usual: u64, nightly: u64) -> std::ops::Range<u64> {
    #[expect(clippy::disallowed_methods, reason = "the tier of tests is named by the environment")]
    let is_nightly = std::env::var("YUMEN_NIGHTLY").is_ok_and(|value| value == "1");
    0..if is_nightly { nightly } else { usual }
}

pub fn request(n: u64) -> RequestId {
    let mut chance = [0; 10];
    chance[2..].copy_from_slice(&n.to_be_bytes());
    RequestId::mint(NOW, chance)
}

fn resource(rng: &mut Rng) -> ResourceId {
    ResourceId::mint(NOW, std::array::from_fn(|_| rng.u8(..)))
}

fn text(rng: &mut Rng) -> String {
    let length = rng.usize(0..24);
    (0..length).map(|_| rng.char('\u{20}'..'\u{2fff}')).collect()
}

fn usage(rng: &mut Rng) -> Usage {
    let source = [UsageSource::Measured, UsageSource::Estimated, UsageSource::None][rng.usize(0..3)];
    let output = if rng.u8(..) == 0 { u64::MAX } else { rng.u64(0..100_000) };
    let usage =
        Usage { input: rng.u64(0..1_000_000), output, reasoning: rng.u64(0..9), source, ..Usage::default() };
    usage.marked(rng.u64(0..12)).expect("marks of usage")
}

fn cost(rng: &mut Rng) -> Option<NanoUsd> {
    rng.bool().then(|| NanoUsd(rng.i64(-5..9_000_000_000)))
}

fn account(rng: &mut Rng) -> AttemptStart {
    AttemptStart { number: rng.u8(1..9), account: text(rng).into() }
}

fn owner(rng: &mut Rng) -> Owner {
    Owner { kind: OwnerKind::ALL[rng.usize(0..4)], id: resource(rng).as_str().into() }
}

pub fn opening(n: u64, rng: &mut Rng) -> Arc<Opening> {
    let facts = Facts {
        request: request(n),
        key: rng.bool().then(|| resource(rng)),
        user: rng.bool().then(|| resource(rng)),
        tenant: text(rng).into(),
        model: text(rng).into(),
    };
    let quota = |rng: &mut Rng| Quota {
        unit: Unit::ALL[rng.usize(0..3)],
        period: Period::ALL[rng.usize(0..7)],
        limit: rng.i64(0..),
    };
    let payers: Arc<[Payer]> = (0..rng.usize(0..4))
        .map(|_| Payer {
            owner: owner(rng),
            quotas: (0..rng.usize(0..3)).map(|_| quota(rng)).collect(),
            wallet: rng.bool(),
        })
        .collect();
    let windows = payers.iter().map(|payer| payer.quotas.len()).sum();
    let began = std::iter::repeat_with(|| rng.u64(0..=NOW)).take(windows).collect();
    let expected =
        Amounts { requests: 1, tokens: rng.i64(0..5_000), cost: NanoUsd(rng.i64(0..1_000_000_000)) };
    Arc::new(Opening { facts, payers, began, expected, at: NOW, expires: NOW + 3_600_000 })
}

pub fn opened(n: u64, rng: &mut Rng) -> Event {
    Event::Opened { opening: opening(n, rng), attempt: account(rng), at: NOW }
}

pub fn ended(n: u64, rng: &mut Rng) -> Event {
    let endings = [Ending::Settled, Ending::Voided, Ending::Abandoned, Ending::Expired, Ending::Orphaned];
    let attempt = |rng: &mut Rng| {
        let AttemptStart { number, account } = account(rng);
        AttemptCharge { number, account, usage: usage(rng), cost: cost(rng) }
    };
    Event::Ended(Box::new(Ended {
        opening: opening(n, rng),
        ending: endings[rng.usize(0..5)],
        state: EntryState::ALL[rng.usize(0..3)],
        usage: usage(rng),
        cost: cost(rng),
        charged: Amounts { requests: 1, tokens: rng.i64(..), cost: NanoUsd(rng.i64(..)) },
        paid: NanoUsd(rng.i64(0..9)),
        overshoot: NanoUsd(rng.i64(0..9)),
        reason: rng.bool().then(|| Cow::Owned(text(rng))),
        attempts: (0..rng.usize(0..4)).map(|_| attempt(rng)).collect(),
        at: NOW + rng.u64(0..1_000),
    }))
}

/// Any event about request `n`.
pub fn any(n: u64, rng: &mut Rng) -> Event {
    let at = NOW + rng.u64(0..1_000);
    match rng.u8(0..6) {
        0 => opened(n, rng),
        1 => Event::Attempted { request: request(n), attempt: account(rng), at },
        2 => {
            let progress = Progress { usage: usage(rng), cost: cost(rng) };
            Event::Checkpointed { request: request(n), progress, at }
        }
        3 => ended(n, rng),
        4 => adjusted(rng),
        _ => Event::WindowReset(WindowReset {
            owner: owner(rng),
            tenant: text(rng).into(),
            unit: Unit::ALL[rng.usize(0..3)],
            period: Period::ALL[rng.usize(0..7)],
            began: rng.u64(0..NOW),
            change: rng.i64(..=0),
            reason: text(rng).into(),
            actor: text(rng).into(),
            at,
        }),
    }
}

pub fn adjusted(rng: &mut Rng) -> Event {
    Event::Adjusted(Adjustment {
        owner: owner(rng),
        tenant: text(rng).into(),
        change: NanoUsd(rng.i64(..)),
        reason: text(rng).into(),
        actor: text(rng).into(),
        at: NOW,
    })
}

pub fn options(durability: Durability) -> Options {
    // Small, so that segments fill up and the reserve is of the disks' order.
    let segment_bytes = 4_000;
    Options { segment_bytes, reserve_bytes: 20_000, ..Options::new(DIRECTORY.into(), durability, 2) }
}

pub fn open(fs: &SimFs, durability: Durability) -> Journal {
    Journal::open(Arc::new(fs.clone()), options(durability), &[]).expect("opened")
}

/// All events that a new process finds, by shard and in their order there.
pub fn read_back(fs: &SimFs) -> Vec<(u32, Event)> {
    let directory = Path::new(DIRECTORY);
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let mut found = Vec::new();
    for listed in segment::list(fs, directory).expect("listed") {
        let mut records = Records::new(Arc::clone(&shared), directory, listed.id, listed.until);
        while let Some(record) = records.read().expect("read") {
            found.push((listed.id.shard, codec::read(record.content).expect("an event")));
        }
    }
    found
}
