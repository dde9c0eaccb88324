//! OpenAI's Responses and Gemini, from caller to account and back where both speak the same: paths, models in
//! paths, responses that are kept, lists of models, and every recording as it came.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::admin::UPSTREAM_CREDENTIAL;
use testkit::canned;
use testkit::environment;
use testkit::gateway::{Folder, Gateway, Options, Turn};
use testkit::http::{Answer, Request};
use testkit::script::{Script, chunk};
use testkit::upstream::Upstream;

use crate::stage::{IN_FORCE, Stage};

/// A response object with everything that SDKs look at.
fn response(id: &str) -> Value {
    json!({
        "id": id, "object": "response", "created_at": 1_790_000_000, "status": "completed", "model": "m",
        "output": [{"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": "tides", "annotations": []}]}],
        "usage": {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 14},
        "error": null, "incomplete_details": null,
    })
}

fn response_events(id: &str) -> Vec<String> {
    let event = |number: u32, kind: &str, more: Value| {
        let mut data = json!({"type": kind, "sequence_number": number});
        data.as_object_mut().into_iter().for_each(|data| {
            data.extend(more.as_object().cloned().unwrap_or_default());
        });
        format!("event: {kind}\ndata: {data}\n\n")
    };
    vec![
        event(0, "response.created", json!({"response": {"id": id, "status": "in_progress"}})),
        event(1, "response.output_text.delta", json!({"output_index": 0, "content_index": 0, "delta": "ti"})),
        event(2, "response.completed", json!({"response": response(id)})),
    ]
}

fn account(provider: &str, name: &str, base_url: &str, models: &Value) -> Value {
    json!({
        "name": name, "provider": provider, "base_url": base_url, "allow_private": true, "models": models,
        "credential": {"type": "api_key", "api_key": UPSTREAM_CREDENTIAL},
    })
}

fn json_answer(body: &Value) -> Script {
    canned::json_answer(200, &[], &body.to_string())
}

async fn call(stage: &Stage, method: &str, path: &str, body: Option<Value>) -> Result<Answer> {
    let mut request = Request::new(method, path).bearer(&stage.key);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    stage.gateway.call(&request).await
}

#[tokio::test]
async fn a_response_is_made_and_what_goes_on_from_it_goes_to_the_same_account() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let mut upstreams = Vec::new();
    for name in ["one", "two"] {
        let id = format!("resp_{name}");
        let upstream = Upstream::start(move |received| match received.json()["stream"] == true {
            true => canned::stream_answer(&response_events(&id)),
            false => json_answer(&response(&id)),
        })
        .await?;
        let base = format!("{}/v1", upstream.url());
        stage.create(&account("openai", name, &base, &json!([{"name": "m", "upstream": "real"}]))).await?;
        upstreams.push(upstream);
    }
    let made = call(&stage, "POST", "/v1/responses", Some(json!({"model": "m", "input": "hi"}))).await?;
    ensure!(made.status() == 200 && made.json()["object"] == "response", "{}", made.text());
    let record = stage.record(&made).await?;
    ensure!(record["usage"]["input"] == 5 && record["usage"]["reasoning"] == 2, "{record}");
    let id = made.json()["id"].as_str().context("an id")?.to_owned();
    let home = usize::from(id == "resp_two");
    let before = upstreams[home].count();
    for stream in [false, true, true, false, false] {
        let body = json!({"model": "m", "input": "on", "previous_response_id": id, "stream": stream});
        let next = call(&stage, "POST", "/responses", Some(body)).await?;
        ensure!(next.status() == 200, "{}", next.text());
    }
    ensure!(upstreams[home].count() == before + 5, "{} of 5 came home", upstreams[home].count() - before);
    let sent = upstreams[home].received().pop().context("a request")?;
    ensure!(sent.json()["model"] == "real" && sent.target == "/v1/responses", "{}", sent.target);
    for (method, path) in [
        ("GET", format!("/v1/responses/{id}")),
        ("GET", format!("/v1/responses/{id}/input_items?limit=5")),
        ("POST", format!("/codex/v1/responses/{id}/cancel")),
        ("DELETE", format!("/v1/responses/{id}")),
    ] {
        let answer = call(&stage, method, &path, None).await?;
        ensure!(answer.status() == 200, "{method} {path}: {}", answer.text());
        let sent = upstreams[home].received().pop().context("a request")?;
        ensure!(sent.method == method, "{} for {method}", sent.method);
        ensure!(sent.target == path.replace("/codex", ""), "{} for {path}", sent.target);
        let record = stage.record(&answer).await?;
        ensure!(record["usage"]["output"] == 0, "{record}");
    }
    Ok(())
}

#[tokio::test]
async fn what_goes_on_from_a_response_goes_to_its_account_after_kill_9() -> Result<()> {
    let folder = Folder::temporary()?;
    let mut stage = Stage::start(Options::default().data(folder.path())).await?;
    let mut upstreams = Vec::new();
    for name in ["one", "two"] {
        let next = AtomicU32::new(0);
        let answer = move || json_answer(&response(&format!("resp_{name}_{}", next.fetch_add(1, Relaxed))));
        let upstream = Upstream::start(move |_| answer()).await?;
        let base = format!("{}/v1", upstream.url());
        stage.create(&account("openai", name, &base, &json!(["m"]))).await?;
        upstreams.push(upstream);
    }
    let mut made = Vec::new();
    for _ in 0..12 {
        let answer =
            call(&stage, "POST", "/v1/responses", Some(json!({"model": "m", "input": "hi"}))).await?;
        made.push(answer.json()["id"].as_str().context("an id")?.to_owned());
    }
    stage.gateway.signal("KILL").await?;
    stage.gateway.ended(Duration::from_secs(10)).await?;
    stage.gateway = Gateway::start(Options::default().data(folder.path()).turn(Turn::Held)).await?;
    for id in made {
        let home = &upstreams[usize::from(id.contains("two"))];
        let before = home.count();
        let body = json!({"model": "m", "input": "on", "previous_response_id": id});
        let next = call(&stage, "POST", "/v1/responses", Some(body)).await?;
        ensure!(next.status() == 200 && home.count() == before + 1, "{id}: {}", next.text());
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_known_here_is_refused_by_name() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let upstream = Upstream::start(|_| json_answer(&response("resp_1"))).await?;
    let base = format!("{}/v1", upstream.url());
    stage.create(&account("openai", "one", &base, &json!(["m"]))).await?;
    let made = call(&stage, "POST", "/v1/responses", Some(json!({"model": "m", "input": "hi"}))).await?;
    ensure!(made.status() == 200, "{}", made.text());
    for (field, value) in
        [("previous_response_id", json!("resp_x")), ("conversation", json!({"id": "conv_x"}))]
    {
        let mut body = json!({"model": "m", "input": "hi"});
        body[field] = value;
        let refused = call(&stage, "POST", "/v1/responses", Some(body)).await?;
        ensure!(refused.status() == 400 && refused.json()["error"]["param"] == field, "{}", refused.text());
    }
    let other = stage.admin.unlimited_key("other").await?;
    stage.gateway.offers(&other, &["m".to_owned()], IN_FORCE).await?;
    let stolen = stage.gateway.call(&Request::get("/v1/responses/resp_1").bearer(&other)).await?;
    ensure!(stolen.status() == 404 && stolen.code() == Some("NOT_FOUND"), "{}", stolen.text());
    let upgrade = Request::get("/v1/responses").header("upgrade", "websocket").bearer(&stage.key);
    let upgrade = stage.gateway.call(&upgrade).await?;
    ensure!(upgrade.status() == 426 && upgrade.code() == Some("UPGRADE_REQUIRED"), "{}", upgrade.text());
    Ok(())
}

/// The data of every event of a stream.
fn data_of(answer: &Answer) -> Vec<Value> {
    let text = answer.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter_map(|data| serde_json::from_str(data).ok()).collect()
}

#[tokio::test]
async fn responses_that_break_off_end_with_both_events_of_a_failure() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let responses = Upstream::start(|_| canned::stream_answer(&response_events("resp_1")[..2])).await?;
    let chat =
        Upstream::start(|_| canned::stream_answer(&canned::chat_frames("m", &["ti", "des"], true)[..2]))
            .await?;
    let base = |upstream: &Upstream| format!("{}/v1", upstream.url());
    stage.create(&account("openai", "native", &base(&responses), &json!(["native"]))).await?;
    stage.create(&account("openai-compatible", "chat", &base(&chat), &json!(["translated"]))).await?;
    for model in ["native", "translated"] {
        let body = json!({"model": model, "input": "hi", "stream": true});
        let answer = call(&stage, "POST", "/v1/responses", Some(body)).await?;
        let events = data_of(&answer);
        let numbers: Vec<u64> = events.iter().filter_map(|event| event["sequence_number"].as_u64()).collect();
        ensure!(numbers.iter().copied().eq(0..numbers.len() as u64), "{model}: {}", answer.text());
        let [.., error, failed] = &events[..] else { anyhow::bail!("{model}: {}", answer.text()) };
        ensure!(error["type"] == "error" && error["error"]["code"] == "UPSTREAM_INVALID_RESPONSE", "{error}");
        ensure!(failed["response"]["status"] == "failed", "{failed}");
        ensure!(failed["response"]["id"] == events[0]["response"]["id"], "{model}: {}", answer.text());
    }
    Ok(())
}

#[tokio::test]
async fn a_response_that_fails_before_it_says_anything_is_asked_of_another_account() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let failed = json!({"type": "response.failed", "sequence_number": 1, "response": {"id": "resp_f",
        "status": "failed", "error": {"code": "rate_limit_exceeded", "message": "Slow down"}}});
    let failing = Upstream::start(move |_| {
        let events = [response_events("resp_f")[0].clone(), format!("data: {failed}\n\n")];
        canned::stream_answer(&events)
    })
    .await?;
    let working = Upstream::start(|_| canned::stream_answer(&response_events("resp_w"))).await?;
    for (name, upstream, priority) in [("working", &working, 2), ("failing", &failing, 1)] {
        let mut body = account("openai", name, &format!("{}/v1", upstream.url()), &json!(["m"]));
        body["priority"] = json!(priority);
        stage.create(&body).await?;
    }
    testkit::wait::until("both accounts", IN_FORCE, async || {
        let body = json!({"model": "m", "input": "hi", "stream": true});
        let answer = call(&stage, "POST", "/v1/responses", Some(body)).await?;
        let record = stage.record(&answer).await?;
        let attempts = record["attempts"].as_array().map_or(0, Vec::len);
        Ok((answer.text().contains("resp_w") && attempts == 2).then_some(()))
    })
    .await
}

fn generated() -> Value {
    json!({
        "candidates": [{"content": {"parts": [{"text": "tides"}], "role": "model"}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 9, "cachedContentTokenCount": 4, "candidatesTokenCount": 3,
            "thoughtsTokenCount": 2, "totalTokenCount": 14},
        "modelVersion": "real", "responseId": "r1",
    })
}

fn gemini(target: &str) -> Script {
    let chunks =
        [json!({"candidates": [{"content": {"parts": [{"text": "ti"}], "role": "model"}}]}), generated()];
    match target {
        _ if target.contains(":stream") && target.contains("alt=sse") => {
            canned::stream_answer(&chunks.map(|data| format!("data: {data}\r\n\r\n")))
        }
        _ if target.contains(":stream") => {
            let whole = format!("[{}\n,\r\n{}\n]\n", chunks[0], chunks[1]);
            canned::json_answer(200, &[], &whole)
        }
        _ if target.contains(":countTokens") => json_answer(&json!({"totalTokens": 7})),
        _ if target.contains("mbedContent") => json_answer(&json!({"embedding": {"values": [0.5]}})),
        _ => json_answer(&generated()),
    }
}

#[tokio::test]
async fn gemini_callers_reach_gemini_accounts_by_every_path() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let upstream = Upstream::start(|received| gemini(&received.target)).await?;
    let models = json!([{"name": "pub/lic", "upstream": "real"}]);
    stage.create(&account("gemini", "one", &upstream.url(), &models)).await?;
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}).to_string();
    for (path, sent) in [
        ("/v1beta/models/pub%2Flic:generateContent", "/v1beta/models/real:generateContent"),
        ("/v1/models/pub/lic:generateContent", "/v1/models/real:generateContent"),
        ("/models/pub/lic:generateContent", "/v1beta/models/real:generateContent"),
        (
            "/v1beta/models/pub/lic:streamGenerateContent?alt=sse",
            "/v1beta/models/real:streamGenerateContent?alt=sse",
        ),
        ("/v1beta/models/pub/lic:streamGenerateContent", "/v1beta/models/real:streamGenerateContent"),
        ("/v1beta/models/pub/lic:countTokens", "/v1beta/models/real:countTokens"),
        ("/v1beta/models/pub/lic:embedContent", "/v1beta/models/real:embedContent"),
    ] {
        let join = if path.contains('?') { '&' } else { '?' };
        let with_key = format!("{path}{join}key={}", stage.key);
        let answer = stage.gateway.call(&Request::post(&with_key, body.clone())).await?;
        ensure!(answer.status() == 200, "{path}: {}", answer.text());
        let received = upstream.received().pop().context("a request")?;
        ensure!(received.target == sent, "{path} became {}", received.target);
        ensure!(received.header("x-goog-api-key") == Some(UPSTREAM_CREDENTIAL), "{path}: no credential");
        ensure!(received.body == body.as_bytes(), "{path}: the body was changed");
        let record = stage.record(&answer).await?;
        if path.contains("enerateContent") {
            let usage = &record["usage"];
            ensure!(
                usage["input"] == 5 && usage["output"] == 5 && usage["reasoning"] == 2,
                "{path}: {record}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn gemini_callers_are_refused_and_cut_off_in_their_own_terms() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let first =
        json!({"candidates": [{"content": {"parts": [{"text": "ti"}], "role": "model"}}]}).to_string();
    let upstream = Upstream::start(move |received| {
        let events = received.target.contains("alt=sse");
        let kind = if events { "text/event-stream" } else { "application/json" };
        let head = canned::head(200, &[("content-type", kind), ("transfer-encoding", "chunked")]);
        let piece = if events { format!("data: {first}\r\n\r\n") } else { format!("[{first}\n") };
        Script::new().send(head).send(chunk(piece.as_bytes())).last_chunk()
    })
    .await?;
    stage.create(&account("gemini", "one", &upstream.url(), &json!(["m"]))).await?;
    let body = json!({"contents": []}).to_string();
    let ask = |path: &str, key: &str| Request::post(path, body.clone()).header("x-goog-api-key", key);
    let unknown = stage.gateway.call(&ask("/v1beta/models/m:generateContent", "nobody")).await?;
    let error = &unknown.json()["error"];
    ensure!(error["code"] == 401 && error["status"] == "UNAUTHENTICATED", "{}", unknown.text());
    let missing = stage.gateway.call(&ask("/v1/models/none:generateContent", &stage.key)).await?;
    ensure!(
        missing.status() == 404 && missing.json()["error"]["status"] == "NOT_FOUND",
        "{}",
        missing.text()
    );
    let events =
        stage.gateway.call(&ask("/v1beta/models/m:streamGenerateContent?alt=sse", &stage.key)).await?;
    let last = events.text().trim().rsplit("data: ").next().unwrap_or_default().to_owned();
    let last: Value = serde_json::from_str(&last).context(events.text())?;
    ensure!(last["error"]["status"] == "UNAVAILABLE", "{last}");
    let array = stage.gateway.call(&ask("/v1beta/models/m:streamGenerateContent", &stage.key)).await?;
    let elements: Value = serde_json::from_slice(&array.body).context(array.text())?;
    ensure!(elements[1]["error"]["code"] == 502, "{elements}");
    Ok(())
}

#[tokio::test]
async fn models_are_listed_in_four_shapes() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let upstream = Upstream::always(json_answer(&generated())).await?;
    stage.create(&account("gemini", "one", &upstream.url(), &json!(["gemini-2.5-pro"]))).await?;
    for (path, header, place) in [
        ("/v1/models", None, "/data/0/id"),
        ("/v1/models", Some(("anthropic-version", "2023-06-01")), "/data/0/display_name"),
        ("/v1/models?client_version=0.169.0", None, "/models/0/slug"),
        ("/v1/models", Some(("originator", "codex_cli_rs")), "/models/0/slug"),
        ("/codex/v1/models", None, "/models/0/slug"),
        ("/v1beta/models", None, "/models/0/displayName"),
        ("/v1beta/models?pageSize=50", None, "/models/0/displayName"),
        ("/v1beta/models/gemini-2.5-pro", None, "/displayName"),
    ] {
        let mut request = Request::get(path).bearer(&stage.key);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let answer = stage.gateway.call(&request).await?;
        ensure!(answer.status() == 200, "{path}: {}", answer.text());
        ensure!(answer.json().pointer(place) == Some(&json!("gemini-2.5-pro")), "{path}: {}", answer.text());
    }
    let google = Request::get("/v1/models/nothing").header("x-goog-api-key", &stage.key);
    let missing = stage.gateway.call(&google).await?;
    ensure!(missing.json()["error"]["status"] == "NOT_FOUND", "{}", missing.text());
    Ok(())
}

/// A recording of one of these dialects.
struct Recording {
    id: String,
    path: String,
    preset: &'static str,
    stream: bool,
    request: Value,
    body: Vec<u8>,
}

fn recordings(folder: &std::path::Path) -> Result<Vec<Recording>> {
    let index: Value = serde_json::from_slice(&std::fs::read(folder.join("index.json"))?)?;
    let mut all = Vec::new();
    for item in index["items"].as_array().into_iter().flatten() {
        let text = |name: &str| item[name].as_str().unwrap_or_default();
        let (dialect, vendor) = (text("dialect"), text("vendor"));
        let responses = dialect.contains("responses");
        let failed = item["features"].to_string().contains("error_in_stream");
        if !(responses || dialect.ends_with("gemini")) || item["status"] != 200 || failed {
            continue;
        }
        let file: Value = serde_json::from_slice(&std::fs::read(folder.join(text("file")))?)?;
        let stream = file["response"]["sse"].as_str();
        let recorded = text("path");
        let action = recorded.rsplit_once(':').map_or("streamGenerateContent?alt=sse", |(_, action)| action);
        let id = text("id").to_owned();
        let mut request = file["request"]["body"].clone();
        if !request.is_object() {
            request = json!({"input": "hi", "contents": [], "stream": stream.is_some()});
        }
        // What lives at the provider is not here.
        for field in ["previous_response_id", "background"] {
            request.as_object_mut().and_then(|request| request.remove(field));
        }
        let path = match responses {
            true if recorded.ends_with("/compact") => "/v1/responses/compact".to_owned(),
            true => "/v1/responses".to_owned(),
            false => format!("/v1beta/models/{id}:{action}"),
        };
        if responses {
            request["model"] = json!(id);
        }
        all.push(Recording {
            id,
            path,
            preset: match (responses, vendor) {
                (false, _) => "gemini",
                (_, "azure") => "azure",
                (_, "deepseek") => "deepseek",
                (_, "xai") => "xai",
                (_, "openrouter") => "openrouter",
                _ => "openai",
            },
            stream: stream.is_some(),
            request,
            body: match stream {
                Some(text) => text.as_bytes().to_vec(),
                None => file["response"]["body"].to_string().into_bytes(),
            },
        });
    }
    Ok(all)
}

#[tokio::test]
async fn every_recording_of_both_dialects_comes_through_as_it_is() -> Result<()> {
    let Some(folder) = environment::corpus() else {
        println!("skipped: the corpus is not there");
        return Ok(());
    };
    let recordings = recordings(&folder)?;
    ensure!(recordings.len() > 60, "only {} recordings", recordings.len());
    let bodies: BTreeMap<String, (bool, Vec<u8>)> =
        recordings.iter().map(|one| (one.id.clone(), (one.stream, one.body.clone()))).collect();
    let upstream = Upstream::start(move |received| {
        let id = received.target.split('/').nth(1).unwrap_or_default();
        let Some((stream, body)) = bodies.get(id) else { return Script::new().close() };
        let kind = if *stream { "text/event-stream" } else { "application/json" };
        let head = canned::head(200, &[("content-type", kind), ("transfer-encoding", "chunked")]);
        let (first, rest) = body.split_at(body.len() * 2 / 3);
        Script::new().send(head).send(chunk(first)).wait_ms(1).send(chunk(rest)).last_chunk()
    })
    .await?;
    let stage = Stage::start(Options::default().env("LOG_LEVEL", "warn")).await?;
    for one in &recordings {
        let base = format!("{}/{}", upstream.url(), one.id);
        stage.admin.create_account(&account(one.preset, &one.id, &base, &json!([one.id]))).await?;
    }
    let models: Vec<String> = recordings.iter().map(|one| one.id.clone()).collect();
    stage.gateway.offers(&stage.key, &models, Duration::from_secs(10)).await?;
    let mut failures = Vec::new();
    for one in &recordings {
        let answer = call(&stage, "POST", &one.path, Some(one.request.clone())).await?;
        if answer.status() != 200 || answer.body != one.body {
            failures.push(format!("{}: {} {}", one.id, answer.status(), answer.text().len()));
            continue;
        }
        let record = stage.record(&answer).await?;
        if record["status"] != 200 || !record["code"].is_null() {
            failures.push(format!("{}: {record}", one.id));
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}
