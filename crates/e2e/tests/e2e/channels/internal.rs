//! The channel of own services: nothing is charged, nothing is masked, and much can be asked.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::admin::account;
use testkit::canned;
use testkit::http::Request;
use testkit::script::Script;
use testkit::surface::CHAT;
use testkit::upstream::Upstream;

use super::{Channels, demo_chat, ensure_native};

/// How soon an upstream notices that it is left.
const LEFT: Duration = Duration::from_secs(2);

#[tokio::test]
async fn whoever_is_signed_in_is_served_and_not_charged() -> Result<()> {
    let channels = Channels::start().await?;
    for bearer in [&channels.internal, &channels.token, &channels.exchanged] {
        for stream in [false, true] {
            let answer = channels.chat(bearer, &demo_chat(stream)).await?;
            ensure!(answer.status() == 200, "{} {}", answer.status(), answer.text());
            ensure!(answer.header("x-ratelimit-limit") == Some("600"), "{:?}", answer.head.headers);
            let record = channels.stage.record(&answer).await?;
            ensure!(record["route"] == "POST /internal/v1/chat/completions", "{record}");
            ensure!(record["usage"]["output"].as_u64() > Some(0), "{record}");
            let user = if *bearer == channels.token { json!(channels.user) } else { Value::Null };
            ensure!(record["user_id"] == user, "{record}");
        }
    }
    // The user has a wallet with nothing in it, and nothing was taken.
    let (balance, held) = channels.stage.admin.wallet(&channels.user).await?;
    ensure!((balance.0, held.0) == (0, 0), "{balance} {held}");
    // A user who may no longer sign in is out at once.
    channels.stage.admin.post(&format!("users/{}/disable", channels.user), &json!({})).await?;
    let refused = channels.chat(&channels.token, &demo_chat(false)).await?;
    ensure_native(&refused, 401, "TOKEN_INVALID")
}

#[tokio::test]
async fn models_are_listed_by_upstream_and_what_they_are_for() -> Result<()> {
    let channels = Channels::start().await?;
    let upstream = Upstream::always(canned::answer(&CHAT, "real", false)).await?;
    let mapped = json!([{"name": "public", "upstream": "gpt-4o-mini"}]);
    let id = channels.stage.create(&account("second", &CHAT, &upstream.url(), &mapped)).await?;
    let listed = channels.get("/internal/v1/models").await?;
    let names: Vec<_> =
        listed["data"].as_array().into_iter().flatten().map(|u| u["upstream"].clone()).collect();
    ensure!(names == ["demo", "second"], "{listed}");
    let model = &listed["data"][1]["models"][0];
    let expected = json!({"id": "public", "upstream_model": "gpt-4o-mini",
        "provider_model_id": format!("{id}:gpt-4o-mini"), "capabilities": ["chat"]});
    for (name, value) in expected.as_object().into_iter().flatten() {
        ensure!(model[name] == *value, "{name}: {model}");
    }
    let embedding = channels.get("/api/v1/internal/models?capability=embeddings").await?.to_string();
    ensure!(embedding.contains("demo-embed") && !embedding.contains("\"public\""), "{embedding}");

    // The listed id pins a call, and so do the account's own names.
    for pin in [format!("{id}:gpt-4o-mini"), id.clone(), "second".to_owned()] {
        let body = json!({"model": "public", "provider_model_id": pin, "messages": [{"role": "user", "content": "x"}]});
        let answer = channels.chat(&channels.internal, &body).await?;
        ensure!(answer.status() == 200, "{pin}: {} {}", answer.status(), answer.text());
    }
    let received = upstream.received();
    ensure!(
        received.len() == 3 && received[0].json().get("provider_model_id").is_none(),
        "the pin was passed on"
    );
    let body = json!({"model": "public", "provider_model_id": "demo", "messages": []});
    ensure_native(&channels.chat(&channels.internal, &body).await?, 404, "MODEL_NOT_FOUND")
}

#[tokio::test]
async fn routing_is_told_for_every_account_without_a_call() -> Result<()> {
    let channels = Channels::start().await?;
    let upstream = Upstream::always(canned::answer(&CHAT, "m", false)).await?;
    let models = json!(["m"]);
    let first = channels.stage.create(&account("first", &CHAT, &upstream.url(), &models)).await?;
    let second = channels.stage.create(&account("second", &CHAT, &upstream.url(), &models)).await?;
    channels.stage.admin.post(&format!("accounts/{second}/disable"), &json!({})).await?;
    let ask = async |body: Value| -> Result<Value> {
        let request = Request::post("/internal/v1/debug/test-routing", body.to_string());
        let answer = channels.stage.gateway.call(&request.bearer(&channels.token)).await?;
        ensure!(answer.status() == 200, "{} {}", answer.status(), answer.text());
        Ok(answer.json())
    };
    let told = ask(json!({"model": "m"})).await?;
    ensure!(told["chosen"] == "first" && told["chosen_id"] == first, "{told}");
    let reason = |told: &Value, name: &str| {
        let mut all = told["candidates"].as_array().into_iter().flatten();
        all.find(|candidate| candidate["account"] == name).map(|candidate| candidate["reason"].clone())
    };
    for (name, expected) in [("first", "eligible"), ("second", "disabled"), ("demo", "model_not_mapped")] {
        ensure!(reason(&told, name) == Some(json!(expected)), "{name}: {told}");
    }
    let pinned = ask(json!({"model": "m", "provider_model_id": second})).await?;
    ensure!(pinned["chosen"].is_null() && reason(&pinned, "first") == Some(json!("not_pinned")), "{pinned}");
    ensure!(upstream.count() == 0, "an upstream was called");
    let unknown = Request::post("/internal/v1/debug/test-routing", r#"{"model":"nothing"}"#);
    let answer = channels.stage.gateway.call(&unknown.bearer(&channels.internal)).await?;
    ensure_native(&answer, 404, "MODEL_NOT_FOUND")
}

#[tokio::test]
async fn the_report_counts_how_the_choices_went() -> Result<()> {
    let channels = Channels::start().await?;
    let upstream = Upstream::always(canned::json_answer(500, &[], r#"{"error":{"message":"no"}}"#)).await?;
    channels.stage.account("failing", &CHAT, &upstream, "m").await?;
    for _ in 0..2 {
        ensure!(channels.chat(&channels.internal, &demo_chat(false)).await?.status() == 200);
    }
    let failed = channels.chat(&channels.internal, &CHAT.request("m", false)).await?;
    ensure_native(&failed, 502, "UPSTREAM_ERROR")?;
    ensure!(failed.json()["upstream_status"] == 500, "{}", failed.text());
    let report = channels.get("/internal/v1/bandit/report").await?;
    let arm = |model: &str| {
        let mut arms = report["data"].as_array().into_iter().flatten();
        arms.find(|arm| arm["model"] == model).cloned().context("no such arm")
    };
    let (demo, failing) = (arm(CHAT.demo_model)?, arm("m")?);
    ensure!(demo["trials"] == 2 && demo["success_rate"] == 1.0 && demo["mean_latency_ms"].is_u64(), "{demo}");
    ensure!(demo["last_selected"].is_string() && demo["upstream"] == "demo", "{demo}");
    ensure!(failing["trials"] == 1 && failing["success_rate"] == 0.0, "{failing}");
    ensure!(arm("demo-embed")?["trials"] == 0 && arm("demo-embed")?["success_rate"].is_null(), "{report}");

    let steps = channels.get("/internal/v1/debug/step-registry").await?;
    let names: Vec<_> =
        steps["data"].as_array().into_iter().flatten().map(|step| step["name"].clone()).collect();
    ensure!(names.first() == Some(&json!("receive")) && names.last() == Some(&json!("settle")), "{steps}");
    Ok(())
}

/// The stages that a stream reports, in order.
fn stages(text: &str) -> Vec<String> {
    let events = text.split("\n\n").filter_map(|event| event.strip_prefix("event: status\ndata: "));
    let parsed = events.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    parsed.filter_map(|event| event["stage"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_status_stream_reports_each_stage() -> Result<()> {
    let channels = Channels::start().await?;
    let mut body = demo_chat(false);
    body["status_stream"] = json!(true);
    let answer = channels.chat(&channels.internal, &body).await?;
    ensure!(answer.status() == 200, "{} {}", answer.status(), answer.text());
    ensure!(answer.header("content-type") == Some("text/event-stream"), "{:?}", answer.head.headers);
    let text = answer.text();
    let seen = stages(&text);
    ensure!(
        seen == ["read", "model", "limits", "hold", "route", "call", "relay", "settle"],
        "{seen:?}: {text}"
    );
    ensure!(text.ends_with("data: [DONE]\n\n") && text.contains("chat.completion.chunk"), "{text}");
    ensure!(text.contains(answer.request_id()?), "the events do not name the request: {text}");
    let registry = channels.get("/internal/v1/debug/step-registry").await?;
    let reported = registry["data"].as_array().into_iter().flatten().filter(|step| step["reported"] == true);
    let reported: Vec<_> = reported.filter_map(|step| step["name"].as_str().map(str::to_owned)).collect();
    ensure!(seen == reported, "{seen:?} {reported:?}");

    // What fails is told behind the stages that were reached, in the native envelope.
    body["model"] = json!("nothing");
    ensure_native(&channels.chat(&channels.internal, &body).await?, 404, "MODEL_NOT_FOUND")?;
    let broken = Upstream::always(canned::json_answer(400, &[], r#"{"error":{"message":"theirs"}}"#)).await?;
    channels.stage.account("broken", &CHAT, &broken, "broken").await?;
    body["model"] = json!("broken");
    let text = channels.chat(&channels.internal, &body).await?.text();
    ensure!(stages(&text).last().map(String::as_str) == Some("call"), "{text}");
    ensure!(
        text.contains("event: error\ndata: {\"code\":\"INVALID_REQUEST\"") && text.contains("theirs"),
        "{text}"
    );
    ensure!(!text.contains("[DONE]"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_request_is_cancelled_by_its_id_and_by_its_owner_alone() -> Result<()> {
    let channels = Channels::start().await?;
    let words = canned::chat_frames("m", &["one"], false);
    let begun = canned::stream_head().chunk(&words[0]).chunk(&words[1]).hold();
    let upstream = Upstream::always(begun).await?;
    channels.stage.account("slow", &CHAT, &upstream, "m").await?;
    let body = CHAT.request("m", true).to_string();
    let mut connection = channels.stage.gateway.connect().await?;
    connection.send(&Request::post("/internal/v1/chat/completions", body).bearer(&channels.internal)).await?;
    let arriving = connection.arriving().await?;
    let id = arriving.head.header("x-request-id").context("no id")?.to_owned();
    let cancel = async |bearer: &str, id: &str| {
        let path = format!("/internal/v1/chat/completions/{id}/cancel");
        channels.stage.gateway.call(&Request::post(&path, "").bearer(bearer)).await
    };
    ensure_native(&cancel(&channels.token, &id).await?, 404, "NOT_FOUND")?;
    ensure_native(&cancel(&channels.internal, "req-0").await?, 404, "NOT_FOUND")?;
    let done = cancel(&channels.internal, &id).await?;
    ensure!(
        done.status() == 200 && done.json() == json!({"request_id": id, "cancelled": true}),
        "{}",
        done.text()
    );
    let rest = connection.rest(arriving).await?.text();
    ensure!(
        rest.contains("event: error") && rest.contains("CLIENT_CLOSED") && !rest.contains("[DONE]"),
        "{rest}"
    );
    upstream.wait_abandoned(1, LEFT).await?;
    ensure_native(&cancel(&channels.internal, &id).await?, 404, "NOT_FOUND")?;
    let stage = &channels.stage;
    let record = stage.gateway.records(&stage.admin, &format!("request_id={id}"), 1).await?.remove(0);
    ensure!(record["status"] == 200 && record["cancelled_by"] == "cancel", "{record}");
    Ok(())
}

#[tokio::test]
async fn a_request_that_waits_for_its_answer_is_cancelled_too() -> Result<()> {
    let channels = Channels::start().await?;
    let upstream = Upstream::always(Script::new().hold()).await?;
    channels.stage.account("silent", &CHAT, &upstream, "m").await?;
    for (number, (stream, status)) in [(false, false), (true, false), (true, true)].into_iter().enumerate() {
        let mut body = CHAT.request("m", stream);
        if status {
            body["status_stream"] = json!(true);
        }
        let mut connection = channels.stage.gateway.connect().await?;
        let request = Request::post("/internal/v1/chat/completions", body.to_string());
        // Who still waits for the head knows the trace id alone.
        let trace = format!("{:032x}", 0xabc_u32 + u32::try_from(number)?);
        let request = request.header("traceparent", &format!("00-{trace}-00000000000000ab-01"));
        connection.send(&request.bearer(&channels.internal)).await?;
        upstream.wait_for(number + 1).await?;
        let path = format!("/internal/v1/chat/completions/req-{trace}/cancel");
        let done = channels.stage.gateway.call(&Request::post(&path, "").bearer(super::ADMIN_TOKEN)).await?;
        ensure!(done.status() == 200, "{}", done.text());
        let arriving = connection.arriving().await?;
        let answer = connection.rest(arriving).await?;
        if status {
            ensure!(answer.status() == 200 && answer.text().contains("CLIENT_CLOSED"), "{}", answer.text());
        } else {
            ensure_native(&answer, 499, "CLIENT_CLOSED")?;
        }
    }
    upstream.wait_abandoned(3, LEFT).await?;
    Ok(())
}

#[tokio::test]
async fn uses_of_the_administration_token_are_in_the_audit_log_here_too() -> Result<()> {
    let channels = Channels::start().await?;
    let stage = &channels.stage;
    let asked = channels.chat(super::ADMIN_TOKEN, &demo_chat(false)).await?;
    let listed = stage.gateway.call(&Request::get("/internal/v1/models").bearer(super::ADMIN_TOKEN)).await?;
    for (answer, object) in
        [(asked, "POST /internal/v1/chat/completions"), (listed, "GET /internal/v1/models")]
    {
        ensure!(answer.status() == 200, "{} {}", answer.status(), answer.text());
        let id = answer.request_id()?;
        testkit::wait::until("the entry", testkit::wait::PATIENCE, async || {
            let log = stage.admin.get("audit-log?limit=20").await?;
            let mut entries = log["items"].as_array().into_iter().flatten();
            Ok(entries.find(|entry| entry["request_id"] == id && entry["object"] == object).map(|entry| {
                assert_eq!(
                    (&entry["verb"], &entry["actor"]),
                    (&json!("admin-token.use"), &json!("admin-token"))
                );
            }))
        })
        .await?;
    }
    Ok(())
}
