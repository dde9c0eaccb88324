//! What is kept of a request afterwards: its story, its usage, its cost.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::admin::account;
use testkit::canned;
use testkit::gateway::{Gateway, Options};
use testkit::http::Request;
use testkit::script::Script;
use testkit::surface::{ALL, CHAT, MESSAGES};
use testkit::upstream::Upstream;
use testkit::wait;

use crate::stage::{Stage, ensure_complete, with};

#[tokio::test]
async fn every_surface_leaves_one_record_with_its_story() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    for surface in ALL {
        let answer = stage.ask(&surface, surface.demo_model, false).await?;
        ensure_complete(&surface, false, &answer)?;
        let record = stage.record(&answer).await?;
        ensure!(record["status"] == 200 && record["code"].is_null(), "{record}");
        ensure!(record["model"] == surface.demo_model && record["surface"] == surface.name, "{record}");
        ensure!(record["trace_id"] == answer.header("x-trace-id").unwrap_or_default(), "{record}");
        ensure!(record["attempts"].as_array().map(Vec::len) == Some(1), "{record}");
        ensure!(record["attempts"][0]["class"] == "ok", "{record}");
        ensure!(record["latency_ms"].is_u64() && record["upstream"].is_string(), "{record}");
        let filter = format!("requests?trace_id={}", record["trace_id"].as_str().unwrap_or_default());
        let by_trace = stage.admin.get(&filter).await?;
        ensure!(by_trace["items"].as_array().map(Vec::len) == Some(1), "not found by its trace");
    }
    Ok(())
}

#[tokio::test]
async fn a_refusal_is_recorded_with_its_code() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    for surface in [CHAT, MESSAGES] {
        let answer = stage.ask(&surface, "no-such-model", false).await?;
        let record = stage.record(&answer).await?;
        ensure!(record["status"] == 404 && record["code"] == "MODEL_NOT_FOUND", "{record}");
        ensure!(record["usage"]["source"] == "none", "{record}");
        ensure!(record["attempts"] == json!([]), "{record}");
    }
    Ok(())
}

#[tokio::test]
async fn usage_is_measured_priced_and_summed() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let upstream = Upstream::always(canned::answer(&CHAT, "m", false)).await?;
    stage.account("a", &CHAT, &upstream, "house-model").await?;
    let unpriced = stage.record(&stage.ask(&CHAT, "house-model", false).await?).await?;
    ensure!(unpriced["cost"].is_null(), "{unpriced}");
    stage.admin.send("PUT", "prices/house-model", Some(&json!({"in": "2", "out": "10.5"}))).await?;
    // 11 tokens at 2 USD and 7 at 10.50 USD a million are 95,500 nano-dollars.
    let priced = wait::until("the price", wait::PATIENCE, async || {
        let record = stage.record(&stage.ask(&CHAT, "house-model", false).await?).await?;
        Ok((!record["cost"].is_null()).then_some(record))
    })
    .await?;
    ensure!(priced["cost"] == "0.0000955", "{priced}");
    ensure!(
        priced["usage"]["input"] == canned::INPUT && priced["usage"]["output"] == canned::OUTPUT,
        "{priced}"
    );
    ensure!(priced["usage"]["source"] == "measured", "{priced}");
    let id = key_id(&stage).await?;
    let calls = upstream.count() as u64;
    let mut seen = Value::Null;
    wait::until("the daily usage", wait::PATIENCE, async || {
        seen = stage.admin.get(&format!("api-keys/{id}/usage")).await?;
        let items = seen["items"].as_array().into_iter().flatten();
        let sum = |name: &str| items.clone().filter_map(|item| item[name].as_u64()).sum::<u64>();
        Ok((sum("requests") == calls && sum("input") == calls * canned::INPUT).then_some(()))
    })
    .await
    .with_context(|| format!("{calls} calls, {seen}"))?;
    let own = stage.gateway.call(&Request::get("/v1/usage").bearer(&stage.key)).await?;
    let own = own.json();
    ensure!(own["isValid"] == true && own["unit"] == "USD" && own["remaining"] == -1, "{own}");
    ensure!(own["daily"].is_array(), "{own}");
    Ok(())
}

async fn key_id(stage: &Stage) -> Result<String> {
    let keys = stage.admin.get("api-keys").await?;
    let named = keys["items"].as_array().into_iter().flatten().find(|item| item["name"] == "stage");
    Ok(named.context("no key named stage")?["id"].as_str().context("no id")?.to_owned())
}

#[tokio::test]
async fn a_stream_without_stated_usage_is_estimated() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let frames = canned::chat_frames("m", &canned::WORDS, false);
    let upstream = Upstream::always(canned::stream_answer(&frames)).await?;
    stage.account("a", &CHAT, &upstream, "m").await?;
    let record = stage.record(&stage.ask(&CHAT, "m", true).await?).await?;
    ensure!(record["usage"]["source"] == "estimated", "{record}");
    ensure!(record["usage"]["output"].as_u64() > Some(0), "{record}");
    ensure!(record["usage"]["input"].as_u64() > Some(0), "{record}");
    Ok(())
}

#[tokio::test]
async fn pages_of_records_join_without_gaps() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    for _ in 0..25 {
        stage.ask(&CHAT, "demo-chat", false).await?;
    }
    stage.gateway.records(&stage.admin, "model=demo-chat", 25).await?;
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    for _ in 0..10 {
        let page = stage.admin.get(&format!("requests?model=demo-chat&limit=7{cursor}")).await?;
        let items = page["items"].as_array().context("no items")?;
        ids.extend(items.iter().filter_map(|item| item["request_id"].as_str().map(str::to_owned)));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let unique: std::collections::BTreeSet<&String> = ids.iter().collect();
    ensure!(ids.len() == 25 && unique.len() == 25, "{} ids, {} unique", ids.len(), unique.len());
    Ok(())
}

/// Reads a digest line's JSON from the log.
fn digest(gateway: &Gateway, request_id: &str) -> Option<Value> {
    let log = gateway.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.into_iter().find(|line| line["stream"] == "digest" && line["request_id"] == request_id)
}

#[tokio::test]
async fn each_request_is_one_line_of_the_log() -> Result<()> {
    let stage = Stage::start(Options::demo().env("LOG_FORMAT", "json")).await?;
    let strange = json!({"model": "a\nb\u{2028}\u{1b}[31m", "messages": []});
    let answers = [stage.ask(&CHAT, "demo-chat", true).await?, stage.send(&CHAT, &strange).await?];
    for (answer, code) in answers.iter().zip([Value::Null, json!("MODEL_NOT_FOUND")]) {
        let id = answer.request_id()?.to_owned();
        let line =
            wait::until("the digest line", wait::PATIENCE, async || Ok(digest(&stage.gateway, &id))).await?;
        for name in ["ts", "level", "trace_id", "route", "model", "status", "latency_ms"] {
            ensure!(!line[name].is_null(), "{name} is missing: {line}");
        }
        ensure!(line.get("error_code").unwrap_or(&Value::Null) == &code, "{line}");
    }
    let log = stage.gateway.log();
    ensure!(!log.contains('\u{1b}') && !log.contains('\u{2028}'), "a control character is in the log");
    Ok(())
}

#[tokio::test]
async fn metrics_count_what_happened() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let before = stage.gateway.metrics().await?.sum("gateway_request_total");
    for _ in 0..10 {
        stage.ask(&CHAT, "demo-chat", false).await?;
    }
    wait::until("the counter", wait::PATIENCE, async || {
        let now = stage.gateway.metrics().await?.sum("gateway_request_total");
        Ok((now - before >= 10.0).then_some(()))
    })
    .await
}

#[tokio::test]
async fn metrics_show_who_waits_for_a_place() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let upstream = Upstream::always(Script::new().hold()).await?;
    let small = account("small", &CHAT, &upstream.url(), &json!(["m"]));
    stage.create(&with(small, "concurrency", json!(1))).await?;
    let request = stage.request(&CHAT, &CHAT.request("m", false));
    let (mut served, mut waiting) = (stage.gateway.connect().await?, stage.gateway.connect().await?);
    served.send(&request).await?;
    upstream.wait_for(1).await?;
    waiting.send(&request).await?;
    let mut waiting = Some(waiting);
    for count in [1.0, 0.0] {
        wait::until("the gauge", wait::PATIENCE, async || {
            let now = stage.gateway.metrics().await?.sum("gateway_queue_waiting");
            Ok((now == count).then_some(()))
        })
        .await?;
        drop(waiting.take());
    }
    Ok(())
}

#[tokio::test]
async fn each_stream_of_the_log_goes_to_a_file_of_its_own() -> Result<()> {
    let files = ["digest", "audit", "configuration"];
    let options = files.iter().fold(Options::demo().env("LOG_FORMAT", "json"), |options, stream| {
        options.env(&format!("YUMEN_LOG__{}", stream.to_uppercase()), &format!("{stream}.log"))
    });
    let stage = Stage::start(options).await?;
    let answer = stage.ask(&CHAT, "demo-chat", false).await?;
    let (id, _) = stage.admin.create_key(&json!({"name": "k"})).await?;
    let marks =
        [answer.request_id()?.to_owned(), format!("\"object\":\"{id}\""), "configuration applied".into()];
    for (stream, mark) in files.iter().zip(&marks) {
        let path = stage.gateway.data().join(format!("{stream}.log"));
        wait::until(stream, wait::PATIENCE, async || {
            Ok(std::fs::read_to_string(&path)?.contains(mark.as_str()).then_some(()))
        })
        .await?;
        ensure!(!stage.gateway.log().contains(mark.as_str()), "{mark} is on standard error too");
    }
    Ok(())
}

#[tokio::test]
async fn metrics_need_their_token_where_a_proxy_speaks_for_somebody() -> Result<()> {
    let token = "a-metrics-token-of-this-test";
    let gateway = Gateway::start(Options::default().env("METRICS_TOKEN", token)).await?;
    let metrics = || Request::get("/metrics");
    for (what, request, status) in [
        ("loopback", metrics(), 200),
        ("a proxy", metrics().header("x-forwarded-for", "192.0.2.7"), 401),
        ("another name of it", metrics().header("forwarded", "for=192.0.2.7"), 401),
        ("the token", metrics().header("x-forwarded-for", "192.0.2.7").bearer(token), 200),
        ("another token", metrics().header("x-forwarded-for", "192.0.2.7").bearer("another"), 401),
    ] {
        let answer = gateway.call(&request).await?;
        ensure!(answer.status() == status, "{what}: {}", answer.status());
        ensure!(status == 200 || answer.json()["code"] == "TOKEN_INVALID", "{what}: {}", answer.text());
    }
    Ok(())
}
