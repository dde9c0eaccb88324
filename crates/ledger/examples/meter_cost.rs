//! What metering costs: hold, begin and settle of a request with 0, 1 and 4 payers, on one thread and on two,
//! with a journal that keeps nothing. The gateway's journal adds the `write` of two records.
//!
//! `cargo run --release -p ledger --example meter_cost`
#![allow(clippy::print_stdout, reason = "its answer is what it prints")]

use std::sync::Arc;
use std::time::Instant;

use ledger::book::Book;
use ledger::meter::{Asked, AttemptCharge, AttemptStart, Facts, Meter, Payer, Settlement};
use ledger::{Event, JournalFault, JournalWriter, Ledger, Need, Written};
use model::quota::{Amounts, Owner, OwnerKind, Period, Quota, Unit};
use model::{NanoUsd, RequestId, Usage, UsageSource};

const REQUESTS: u64 = 1_000_000;

/// Takes everything and keeps nothing.
struct Nowhere;

impl JournalWriter for Nowhere {
    fn append(&self, event: &Event, _: Need) -> Result<Written, JournalFault> {
        std::hint::black_box(event);
        Ok(Written::done())
    }

    fn fault(&self) -> Option<String> {
        None
    }
}

fn main() {
    for payers in [0, 1, 4] {
        for threads in [1, 2] {
            let ledger = Ledger::open(Book::new(), Arc::new(Nowhere), 0);
            let started = Instant::now();
            std::thread::scope(|scope| {
                for thread in 0..threads {
                    let ledger = &ledger;
                    scope.spawn(move || run(ledger, payers, thread));
                }
            });
            let each = started.elapsed().as_nanos() / u128::from(REQUESTS);
            println!("{payers} payers, {threads} threads: {each} ns a request on each thread");
        }
    }
}

fn run(ledger: &Ledger, payers: usize, thread: u8) {
    let payers: Arc<[Payer]> = OwnerKind::ALL[..payers].iter().map(|kind| payer(*kind, thread)).collect();
    let (tenant, model, account): (Arc<str>, Arc<str>, Arc<str>) = ("default".into(), "m".into(), "a".into());
    let usage = Usage { input: 20, output: 10, source: UsageSource::Measured, ..Usage::default() };
    let expected = Amounts { requests: 1, tokens: 300, cost: NanoUsd(3_000) };
    for n in 0..REQUESTS {
        let mut chance = [thread; 10];
        chance[2..].copy_from_slice(&n.to_be_bytes());
        let request = RequestId::mint(n, chance);
        let facts = Facts { request, key: None, user: None, tenant: tenant.clone(), model: model.clone() };
        let asked = Asked { facts, payers: Arc::clone(&payers), expected, at: n };
        let Ok(mut hold) = ledger.hold(asked) else { return };
        let attempt = AttemptStart { number: 1, account: account.clone() };
        let _ = std::hint::black_box(ledger.begin(&mut hold, attempt, n));
        let cost = Some(NanoUsd(300));
        let attempts = vec![AttemptCharge { number: 1, account: account.clone(), usage, cost }];
        ledger.settle(hold, Settlement { usage, cost, at: n, attempts });
    }
}

/// Keys and users are the thread's own; tenants and groups are shared, as those of most callers are.
fn payer(kind: OwnerKind, thread: u8) -> Payer {
    let own = if matches!(kind, OwnerKind::Key | OwnerKind::User) { thread } else { 0 };
    let quota = |unit, period| Quota { unit, period, limit: i64::MAX / 4 };
    let quotas = [quota(Unit::Requests, Period::Daily), quota(Unit::Cost, Period::Monthly)];
    let id = format!("aaaaaaaaaaaaaaaaaaaaaaaaa{own}").into();
    Payer { owner: Owner { kind, id }, quotas: quotas.into(), wallet: false }
}
