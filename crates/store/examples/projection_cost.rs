//! Measures what projecting the ledger costs: microseconds of CPU time and of wall time per entry.
//!
//! `cargo run --profile quick -p store --example projection_cost [entries] [entries per batch] [keys]
//! [windows per batch]`. Half of the entries are charges, half attempts. CPU time is that of the whole process
//! (user and system, all threads), read from `/proc/self/stat` in ticks of 10 ms.

#![expect(clippy::print_stdout, reason = "a measurement that prints its result")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use model::entry::{Balance, EntryKind, EntryState, JournalPosition, LedgerEntry, Projection, WindowUse};
use model::quota::{Owner, OwnerKind, Period, Unit};
use model::{NanoUsd, RequestId, ResourceId, Usage, UsageSource};
use store::{KeyRing, LedgerFilter, PageRequest, Scope, Store};

/// The allocator of the shipped program: allocation is a good part of what is measured.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const START_MS: u64 = 1_790_000_000_000;

/// What is measured.
struct Case {
    entries: u64,
    batch: u64,
    keys: u64,
    windows: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |usual: u64| arguments.next().map_or(Ok(usual), |text| text.parse());
    let case =
        Case { entries: number(204_800)?, batch: number(2_048)?, keys: number(16)?, windows: number(16)? };
    let directory = std::env::temp_dir().join(format!("yumen-projection-cost-{}", std::process::id()));
    let result = measure(&directory, &case).await;
    std::fs::remove_dir_all(&directory)?;
    result
}

async fn measure(directory: &Path, case: &Case) -> Result<(), Box<dyn Error>> {
    let store = Store::open(directory, KeyRing::derive([1; 32])?).await?;
    let batches = case.entries / case.batch.max(1);
    let projections: Vec<Projection> = (0..batches).map(|n| projection(n, case)).collect();
    let (started, cpu) = (Instant::now(), cpu_us()?);
    for projection in &projections {
        store.project(projection).await?;
    }
    let (wall, cpu) = (started.elapsed().as_micros(), cpu_us()? - cpu);
    let Case { entries, batch, keys, windows } = case;
    println!(
        "{entries} entries in batches of {batch}, {keys} keys, {windows} windows a batch: {:.2} µs CPU and {:.2} µs wall per entry",
        per(cpu, *entries),
        per(wall.try_into()?, *entries),
    );
    search(&store, case).await?;
    store.close().await;
    let size = std::fs::metadata(directory.join("yumen.db"))?.len();
    println!("{} bytes on disk per entry", size / (*entries).max(1));
    Ok(())
}

/// Times a first page by request, by key and of everything, and the state that a start reads.
async fn search(store: &Store, case: &Case) -> Result<(), Box<dyn Error>> {
    let request_id = Some(request(case.entries / 4).to_string());
    let filters = [
        ("by request", LedgerFilter { request_id, ..LedgerFilter::default() }),
        ("by key", LedgerFilter { key_id: Some(key(case.keys / 2)), ..LedgerFilter::default() }),
        ("newest", LedgerFilter::default()),
    ];
    for (name, filter) in filters {
        let started = Instant::now();
        let page = store.ledger_entries(&Scope::system(), &filter, &PageRequest::default()).await?;
        println!("{name}: {} entries in {} µs", page.items.len(), started.elapsed().as_micros());
    }
    let started = Instant::now();
    let state = store.ledger_state().await?;
    println!("state of {} windows in {} µs", state.windows.len(), started.elapsed().as_micros());
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a printed average")]
fn per(total: u64, rows: u64) -> f64 {
    total as f64 / rows.max(1) as f64
}

/// User and system time of this process, in microseconds: fields 14 and 15 of proc(5) `stat`, counted
/// after the name in brackets, in ticks of 1/100 s.
fn cpu_us() -> Result<u64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(')').ok_or("no name in /proc/self/stat")?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(ticks * 10_000)
}

/// The `n`th stretch of the journal.
fn projection(n: u64, case: &Case) -> Projection {
    let at = |n: u64| JournalPosition { shard: 0, segment: 0, offset: n * 1_000 };
    let first = n * case.batch / 2;
    // Requests end in another order than they began: each is up to half a batch out of place.
    let requests = (0..case.batch / 2).map(|k| first + k * 7 % (case.batch / 2).max(1));
    let owner =
        |k: u64| Owner { kind: OwnerKind::Key, id: key((n * case.windows + k) % case.keys).as_str().into() };
    let window =
        |k| WindowUse { owner: owner(k), unit: Unit::Tokens, period: Period::Never, began: 0, used: 812 };
    Projection {
        from: (n > 0).then(|| at(n)),
        to: at(n + 1),
        entries: requests
            .flat_map(|request| [charge(request, case.keys), attempt(request, case.keys)])
            .collect(),
        windows: (0..case.windows).map(window).collect(),
        balances: vec![Balance { owner: owner(0), amount: NanoUsd(-275_400) }],
    }
}

fn key(n: u64) -> ResourceId {
    let mut chance = [3; 10];
    // Spread as chance is.
    chance[2..].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    ResourceId::mint(START_MS + n, chance)
}

fn request(n: u64) -> RequestId {
    let mut chance = [0_u8; 10];
    chance[2..].copy_from_slice(&n.to_be_bytes());
    RequestId::mint(START_MS + n / 10, chance)
}

fn charge(n: u64, keys: u64) -> LedgerEntry {
    LedgerEntry {
        kind: EntryKind::Charge,
        state: EntryState::Measured,
        request_id: Some(request(n)),
        attempt: 0,
        key_id: Some(key(n % keys)),
        user_id: Some(ResourceId::mint(START_MS, [5; 10])),
        tenant_id: "default".into(),
        model: "gpt-4o-mini".into(),
        account: None,
        usage: Usage { input: 812, output: 256, source: UsageSource::Measured, ..Usage::default() },
        amount: Some(NanoUsd(275_400)),
        overshoot: NanoUsd::ZERO,
        reason: None,
        actor: None,
        at: START_MS + n / 10,
    }
}

fn attempt(n: u64, keys: u64) -> LedgerEntry {
    LedgerEntry {
        kind: EntryKind::Attempt,
        attempt: 1,
        account: Some("openai-main".into()),
        ..charge(n, keys)
    }
}
