//! Measures what recording costs off the request path: microseconds of CPU time per record, from the queue
//! to the database, metrics and digest lines (on standard error) included.
//!
//! `cargo run --profile quick -p control --example recorder_cost [records] [keys] 2>/dev/null`. CPU time is
//! that of all threads, read from `/proc/self/task/*/schedstat` in nanoseconds.

#![expect(clippy::print_stdout, reason = "a measurement that prints its result")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use control::jobs::recorder;
use model::record::{Attempt, Candidate, CandidateReason, Check, RequestRecord};
use model::{NanoUsd, RequestId, ResourceId, Usage, UsageSource};
use store::{KeyRing, Store};
use telemetry::log::Format;
use telemetry::metric::Metrics;
use telemetry::queue::record_channel;

/// The allocator of the shipped program: allocation is a good part of what is measured.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const START_MS: u64 = 1_790_000_000_000;
/// Requests per millisecond.
const RATE: u64 = 26;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let records: u64 = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let keys: u64 = arguments.next().map_or(Ok(16), |text| text.parse())?;
    let directory = std::env::temp_dir().join(format!("yumen-recorder-cost-{}", std::process::id()));
    let result = measure(&directory, records, keys).await;
    std::fs::remove_dir_all(&directory)?;
    result
}

async fn measure(directory: &Path, records: u64, keys: u64) -> Result<(), Box<dyn Error>> {
    let store = Arc::new(Store::open(directory, KeyRing::derive([1; 32])?).await?);
    let (sender, receiver) = record_channel(usize::try_from(records)?);
    let shared = Shared::new(keys);
    for n in 0..records {
        sender.send(Box::new(shared.sample(n)));
    }
    drop(sender);
    let (started, cpu) = (Instant::now(), cpu_ns()?);
    recorder::run(receiver, Arc::clone(&store), Arc::new(Metrics::new()), Format::Json).await;
    let (wall, after) = (started.elapsed().as_nanos(), cpu_ns()?);
    store.close().await;
    let size = std::fs::metadata(directory.join("requests.db"))?.len();
    let per = |total: u64| total / records.max(1);
    println!(
        "{records} records: {} ns CPU and {} ns wall per record, {} bytes on disk",
        per(after - cpu),
        per(wall.try_into()?),
        per(size)
    );
    Ok(())
}

/// Time on a processor of all threads that there are: the first number of proc(5) `schedstat`.
fn cpu_ns() -> Result<u64, Box<dyn Error>> {
    let mut sum = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let stat = std::fs::read_to_string(task?.path().join("schedstat"))?;
        sum += stat.split(' ').next().ok_or("schedstat is empty")?.parse::<u64>()?;
    }
    Ok(sum)
}

/// What records of the data plane share.
struct Shared {
    keys: Vec<ResourceId>,
    texts: [Arc<str>; 5],
}

impl Shared {
    fn new(keys: u64) -> Self {
        Self {
            keys: (0..keys).map(|n| ResourceId::mint(START_MS + n, [3; 10])).collect(),
            texts: ["default", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", "openai-main", "openai-spare"]
                .map(Arc::from),
        }
    }

    /// A plain answered request: two candidates, one attempt, three checks.
    fn sample(&self, n: u64) -> RequestRecord {
        let mut chance = [0_u8; 10];
        chance[2..].copy_from_slice(&n.to_be_bytes());
        let at = START_MS + n / RATE;
        let request_id = RequestId::mint(at, chance);
        let [tenant_id, model, upstream_model, main, spare] = &self.texts;
        let key = usize::try_from(n).unwrap_or(0) % self.keys.len();
        RequestRecord {
            request_id,
            trace_id: request_id.into(),
            at,
            route: "POST /v1/chat/completions",
            surface: "openai_chat",
            key_id: self.keys.get(key).cloned(),
            user_id: None,
            tenant_id: Arc::clone(tenant_id),
            client_ip: Some([127, 0, 0, 1].into()),
            model: Arc::clone(model),
            upstream_model: Some(Arc::clone(upstream_model)),
            upstream: Some(Arc::clone(main)),
            stream: true,
            status: 200,
            code: None,
            cause: None,
            checks: ["key", "model", "rpm"].map(check).to_vec(),
            candidates: [main, spare].map(candidate).to_vec(),
            attempts: vec![attempt(main)],
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
}

fn check(name: &'static str) -> Check {
    Check { name, passed: true, limit: Some(600), used: Some(12) }
}

fn candidate(name: &Arc<str>) -> Candidate {
    Candidate { account: Arc::clone(name), eligible: true, reason: CandidateReason::Eligible }
}

fn attempt(name: &Arc<str>) -> Attempt {
    Attempt {
        account: Arc::clone(name),
        status: Some(200),
        class: "ok",
        error: None,
        upstream_request_id: Some("req_0123456789abcdef".into()),
        reused: true,
        first_byte_ms: Some(410),
        total_ms: 2_308,
    }
}
