//! Memory stays bounded: callers who stop reading, and thousands of streams that wait.

use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use testkit::canned;
use testkit::gateway::{Options, Turn};
use testkit::script::Step;
use testkit::surface::CHAT;
use testkit::upstream::Upstream;
use testkit::wait;

use crate::stage::Stage;

/// What a caller who stops reading may cost (reliability.md P6), in KiB.
const PER_READER_KB: u64 = 256;
const READERS: usize = 100;

const IDLE: usize = 2_000;
/// What an idle stream may cost, in KiB: half of 300 MB over 10,000 (reliability.md T22), rounded up to
/// what two sockets and their buffers take.
const PER_IDLE_KB: u64 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_who_stop_reading_cost_little_and_are_closed() -> Result<()> {
    let options = Options::default().turn(Turn::Alone).timer("write", 3_000);
    let stage = Stage::start(options).await?;
    let frame = canned::chat_frames("m", &["x".repeat(60_000).as_str()], false).remove(1);
    let endless =
        Step::Repeat { bytes: Bytes::from(testkit::script::chunk(frame.as_bytes())), every: Duration::ZERO };
    let upstream = Upstream::always(canned::stream_head().then(endless)).await?;
    stage.account("a", &CHAT, &upstream, "m").await?;
    let before = stage.gateway.rss_kb()?;
    let oracle = testkit::oracle::Oracle::before(&stage.gateway)?;
    let connections = stage.open_streams("m", READERS).await?;
    // Once no byte moves any more, everything that can be buffered is.
    let mut last = (0, 0);
    wait::until("the buffers to fill", wait::PATIENCE, async || {
        let sent = upstream.sent();
        last = if sent == last.0 { (sent, last.1 + 1) } else { (sent, 0) };
        Ok((last.1 >= 20).then_some(()))
    })
    .await?;
    let grown = stage.gateway.rss_kb()?.saturating_sub(before);
    println!("{READERS} stopped readers: {grown} KiB, {} bytes taken from the upstream", upstream.sent());
    ensure!(grown <= PER_READER_KB * READERS as u64, "{grown} KiB for {READERS} readers");
    upstream.wait_abandoned(READERS, Duration::from_secs(15)).await?;
    drop(connections);
    oracle.descriptors_return(&stage.gateway, 0).await?;
    stage.gateway.records(&stage.admin, "model=m", READERS).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_waiting_streams_fit_and_leave_nothing() -> Result<()> {
    testkit::environment::allow_descriptors(3 * IDLE as u64).await?;
    let stage = Stage::start(Options::default().turn(Turn::Alone)).await?;
    let frames = canned::chat_frames("m", &canned::WORDS, false);
    let begun = frames[..2].iter().fold(canned::stream_head(), |script, frame| script.chunk(frame));
    let whole = frames[2..].iter().fold(begun.gate(0), |script, frame| script.chunk(frame)).last_chunk();
    let upstream = Upstream::always(whole).await?;
    stage.account("a", &CHAT, &upstream, "m").await?;
    drop(stage.open_streams("m", 10).await?);
    let before = stage.gateway.rss_kb()?;
    let connections = stage.open_streams("m", IDLE).await?;
    let grown = stage.gateway.rss_kb()?.saturating_sub(before);
    println!("{IDLE} idle streams: {grown} KiB, {} KiB each", grown / IDLE as u64);
    ensure!(grown <= PER_IDLE_KB * IDLE as u64, "{grown} KiB for {IDLE} idle streams");
    let alive = stage.gateway.call(&testkit::http::Request::get("/healthz")).await?;
    ensure!(alive.status() == 200, "{}", alive.status());
    drop(connections);
    upstream.wait_abandoned(IDLE, Duration::from_secs(5)).await?;
    wait::until("the descriptors to be closed", Duration::from_secs(5), async || {
        Ok((stage.gateway.fds()? < 200).then_some(()))
    })
    .await
}
