//! The ledger under threads: who is admitted, what is refused and how, what a start finds again.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use ledger::book::{Effects, Restoration};
use ledger::engine::{AdjustError, Adjustment, LIFETIME_MS, Reset};
use ledger::event::Event;
use ledger::meter::{Asked, AttemptStart, Facts, Hold, Meter, Payer, Progress, Settlement};
use ledger::{Ledger, MemoryJournal};
use model::entry::{EntryKind, EntryState};
use model::quota::{Amounts, Owner, OwnerKind, Period, Quota, Unit};
use model::{Code, NanoUsd, RequestId, Usage, UsageSource};

/// 2026-11-21T12:00:00Z.
const NOON: u64 = 1_795_262_400_000;
const DAY: u64 = 86_400_000;

fn ledger() -> (Ledger, MemoryJournal) {
    let journal = MemoryJournal::new();
    let book = Restoration::new(&[], &[]).finish();
    (Ledger::open(book, Arc::new(journal.clone()), NOON), journal)
}

fn owner(kind: OwnerKind) -> Owner {
    Owner { kind, id: format!("{}-1", kind.name()).into() }
}

fn payer(kind: OwnerKind, quotas: &[(Unit, Period, i64)], wallet: bool) -> Payer {
    let quotas =
        quotas.iter().map(|(unit, period, limit)| Quota { unit: *unit, period: *period, limit: *limit });
    Payer { owner: owner(kind), quotas: quotas.collect(), wallet }
}

fn request(n: u64) -> RequestId {
    let mut chance = [0; 10];
    chance[2..].copy_from_slice(&n.to_be_bytes());
    RequestId::mint(NOON, chance)
}

fn asked(n: u64, payers: &Arc<[Payer]>, [requests, tokens, cost]: [i64; 3], at: u64) -> Asked {
    let facts =
        Facts { request: request(n), key: None, user: None, tenant: "default".into(), model: "m".into() };
    let expected = Amounts { requests, tokens, cost: NanoUsd(cost) };
    Asked { facts, payers: Arc::clone(payers), expected, at }
}

fn first() -> AttemptStart {
    AttemptStart { number: 1, account: "a".into() }
}

fn used(tokens: u64, cost: i64, at: u64) -> Settlement {
    let usage = Usage { output: tokens, source: UsageSource::Measured, ..Usage::default() };
    Settlement { usage, cost: Some(NanoUsd(cost)), at, attempts: Vec::new() }
}

fn begun(ledger: &Ledger, asked: Asked) -> Hold {
    let at = asked.at;
    let mut hold = ledger.hold(asked).expect("covered");
    assert!(ledger.begin(&mut hold, first(), at).expect("journaled").is_done());
    hold
}

/// A book from an empty database and everything that the journal holds.
fn started_again(journal: &MemoryJournal, now: u64) -> Ledger {
    let mut restoration = Restoration::new(&[], &[]);
    // Shards are read one after the other, so that any order may come.
    journal.events().iter().rev().for_each(|event| restoration.recall(event, false));
    Ledger::open(restoration.finish(), Arc::new(journal.clone()), now)
}

fn topup(owner: Owner, change: i64) -> Adjustment {
    let (tenant, reason, actor) = ("default".into(), "test".into(), "admin".into());
    Adjustment { owner, tenant, change: NanoUsd(change), reason, actor, at: NOON }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(future)
}

/// T01, within the process.
#[test]
fn of_ten_thousand_at_once_exactly_a_thousand_are_admitted() {
    for seed in 1..=20_u64 {
        let (ledger, _) = ledger();
        let payers: Arc<[Payer]> = Arc::new([
            payer(OwnerKind::Key, &[(Unit::Requests, Period::Never, 1_000)], false),
            payer(OwnerKind::Tenant, &[(Unit::Requests, Period::Daily, 5_000)], false),
        ]);
        let (admitted, refused) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..8_u64 {
                let (ledger, payers, admitted, refused) = (&ledger, &payers, &admitted, &refused);
                scope.spawn(move || {
                    let mut chance = fastrand::Rng::with_seed(seed * 8 + thread);
                    for n in 0..1_250 {
                        match ledger.hold(asked(thread * 1_250 + n, payers, [1, 10, 5], NOON)) {
                            Ok(mut hold) => {
                                admitted.fetch_add(1, Ordering::Relaxed);
                                let _ = ledger.begin(&mut hold, first(), NOON).expect("journaled");
                                if chance.bool() {
                                    std::thread::yield_now();
                                }
                                ledger.settle(hold, used(chance.u64(0..20), chance.i64(0..10), NOON));
                            }
                            Err(why) => {
                                refused.fetch_add(1, Ordering::Relaxed);
                                assert_eq!(why.code, Code::QuotaRequestExceeded, "seed {seed}");
                            }
                        }
                    }
                });
            }
        });
        assert_eq!((admitted.into_inner(), refused.into_inner()), (1_000, 9_000), "seed {seed}");
        let counts = ledger.counts();
        assert_eq!((counts.open, counts.held, counts.settled), (0, Amounts::default(), 1_000));
        let standing = ledger.standing(&owner(OwnerKind::Key), &payers[0].quotas, false, NOON);
        assert_eq!((standing.windows[0].used, standing.windows[0].held), (1_000, 0));
    }
}

/// T06: 64 agents whose maximum alone would be more than the budget, but who use little.
#[test]
fn a_budget_is_not_refused_for_what_could_have_been_used() {
    const BUDGET: i64 = 25_000_000_000;
    let (ledger, _) = ledger();
    let payers: Arc<[Payer]> =
        Arc::new([payer(OwnerKind::Key, &[(Unit::Cost, Period::Monthly, BUDGET)], false)]);
    let spent = AtomicI64::new(0);
    std::thread::scope(|scope| {
        for agent in 0..64_u64 {
            let (ledger, payers, spent) = (&ledger, &payers, &spent);
            scope.spawn(move || {
                let mut chance = fastrand::Rng::with_seed(agent);
                for n in 0..40 {
                    // A token costs 15,000 nano-dollars; 64,000 of them are allowed, and 256 expected.
                    let mut hold =
                        begun(ledger, asked(agent * 100 + n, payers, [1, 256, 256 * 15_000], NOON));
                    let tokens = chance.i64(1..1_200);
                    while hold.held().tokens < tokens {
                        let more = Amounts { requests: 0, tokens: 256, cost: NanoUsd(256 * 15_000) };
                        ledger.extend(&mut hold, more, NOON).expect("there is enough");
                    }
                    spent.fetch_add(tokens * 15_000, Ordering::Relaxed);
                    ledger.settle(hold, used(tokens.unsigned_abs(), tokens * 15_000, NOON));
                }
            });
        }
    });
    let standing = ledger.standing(&owner(OwnerKind::Key), &payers[0].quotas, false, NOON);
    assert_eq!((standing.windows[0].used, standing.windows[0].held), (spent.into_inner(), 0));
    assert!(standing.windows[0].used > BUDGET * 9 / 10 * 8 / 10, "{}", standing.windows[0].used);
}

#[test]
fn a_refusal_names_the_quota_and_takes_from_nobody() {
    for (unit, period, code, ends) in [
        (Unit::Requests, Period::Daily, Code::QuotaDailyExceeded, Some(NOON + DAY / 2)),
        (Unit::Tokens, Period::Weekly, Code::QuotaWeeklyExceeded, Some(NOON + 2 * DAY - DAY / 2)),
        (Unit::Cost, Period::Monthly, Code::QuotaMonthlyExceeded, Some(NOON + 10 * DAY - DAY / 2)),
        (Unit::Requests, Period::Never, Code::QuotaRequestExceeded, None),
        (Unit::Tokens, Period::Rolling7d, Code::QuotaTokenExceeded, Some(NOON + 7 * DAY)),
        (Unit::Cost, Period::Rolling24h, Code::QuotaCostExceeded, Some(NOON + DAY)),
    ] {
        let (ledger, journal) = ledger();
        let payers: Arc<[Payer]> = Arc::new([
            payer(OwnerKind::Key, &[(Unit::Requests, Period::Never, 10)], false),
            payer(OwnerKind::User, &[(unit, period, 1)], false),
        ]);
        let hold = begun(&ledger, asked(1, &payers, [1, 1, 1], NOON));
        let why = ledger.hold(asked(2, &payers, [1, 1, 1], NOON)).expect_err("used up");
        assert_eq!((why.code, why.resets_at), (code, ends), "{}", why.message);
        assert!(why.message.contains("user"), "{}", why.message);
        ledger.void(hold, "test", NOON);
        let standing = ledger.standing(&owner(OwnerKind::Key), &payers[0].quotas, false, NOON);
        assert_eq!((standing.windows[0].used, standing.windows[0].held), (0, 0));
        assert_eq!(journal.events().len(), 2, "the refused one leaves nothing");
    }
}

#[test]
fn a_wallet_never_goes_below_nothing_and_what_it_lacks_is_reported() {
    let (ledger, journal) = ledger();
    let user = owner(OwnerKind::User);
    let payers: Arc<[Payer]> = Arc::new([payer(OwnerKind::User, &[], true)]);
    let why = ledger.hold(asked(0, &payers, [1, 1, 1], NOON)).expect_err("an empty wallet");
    assert_eq!((why.code, why.resets_at), (Code::InsufficientBalance, None));
    assert_eq!(now(ledger.adjust(topup(user.clone(), 100))), Ok(NanoUsd(100)));
    let (one, other) = (
        begun(&ledger, asked(1, &payers, [1, 1, 60], NOON)),
        begun(&ledger, asked(2, &payers, [1, 1, 40], NOON)),
    );
    let refused = now(ledger.adjust(topup(user.clone(), -1)));
    assert_eq!(refused, Err(AdjustError::Insufficient { available: NanoUsd(0) }));
    // What the other one holds is not taken for this one's overshoot.
    ledger.settle(one, used(1, 75, NOON));
    let standing = ledger.standing(&user, &[], true, NOON);
    assert_eq!(
        (standing.balance, standing.held, standing.overshoot),
        (Some(NanoUsd(40)), NanoUsd(40), NanoUsd(15))
    );
    ledger.settle(other, used(1, 10, NOON));
    assert_eq!(now(ledger.adjust(topup(user.clone(), -30))), Ok(NanoUsd(0)));
    let mut effects = Effects::new();
    journal.events().iter().for_each(|event| effects.add(event));
    assert!(effects.balances().is_empty(), "100 - 60 - 10 - 30 = 0");
    let charges = effects.entries.iter().filter(|entry| entry.kind == EntryKind::Charge);
    let owed: i64 = charges.map(|entry| entry.amount.expect("priced").0 - entry.overshoot.0).sum();
    assert_eq!(owed, 70);
}

/// Access contract, §5: overshoot is reported per owner, whatever its quota counts.
#[test]
fn tokens_beyond_a_quota_are_reported() {
    let (ledger, _) = ledger();
    let payers: Arc<[Payer]> =
        Arc::new([payer(OwnerKind::Key, &[(Unit::Tokens, Period::Never, 100)], false)]);
    let overshoot = || {
        let standing = ledger.standing(&owner(OwnerKind::Key), &payers[0].quotas, false, NOON);
        (standing.windows[0].used, standing.overshoot_tokens)
    };
    let (one, other) = (
        begun(&ledger, asked(1, &payers, [1, 40, 1], NOON)),
        begun(&ledger, asked(2, &payers, [1, 60, 1], NOON)),
    );
    ledger.settle(one, used(55, 1, NOON));
    assert_eq!(overshoot(), (55, 15), "what the other one holds is its own");
    ledger.settle(other, used(70, 1, NOON));
    assert_eq!(overshoot(), (125, 25));
}

#[test]
fn what_is_begun_and_dropped_is_charged_as_estimated_and_what_is_not_begun_leaves_nothing() {
    let (ledger, journal) = ledger();
    let payers: Arc<[Payer]> =
        Arc::new([payer(OwnerKind::Key, &[(Unit::Tokens, Period::Daily, 1_000)], false)]);
    drop(ledger.hold(asked(1, &payers, [1, 100, 0], NOON)).expect("covered"));
    assert!(journal.events().is_empty());
    drop(begun(&ledger, asked(2, &payers, [1, 100, 0], NOON)));
    let mut third = begun(&ledger, asked(3, &payers, [1, 100, 0], NOON));
    let usage = Usage { input: 5, output: 25, ..Usage::default() };
    ledger.checkpoint(&mut third, &Progress { usage, cost: None }, NOON + 1);
    drop(third);
    let standing = ledger.standing(&owner(OwnerKind::Key), &payers[0].quotas, false, NOON);
    assert_eq!((standing.windows[0].used, standing.windows[0].held), (130, 0));
    let mut effects = Effects::new();
    journal.events().iter().for_each(|event| effects.add(event));
    let states: Vec<_> =
        effects.entries.iter().map(|entry| (entry.kind, entry.state, entry.attempt)).collect();
    let (charge, attempt) =
        ((EntryKind::Charge, EntryState::Estimated, 0), (EntryKind::Attempt, EntryState::Estimated, 1));
    assert_eq!(states, [charge, attempt, charge, attempt]);
}

#[test]
fn an_expired_hold_is_settled_once_and_its_late_settlement_is_ignored() {
    let (ledger, journal) = ledger();
    let payers: Arc<[Payer]> =
        Arc::new([payer(OwnerKind::Key, &[(Unit::Tokens, Period::Never, 1_000)], false)]);
    let mut hold = begun(&ledger, asked(1, &payers, [1, 100, 0], NOON));
    ledger.sweep(NOON + LIFETIME_MS - 1);
    assert_eq!(ledger.counts().open, 1);
    ledger.sweep(NOON + LIFETIME_MS);
    assert!(ledger.extend(&mut hold, Amounts { tokens: 1, ..Amounts::default() }, NOON).is_err());
    ledger.settle(hold, used(1, 0, NOON + LIFETIME_MS));
    let counts = ledger.counts();
    assert_eq!((counts.open, counts.expired, counts.settled, counts.late), (0, 1, 0, 1));
    let ends = journal.events().iter().filter(|event| matches!(event, Event::Ended(_))).count();
    assert_eq!(ends, 1);
}

#[test]
fn a_start_finds_everything_again_and_settles_what_was_left_open() {
    let (ledger, journal) = ledger();
    let quotas = [(Unit::Tokens, Period::Daily, 1_000), (Unit::Requests, Period::Rolling24h, 50)];
    let payers: Arc<[Payer]> =
        Arc::new([payer(OwnerKind::Key, &quotas, false), payer(OwnerKind::User, &[], true)]);
    let user = owner(OwnerKind::User);
    now(ledger.adjust(topup(user.clone(), 1_000))).expect("room");
    ledger.settle(begun(&ledger, asked(1, &payers, [1, 10, 10], NOON)), used(7, 70, NOON));
    ledger.void(begun(&ledger, asked(2, &payers, [1, 10, 10], NOON)), "refused upstream", NOON);
    let running = begun(&ledger, asked(3, &payers, [1, 20, 30], NOON + 1));
    let not_begun = ledger.hold(asked(4, &payers, [1, 20, 30], NOON + 1)).expect("covered");
    let left_behind = MemoryJournal::new();
    for event in journal.events() {
        let _ = ledger::JournalWriter::append(&left_behind, &event, ledger::Need::Usual);
    }
    let again = started_again(&left_behind, NOON + 2);
    let standing = again.standing(&owner(OwnerKind::Key), &payers[0].quotas, false, NOON + 2);
    let windows: Vec<_> =
        standing.windows.iter().map(|window| (window.used, window.held, window.began)).collect();
    assert_eq!(windows, [(27, 0, NOON - DAY / 2), (2, 0, NOON)]);
    assert_eq!(again.standing(&user, &[], true, NOON).balance, Some(NanoUsd(900)));
    assert_eq!((again.counts().open, again.counts().orphaned), (0, 1));
    let once_more = started_again(&left_behind, NOON + 3);
    assert_eq!(once_more.counts().orphaned, 0);
    assert_eq!(once_more.standing(&user, &[], true, NOON).balance, Some(NanoUsd(900)));
    drop((running, not_begun));
}

#[test]
fn a_journal_that_takes_nothing_refuses_new_requests_and_learns_the_ends_later() {
    let (ledger, journal) = ledger();
    let payers: Arc<[Payer]> = Arc::new([payer(OwnerKind::Key, &[(Unit::Cost, Period::Never, 100)], false)]);
    let running = begun(&ledger, asked(1, &payers, [1, 1, 10], NOON));
    journal.set_faulty(true);
    let mut new = ledger.hold(asked(2, &payers, [1, 1, 10], NOON)).expect("covered");
    let why = ledger.begin(&mut new, first(), NOON).expect_err("not journaled");
    assert_eq!(why.code, Code::ServiceDegraded);
    ledger.void(new, "the journal has trouble", NOON);
    ledger.settle(running, used(1, 7, NOON));
    assert!(ledger.fault().is_some());
    assert!(matches!(now(ledger.adjust(topup(owner(OwnerKind::Key), 5))), Err(AdjustError::Journal(_))));
    assert_eq!(ledger.counts().unwritten, 1);
    journal.set_faulty(false);
    assert!(ledger.fault().is_some(), "an end is still missing");
    ledger.sweep(NOON);
    assert_eq!((ledger.fault(), ledger.counts().unwritten), (None, 0));
    assert!(matches!(&journal.events()[..], [Event::Opened { .. }, Event::Ended(_)]));
}

#[test]
fn a_window_that_is_reset_is_unused_and_what_runs_stays_held() {
    let (ledger, journal) = ledger();
    let payers: Arc<[Payer]> = Arc::new([payer(OwnerKind::Key, &[(Unit::Cost, Period::Daily, 100)], false)]);
    ledger.settle(begun(&ledger, asked(1, &payers, [1, 1, 60], NOON)), used(1, 60, NOON));
    let running = begun(&ledger, asked(2, &payers, [1, 1, 40], NOON));
    assert!(ledger.hold(asked(3, &payers, [1, 1, 1], NOON)).is_err());
    let reset = Reset {
        owner: owner(OwnerKind::Key),
        tenant: "default".into(),
        unit: Unit::Cost,
        period: Period::Daily,
        reason: "test".into(),
        actor: "admin".into(),
        at: NOON,
    };
    assert_eq!(now(ledger.reset_window(reset)), Ok(60));
    let standing = ledger.standing(&owner(OwnerKind::Key), &payers[0].quotas, false, NOON);
    assert_eq!((standing.windows[0].used, standing.windows[0].held), (0, 40));
    ledger.settle(running, used(1, 30, NOON));
    let again = started_again(&journal, NOON);
    assert_eq!(again.standing(&owner(OwnerKind::Key), &payers[0].quotas, false, NOON).windows[0].used, 30);
}

/// T16: what is begun before midnight belongs to the day before, wherever the clock goes meanwhile.
#[test]
fn a_request_over_midnight_is_charged_to_one_day_only() {
    let midnight = NOON + DAY / 2;
    let (ledger, journal) = ledger();
    let payers: Arc<[Payer]> =
        Arc::new([payer(OwnerKind::Key, &[(Unit::Tokens, Period::Daily, 100)], false)]);
    let quotas = &payers[0].quotas;
    let mut before = begun(&ledger, asked(1, &payers, [1, 90, 0], midnight - 1));
    let after = begun(&ledger, asked(2, &payers, [1, 100, 0], midnight));
    let more = |tokens| Amounts { tokens, ..Amounts::default() };
    ledger.extend(&mut before, more(10), midnight).expect("of the day before");
    assert!(ledger.extend(&mut before, more(1), midnight).is_err(), "there is nothing left of it");
    // Back before midnight the new day stays; the old one is not opened again.
    let hour = DAY / 24;
    assert!(ledger.hold(asked(3, &payers, [1, 1, 0], midnight - hour)).is_err());
    assert!(ledger.hold(asked(4, &payers, [1, 1, 0], midnight - 365 * DAY)).is_err());
    ledger.settle(before, used(95, 0, midnight + 5));
    ledger.settle(after, used(40, 0, midnight + 6));
    let window = ledger.standing(&owner(OwnerKind::Key), quotas, false, midnight - hour).windows[0];
    assert_eq!((window.used, window.held, window.began), (40, 0, midnight));
    let mut effects = Effects::new();
    journal.events().iter().for_each(|event| effects.add(event));
    let mut days: Vec<_> = effects.windows().iter().map(|window| (window.began, window.used)).collect();
    days.sort_unstable();
    assert_eq!(days, [(midnight - DAY, 95), (midnight, 40)]);
}

/// Found by the simulation: the old window was let go of while a request was open that held nothing of it yet.
#[test]
fn a_window_that_is_over_stays_while_a_request_may_still_extend_out_of_it() {
    let midnight = NOON + DAY / 2;
    let (ledger, _) = ledger();
    let payers: Arc<[Payer]> =
        Arc::new([payer(OwnerKind::Key, &[(Unit::Tokens, Period::Daily, 100)], false)]);
    ledger.settle(begun(&ledger, asked(1, &payers, [1, 100, 0], midnight - 2)), used(100, 0, midnight - 2));
    let mut idle = begun(&ledger, asked(2, &payers, [1, 0, 0], midnight - 1));
    ledger.settle(begun(&ledger, asked(3, &payers, [1, 10, 0], midnight)), used(10, 0, midnight));
    let more = Amounts { tokens: 1, ..Amounts::default() };
    let why = ledger.extend(&mut idle, more, midnight).expect_err("all of that day is used");
    assert_eq!((why.code, why.resets_at), (Code::QuotaDailyExceeded, Some(midnight)));
    ledger.void(idle, "test", midnight);
}

#[test]
fn payers_out_of_order_are_refused_rather_than_locked_in_a_circle() {
    let (ledger, _) = ledger();
    let payers: Arc<[Payer]> =
        Arc::new([payer(OwnerKind::User, &[], false), payer(OwnerKind::Key, &[], false)]);
    assert!(ledger.hold(asked(1, &payers, [1, 1, 1], NOON)).is_err());
    let twice: Arc<[Payer]> =
        Arc::new([payer(OwnerKind::Key, &[], false), payer(OwnerKind::Key, &[], false)]);
    assert!(ledger.hold(asked(1, &twice, [1, 1, 1], NOON)).is_err());
}
