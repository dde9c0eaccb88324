//! What the ledger's tables promise, whichever engine is underneath: all of a projection or nothing, never
//! twice, in any order of shards.

#![allow(clippy::unwrap_used, reason = "in a test, also in what its cases share")]

mod scratch;

use std::sync::Arc;

use model::entry::{Balance, EntryKind, EntryState, JournalPosition, LedgerEntry, Projection, WindowUse};
use model::quota::{Owner, OwnerKind, Period, Unit};
use model::{NanoUsd, RequestId, Usage, UsageSource};
use scratch::{NOW, Scratch, id};
use store::{Cursor, LedgerFilter, LedgerState, PageRequest, Scope, Store, StoreError};

/// The `n`th request.
fn request(n: u64) -> RequestId {
    let mut chance = [0; 10];
    chance[2..].copy_from_slice(&n.to_be_bytes());
    RequestId::mint(NOW + n, chance)
}

/// What the `n`th request costs; by one of eight keys.
fn charge(n: u64) -> LedgerEntry {
    LedgerEntry {
        kind: EntryKind::Charge,
        state: EntryState::Measured,
        request_id: Some(request(n)),
        attempt: 0,
        key_id: Some(id(u8::try_from(n % 8).unwrap())),
        user_id: Some(id(100 + u8::try_from(n % 2).unwrap())),
        tenant_id: "default".into(),
        model: "gpt-x".into(),
        account: None,
        usage: Usage {
            input: n,
            cache_read: 2,
            cache_write_5m: 3,
            cache_write_1h: 4,
            output: 5,
            reasoning: 6,
            audio_in: 7,
            audio_out: 8,
            web_searches: 9,
            source: UsageSource::Measured,
            capped: true,
            tier: Some(model::ServiceTier::Priority),
        },
        amount: Some(NanoUsd(1_000)),
        overshoot: NanoUsd(17),
        reason: None,
        actor: None,
        at: NOW + n,
    }
}

/// What its attempt cost us.
fn attempt(n: u64) -> LedgerEntry {
    LedgerEntry {
        kind: EntryKind::Attempt,
        state: EntryState::Estimated,
        attempt: 1,
        account: Some("main \"one\"".into()),
        amount: None,
        overshoot: NanoUsd::ZERO,
        ..charge(n)
    }
}

fn topup(user: u8, nano: i64) -> LedgerEntry {
    LedgerEntry {
        kind: EntryKind::Topup,
        request_id: None,
        key_id: None,
        user_id: Some(id(user)),
        model: "".into(),
        usage: Usage::default(),
        amount: Some(NanoUsd(nano)),
        reason: Some("paid \"cash\"\n".into()),
        actor: Some("admin-token".into()),
        ..charge(0)
    }
}

fn owner(name: &str) -> Owner {
    Owner { kind: OwnerKind::User, id: name.into() }
}

fn window(began: u64, used: i64) -> WindowUse {
    WindowUse { owner: owner("a"), unit: Unit::Tokens, period: Period::Daily, began, used }
}

fn balance(name: &str, nano: i64) -> Balance {
    Balance { owner: owner(name), amount: NanoUsd(nano) }
}

fn at(shard: u32, offset: u64) -> JournalPosition {
    JournalPosition { shard, segment: 3, offset }
}

/// A stretch of a shard, without anything in it; `from` 0 is the shard's beginning.
fn stretch(shard: u32, from: u64, to: u64) -> Projection {
    Projection {
        from: (from > 0).then(|| at(shard, from)),
        to: at(shard, to),
        entries: Vec::new(),
        windows: Vec::new(),
        balances: Vec::new(),
    }
}

async fn all(store: &Store, filter: LedgerFilter) -> Vec<LedgerEntry> {
    let page = PageRequest::first(200);
    store.ledger_entries(&Scope::system(), &filter, &page).await.unwrap().items
}

fn of_request(n: u64) -> LedgerFilter {
    LedgerFilter { request_id: Some(request(n).to_string()), ..LedgerFilter::default() }
}

#[tokio::test]
async fn entries_read_back_as_they_were_projected() {
    let directory = Scratch::new();
    let store = directory.open().await;
    let void = LedgerEntry { state: EntryState::Void, reason: Some("upstream refused".into()), ..charge(3) };
    let entries = vec![charge(1), attempt(1), topup(100, -5), void];
    store.project(&Projection { entries: entries.clone(), ..stretch(0, 0, 10) }).await.unwrap();
    let mut read = all(&store, LedgerFilter::default()).await;
    read.reverse();
    assert_eq!(read, entries);
    assert_eq!(all(&store, of_request(1)).await, [attempt(1), charge(1)]);
    assert!(all(&store, of_request(2)).await.is_empty());
    let user = LedgerFilter { user_id: Some(id(100)), ..LedgerFilter::default() };
    assert_eq!(all(&store, user).await, [topup(100, -5)]);
    let other = Scope::new("other", "mallory");
    let page = store.ledger_entries(&other, &of_request(1), &PageRequest::default()).await.unwrap();
    assert!(page.items.is_empty() && page.next.is_none());
}

#[tokio::test]
async fn a_projection_that_arrived_changes_nothing_when_it_comes_again() {
    let directory = Scratch::new();
    let store = directory.open().await;
    let first = Projection {
        entries: vec![charge(1)],
        windows: vec![window(NOW, 5)],
        balances: vec![balance("a", 50)],
        ..stretch(0, 0, 10)
    };
    let second = Projection { balances: vec![balance("a", -7)], ..stretch(0, 10, 20) };
    for projection in [&first, &first, &second, &first, &second] {
        store.project(projection).await.unwrap();
    }
    let state = LedgerState {
        balances: vec![balance("a", 43)],
        windows: vec![window(NOW, 5)],
        positions: vec![at(0, 20)],
    };
    assert_eq!(store.ledger_state().await.unwrap(), state);
    assert_eq!(all(&store, LedgerFilter::default()).await.len(), 1);
    store.close().await;
    drop(store);
    assert_eq!(directory.open().await.ledger_state().await.unwrap(), state);
}

#[tokio::test]
async fn a_projection_with_a_gap_is_refused_whole_and_names_both_places() {
    let directory = Scratch::new();
    let store = directory.open().await;
    store.project(&stretch(0, 0, 10)).await.unwrap();
    let paid = |projection| Projection { balances: vec![balance("a", 1)], ..projection };
    for wrong in [stretch(0, 11, 20), stretch(0, 9, 20), stretch(0, 0, 20), stretch(1, 5, 20)] {
        let error = store.project(&paid(wrong)).await.unwrap_err();
        assert!(matches!(error, StoreError::Gap { .. }) && !error.is_retryable(), "{error}");
    }
    let error = store.project(&paid(stretch(0, 11, 20))).await.unwrap_err().to_string();
    assert!(error.contains("segment 3 byte 11") && error.contains("segment 3 byte 10"), "{error}");
    for senseless in [Projection { to: at(1, 20), ..stretch(0, 10, 20) }, stretch(0, 10, 9)] {
        let error = store.project(&paid(senseless)).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused(_)), "{error}");
    }
    let state = store.ledger_state().await.unwrap();
    assert_eq!((state.balances.len(), state.positions), (0, vec![at(0, 10)]));
}

#[tokio::test]
async fn a_newer_segment_follows_an_older_one_at_any_byte() {
    let directory = Scratch::new();
    let store = directory.open().await;
    store.project(&stretch(0, 0, 900)).await.unwrap();
    let next = JournalPosition { shard: 0, segment: 4, offset: 1 };
    let projection = Projection { to: next, ..stretch(0, 900, 0) };
    store.project(&projection).await.unwrap();
    store.project(&stretch(0, 900, 950)).await.unwrap();
    assert_eq!(store.ledger_state().await.unwrap().positions, [next]);
}

#[tokio::test]
async fn the_newest_period_of_a_window_counts_in_whichever_order_shards_arrive() {
    let orders: [[(u32, u64, i64); 4]; 3] = [
        [(0, NOW, 5), (1, NOW, 6), (2, NOW + 9, 2), (3, NOW + 9, -1)],
        [(2, NOW + 9, 2), (0, NOW, 5), (3, NOW + 9, -1), (1, NOW, 6)],
        [(1, NOW, 6), (3, NOW + 9, -1), (0, NOW, 5), (2, NOW + 9, 2)],
    ];
    for order in orders {
        let directory = Scratch::new();
        let store = directory.open().await;
        for (shard, began, used) in order {
            let projection = Projection { windows: vec![window(began, used)], ..stretch(shard, 0, 10) };
            store.project(&projection).await.unwrap();
        }
        assert_eq!(store.ledger_state().await.unwrap().windows, [window(NOW + 9, 1)]);
    }
}

#[tokio::test]
async fn one_projection_may_change_a_window_and_a_balance_many_times() {
    let directory = Scratch::new();
    let store = directory.open().await;
    let windows = vec![window(NOW, 1), window(NOW + 9, 2), window(NOW, 4), window(NOW + 9, 8)];
    let balances = vec![balance("a", 5), balance("b", 1), balance("a", -2)];
    store.project(&Projection { windows, balances, ..stretch(0, 0, 10) }).await.unwrap();
    let state = store.ledger_state().await.unwrap();
    assert_eq!(state.windows, [window(NOW + 9, 10)]);
    let mut balances = state.balances;
    balances.sort_by(|one, other| one.owner.cmp(&other.owner));
    assert_eq!(balances, [balance("a", 3), balance("b", 1)]);
}

#[tokio::test]
async fn a_window_stops_counting_long_before_its_number_overflows() {
    let directory = Scratch::new();
    let store = directory.open().await;
    let most = i64::MAX / 2;
    for (round, (used, total)) in (0..).zip([(i64::MAX, most), (most, most), (-9, most - 9)]) {
        let projection = Projection {
            windows: vec![window(NOW, used), window(NOW, 0)],
            ..stretch(0, round * 10, round * 10 + 10)
        };
        store.project(&projection).await.unwrap();
        assert_eq!(store.ledger_state().await.unwrap().windows, [window(NOW, total)]);
    }
}

#[tokio::test]
async fn windows_of_one_owner_are_kept_apart_by_kind_unit_and_period() {
    let directory = Scratch::new();
    let store = directory.open().await;
    let mut windows = Vec::new();
    for kind in OwnerKind::ALL {
        for (unit, period) in Unit::ALL.into_iter().zip(Period::ALL.into_iter().cycle().skip(4)) {
            let owner = Owner { kind, id: "same".into() };
            let used = i64::try_from(windows.len()).unwrap();
            windows.push(WindowUse { owner, unit, period, began: 0, used });
        }
    }
    store.project(&Projection { windows: windows.clone(), ..stretch(0, 0, 10) }).await.unwrap();
    let mut read = store.ledger_state().await.unwrap().windows;
    read.sort_by_key(|window| window.used);
    assert_eq!(read, windows);
}

/// All pages of a search, page by page.
async fn paged(store: &Store, filter: &LedgerFilter, limit: u32) -> Vec<LedgerEntry> {
    let (mut page, mut seen) = (PageRequest::first(limit), Vec::new());
    loop {
        let got = store.ledger_entries(&Scope::system(), filter, &page).await.unwrap();
        seen.extend(got.items);
        let Some(next) = got.next else { return seen };
        page.after = Cursor::parse(&next.to_string());
        assert!(page.after.is_some());
    }
}

#[tokio::test]
async fn pages_are_whole_and_newest_first_by_key_by_user_and_for_all() {
    let directory = Scratch::new();
    let store = directory.open().await;
    // Requests end in another order than they began, so that blocks overlap.
    let mut expected: Vec<LedgerEntry> = Vec::new();
    for batch in 0..7_u64 {
        let ended = (0..300).map(|n| (n * 7 + batch) * 1_009 % 2_100);
        let entries: Vec<_> = ended.flat_map(|n| [charge(n), attempt(n)]).collect();
        expected.extend(entries.iter().cloned());
        let projection = stretch(0, batch * 10, batch * 10 + 10);
        store.project(&Projection { entries, ..projection }).await.unwrap();
    }
    expected.reverse();
    assert_eq!(paged(&store, &LedgerFilter::default(), 200).await, expected);
    let key = LedgerFilter { key_id: Some(id(3)), ..LedgerFilter::default() };
    let of_key: Vec<_> = expected.iter().filter(|entry| entry.key_id == Some(id(3))).cloned().collect();
    assert_eq!(paged(&store, &key, 64).await, of_key);
    let user = LedgerFilter { user_id: Some(id(101)), ..LedgerFilter::default() };
    assert_eq!(paged(&store, &user, 200).await.len(), expected.len() / 2);
    let neither = LedgerFilter { user_id: Some(id(100)), ..key };
    assert!(paged(&store, &neither, 200).await.is_empty());
    for n in (0..2_100).step_by(90) {
        assert_eq!(all(&store, of_request(n)).await, [attempt(n), charge(n)]);
        assert_eq!(paged(&store, &of_request(n), 1).await, [attempt(n), charge(n)]);
    }
}

#[tokio::test]
async fn a_rare_key_is_found_however_much_lies_between_its_entries() {
    let directory = Scratch::new();
    let store = directory.open().await;
    // More than an era's entries, and the key in some projections only.
    let mut expected = Vec::new();
    for batch in 0..20_u64 {
        let mut entries: Vec<_> = (0..2_100).map(|n| charge(batch * 2_100 + n)).collect();
        if batch % 3 == 1 {
            let rare = LedgerEntry { key_id: Some(id(77)), ..charge(batch * 2_100 + 5) };
            entries.insert(1_000, rare.clone());
            expected.insert(0, rare);
        }
        let projection = stretch(0, batch * 10, batch * 10 + 10);
        store.project(&Projection { entries, ..projection }).await.unwrap();
    }
    let rare = LedgerFilter { key_id: Some(id(77)), ..LedgerFilter::default() };
    for limit in [1, 2, 3, 200] {
        assert_eq!(paged(&store, &rare, limit).await, expected);
    }
    let never = LedgerFilter { key_id: Some(id(78)), ..LedgerFilter::default() };
    assert!(paged(&store, &never, 200).await.is_empty());
    let common = LedgerFilter { key_id: Some(id(3)), ..LedgerFilter::default() };
    let page = store.ledger_entries(&Scope::system(), &common, &PageRequest::first(9)).await.unwrap();
    assert!(page.items.len() == 9 && page.items.is_sorted_by_key(|entry| std::cmp::Reverse(entry.at)));
}

#[tokio::test]
async fn a_correction_of_long_after_is_found_with_its_request() {
    let directory = Scratch::new();
    let store = directory.open().await;
    let many = |from| (from..from + 400).map(charge).collect::<Vec<_>>();
    let correction = LedgerEntry { kind: EntryKind::Correction, amount: Some(NanoUsd(-3)), ..charge(7) };
    let late: Vec<_> = many(100_000).into_iter().chain([correction.clone()]).collect();
    store.project(&Projection { entries: many(0), ..stretch(0, 0, 10) }).await.unwrap();
    store.project(&Projection { entries: late, ..stretch(0, 10, 20) }).await.unwrap();
    assert_eq!(all(&store, of_request(7)).await, [correction, charge(7)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_whole_projections_while_two_shards_write() {
    const ROUNDS: u64 = 40;
    let directory = Scratch::new();
    let store = Arc::new(directory.open().await);
    let writers: Vec<_> = (0..2_u32)
        .map(|shard| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for round in 0..ROUNDS {
                    let n = round * 2 + u64::from(shard);
                    let projection = Projection {
                        entries: vec![charge(n), attempt(n)],
                        windows: vec![window(NOW, 3)],
                        balances: vec![balance("a", -1), balance("b", 1)],
                        ..stretch(shard, round * 10, round * 10 + 10)
                    };
                    store.project(&projection).await.unwrap();
                }
            })
        })
        .collect();
    let mut arrived = 0;
    while arrived < 2 * ROUNDS {
        let state = store.ledger_state().await.unwrap();
        arrived = state.positions.iter().map(|position| position.offset / 10).sum();
        let sum: i64 = state.balances.iter().map(|balance| balance.amount.0).sum();
        assert_eq!(sum, 0);
        let used = state.windows.first().map_or(0, |window| window.used);
        assert_eq!(used, i64::try_from(arrived).unwrap() * 3);
        let entries = all(&store, LedgerFilter::default()).await;
        assert!(entries.len() as u64 >= arrived * 2 && entries.len().is_multiple_of(2));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(all(&store, LedgerFilter::default()).await.len() as u64, 4 * ROUNDS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_bring_the_same_projection_it_counts_once() {
    let directory = Scratch::new();
    let store = Arc::new(directory.open().await);
    let projection = Projection { balances: vec![balance("a", 5)], ..stretch(0, 0, 10) };
    let bringers: Vec<_> = (0..8)
        .map(|_| {
            let (store, projection) = (Arc::clone(&store), projection.clone());
            tokio::spawn(async move { store.project(&projection).await })
        })
        .collect();
    for bringer in bringers {
        bringer.await.unwrap().unwrap();
    }
    assert_eq!(store.ledger_state().await.unwrap().balances, [balance("a", 5)]);
}

#[tokio::test]
async fn a_lock_from_outside_delays_writers_and_neither_readers_nor_refuses_anybody() {
    let directory = Scratch::new();
    let store = directory.open().await;
    let url = format!("sqlite:{}", directory.path().join("yumen.db").display());
    let outside = sqlx::SqlitePool::connect(&url).await.unwrap();
    let lock = outside.begin_with("BEGIN EXCLUSIVE").await.unwrap();
    let projection = Projection { balances: vec![balance("a", 5)], ..stretch(0, 0, 10) };
    let mut project = std::pin::pin!(store.project(&projection));
    let scope = Scope::system();
    let key = scratch::key(1);
    let mut insert = std::pin::pin!(store.insert_key(&scope, &key));
    let both = async { tokio::join!(&mut project, &mut insert) };
    let early = tokio::time::timeout(std::time::Duration::from_millis(100), both).await;
    assert!(early.is_err(), "the lock was not waited for");
    assert_eq!(store.ledger_state().await.unwrap(), LedgerState::default());
    lock.rollback().await.unwrap();
    project.await.unwrap();
    insert.await.unwrap();
    assert_eq!(store.ledger_state().await.unwrap().balances, [balance("a", 5)]);
}
