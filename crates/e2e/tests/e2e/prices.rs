//! What a request cost, explained: the same lines before it is made and after.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::canned;
use testkit::gateway::Options;
use testkit::surface::{CHAT, MESSAGES};
use testkit::upstream::Upstream;
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

/// Accounts contract, §5: the catalogue has batch and priority modes. What counts is the tier that the answer names;
/// where it names none, the one that was asked for.
#[tokio::test]
async fn a_request_costs_what_the_tier_costs_in_which_it_was_served() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let served = |tier: &str| {
        let mut body = canned::body(&CHAT, "gpt-5");
        body["usage"] = json!({"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100});
        if !tier.is_empty() {
            body["service_tier"] = json!(tier);
        }
        canned::json_answer(200, &[], &body.to_string())
    };
    let upstream = Upstream::always(served("")).await?;
    stage.account("a", &CHAT, &upstream, "gpt-5").await?;
    for (asked, answered, shown, cost) in [
        ("auto", "default", None, "0.00225"),
        ("auto", "priority", Some("priority"), "0.0045"),
        ("flex", "flex", Some("flex"), "0.001125"),
        ("priority", "default", None, "0.00225"),
        ("priority", "", Some("priority"), "0.0045"),
        ("", "", None, "0.00225"),
    ] {
        for surface in [CHAT, MESSAGES] {
            // Messages asks for no tier by these names: only the answer's counts there.
            if surface.name != CHAT.name && answered.is_empty() {
                continue;
            }
            upstream.next([served(answered)]);
            let mut body = surface.request("gpt-5", false);
            if surface.name == CHAT.name && !asked.is_empty() {
                body["service_tier"] = json!(asked);
            }
            let record = stage.record(&stage.send(&surface, &body).await?).await?;
            let name = format!("{}: asked {asked}, answered {answered}", surface.name);
            ensure!(record["usage"]["tier"] == json!(shown), "{name}: {record}");
            ensure!(record["cost"] == cost, "{name}: {record}");
        }
    }
    Ok(())
}

/// Accounts contract, §5: what has no price raises an alert, and absurd figures are capped, flagged and alerted.
#[tokio::test]
async fn what_cannot_be_priced_or_meant_is_told() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let mut body = canned::body(&CHAT, "m");
    body["usage"] = json!({"prompt_tokens": 1e18, "completion_tokens": 1});
    let upstream = Upstream::always(canned::json_answer(200, &[], &body.to_string())).await?;
    stage.account("absurd", &CHAT, &upstream, "nobody-prices-this").await?;
    let record = stage.record(&stage.ask(&CHAT, "nobody-prices-this", false).await?).await?;
    ensure!(record["cost"].is_null() && record["usage"]["capped"] == true, "{record}");
    let metrics = stage.gateway.metrics().await?;
    for (name, label, value) in [
        ("gateway_unpriced_request_total", "model", "nobody-prices-this"),
        ("gateway_absurd_usage_total", "upstream", "absurd"),
    ] {
        let counted = metrics.by_label(name, label);
        ensure!(counted.get(value) == Some(&1.0), "{name}: {counted:?}");
    }
    Ok(())
}
