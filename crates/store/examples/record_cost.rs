//! Measures what writing request records costs: microseconds of CPU time and of wall time per row.
//!
//! `cargo run --profile quick -p store --example record_cost [rows] [rows per batch] [keys]`. CPU time is that
//! of the whole process (user and system, all threads), read from `/proc/self/stat` in ticks of 10 ms.

#![expect(clippy::print_stdout, reason = "a measurement that prints its result")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use model::record::{Attempt, Candidate, CandidateReason, Check, RequestRecord};
use model::{NanoUsd, RequestId, ResourceId, Usage, UsageSource};
use store::{KeyRing, Store};

/// The allocator of the shipped program: allocation is a good part of what is measured.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const START_MS: u64 = 1_790_000_000_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let rows: u64 = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let batch: usize = arguments.next().map_or(Ok(256), |text| text.parse())?;
    let keys: u64 = arguments.next().map_or(Ok(16), |text| text.parse())?;
    let directory = std::env::temp_dir().join(format!("yumen-record-cost-{}", std::process::id()));
    let result = measure(&directory, (0..rows).map(|n| sample(n, keys)).collect(), batch).await;
    std::fs::remove_dir_all(&directory)?;
    result
}

async fn measure(directory: &Path, records: Vec<RequestRecord>, batch: usize) -> Result<(), Box<dyn Error>> {
    let store = Store::open(directory, KeyRing::derive([1; 32])?).await?;
    let rows = records.len() as u64;
    let (started, cpu) = (Instant::now(), cpu_us()?);
    for part in records.chunks(batch) {
        store.append_records(part).await?;
    }
    let (wall, cpu) = (started.elapsed().as_micros(), cpu_us()? - cpu);
    store.close().await;
    let size = std::fs::metadata(directory.join("requests.db"))?.len();
    println!(
        "{rows} rows in batches of {batch}: {:.2} µs CPU and {:.2} µs wall per row, {} bytes on disk per row",
        per(cpu, rows),
        per(wall.try_into()?, rows),
        size / rows.max(1)
    );
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

/// A plain answered request: two candidates, one attempt, three checks.
fn sample(n: u64, keys: u64) -> RequestRecord {
    let mut chance = [0_u8; 10];
    chance[2..].copy_from_slice(&n.to_be_bytes());
    let request_id = RequestId::mint(START_MS + n / 10, chance);
    RequestRecord {
        request_id,
        trace_id: request_id.into(),
        at: START_MS + n / 10,
        route: "POST /v1/chat/completions",
        surface: "openai_chat",
        key_id: Some(ResourceId::mint(START_MS + n % keys, [3; 10])),
        user_id: None,
        tenant_id: "default".into(),
        client_ip: Some([127, 0, 0, 1].into()),
        model: "gpt-4o-mini".into(),
        upstream_model: Some("gpt-4o-mini-2024-07-18".into()),
        upstream: Some("openai-main".into()),
        stream: true,
        status: 200,
        code: None,
        cause: None,
        checks: ["key", "model", "rpm"].map(check).to_vec(),
        candidates: ["openai-main", "openai-spare"].map(candidate).to_vec(),
        attempts: vec![attempt()],
        usage: Usage { input: 812, output: 256, source: UsageSource::Measured, ..Usage::default() },
        cost: Some(NanoUsd(275_400)),
        bytes_in: 3_200,
        bytes_out: 41_000,
        first_byte_ms: Some(412),
        latency_ms: 2_310,
        own_us: 180,
        revision: 7,
        program: None,
        translation: None,
        signature: None,
        stated_usage: None,
    }
}

fn check(name: &'static str) -> Check {
    Check { name, passed: true, limit: Some(600), used: Some(12) }
}

fn candidate(name: &str) -> Candidate {
    Candidate { account: name.into(), eligible: true, reason: CandidateReason::Eligible }
}

fn attempt() -> Attempt {
    Attempt {
        account: "openai-main".into(),
        status: Some(200),
        class: "ok",
        error: None,
        upstream_request_id: Some("req_0123456789abcdef".into()),
        reused: true,
        first_byte_ms: Some(410),
        total_ms: 2_308,
    }
}
