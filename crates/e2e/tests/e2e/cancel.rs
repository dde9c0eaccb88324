//! A caller who leaves: the upstream is left within a second, and the record says so.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use testkit::canned;
use testkit::gateway::Options;
use testkit::script::Script;
use testkit::surface::{CHAT, MESSAGES, Surface};
use testkit::upstream::Upstream;

use crate::stage::Stage;

/// How soon the upstream must be left.
const LEFT_WITHIN: Duration = Duration::from_secs(1);

/// Leaves after the upstream has the request and, if `content`, after the first frames were read.
async fn leave(stage: &Stage, surface: &Surface, name: &str, script: Script, content: bool) -> Result<Value> {
    let upstream = Upstream::always(script).await?;
    stage.account(name, surface, &upstream, name).await?;
    let mut connection = stage.gateway.connect().await?;
    let stream = surface.streams && content;
    connection.send(&stage.request(surface, &surface.request(name, stream))).await?;
    upstream.wait_for(1).await?;
    if content {
        let mut arriving = connection.arriving().await?;
        connection.piece(&mut arriving).await?;
    }
    drop(connection);
    upstream.wait_abandoned(1, LEFT_WITHIN).await?;
    Ok(stage.gateway.records(&stage.admin, &format!("model={name}"), 1).await?.remove(0))
}

#[tokio::test]
async fn a_caller_who_leaves_while_waiting_frees_the_upstream() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    for surface in [CHAT, MESSAGES] {
        let name = format!("waiting-{}", surface.name);
        let record = leave(&stage, &surface, &name, Script::new().hold(), false).await?;
        ensure!(record["status"] == 499 && record["code"] == "CLIENT_CLOSED", "{record}");
        ensure!(record["cancelled_by"] == "caller", "{record}");
        ensure!(record["attempts"][0]["class"] == "cancelled", "{record}");
        ensure!(record["usage"]["source"] == "estimated", "{record}");
    }
    Ok(())
}

#[tokio::test]
async fn a_caller_who_leaves_within_a_stream_frees_the_upstream() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    for surface in [CHAT, MESSAGES] {
        let frames = canned::frames(&surface, "m");
        let half = frames.len() / 2 + 1;
        let script =
            frames[..half].iter().fold(canned::stream_head(), |script, frame| script.chunk(frame)).hold();
        let name = format!("begun-{}", surface.name);
        let record = leave(&stage, &surface, &name, script, true).await?;
        ensure!(record["status"] == 499 && record["code"] == "CLIENT_CLOSED", "{record}");
        ensure!(record["attempts"][0]["class"] == "cancelled", "{record}");
        ensure!(record["usage"]["output"].as_u64() > Some(0), "{record}");
    }
    Ok(())
}

#[tokio::test]
async fn many_callers_who_leave_leave_nothing_behind() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let frames = canned::frames(&CHAT, "m");
    let script = frames[..3].iter().fold(canned::stream_head(), |script, frame| script.chunk(frame)).hold();
    let upstream = Upstream::always(script).await?;
    stage.account("a", &CHAT, &upstream, "m").await?;
    let oracle = testkit::oracle::Oracle::before(&stage.gateway)?;
    let mut connections = Vec::new();
    for _ in 0..50 {
        let mut connection = stage.gateway.connect().await?;
        connection.send(&stage.request(&CHAT, &CHAT.request("m", true))).await?;
        connection.arriving().await?;
        connections.push(connection);
    }
    ensure!(upstream.open() == 50, "{} upstream connections", upstream.open());
    drop(connections);
    upstream.wait_abandoned(50, LEFT_WITHIN * 2).await?;
    oracle.descriptors_return(&stage.gateway, 0).await?;
    stage.gateway.records(&stage.admin, "model=m&status=499", 50).await?;
    Ok(())
}

#[tokio::test]
async fn a_caller_who_leaves_within_its_own_body_costs_nothing() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let upstream = Upstream::always(canned::answer(&CHAT, "m", false)).await?;
    stage.account("a", &CHAT, &upstream, "m").await?;
    let oracle = testkit::oracle::Oracle::before(&stage.gateway)?;
    let whole = stage.request(&CHAT, &CHAT.request("m", false)).to_bytes();
    for cut in [whole.len() - 1, whole.len() - 20, whole.len() / 2, 10] {
        let mut connection = stage.gateway.connect().await?;
        connection.send_raw(&whole[..cut]).await?;
        drop(connection);
    }
    oracle.descriptors_return(&stage.gateway, 0).await?;
    ensure!(upstream.count() == 0, "half a request went upstream");
    Ok(())
}
