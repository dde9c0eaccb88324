//! Nonces: one request of many that are the same (T55, on one node), also after a restart.

use std::sync::Arc;

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::gateway::{Folder, Gateway, Options, Turn};
use testkit::http::{Answer, Request, call};
use testkit::trust::Proof;

use super::{BODY, Signer, now};
use crate::stage::Stage;

const AT_ONCE: usize = 1_000;

fn count(answers: &[Answer], code: Option<&str>) -> usize {
    answers.iter().filter(|answer| answer.code() == code).count()
}

/// Sends one request many times at once, each on a connection of its own.
async fn at_once(address: &str, request: &Request, times: usize) -> Result<Vec<Answer>> {
    let (address, request) = (Arc::<str>::from(address), Arc::new(request.clone()));
    let calls: Vec<_> = (0..times)
        .map(|_| {
            let (address, request) = (Arc::clone(&address), Arc::clone(&request));
            tokio::spawn(async move { call(&address, &request).await })
        })
        .collect();
    let mut answers = Vec::with_capacity(times);
    for call in calls {
        answers.push(call.await??);
    }
    Ok(answers)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_same_requests_exactly_one_passes_now_and_after_a_restart() -> Result<()> {
    testkit::environment::allow_descriptors(4_096).await?;
    let folder = Folder::temporary()?;
    let mut stage = Stage::start(Options::demo().data(folder.path())).await?;
    let signer = Signer::create(&stage, "hmac-v1", json!({})).await?;
    let request = signer.signed(BODY, &now("once"));
    let answers = at_once(stage.gateway.address(), &request, AT_ONCE).await?;
    ensure!(count(&answers, None) == 1, "{} passed", count(&answers, None));
    ensure!(count(&answers, Some("NONCE_REUSED")) == AT_ONCE - 1, "{:?}", answers[0].code());
    // Killed, not stopped: what matters was written before the request went on.
    stage.gateway.signal("KILL").await?;
    stage.gateway.ended(std::time::Duration::from_secs(10)).await?;
    let again = Gateway::start(Options::demo().data(folder.path()).turn(Turn::Held)).await?;
    let answers = at_once(again.address(), &request, 50).await?;
    ensure!(count(&answers, Some("NONCE_REUSED")) == 50, "{:?}", answers[0].code());
    let fresh = again.call(&signer.signed(BODY, &now("fresh"))).await?;
    ensure!(fresh.status() == 200, "{}", fresh.text());
    let what = "Of 1,000 same signed requests at once one passes, and none after a kill (one node)";
    Proof::new("T55", "R15", what).held("1 of 1000 passed, 0 of 50 after kill -9 and a new start")
}

#[tokio::test]
async fn a_flood_of_nonces_hurts_only_its_own_key() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let narrow = Signer::create(&stage, "hmac-v1", json!({"rate_limit": {"rpm": 2}})).await?;
    let other = Signer::create(&stage, "hmac-v1", json!({})).await?;
    let mut codes = Vec::new();
    for number in 0..70 {
        let answer = stage.gateway.call(&narrow.signed(BODY, &now(&format!("n-{number}")))).await?;
        codes.push(answer.code().unwrap_or("OK").to_owned());
    }
    let of = |code: &str| codes.iter().filter(|own| *own == code).count();
    // Two requests a minute for half an hour, and the minute under way.
    ensure!(of("SERVICE_DEGRADED") == 70 - 62 && of("OK") >= 2, "{codes:?}");
    let replayed = stage.gateway.call(&narrow.signed(BODY, &now("n-0"))).await?;
    ensure!(replayed.code() == Some("NONCE_REUSED"), "{:?}", replayed.code());
    let well = stage.gateway.call(&other.signed(BODY, &now("n-0"))).await?;
    ensure!(well.status() == 200, "{}", well.text());
    Ok(())
}
