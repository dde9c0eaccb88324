//! T25: input that is too big or too odd: refused with the right code, at once, for little memory.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use testkit::canned;
use testkit::gateway::{Gateway, Options, Turn};
use testkit::http::{Answer, Request};
use testkit::surface::{CHAT, MESSAGES, Surface};
use testkit::trust::Proof;
use testkit::upstream::Upstream;
use testkit::wait;
use tokio::time::Instant;

use super::tier;
use crate::stage::{Stage, ensure_error};

const PROOF: Proof = Proof::new(
    "T25",
    "P6",
    "Input that is too big or too odd is refused with its code before its body is read, for bounded memory",
);

const MIB: usize = 1024 * 1024;
/// Twice the largest body that is taken, in KiB.
const GROWN_KB: u64 = 2 * 32 * 1024;
/// What the allocator may still keep when nothing is at work, in KiB.
const SETTLED_KB: u64 = 16 * 1024;
/// The goal, which the long rounds hold; on a commit the machine is not ours alone.
const AT_ONCE_MS: [u64; 2] = [250, 50];

/// Requests that are refused by their head alone, with the status.
fn heads(surface: &Surface, key: &str) -> Vec<(&'static str, u16, Request)> {
    let post = |path: &str| Request::post(path, "").bearer(key).header("expect", "100-continue");
    let sized = |request: Request| request.header("content-length", &(100 * MIB).to_string());
    let long = format!("{}?x={}", surface.path, "y".repeat(9_000));
    let boundary = format!("multipart/form-data; boundary={}", "b".repeat(MIB));
    let many = (0..150).fold(post(surface.path), |request, n| request.header(&format!("x-{n}"), "1"));
    vec![
        ("a body of 100 MiB", 413, sized(post(surface.path))),
        ("a target of 9,000 bytes", 414, sized(post(&long))),
        ("a header of 40,000 bytes", 431, sized(post(surface.path)).header("x-long", &"y".repeat(40_000))),
        ("150 headers", 431, sized(many)),
        ("a multipart boundary of 1 MiB", 431, sized(post(surface.path)).header("content-type", &boundary)),
    ]
}

/// The time to the answer's head; the body of the request is never sent.
async fn refused_by_head(stage: &Stage, request: &Request, status: u16) -> Result<Duration> {
    let mut connection = stage.gateway.connect().await?;
    let bytes = request.to_bytes();
    let started = Instant::now();
    // What is refused early may be closed before all of its head is written.
    connection.send_raw(&bytes).await.ok();
    let arriving = connection.arriving().await?;
    let took = started.elapsed();
    ensure!(arriving.head.status == status, "{}, not {status}", arriving.head.status);
    Ok(took)
}

async fn timed(stage: &Stage, request: &Request) -> Result<(Answer, Duration)> {
    let started = Instant::now();
    let answer = stage.gateway.call(request).await?;
    Ok((answer, started.elapsed()))
}

/// JSON texts that are well framed and unreasonable, and whether they may be served.
fn texts() -> Vec<(&'static str, String, bool)> {
    let open = r#"{"model":"m","messages":[{"role":"user","content":"x"}]"#;
    let keys: Vec<String> = (0..1_000_000).map(|number| format!("\"k{number}\":0")).collect();
    vec![
        ("a depth of a million", format!("{open},\"x\":{}", "[".repeat(1_000_000)), false),
        (
            "a closed depth of 1,000",
            format!("{open},\"x\":{}{}}}", "[".repeat(1_000), "]".repeat(1_000)),
            false,
        ),
        ("a million keys", format!("{open},{}}}", keys.join(",")), true),
        ("a number beyond any float", format!("{open},\"temperature\":1e999}}"), true),
        ("a number of a megabyte", format!("{open},\"temperature\":{}}}", "9".repeat(MIB)), true),
    ]
}

/// The memory of a gateway, measured for one input at a time.
struct Memory<'a> {
    gateway: &'a Gateway,
    before: u64,
    grown: u64,
}

impl Memory<'_> {
    /// Notes the peak of what has been, and waits until the allocator has given back what it keeps for a
    /// moment.
    async fn look(&mut self) -> Result<()> {
        let grown = self.gateway.peak_kb()?.saturating_sub(self.before);
        println!("{grown} KiB more");
        self.grown = self.grown.max(grown);
        wait::until("memory to be given back", wait::PATIENCE, async || {
            Ok((self.gateway.rss_kb()? <= self.before + SETTLED_KB).then_some(()))
        })
        .await?;
        self.gateway.forget_peak()
    }
}

async fn odd_texts(stage: &Stage, memory: &mut Memory<'_>) -> Result<()> {
    for (name, text, may_be_served) in texts() {
        let request = Request::post(CHAT.path, text).bearer(&stage.key);
        let (answer, took) = timed(stage, &request).await.context(name)?;
        println!("{name}: {} after {took:?}", answer.status());
        if !(may_be_served && answer.status() == 200) {
            ensure_error(CHAT.dialect, &answer, 400, "INVALID_REQUEST").context(name)?;
        }
        memory.look().await.context(name)?;
    }
    Ok(())
}

/// A body of 100 MiB that is really sent, its length stated or not.
async fn large_bodies(stage: &Stage, memory: &mut Memory<'_>) -> Result<()> {
    let large = Bytes::from(vec![b' '; 100 * MIB]);
    let stated = Request::post(CHAT.path, large.clone()).bearer(&stage.key);
    ensure_error(CHAT.dialect, &stage.gateway.call(&stated).await?, 413, "BODY_TOO_LARGE")?;
    memory.look().await.context("a stated body")?;
    let mut chunked = testkit::script::chunk(&large);
    chunked.extend_from_slice(b"0\r\n\r\n");
    let unstated = Request::post(CHAT.path, chunked).header("transfer-encoding", "chunked");
    let answer = stage.gateway.call(&unstated.bearer(&stage.key)).await?;
    ensure_error(CHAT.dialect, &answer, 413, "BODY_TOO_LARGE")?;
    memory.look().await.context("a body in chunks")
}

async fn codings(stage: &Stage) -> Result<()> {
    for coding in ["gzip", "br", "zstd", "deflate", "gzip, gzip", "x-unknown"] {
        for surface in [CHAT, MESSAGES] {
            let request = stage.request(&surface, &surface.request("m", false));
            let answer = stage.gateway.call(&request.header("content-encoding", coding)).await?;
            ensure_error(surface.dialect, &answer, 415, "UNSUPPORTED_MEDIA_TYPE").context(coding)?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_big_or_too_odd_is_refused_at_once_for_little_memory() -> Result<()> {
    let stage = Stage::start(Options::default().turn(Turn::Alone)).await?;
    let upstream = Upstream::always(canned::answer(&CHAT, "m", false)).await?;
    stage.account("a", &CHAT, &upstream, "m").await?;
    stage.ask(&CHAT, "m", false).await?;
    stage.gateway.forget_peak()?;
    let mut memory = Memory { gateway: &stage.gateway, before: stage.gateway.rss_kb()?, grown: 0 };
    let mut slowest = Duration::ZERO;
    for surface in [CHAT, MESSAGES] {
        for (name, status, request) in heads(&surface, &stage.key) {
            let took = refused_by_head(&stage, &request, status).await;
            slowest = slowest.max(took.with_context(|| format!("{} with {name}", surface.name))?);
        }
    }
    let at_once = Duration::from_millis(tier(AT_ONCE_MS[0], AT_ONCE_MS[1]));
    ensure!(slowest <= at_once, "a refusal took {slowest:?}, {at_once:?} allowed");
    codings(&stage).await?;
    large_bodies(&stage, &mut memory).await?;
    odd_texts(&stage, &mut memory).await?;
    let grown = memory.grown;
    ensure!(grown <= GROWN_KB, "{grown} KiB more at the peak, {GROWN_KB} allowed");
    PROOF.held(&format!(
        "413, 414, 431 after {} us at most; 415 for every coding; {} MiB more at the peak, 64 allowed",
        slowest.as_micros(),
        grown / 1024
    ))
}
