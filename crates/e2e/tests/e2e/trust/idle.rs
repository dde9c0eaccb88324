//! T22: thousands of idle streams beside a live load: bounded memory, no slower, and all is given back.

use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::bill::tagged;
use testkit::canned;
use testkit::gateway::{Options, Turn};
use testkit::load::{Told, percentile, steady, tally};
use testkit::oracle::{Oracle, holds_return};
use testkit::surface::CHAT;
use testkit::trust::Proof;
use testkit::upstream::Upstream;
use testkit::wait;

use super::tier;
use crate::stage::Stage;

const PROOF: Proof =
    Proof::new("T22", "P6", "10,000 idle streams beside 200 requests per second (2,000 on every commit)");

/// All of the process, in KiB (reliability.md T22).
const RSS_KB: u64 = 300 * 1000;
const PER_SECOND: u64 = 200;
/// Descriptors for everything but idle streams.
const SPARE: u64 = 800;
/// How soon the descriptors must be free after the callers left.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

async fn active(stage: &Stage, seconds: u64) -> Result<Vec<Told>> {
    let request = |tag: usize| stage.request(&CHAT, &tagged(&CHAT, "m", false, tag as u64));
    let told = steady(stage.gateway.address(), PER_SECOND, Duration::from_secs(seconds), request).await?;
    let tally = tally(&told);
    ensure!(tally.len() == 1 && tally.contains_key(&(200, String::new())), "{tally:?}");
    Ok(told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_streams_cost_little_and_slow_nobody() -> Result<()> {
    let (wanted, seconds) = tier((2_000, 2), (10_000, 20));
    // The gateway and this process, which plays callers and upstream, each need two for a stream.
    let allowed = testkit::environment::descriptors(2 * wanted + SPARE).await?;
    let count = usize::try_from(wanted.min(allowed.saturating_sub(SPARE) / 2))?;
    let stage = Stage::start(Options::default().turn(Turn::Alone)).await?;
    let frames = canned::chat_frames("m", &canned::WORDS, false);
    let begun = frames[..2].iter().fold(canned::stream_head(), |script, frame| script.chunk(frame));
    let waiting = Upstream::always(begun.hold()).await?;
    let quick = Upstream::always(canned::answer(&CHAT, "m", false)).await?;
    stage.account("idle", &CHAT, &waiting, "idle").await?;
    stage.account("quick", &CHAT, &quick, "m").await?;
    let alone = percentile(&active(&stage, seconds).await?, 99);
    let oracle = Oracle::before(&stage.gateway)?;
    let connections = stage.open_streams("idle", count).await?;
    let rss = stage.gateway.rss_kb()?;
    let beside = percentile(&active(&stage, seconds).await?, 99);
    ensure!(rss <= RSS_KB, "{rss} KiB with {count} idle streams");
    let most = alone + tier(Duration::from_millis(100), Duration::from_millis(2));
    println!("p99 alone {alone:?}, beside {count} idle streams {beside:?}, {rss} KiB");
    ensure!(beside <= most, "p99 is {beside:?}, {alone:?} without the idle streams");
    drop(connections);
    waiting.wait_abandoned(count, CLOSED_WITHIN).await?;
    let free = wait::until("the descriptors to be closed", CLOSED_WITHIN, async || {
        Ok((stage.gateway.fds()? < 300).then_some(()))
    });
    free.await?;
    holds_return(&stage.gateway).await?;
    oracle.descriptors_return(&stage.gateway, 300).await?;
    PROOF.held(&format!(
        "{count} idle streams (as many of {wanted} as descriptors are allowed): {} MB in all; p99 of the load {} us, {} us without them; closed within 5 s",
        rss / 1000,
        beside.as_micros(),
        alone.as_micros()
    ))
}
