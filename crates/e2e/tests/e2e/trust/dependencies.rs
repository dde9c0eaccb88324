//! T32 and T33: a locked database is not noticed by callers; a full disk lets what runs settle, refuses
//! what costs, and is over when there is room again, without a restart.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::bill::{Bill, Stated, tagged};
use testkit::canned::{self, INPUT, OUTPUT};
use testkit::gateway::{Options, Turn};
use testkit::http::Request;
use testkit::load::{percentile, steady, tally};
use testkit::oracle::holds_return;
use testkit::surface::CHAT;
use testkit::trouble::{Locked, SmallDisk};
use testkit::trust::Proof;
use testkit::upstream::Upstream;
use testkit::wait;

use super::ground::settled;
use super::{ADMIN_TOKEN, Payer, quota, tier};
use crate::stage::Stage;

const LOCKED: Proof = Proof::new(
    "T32",
    "P7",
    "Another process locks the database for 10 s under load (3 s on \
     every commit)",
);
const FULL: Proof = Proof::new(
    "T33",
    "P3",
    "The disk fills up under running requests: they settle, new ones that cost are refused, and it ends when \
     there is room",
);

const PER_SECOND: u64 = 200;
/// Room for the databases, the journal's reserve of 64 MiB and two of its segments.
const DISK_MIB: u64 = 192;

async fn upstream(bill: &Bill, script: testkit::script::Script) -> Result<Upstream> {
    let bill = bill.clone();
    Upstream::start(move |received| {
        bill.note(received, Some(Stated { input: INPUT, output: OUTPUT }));
        script.clone()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_database_is_not_noticed() -> Result<()> {
    let stage = Stage::start(Options::default().turn(Turn::Alone)).await?;
    let bill = Bill::default();
    let upstream = upstream(&bill, canned::answer(&CHAT, "m", false)).await?;
    stage.account("a", &CHAT, &upstream, "m").await?;
    let terms = quota("tokens", "daily", &json!(1_000_000_000));
    let payer = Payer::create(&stage, "locked", &terms).await?;
    let locked_for = Duration::from_secs(tier(3, 10));
    let request = |tag: usize| payer.request(&CHAT, &tagged(&CHAT, "m", false, tag as u64));
    let lock = Locked::take(&stage.gateway.data().join("yumen.db")).await?;
    let told = steady(stage.gateway.address(), PER_SECOND, locked_for, request).await?;
    drop(lock);
    let tally = tally(&told);
    ensure!(tally.len() == 1 && tally.contains_key(&(200, String::new())), "{tally:?}");
    holds_return(&stage.gateway).await?;
    let books = settled((&stage.gateway, &stage.admin), &payer, told.len()).await?;
    books.cover(&bill, 0)?;
    let log = stage.gateway.log();
    ensure!(!log.contains("panicked at"), "{log}");
    LOCKED.held(&format!(
        "locked for {} s at {PER_SECOND} requests per second: {} of {} served, p99 {} ms, every entry booked \
         afterwards",
        locked_for.as_secs(),
        told.len(),
        told.len(),
        percentile(&told, 99).as_millis()
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_lets_what_runs_settle_and_recovers() -> Result<()> {
    let Some(disk) = SmallDisk::mount(DISK_MIB).await? else {
        println!("a small disk cannot be mounted without root: nothing is proved");
        return Ok(());
    };
    let data = disk.path().join("data");
    std::fs::create_dir_all(&data)?;
    let options = Options::default().data(&data).env("ADMIN_TOKEN", ADMIN_TOKEN).turn(Turn::Alone);
    let stage = Stage::start(options).await?;
    let bill = Bill::default();
    let frames = canned::frames(&CHAT, "m");
    let begun = frames[..3].iter().fold(canned::stream_head(), |script, frame| script.chunk(frame));
    let gated = frames[3..].iter().fold(begun.gate(0), |script, frame| script.chunk(frame)).last_chunk();
    let slow = upstream(&bill, gated).await?;
    let quick = upstream(&bill, canned::answer(&CHAT, "m", false)).await?;
    stage.account("slow", &CHAT, &slow, "slow").await?;
    stage.account("quick", &CHAT, &quick, "m").await?;
    let terms = quota("tokens", "daily", &json!(1_000_000_000));
    let payer = Payer::create(&stage, "full", &terms).await?;
    let mut running = Vec::new();
    for tag in 0..tier(50, 200) {
        let mut connection = stage.gateway.connect().await?;
        connection.send(&payer.request(&CHAT, &tagged(&CHAT, "slow", true, tag))).await?;
        let arriving = connection.arriving().await?;
        running.push((connection, arriving));
    }
    let ballast = disk.fill()?;
    let paid = |tag: u64| payer.request(&CHAT, &tagged(&CHAT, "m", false, tag));
    let mut passed = 0;
    wait::until("new requests that cost to be refused", wait::PATIENCE, async || {
        passed += 1;
        let answer = stage.gateway.call(&paid(100_000 + passed)).await?;
        let refused = answer.status() == 503 && answer.code() == Some("SERVICE_DEGRADED");
        ensure!(refused || answer.status() == 200, "{} {}", answer.status(), answer.text());
        Ok(refused.then_some(()))
    })
    .await?;
    let ready = stage.gateway.call(&Request::get("/health/ready")).await?;
    ensure!(ready.status() == 503, "/health/ready says {}: {}", ready.status(), ready.text());
    slow.open_gate(1);
    let count = running.len();
    for (mut connection, arriving) in running {
        let answer = connection.rest(arriving).await?;
        ensure!(answer.text().contains("[DONE]"), "a running stream was cut: {}", answer.text());
    }
    holds_return(&stage.gateway).await?;
    drop(ballast);
    wait::until("requests to be served again", wait::PATIENCE, async || {
        Ok((stage.gateway.call(&paid(200_000)).await?.status() == 200).then_some(()))
    })
    .await?;
    holds_return(&stage.gateway).await?;
    let books = settled((&stage.gateway, &stage.admin), &payer, bill.by_tag().len()).await?;
    books.cover(&bill, 0).context("after there was room again")?;
    FULL.held(&format!(
        "{count} of {count} running streams settled on a full disk; new ones 503 SERVICE_DEGRADED; served again \
         without a restart, {} of {} charges booked",
        books.charges().count(),
        bill.by_tag().len()
    ))
}
