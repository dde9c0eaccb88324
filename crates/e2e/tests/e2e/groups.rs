//! How a group has the requests of its keys served: whose name for the model answers carry, and when a
//! request goes on to another account.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::admin::account;
use testkit::canned;
use testkit::gateway::Options;
use testkit::http::{Answer, Request};
use testkit::script::Script;
use testkit::surface::{CHAT, MESSAGES, Surface};
use testkit::upstream::Upstream;
use testkit::wait;

use crate::stage::{IN_FORCE, Stage, with};

/// Changes the default group, to which the stage's key belongs, and waits until that is in force: a marker
/// made after it is.
async fn change(stage: &Stage, body: &Value) -> Result<Value> {
    let group = stage.admin.send("PATCH", "groups/default", Some(body)).await?;
    let (_, marker) = stage.admin.create_key(&json!({"name": "marker"})).await?;
    stage.gateway.offers(&marker, &[], IN_FORCE).await?;
    Ok(group)
}

/// Accounts for one model at these upstreams, the first asked first.
async fn ranked(stage: &Stage, model: &str, upstreams: &[&Upstream]) -> Result<()> {
    for (rank, upstream) in upstreams.iter().enumerate() {
        let body = account(&format!("{model}-{rank}"), &CHAT, &upstream.url(), &json!([model]));
        stage.create(&with(body, "priority", json!(rank + 1))).await?;
    }
    Ok(())
}

/// Kind, state and amount of each entry of a request, attempts first; `-` where nobody knows the amount.
async fn entries(stage: &Stage, answer: &Answer, count: usize) -> Result<Vec<String>> {
    let filter = format!("request_id={}", answer.request_id()?);
    let found = wait::until("the ledger has the request", IN_FORCE * 10, async || {
        let found = stage.admin.ledger(&filter).await?;
        Ok((found.len() == count).then_some(found))
    })
    .await?;
    let mut lines = Vec::new();
    for entry in &found {
        let word = |field: &str| entry[field].as_str().unwrap_or("-");
        lines.push(format!("{} {} {}", word("kind"), word("state"), word("amount")));
    }
    lines.sort();
    Ok(lines)
}

#[tokio::test]
async fn a_group_has_its_models_named_as_they_were_asked_for() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let group = stage.admin.get("groups/default").await?;
    ensure!(group["echo_model"] == "upstream" && group["retry_executed"] == false, "{group}");
    ensure!(group["max_switches"] == 3, "{group}");
    for surface in [CHAT, MESSAGES] {
        let name = format!("public-{}", surface.name);
        let upstream = Upstream::start(move |received| {
            let stream = serde_json::from_slice::<Value>(&received.body).is_ok_and(|b| b["stream"] == true);
            canned::answer(&surface, "real", stream)
        })
        .await?;
        let models = json!([{"name": name, "upstream": "real"}]);
        stage.create(&account(&name, &surface, &upstream.url(), &models)).await?;
        for (echo, named, other) in [("upstream", "real", "public-"), ("asked", name.as_str(), "real")] {
            let group = change(&stage, &json!({"echo_model": echo})).await?;
            ensure!(group["echo_model"] == echo, "{group}");
            for stream in [false, true] {
                let text = stage.ask(&surface, &name, stream).await?.text();
                let says = text.contains(&format!("\"model\":\"{named}\""));
                ensure!(says && !text.contains(other), "{echo}: {text}");
            }
        }
    }
    Ok(())
}

/// A surface's answer, dearer than what the upstream before it is thought to have done.
fn good(surface: &Surface) -> Script {
    canned::answer(surface, "m", false)
}

#[tokio::test]
async fn a_group_may_have_asked_again_what_may_have_been_done() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    for model in ["again", "failing"] {
        stage.admin.send("PUT", &format!("prices/{model}"), Some(&json!({"in": "1", "out": "1"}))).await?;
    }
    let group = change(&stage, &json!({"retry_executed": true})).await?;
    ensure!(group["retry_executed"] == true && group["echo_model"] == "upstream", "{group}");

    let (lost, whole) =
        (Upstream::always(Script::new().reset()).await?, Upstream::always(good(&CHAT)).await?);
    ranked(&stage, "again", &[&lost, &whole]).await?;
    let answer = stage.ask(&CHAT, "again", false).await?;
    ensure!(answer.status() == 200, "{} {}", answer.status(), answer.text());
    let record = stage.record(&answer).await?;
    let classes = [&record["attempts"][0]["class"], &record["attempts"][1]["class"]];
    ensure!(classes == ["ambiguous", "ok"], "{record}");
    let written = entries(&stage, &answer, 3).await?;
    // 18 tokens at a dollar a million. What the accounts cost us no list says.
    let expected = ["attempt estimated -", "attempt measured -", "charge measured 0.000018"];
    ensure!(written == expected, "{written:?}");

    let refusing =
        Upstream::always(canned::json_answer(500, &[], &canned::error_body(CHAT.dialect, "e", "no"))).await?;
    let lost = Upstream::always(Script::new().reset()).await?;
    ranked(&stage, "failing", &[&lost, &refusing]).await?;
    let answer = stage.ask(&CHAT, "failing", false).await?;
    ensure!(answer.status() == 502 && refusing.count() == 1, "{} {}", answer.status(), answer.text());
    let written = entries(&stage, &answer, 3).await?;
    ensure!(written == ["attempt estimated -", "attempt void 0", "charge void 0"], "{written:?}");
    Ok(())
}

#[tokio::test]
async fn a_group_says_how_often_a_request_goes_on() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let refusal = || canned::json_answer(503, &[], &canned::error_body(CHAT.dialect, "busy", "no"));
    for (max_switches, asked) in [(0, 1), (4, 5)] {
        let group = change(&stage, &json!({"max_switches": max_switches})).await?;
        ensure!(group["max_switches"] == max_switches, "{group}");
        let mut upstreams = Vec::new();
        for _ in 0..6 {
            upstreams.push(Upstream::always(refusal()).await?);
        }
        let model = format!("m{max_switches}");
        ranked(&stage, &model, &upstreams.iter().collect::<Vec<_>>()).await?;
        let answer = stage.ask(&CHAT, &model, false).await?;
        ensure!(answer.status() == 503, "{} {}", answer.status(), answer.text());
        let calls: usize = upstreams.iter().map(Upstream::count).sum();
        ensure!(calls == asked, "{calls} calls with at most {max_switches} switches");
    }
    let refused = stage.admin.try_send("PATCH", "groups/default", Some(&json!({"max_switches": 11}))).await?;
    ensure!(refused.status() == 400 && refused.text().contains("max_switches"), "{}", refused.text());
    let tenant = json!({"retry_executed": true});
    let refused = stage.admin.try_send("PATCH", "tenants/default", Some(&tenant)).await?;
    ensure!(refused.status() == 400 && refused.text().contains("retry_executed"), "{}", refused.text());
    Ok(())
}

#[tokio::test]
async fn a_path_asks_for_the_accounts_of_a_family_alone() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let upstream = Upstream::always(good(&CHAT)).await?;
    let body = account("near", &CHAT, &upstream.url(), &json!(["m"]));
    for name in ["v1", "console", "Near", "a/b", ""] {
        let named = with(body.clone(), "family", json!(name));
        let refused = stage.admin.try_send("POST", "accounts", Some(&named)).await?;
        ensure!(refused.status() == 400 && refused.text().contains("family"), "{name}: {}", refused.text());
    }
    let id = stage.create(&with(body, "family", json!("near"))).await?;
    stage.account("far", &CHAT, &upstream, "other").await?;
    stage.gateway.offers(&stage.key, &["m".to_owned(), "other".to_owned()], IN_FORCE).await?;
    let models = Request::get("/near/v1/models").bearer(&stage.key);
    let listed = stage.gateway.call(&models).await?.json();
    ensure!(listed["data"].as_array().map(Vec::len) == Some(1) && listed["data"][0]["id"] == "m", "{listed}");
    let near = Surface { path: "/near/v1/chat/completions", ..CHAT };
    for (model, status) in [("m", 200), ("other", 404)] {
        let answer = stage.ask(&near, model, false).await?;
        ensure!(answer.status() == status, "{model}: {} {}", answer.status(), answer.text());
    }
    let shown = stage.admin.send("PATCH", &format!("accounts/{id}"), Some(&json!({"family": null}))).await?;
    ensure!(shown["family"].is_null(), "{shown}");
    wait::until("the path to be gone", IN_FORCE, async || {
        Ok((stage.gateway.call(&models).await?.status() == 404).then_some(()))
    })
    .await
}
