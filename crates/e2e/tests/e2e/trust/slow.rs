//! T23 and T24: callers who stop reading, and callers who hardly write: each costs little, is closed in
//! time, gives its place back, and nobody else notices.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use serde_json::json;
use testkit::bill::tagged;
use testkit::canned;
use testkit::environment::nightly;
use testkit::gateway::{Options, Turn};
use testkit::http::Connection;
use testkit::load::{Told, crowd, each, percentile, steady, tally};
use testkit::oracle::{Oracle, holds_return};
use testkit::script::{Script, Step, chunk};
use testkit::surface::CHAT;
use testkit::trust::Proof;
use testkit::upstream::Upstream;
use testkit::wait;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::tier;
use crate::stage::{IN_FORCE, Stage};

const READERS: Proof =
    Proof::new("T23", "P6", "1,000 callers stop reading answers without end (100 on every commit)");
const WRITERS: Proof = Proof::new(
    "T24",
    "P6",
    "5,000 half headers and 2,000 stalled bodies beside 200 requests per second (200 and 100 on every commit)",
);

/// What a caller who stops reading may cost, in KiB (reliability.md P6).
const PER_READER_KB: u64 = 256;
/// What all of them may cost, in KiB (reliability.md T23).
const READERS_KB: u64 = 300 * 1024;
const PER_SECOND: u64 = 200;
/// Sign-ins that stall, and how many bodies of one network are waited for.
const STALLED: usize = 100;
const OF_A_NETWORK: usize = 32;

/// An answer without end: ten megabytes would fit into the buffers of two sockets on one machine.
fn endless() -> Script {
    let frame = canned::chat_frames("m", &["x".repeat(60_000).as_str()], false).remove(1);
    let bytes = Bytes::from(chunk(frame.as_bytes()));
    canned::stream_head().then(Step::Repeat { bytes, every: Duration::ZERO })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_who_stop_reading_give_everything_back() -> Result<()> {
    let count = tier(100, 1_000);
    testkit::environment::allow_descriptors(3 * count as u64 + 1_000).await?;
    let stage = Stage::start(Options::default().turn(Turn::Alone).timer("write", 3_000)).await?;
    let upstream = Upstream::always(endless()).await?;
    let quick = Upstream::always(canned::answer(&CHAT, "quick", false)).await?;
    stage.account("large", &CHAT, &upstream, "m").await?;
    stage.account("quick", &CHAT, &quick, "quick").await?;
    let limits = json!({"name": "readers", "rate_limit": {"concurrent": count, "rpm": null, "tpm": null}});
    let (_, key) = stage.admin.create_key(&limits).await?;
    stage.gateway.offers(&key, &[], IN_FORCE).await?;
    let request = |model: &str, stream| {
        let body = CHAT.request(model, stream).to_string();
        testkit::http::Request::post(CHAT.path, body).bearer(&key)
    };
    let oracle = Oracle::before(&stage.gateway)?;
    let before = stage.gateway.rss_kb()?;
    let mut connections = Vec::new();
    for _ in 0..count {
        let mut connection = stage.gateway.connect().await?;
        connection.send(&request("m", true)).await?;
        connections.push(connection);
    }
    upstream.wait_abandoned(count, Duration::from_secs(20)).await?;
    let grown = stage.gateway.peak_kb()?.saturating_sub(before);
    let most = READERS_KB.min(PER_READER_KB * count as u64 + 16 * 1024);
    ensure!(grown <= most, "{grown} KiB for {count} stopped readers, {most} allowed");
    holds_return(&stage.gateway).await?;
    // Every place is free again: as many are served at once as were stuck.
    let again = crowd(stage.gateway.address(), count, vec![request("quick", false); count]).await?;
    let tally = tally(&again);
    ensure!(tally.len() == 1 && tally.contains_key(&(200, String::new())), "{tally:?}");
    drop(connections);
    drop(again);
    oracle.descriptors_return(&stage.gateway, quick.open() + 8).await?;
    READERS.held(&format!(
        "{count} stopped readers: {} KiB each at the peak, closed at the write deadline, every place free again",
        grown / count as u64
    ))
}

async fn active(stage: &Stage, seconds: u64) -> Result<Vec<Told>> {
    let request = |tag: usize| stage.request(&CHAT, &tagged(&CHAT, "m", false, tag as u64));
    let told = steady(stage.gateway.address(), PER_SECOND, Duration::from_secs(seconds), request).await?;
    let tally = tally(&told);
    ensure!(tally.len() == 1 && tally.contains_key(&(200, String::new())), "{tally:?}");
    Ok(told)
}

/// The live load once that many attackers hang on: their coming costs this process, which plays both, more
/// than it costs the gateway.
async fn beside(stage: &Stage, attackers: u64, seconds: u64) -> Result<Vec<Told>> {
    wait::until("the attackers", wait::PATIENCE, async || {
        let open = stage.gateway.metrics().await?.sum("gateway_connections");
        Ok((open >= attackers as f64).then_some(()))
    })
    .await?;
    active(stage, seconds).await
}

/// Attackers who send what they are given and then nothing; each says when it was closed.
async fn attackers(stage: &Stage, count: u64, bytes: Vec<u8>, limit: Duration) -> Result<Duration> {
    let address = stage.gateway.address().to_owned();
    let bytes = Arc::new(bytes);
    let closed = each(usize::try_from(count)?, count, move |_| {
        let (address, bytes) = (address.clone(), Arc::clone(&bytes));
        async move {
            let mut connection = Connection::open(&address).await?;
            let started = Instant::now();
            connection.send_raw(&bytes).await?;
            ensure!(connection.closed_within(limit).await, "still open after {limit:?}");
            anyhow::Ok(started.elapsed())
        }
    })
    .await?;
    let closed: Result<Vec<Duration>> = closed.into_iter().collect();
    Ok(closed?.into_iter().max().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_who_hardly_write_are_closed_and_slow_nobody() -> Result<()> {
    let (heads, bodies) = tier((200, 100), (5_000, 2_000));
    testkit::environment::allow_descriptors(heads + bodies + 1_000).await?;
    let timeout = tier(2_000, 10_000);
    let options = Options::default().turn(Turn::Alone).timer("header_read", timeout);
    let stage = Stage::start(options).await?;
    let upstream = Upstream::always(canned::answer(&CHAT, "m", false)).await?;
    stage.account("a", &CHAT, &upstream, "m").await?;
    let alone = percentile(&active(&stage, 3).await?, 99);
    let whole = stage.request(&CHAT, &CHAT.request("m", false)).to_bytes();
    let half_head = whole[..60].to_vec();
    let half_body = whole[..whole.len() - 10].to_vec();
    let limit = Duration::from_millis(timeout) + Duration::from_secs(5);
    // A body may stand still for 30 s: on every commit nobody waits for that.
    let body_limit = tier(Duration::from_secs(3), Duration::from_secs(40));
    let (closed, stalled, told) = tokio::join!(
        attackers(&stage, heads, half_head, limit),
        attackers(&stage, bodies, half_body, body_limit),
        beside(&stage, heads + bodies, tier(1, 5)),
    );
    let stalled = if nightly() { stalled? } else { body_limit };
    let (closed, beside) = (closed?, percentile(&told?, 99));
    println!("p99 alone {alone:?}, beside the attackers {beside:?}; heads {closed:?}, bodies {stalled:?}");
    let most = (alone * 2).max(alone + tier(Duration::from_millis(100), Duration::from_millis(5)));
    ensure!(beside <= most, "p99 is {beside:?}, {alone:?} without the attackers");
    wait::until("their descriptors to be closed", wait::PATIENCE, async || {
        Ok((stage.gateway.fds()? < 300).then_some(()))
    })
    .await?;
    WRITERS.held(&format!(
        "{heads} half headers closed after {} ms, {bodies} stalled bodies held for {} ms; p99 of the load {} us, {} us \
         without them, nobody refused",
        closed.as_millis(),
        stalled.as_millis(),
        beside.as_micros(),
        alone.as_micros()
    ))
}

/// Nobody is asked who they are before a sign-in has come whole: what stalls must cost its own network only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_sign_ins_keep_nobody_out() -> Result<()> {
    let options = Options::default().env("YUMEN_TRUSTED_PROXIES", "127.0.0.0/8");
    let stage = Stage::start(options).await?;
    let login = |body: &str, from: &str| {
        testkit::http::Request::post("/api/v1/auth/login", body.to_owned()).header("x-forwarded-for", from)
    };
    let half = login("{\"email\":", "198.51.100.1").header("content-length", "1000").to_bytes();
    let mut stalled = JoinSet::new();
    for _ in 0..STALLED {
        let mut connection = stage.gateway.connect().await?.patient(Duration::from_secs(60));
        connection.send_raw(&half).await?;
        stalled.spawn(async move {
            let arriving = connection.arriving().await?;
            connection.rest(arriving).await
        });
    }
    for _ in OF_A_NETWORK..STALLED {
        let answer = stalled.join_next().await.context("none is left")???;
        ensure!(answer.status() == 503 && answer.code() == Some("OVERLOADED"), "{}", answer.text());
    }
    let text = |name: &str| stage.gateway.ready()[name].as_str().unwrap_or_default();
    let body = json!({"email": text("admin_email"), "password": text("admin_password")}).to_string();
    for from in ["203.0.113.9", "198.51.100.2"] {
        let answer = stage.gateway.call(&login(&body, from)).await?;
        ensure!(answer.status() == 200, "from {from}: {} {}", answer.status(), answer.text());
    }
    let health = stage.gateway.call(&testkit::http::Request::get("/health/ready")).await?;
    ensure!(health.status() == 200, "{}", health.text());
    // A body may stand still for 30 s: on every commit nobody waits for that.
    while nightly()
        && let Some(answer) = stalled.join_next().await
    {
        let answer = answer??;
        ensure!(answer.status() == 400, "a stalled sign-in: {} {}", answer.status(), answer.text());
    }
    Ok(())
}
