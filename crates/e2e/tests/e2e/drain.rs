//! SIGTERM: what runs finishes, nothing new begins, every record is written.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::admin::Admin;
use testkit::canned;
use testkit::gateway::{Folder, Gateway, Options, Turn};
use testkit::http::{Answer, Connection, Ended};
use testkit::outcome::Outcome;
use testkit::script::Script;
use testkit::surface::{CHAT, MESSAGES};
use testkit::upstream::Upstream;
use testkit::wait;

use crate::stage::Stage;

/// The first frames, a wait at a gate, the rest.
fn gated(frames: &[String], at: usize) -> Script {
    let script = frames[..at].iter().fold(canned::stream_head(), |script, frame| script.chunk(frame));
    frames[at..].iter().fold(script.gate(0), |script, frame| script.chunk(frame)).last_chunk()
}

async fn refused(address: &str) -> Result<()> {
    wait::until("new connections to be refused", Duration::from_secs(5), async || {
        Ok(Connection::open(address).await.is_err().then_some(()))
    })
    .await
}

async fn sign_in_again(gateway: &Gateway, first: &Gateway) -> Result<Admin> {
    let field = |name: &str| first.ready()[name].as_str().map(str::to_owned).context("no administrator");
    Admin::sign_in(gateway.address(), &field("admin_email")?, &field("admin_password")?).await
}

#[tokio::test]
async fn streams_finish_and_their_records_survive() -> Result<()> {
    let folder = Folder::temporary()?;
    let mut stage = Stage::start(Options::default().data(folder.path())).await?;
    let mut running: Vec<(testkit::surface::Surface, Connection)> = Vec::new();
    let mut upstreams = Vec::new();
    for surface in [CHAT, MESSAGES] {
        let frames = canned::frames(&surface, "m");
        let upstream = Upstream::always(gated(&frames, 4)).await?;
        stage.account(surface.name, &surface, &upstream, surface.name).await?;
        let mut connection = stage.gateway.connect().await?;
        connection.send(&stage.request(&surface, &surface.request(surface.name, true))).await?;
        upstream.wait_for(1).await?;
        running.push((surface, connection));
        upstreams.push(upstream);
    }
    let idle = stage.gateway.connect().await?;
    stage.gateway.signal("TERM").await?;
    refused(stage.gateway.address()).await?;
    for upstream in &upstreams {
        upstream.open_gate(1);
    }
    let mut ids = Vec::new();
    for (surface, mut connection) in running {
        let arriving = connection.arriving().await?;
        let answer: Answer = connection.rest(arriving).await?;
        ensure!(answer.ended == Ended::Clean, "{}", answer.text());
        ensure!(Outcome::of(surface.dialect, true, &answer) == Outcome::Complete, "{}", answer.text());
        ids.push(answer.request_id()?.to_owned());
    }
    drop(idle);
    let status = stage.gateway.ended(Duration::from_secs(10)).await?;
    ensure!(status.success(), "{status}: {}", stage.gateway.log());
    let again = Gateway::start(Options::default().data(folder.path()).turn(Turn::Held)).await?;
    ensure!(again.ready()["admin_password"].is_null(), "a second administrator was created");
    let admin = sign_in_again(&again, &stage.gateway).await?;
    for id in ids {
        let records = again.records(&admin, &format!("request_id={id}"), 1).await?;
        ensure!(records[0]["status"] == 200 && records[0]["code"].is_null(), "{}", records[0]);
    }
    Ok(())
}

#[tokio::test]
async fn records_of_the_last_moment_are_written() -> Result<()> {
    let folder = Folder::temporary()?;
    let mut stage = Stage::start(Options::demo().data(folder.path())).await?;
    let mut connection = stage.gateway.connect().await?;
    for _ in 0..200 {
        let answer = connection.call(&stage.request(&CHAT, &CHAT.request("demo-chat", false))).await?;
        ensure!(answer.status() == 200, "{}", answer.text());
    }
    let status = stage.gateway.terminate().await?;
    ensure!(status.success(), "{status}: {}", stage.gateway.log());
    let again = Gateway::start(Options::default().data(folder.path()).turn(Turn::Held)).await?;
    let admin = sign_in_again(&again, &stage.gateway).await?;
    let records = again.records(&admin, "model=demo-chat", 200).await?;
    ensure!(records.len() == 200, "{} records", records.len());
    Ok(())
}

#[tokio::test]
async fn a_stream_that_outlasts_the_drain_is_ended_with_an_error() -> Result<()> {
    let mut stage = Stage::start(Options::default().timer("drain", 500)).await?;
    let frames = canned::frames(&CHAT, "m");
    let upstream = Upstream::always(gated(&frames, 4)).await?;
    stage.account("a", &CHAT, &upstream, "m").await?;
    let mut connection = stage.gateway.connect().await?;
    connection.send(&stage.request(&CHAT, &CHAT.request("m", true))).await?;
    let arriving = connection.arriving().await?;
    stage.gateway.signal("TERM").await?;
    let answer = connection.rest(arriving).await?;
    let outcome = Outcome::of(CHAT.dialect, true, &answer);
    ensure!(matches!(outcome, Outcome::ErrorEvent { .. } | Outcome::Cut), "{outcome:?} {}", answer.text());
    let status = stage.gateway.ended(Duration::from_secs(5)).await?;
    ensure!(status.success(), "{status}");
    Ok(())
}

#[tokio::test]
async fn a_key_and_a_demo_start_again_on_the_same_data() -> Result<()> {
    let folder = Folder::temporary()?;
    let mut first = Stage::start(Options::demo().data(folder.path())).await?;
    let demo_key = first.gateway.key().to_owned();
    first.gateway.terminate().await?;
    let again = Gateway::start(Options::demo().data(folder.path()).turn(Turn::Held)).await?;
    ensure!(again.key() != demo_key && !again.key().is_empty(), "the demo key has no new secret");
    let body = CHAT.request("demo-chat", false).to_string();
    let ask = async |key: &str| {
        again.call(&testkit::http::Request::post(CHAT.path, body.clone()).bearer(key)).await
    };
    ensure!(ask(again.key()).await?.status() == 200, "the new demo key does not work");
    ensure!(ask(&first.key).await?.status() == 200, "a key from before does not work");
    ensure!(ask(&demo_key).await?.status() == 401, "the old secret of the demo key still works");
    let admin = sign_in_again(&again, &first.gateway).await?;
    let keys = admin.get("api-keys").await?;
    let named = |item: &&serde_json::Value| item["name"] == json!("demo");
    ensure!(keys["items"].as_array().into_iter().flatten().filter(named).count() == 1, "{keys}");
    Ok(())
}
