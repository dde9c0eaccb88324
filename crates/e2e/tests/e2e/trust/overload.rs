//! T29: five times more than the gateway may carry: it carries as much as before, refuses the rest at
//! once, shares fairly between tenants, and answers for its health.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::bill::tagged;
use testkit::canned;
use testkit::gateway::{Options, Turn};
use testkit::http::{Connection, Request};
use testkit::load::{Told, percentile, steady, tally};
use testkit::oracle::{Oracle, holds_return};
use testkit::script::Script;
use testkit::surface::CHAT;
use testkit::trust::Proof;
use testkit::upstream::Upstream;
use testkit::wait;
use tokio::time::Instant;

use super::{Payer, tier};
use crate::stage::Stage;

const PROOF: Proof = Proof::new(
    "T29",
    "P7",
    "Five times the gateway's capacity for 60 s (4 s on every commit), one tenant asking four times as much as \
     another",
);

/// Requests that may be in flight at one time, and how long each is at its upstream: 200 per second.
const PLACES: u64 = 40;
const UPSTREAM_MS: u64 = 200;
const PEAK: u64 = PLACES * 1_000 / UPSTREAM_MS;

/// What a time may be on every commit, when others compile beside the test; the goals are for the night.
const ON_A_BUSY_MACHINE: Duration = Duration::from_millis(250);

/// How long `/healthz` takes, again and again.
async fn health(address: &str, stop: &AtomicBool) -> Result<Vec<Duration>> {
    let mut connection = Connection::open(address).await?;
    let mut times = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let started = Instant::now();
        let answer = connection.call(&Request::get("/healthz")).await?;
        ensure!(answer.status() == 200, "/healthz: {}", answer.status());
        times.push(started.elapsed());
        wait::pass(Duration::from_millis(20)).await;
    }
    times.sort_unstable();
    Ok(times)
}

/// Tells apart what was served and what was refused; anything else is an error.
fn divided(told: Vec<Told>) -> Result<(Vec<Told>, Vec<Told>)> {
    let shown = tally(&told);
    let (served, refused): (Vec<Told>, Vec<Told>) =
        told.into_iter().partition(|told| told.answer.as_ref().is_ok_and(|answer| answer.status() == 200));
    let overloaded = refused.iter().all(|told| {
        told.answer
            .as_ref()
            .is_ok_and(|answer| answer.code() == Some("OVERLOADED") && answer.header("retry-after").is_some())
    });
    ensure!(overloaded, "{shown:?}");
    Ok((served, refused))
}

async fn tenant(stage: &Stage, id: &str) -> Result<Payer> {
    stage.admin.create_tenant(id, &json!({"name": id})).await?;
    Payer::create(stage, id, &json!({"tenant_id": id})).await
}

async fn load(stage: &Stage, payer: &Payer, per_second: u64, time: Duration) -> Result<Vec<Told>> {
    let request = |tag: usize| payer.request(&CHAT, &tagged(&CHAT, "m", false, tag as u64));
    steady(stage.gateway.address(), per_second, time, request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_times_too_much_is_refused_at_once_and_shared_fairly() -> Result<()> {
    testkit::environment::allow_descriptors(8_000).await?;
    let options = Options::default().turn(Turn::Alone).env("YUMEN_SIZES__REQUESTS", &PLACES.to_string());
    let stage = Stage::start(options).await?;
    let whole = canned::answer(&CHAT, "m", false).steps().to_vec();
    let slow = whole.into_iter().fold(Script::new().wait_ms(UPSTREAM_MS), Script::then);
    let upstream = Upstream::always(slow).await?;
    stage.account("a", &CHAT, &upstream, "m").await?;
    let (greedy, modest) = (tenant(&stage, "greedy").await?, tenant(&stage, "modest").await?);
    let seconds = tier(4, 60);
    let time = Duration::from_secs(seconds);
    let (alone, _) = divided(load(&stage, &greedy, PEAK, Duration::from_secs(3)).await?)?;
    let peak = alone.len() as u64 / 3;
    let oracle = Oracle::before(&stage.gateway)?;
    let stop = Arc::new(AtomicBool::new(false));
    let watching = {
        let (address, stop) = (stage.gateway.address().to_owned(), Arc::clone(&stop));
        tokio::spawn(async move { health(&address, &stop).await })
    };
    let (much, little) =
        tokio::join!(load(&stage, &greedy, PEAK * 4, time), load(&stage, &modest, PEAK, time));
    stop.store(true, Ordering::SeqCst);
    let times = watching.await??;
    let ((much, refused), (little, turned_away)) = (divided(much?)?, divided(little?)?);
    let goodput = (much.len() + little.len()) as u64 / seconds;
    let fair = peak / 2;
    let shares = [much.len() as u64 / seconds, little.len() as u64 / seconds];
    let (reject, healthy) = (percentile(&refused, 99), times[times.len() * 99 / 100]);
    println!(
        "peak {peak}/s, {goodput}/s under overload, shares {shares:?}, refusals p99 {reject:?}, health p99 {healthy:?}"
    );
    ensure!(goodput * 100 >= peak * 80, "{goodput} per second, {peak} at the peak");
    ensure!(shares.iter().all(|share| share * 100 >= fair * 80), "{shares:?}, {fair} is fair");
    ensure!(!refused.is_empty() && !turned_away.is_empty(), "nobody was refused");
    ensure!(reject <= tier(ON_A_BUSY_MACHINE, Duration::from_millis(5)), "refusals: {reject:?}");
    ensure!(healthy <= tier(ON_A_BUSY_MACHINE, Duration::from_millis(50)), "/healthz: {healthy:?}");
    holds_return(&stage.gateway).await?;
    drop((much, little, refused, turned_away));
    oracle.descriptors_return(&stage.gateway, 400).await?;
    PROOF.held(&format!(
        "{goodput} served per second, {peak} at the peak; shares {} and {} of {fair}; refusals p99 {} us; /healthz \
         p99 {} us",
        shares[0],
        shares[1],
        reject.as_micros(),
        healthy.as_micros()
    ))
}
