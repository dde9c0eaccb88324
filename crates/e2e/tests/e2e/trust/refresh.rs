//! T28: a change of the configuration in the middle of a thousand requests: one reload, no failure.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::bill::tagged;
use testkit::canned;
use testkit::gateway::Options;
use testkit::load::{Told, percentile, steady, tally};
use testkit::surface::CHAT;
use testkit::trust::Proof;
use testkit::upstream::Upstream;
use testkit::wait;

use crate::stage::{IN_FORCE, Stage};

const PROOF: Proof = Proof::new(
    "T28",
    "P7",
    "1,000 requests while the configuration changes under them: one reload, no request fails or waits for it",
);

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
    let stage = Stage::start(Options::default()).await?;
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
            stage.admin.send("PATCH", &format!("accounts/{id}"), Some(&json!({"weight": 2}))).await?;
            let changed = wait::until("the change", IN_FORCE, async || {
                Ok((revision(&stage).await? > before).then_some(()))
            });
            changed.await
        };
    let (told, changed) = tokio::join!(load(&stage), change);
    changed?;
    let told = told?;
    let reloads = revision(&stage).await? - before;
    ensure!(reloads == 1.0, "{reloads} reloads");
    let tally = tally(&told);
    let all_served = tally.len() == 1 && tally.contains_key(&(200, String::new()));
    ensure!(all_served, "{tally:?}");
    let (calm, changing) = (percentile(&calm, 99), percentile(&told, 99));
    PROOF.held(&format!(
        "{} of {} served, {reloads} reload; p99 {} us, {} us without the change",
        told.len(),
        told.len(),
        changing.as_micros(),
        calm.as_micros()
    ))
}
