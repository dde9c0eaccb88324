//! What a request cost, explained: the same lines before it is made and after.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::gateway::Options;
use testkit::surface::CHAT;
use testkit::wait;

use crate::stage::{IN_FORCE, Stage};

#[tokio::test]
async fn the_charge_of_a_request_is_explained_by_its_lines() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    stage.admin.send("PUT", "prices/demo-chat", Some(&json!({"in": "2", "out": "8.5"}))).await?;
    // The price is in force once a request is charged by it.
    let explained = wait::until("a charge", IN_FORCE * 2, async || {
        let answer = stage.gateway.call(&stage.request(&CHAT, &CHAT.request("demo-chat", false))).await?;
        ensure!(answer.status() == 200, "{}", answer.json());
        let filter = format!("request_id={}", answer.request_id()?);
        wait::until("the entry", IN_FORCE * 2, async || {
            Ok((!stage.admin.ledger(&filter).await?.is_empty()).then_some(()))
        })
        .await?;
        let explained = stage.admin.get(&format!("prices/explain?{filter}")).await?;
        Ok(explained["charged"].as_str().is_some_and(|charged| charged != "0").then_some(explained))
    })
    .await?;
    ensure!(explained["source"] == "override" && explained["model"] == "demo-chat", "{explained}");
    ensure!(explained["charged"] == explained["total"], "{explained}");
    let lines = explained["lines"].as_array().context("no lines")?;
    ensure!(lines.iter().any(|line| line["per_million"] == "8.5"), "{explained}");

    // The same tokens, asked about without a request, cost the same.
    let usage = &explained["usage"];
    let tokens = |name: &str| usage[name].as_u64().unwrap_or_default();
    let query = format!("model=demo-chat&input={}&output={}", tokens("input"), tokens("output"));
    let asked = stage.admin.get(&format!("prices/explain?{query}")).await?;
    ensure!(asked["lines"] == explained["lines"] && asked["total"] == explained["total"], "{asked}");
    ensure!(asked["charged"].is_null(), "{asked}");
    Ok(())
}
