//! The soak: mixed ends for minutes, and memory, descriptors and holds stay where they were.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::bill::Bill;
use testkit::environment::number;
use testkit::oracle::{Oracle, holds_return};
use testkit::trust::Proof;
use testkit::wait;
use tokio::time::Instant;

use super::ground::settled;
use super::mixed::{play, prepare};
use super::{Payer, quota, tier};

const PROOF: Proof =
    Proof::new("SOAK", "P2, P6", "Mixed ends for 20 minutes (8 s on every commit): memory stays flat");

/// Requests between two looks at the memory.
const BATCH: u64 = 500;
/// By how much the later half's memory may exceed the earlier half's, in KiB, after warming up.
const FLAT_KB: u64 = 8 * 1024;

fn median(figures: &[u64]) -> u64 {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_flat_under_mixed_ends() -> Result<()> {
    let minutes = number("YUMEN_SOAK_MINUTES").unwrap_or(20);
    let time = tier(Duration::from_secs(8), Duration::from_secs(minutes * 60));
    let bill = Bill::default();
    let (stage, upstream, payer) = prepare(&bill).await?;
    play(&stage, &payer, BATCH).await?;
    let oracle = Oracle::before(&stage.gateway)?;
    let (started, mut rss, mut requests) = (Instant::now(), Vec::new(), BATCH);
    while started.elapsed() < time {
        let batch = Instant::now();
        play(&stage, &payer, BATCH).await?;
        // Half of the time nothing is asked: half of the load that the machine could make.
        wait::pass(batch.elapsed()).await;
        holds_return(&stage.gateway).await?;
        rss.push(stage.gateway.rss_kb()?);
        requests += BATCH;
    }
    let warm = &rss[rss.len() / 3..];
    let (early, late) = warm.split_at(warm.len() / 2);
    let (early, late) = (median(early), median(late));
    println!("{requests} requests, RSS of {early} KiB, later {late} KiB");
    ensure!(late <= early + tier(4 * FLAT_KB, FLAT_KB), "{early} KiB became {late} KiB");
    oracle.descriptors_return(&stage.gateway, upstream.open() + 8).await?;
    let unlimited = quota("tokens", "daily", &json!(1_000_000_000));
    let last = Arc::new(Payer::create(&stage, "last", &unlimited).await?);
    let before = bill.count();
    play(&stage, &last, BATCH).await?;
    holds_return(&stage.gateway).await?;
    settled((&stage.gateway, &stage.admin), &last, bill.count() - before).await?.once_each()?;
    PROOF.held(&format!(
        "{requests} requests in {} s: {early} KiB, {late} KiB in the later half; descriptors as before, nothing held",
        started.elapsed().as_secs()
    ))
}
