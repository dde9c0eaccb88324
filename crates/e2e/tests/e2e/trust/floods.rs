//! T42: upstreams that flood a connection of HTTP/2 with frames that nobody asked for. What h2spec and the rapid
//! resets of callers are about is HTTP/2 towards callers, which there is none of.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::admin::account;
use testkit::canned;
use testkit::gateway::{Options, Turn};
use testkit::http2::{Act, Flood, Upstream};
use testkit::load::{Told, percentile, steady};
use testkit::surface::CHAT;
use testkit::trust::Proof;
use testkit::wait;

use super::tier;
use crate::stage::Stage;

const FLOODED: Proof = Proof::new(
    "T42",
    "P6, P7",
    "HTTP/2 upstreams that flood a connection in nine ways: each ends with an error, others notice nothing",
);

/// Floods in a row, fewer than open a circuit.
const TIMES: usize = 3;
/// What the gateway may have grown by, in KiB.
const GROWN_KB: u64 = 32 * 1024;
/// Descriptors that the neighbour may have opened meanwhile.
const MORE_DESCRIPTORS: usize = 8;

fn answering() -> Act {
    Act::Answer(canned::body(&CHAT, "m").to_string())
}

/// Asks so often a second for so long; the times that the answers took.
async fn neighbour(stage: &Stage, seconds: u64) -> Result<Vec<Told>> {
    let request = |_| stage.request(&CHAT, &CHAT.request("good", false));
    steady(stage.gateway.address(), 100, Duration::from_secs(seconds), request).await
}

/// Meets every flood so often, each with an error of its own.
async fn meet(stage: &Stage, upstreams: &[(String, Upstream)]) -> Result<usize> {
    let mut met = 0;
    for _ in 0..TIMES {
        for (model, upstream) in upstreams {
            let before = upstream.ended();
            let answer = stage.ask(&CHAT, model, false).await?;
            let shown = format!("{model}: {} {}", answer.status(), answer.text());
            ensure!(answer.status() == 502, "{shown}");
            ensure!(answer.code().is_some_and(|code| code.starts_with("UPSTREAM_")), "{shown}");
            wait::until(&format!("the end of the {model}"), Duration::from_secs(5), async || {
                Ok((upstream.ended() > before).then_some(()))
            })
            .await?;
            met += 1;
        }
    }
    Ok(met)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_an_upstream_is_noticed_by_nobody_else() -> Result<()> {
    let stage = Stage::start(Options::default().turn(Turn::Alone)).await?;
    let good = Upstream::start(|_| answering()).await?;
    stage.create(&account("good", &CHAT, &good.url(), &json!(["good"]))).await?;
    let mut upstreams = Vec::new();
    for flood in Flood::ALL {
        let (model, upstream) = (format!("{flood:?}"), Upstream::start(move |_| Act::Flood(flood)).await?);
        stage.create(&account(&model, &CHAT, &upstream.url(), &json!([model]))).await?;
        upstreams.push((model, upstream));
    }
    let seconds = tier(3, 30);
    let before = neighbour(&stage, seconds).await?;
    let (idle_kb, fds) = (stage.gateway.rss_kb()?, stage.gateway.fds()?);
    stage.gateway.forget_peak()?;
    let (told, met) = tokio::join!(neighbour(&stage, seconds), meet(&stage, &upstreams));
    let (told, met) = (told?, met?);
    let is_good = |told: &&Told| told.answer.as_ref().is_ok_and(|answer| answer.status() == 200);
    let failed = told.len() - told.iter().filter(is_good).count();
    ensure!(failed == 0, "{failed} of {} of the others failed", told.len());
    let grown = stage.gateway.peak_kb()?.saturating_sub(idle_kb);
    ensure!(grown <= GROWN_KB, "{grown} KiB more");
    // The neighbour's connections come and go; those of the floods would be nine times three.
    wait::until("the flooded connections to be closed", wait::PATIENCE, async || {
        Ok((stage.gateway.fds()? <= fds + MORE_DESCRIPTORS).then_some(()))
    })
    .await?;
    let (usual, flooded) = (percentile(&before, 99), percentile(&told, 99));
    FLOODED.held(&format!(
        "{met} floods ended, {grown} KiB at most; of {} other requests none failed; p99 {:.1} ms, {:.1} without floods",
        told.len(),
        flooded.as_secs_f64() * 1e3,
        usual.as_secs_f64() * 1e3
    ))
}
