//! T28: a change of the configuration in the middle of a thousand requests: one reload, no failure.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::bill::tagged;
use testkit::canned;
use testkit::gateway::{Options, Turn};
use testkit::load::{Told, percentile, steady, tally};
use testkit::surface::CHAT;
use testkit::trust::Proof;
use testkit::upstream::Upstream;
use testkit::wait;
use tokio::time::Instant;

use crate::stage::{IN_FORCE, Stage};

const PROOF: Proof = Proof::new(
    "T28",
    "P7",
    "1,000 requests while the configuration changes under them: one reload, no request fails or waits for it",
);

/// What the slowest requests may wait longer on a machine that others use too, however quick a change is.
const NOISE: Duration = Duration::from_millis(20);
const PER_SECOND: u64 = 500;
const TIME: Duration = Duration::from_secs(2);

async fn load(stage: &Stage) -> Result<Vec<Told>> {
    let request = |tag: usize| stage.request(&CHAT, &tagged(&CHAT, "m", false, tag as u64));
    steady(stage.gateway.address(), PER_SECOND, TIME, request).await
}

async fn revision(stage: &Stage) -> Result<f64> {
    Ok(stage.gateway.metrics().await?.sum("gateway_config_revision"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_configuration_is_loaded_once_and_fails_nobody() -> Result<()> {
    let stage = Stage::start(Options::default().turn(Turn::Alone)).await?;
    let upstream = Upstream::always(canned::answer(&CHAT, "m", false)).await?;
    let id = stage.account("a", &CHAT, &upstream, "m").await?;
    let calm = load(&stage).await?;
    let before = revision(&stage).await?;
    let change =
        async {
            wait::until("half of the requests", wait::PATIENCE, async || {
                Ok((upstream.count() >= calm.len() + calm.len() / 2).then_some(()))
            })
            .await?;
            let since = Instant::now();
            stage.admin.send("PATCH", &format!("accounts/{id}"), Some(&json!({"weight": 2}))).await?;
            // It is answered once it is in force.
            let took = since.elapsed();
            let changed = wait::until("the change", IN_FORCE, async || {
                Ok((revision(&stage).await? > before).then_some(()))
            });
            changed.await?;
            anyhow::Ok(took)
        };
    let (told, changed) = tokio::join!(load(&stage), change);
    let took = changed?;
    let told = told?;
    let reloads = revision(&stage).await? - before;
    ensure!(reloads == 1.0, "{reloads} reloads");
    let tally = tally(&told);
    let all_served = tally.len() == 1 && tally.contains_key(&(200, String::new()));
    ensure!(all_served, "{tally:?}");
    let (calm, changing) = (percentile(&calm, 99), percentile(&told, 99));
    ensure!(changing <= calm + took.max(NOISE), "p99 {changing:?}, {calm:?} without the change of {took:?}");
    PROOF.held(&format!(
        "{} of {} served, {reloads} reload; p99 {} us, {} us without the change",
        told.len(),
        told.len(),
        changing.as_micros(),
        calm.as_micros()
    ))
}
