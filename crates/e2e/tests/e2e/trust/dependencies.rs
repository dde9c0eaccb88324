//! T32 and T33: a locked database and a reader that never ends are not noticed by callers; a full disk lets what
//! runs settle, refuses what costs, and is over when there is room again, without a restart.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::bill::{Bill, Stated, tagged};
use testkit::canned::{self, INPUT, OUTPUT};
use testkit::environment::nightly;
use testkit::gateway::{Options, Turn};
use testkit::http::{Arriving, Connection, Request};
use testkit::load::{Told, percentile, steady, tally};
use testkit::oracle::{Oracle, holds_return};
use testkit::surface::CHAT;
use testkit::trouble::{Held, SmallDisk};
use testkit::trust::Proof;
use testkit::upstream::Upstream;
use testkit::wait;

use super::ground::settled;
use super::{ADMIN_TOKEN, Payer, at_rest, quota, tier};
use crate::stage::Stage;

const LOCKED: Proof = Proof::new(
    "T32",
    "P7",
    "Another process locks the database for 10 s under load (3 s on \
     every commit)",
);
const READ: Proof = Proof::new(
    "T32-reader",
    "P7",
    "Another process reads the database without an end while requests are booked: callers do not notice, and the \
     write-ahead log becomes small again",
);
const FULL: Proof = Proof::new(
    "T33",
    "P3",
    "The disk fills up under running requests: they settle, new ones that cost are refused, and it ends when \
     there is room",
);

const PER_SECOND: u64 = 200;
/// What the write-ahead log may keep once nobody reads from its beginning (`journal_size_limit`), in bytes.
const LOG_KEPT: u64 = 16 << 20;
/// Goes of a second, at most, until the log is larger than that, and until it is smaller again. On a commit a few
/// have to do; what a log of that size becomes is tested in `store`.
const GOES: usize = 120;
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
    let oracle = Oracle::before(&stage.gateway)?;
    let lock = Held::locked(&stage.gateway.data().join("yumen.db")).await?;
    let told = steady(stage.gateway.address(), PER_SECOND, locked_for, request).await?;
    drop(lock);
    let tally = tally(&told);
    ensure!(tally.len() == 1 && tally.contains_key(&(200, String::new())), "{tally:?}");
    holds_return(&stage.gateway).await?;
    let books = settled((&stage.gateway, &stage.admin), &payer, told.len()).await?;
    books.cover(&bill, 0)?;
    let log = stage.gateway.log();
    ensure!(!log.contains("panicked at"), "{log}");
    at_rest(&oracle, &stage, upstream.open()).await?;
    LOCKED.held(&format!(
        "locked for {} s at {PER_SECOND} requests per second: {} of {} served, p99 {} ms, every entry booked \
         afterwards",
        locked_for.as_secs(),
        told.len(),
        told.len(),
        percentile(&told, 99).as_millis()
    ))
}

/// Goes on asking until that is so; whether it came to be.
async fn asked_until(
    stage: &Stage,
    payer: &Payer,
    told: &mut Vec<Told>,
    (goes, enough): (usize, impl Fn() -> Result<bool>),
) -> Result<bool> {
    for _ in 0..goes {
        let begun = told.len();
        let request = |tag: usize| payer.request(&CHAT, &tagged(&CHAT, "m", false, (begun + tag) as u64));
        told.extend(steady(stage.gateway.address(), PER_SECOND, Duration::from_secs(1), request).await?);
        if enough()? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_without_end_is_not_noticed_and_the_log_becomes_small_again() -> Result<()> {
    let stage = Stage::start(Options::default().turn(Turn::Alone)).await?;
    let bill = Bill::default();
    let upstream = upstream(&bill, canned::answer(&CHAT, "m", false)).await?;
    stage.account("a", &CHAT, &upstream, "m").await?;
    let payer = Payer::create(&stage, "read", &quota("tokens", "daily", &json!(1_000_000_000))).await?;
    let oracle = Oracle::before(&stage.gateway)?;
    let (database, mut told) = (stage.gateway.data().join("yumen.db"), Vec::new());
    let log = || anyhow::Ok(std::fs::metadata(database.with_extension("db-wal"))?.len());
    let reader = Held::read(&database).await?;
    let grown = || Ok(log()? > LOG_KEPT + LOG_KEPT / 4);
    let grew = asked_until(&stage, &payer, &mut told, (tier(3, GOES), grown)).await?;
    ensure!(grew || !nightly(), "the log did not grow: {} bytes", log()?);
    let largest = log()?;
    drop(reader);
    let small = || Ok(log()? <= LOG_KEPT);
    ensure!(asked_until(&stage, &payer, &mut told, (GOES, small)).await?, "it still has {} bytes", log()?);
    let left = log()?;
    let tally = tally(&told);
    ensure!(tally.len() == 1 && tally.contains_key(&(200, String::new())), "{tally:?}");
    holds_return(&stage.gateway).await?;
    let books = settled((&stage.gateway, &stage.admin), &payer, told.len()).await?;
    books.cover(&bill, 0)?;
    at_rest(&oracle, &stage, upstream.open()).await?;
    READ.held(&format!(
        "{} of {} served, every entry booked; the log had {} MiB under the reader and {} MiB afterwards",
        told.len(),
        told.len(),
        largest >> 20,
        left >> 20
    ))
}

/// Reads running streams to their ends.
async fn all_end(running: Vec<(Connection, Arriving)>) -> Result<()> {
    for (mut connection, arriving) in running {
        let answer = connection.rest(arriving).await?;
        ensure!(answer.text().contains("[DONE]"), "a running stream was cut: {}", answer.text());
    }
    Ok(())
}

/// Changes of configuration that the database cannot take are refused as what will work again.
async fn changes_are_refused(stage: &Stage) -> Result<()> {
    let mut made = 0;
    // Large ones, until the room is used up that the write-ahead log already has.
    let models = vec!["m".repeat(200); 500];
    wait::until("changes to be refused", wait::PATIENCE, async || {
        made += 1;
        let body = json!({"name": format!("full-{made}"), "models": models}).to_string();
        let request = Request::post("/api/v1/admin/api-keys", body).bearer(ADMIN_TOKEN);
        let answer = stage.gateway.call(&request).await?;
        let refused = answer.status() == 503 && answer.code() == Some("SERVICE_DEGRADED");
        ensure!(refused || answer.status() == 201, "{} {}", answer.status(), answer.text());
        ensure!(!refused || answer.header("retry-after").is_some(), "{:?}", answer.head);
        Ok(refused.then_some(()))
    })
    .await
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
    let oracle = Oracle::before(&stage.gateway)?;
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
    all_end(running).await?;
    holds_return(&stage.gateway).await?;
    // What the journal had in reserve is room for the database, too, until it is taken.
    let rest = disk.fill()?;
    changes_are_refused(&stage).await?;
    drop((ballast, rest));
    wait::until("requests to be served again", wait::PATIENCE, async || {
        Ok((stage.gateway.call(&paid(200_000)).await?.status() == 200).then_some(()))
    })
    .await?;
    holds_return(&stage.gateway).await?;
    let books = settled((&stage.gateway, &stage.admin), &payer, bill.by_tag().len()).await?;
    books.cover(&bill, 0).context("after there was room again")?;
    at_rest(&oracle, &stage, slow.open() + quick.open()).await?;
    FULL.held(&format!(
        "{count} of {count} running streams settled on a full disk; new ones 503 SERVICE_DEGRADED; served again \
         without a restart, {} of {} charges booked",
        books.charges().count(),
        bill.by_tag().len()
    ))
}
