//! Bytes go through as they came: requests but for what is mapped, answers frame by frame.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::admin::account;
use testkit::canned;
use testkit::gateway::Options;
use testkit::http::Request;
use testkit::script::Script;
use testkit::surface::{ALL, CHAT, MESSAGES, Surface};
use testkit::upstream::Upstream;

use crate::stage::{Stage, ensure_complete, with};

/// A body as nobody's serialiser would write it, with fields that nobody knows.
fn odd_body(surface: &Surface, model: &str) -> String {
    let plain = surface.request("", false);
    let rest = plain.as_object().into_iter().flatten().filter(|(name, _)| *name != "model");
    let mut body = format!(
        "\r\n {{ \"x_unknown\" : [1.50, 1E400, \"\\u00e9\\ud83d\\ude00\"],\n\t\"model\" :  \"{model}\" "
    );
    for (name, value) in rest {
        body.push_str(&format!(" ,\"{name}\":\n{value}"));
    }
    body + ",\"z\\u0065d\":null}\n"
}

#[tokio::test]
async fn a_request_arrives_byte_for_byte() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    for surface in ALL {
        let upstream = Upstream::always(canned::answer(&surface, "same", false)).await?;
        stage.account(surface.name, &surface, &upstream, surface.name).await?;
        let body = odd_body(&surface, surface.name);
        let request = Request::post(surface.path, body.clone()).bearer(&stage.key);
        ensure_complete(&surface, false, &stage.gateway.call(&request).await?)?;
        let received = upstream.wait_for(1).await?.remove(0);
        ensure!(received.method == "POST", "{}", received.method);
        ensure!(received.target == surface.upstream_path, "{}", received.target);
        ensure!(received.body == body, "{}: {}", surface.name, received.body.escape_ascii());
    }
    Ok(())
}

#[tokio::test]
async fn only_a_mapped_model_name_is_replaced() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    for (surface, public, real) in [
        (CHAT, "short", "vendor/a much longer name"),
        (MESSAGES, "a-long-public-name", "x"),
        (CHAT, "q", "a\"b\\c"),
    ] {
        let upstream = Upstream::always(canned::answer(&surface, real, false)).await?;
        let models = json!([{"name": public, "upstream": real}]);
        stage.create(&account(public, &surface, &upstream.url(), &models)).await?;
        let request = Request::post(surface.path, odd_body(&surface, public)).bearer(&stage.key);
        let answer = stage.gateway.call(&request).await?;
        ensure_complete(&surface, false, &answer)?;
        ensure!(
            answer.json()["model"] == real,
            "the answer's model is not the upstream's: {}",
            answer.text()
        );
        let escaped = serde_json::to_string(real)?;
        let expected = odd_body(&surface, public).replacen(&format!("\"{public}\""), &escaped, 1);
        let received = upstream.wait_for(1).await?.remove(0);
        ensure!(received.body == expected, "{}", received.body.escape_ascii());
    }
    Ok(())
}

/// Headers of every kind: to be passed, to be replaced, to be dropped.
fn with_headers(request: Request) -> Request {
    let headers = [
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "one-2025-01-01,two-never-heard-of"),
        ("anthropic-something-new", "yes"),
        ("openai-beta", "assistants=v2"),
        ("accept-encoding", "gzip, br"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic eA=="),
    ];
    headers.into_iter().fold(request, |request, (name, value)| request.header(name, value))
}

#[tokio::test]
async fn headers_pass_by_the_rules_of_the_contract() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    for surface in [CHAT, MESSAGES] {
        let upstream = Upstream::always(canned::answer(&surface, "m", false)).await?;
        stage.account(surface.name, &surface, &upstream, surface.name).await?;
        let request = with_headers(stage.request(&surface, &surface.request(surface.name, false)));
        ensure_complete(&surface, false, &stage.gateway.call(&request).await?)?;
        let received = upstream.wait_for(1).await?.remove(0);
        for (name, value) in [
            ("anthropic-beta", "one-2025-01-01,two-never-heard-of"),
            ("anthropic-something-new", "yes"),
            ("accept-encoding", "identity"),
            ("content-type", "application/json"),
        ] {
            ensure!(received.header(name) == Some(value), "{name}: {:?}", received.headers);
        }
        ensure!(received.header("host") == upstream.url().strip_prefix("http://"), "{:?}", received.headers);
        ensure_clean(&stage, &received.headers)?;
    }
    Ok(())
}

/// What must not go upstream, and what must go exactly once.
fn ensure_clean(stage: &Stage, headers: &[(String, String)]) -> Result<()> {
    let sent: Vec<String> = headers.iter().map(|(n, v)| format!("{}: {v}", n.to_lowercase())).collect();
    let sent = sent.join("\n");
    ensure!(!sent.contains(&stage.key), "the caller's key went upstream:\n{sent}");
    for name in ["x-hop: ", "te: ", "proxy-authorization: ", "transfer-encoding: "] {
        ensure!(!sent.lines().any(|line| line.starts_with(name)), "{name}went upstream:\n{sent}");
    }
    ensure!(sent.matches(testkit::admin::UPSTREAM_CREDENTIAL).count() == 1, "one credential:\n{sent}");
    ensure!(sent.matches("content-length: ").count() == 1, "one length:\n{sent}");
    Ok(())
}

#[tokio::test]
async fn a_key_in_the_query_never_reaches_the_upstream() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let upstream = Upstream::always(canned::answer(&MESSAGES, "m", false)).await?;
    stage.account("a", &MESSAGES, &upstream, "m").await?;
    let target = format!("/v1/messages?beta=true&key={}&x=1", stage.key);
    let answer =
        stage.gateway.call(&Request::post(&target, MESSAGES.request("m", false).to_string())).await?;
    ensure_complete(&MESSAGES, false, &answer)?;
    let received = upstream.wait_for(1).await?.remove(0);
    ensure!(received.target == "/v1/messages?beta=true&x=1", "{}", received.target);
    Ok(())
}

#[tokio::test]
async fn an_answer_arrives_byte_for_byte_with_the_headers_that_may_pass() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let headers = [
        ("openai-processing-ms", "12"),
        ("anthropic-new-header", "kept"),
        ("anthropic-ratelimit-requests-remaining", "3"),
        ("x-ratelimit-remaining-requests", "9"),
        ("x-request-id", "req_of_the_upstream"),
        ("openai-organization", "org-secret"),
        ("anthropic-organization-id", "org-secret"),
        ("set-cookie", "a=b"),
        ("server", "vendor"),
    ];
    for surface in [CHAT, MESSAGES] {
        let body = format!(" \n{}\t\r\n", serde_json::to_string_pretty(&canned::body(&surface, "m"))?);
        let upstream = Upstream::always(canned::json_answer(200, &headers, &body)).await?;
        stage.account(surface.name, &surface, &upstream, surface.name).await?;
        let answer = stage.ask(&surface, surface.name, false).await?;
        ensure!(answer.body == body, "{}", answer.text());
        for name in ["openai-processing-ms", "anthropic-new-header"] {
            ensure!(answer.header(name).is_some(), "{name} is missing: {:?}", answer.head);
        }
        ensure!(answer.header("x-upstream-request-id") == Some("req_of_the_upstream"), "{:?}", answer.head);
        let remaining = answer.header("anthropic-ratelimit-requests-remaining");
        ensure!(remaining != Some("3"), "the upstream's own limits passed: {:?}", answer.head);
        for name in ["set-cookie", "openai-organization", "anthropic-organization-id"] {
            ensure!(answer.header(name).is_none(), "{name} passed: {:?}", answer.head);
        }
        ensure!(answer.header("server") != Some("vendor"), "{:?}", answer.head);
    }
    Ok(())
}

/// An account of a preset whose vendor takes `stream_options.include_usage`.
async fn openai_account(stage: &Stage, upstream: &Upstream) -> Result<()> {
    let body = with(account("openai", &CHAT, &upstream.url(), &json!(["m"])), "provider", json!("openai"));
    stage.create(&body).await?;
    Ok(())
}

#[tokio::test]
async fn usage_is_asked_for_and_its_extra_chunk_taken_out_again() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let frames = canned::chat_frames("m", &canned::WORDS, true);
    let upstream = Upstream::always(canned::stream_answer(&frames)).await?;
    openai_account(&stage, &upstream).await?;
    let answer = stage.ask(&CHAT, "m", true).await?;
    ensure_complete(&CHAT, true, &answer)?;
    let sent = upstream.wait_for(1).await?.remove(0).json();
    ensure!(sent["stream_options"]["include_usage"] == true, "{sent}");
    let without: String = frames.iter().filter(|frame| !frame.contains("\"choices\":[]")).cloned().collect();
    ensure!(answer.body == without, "{}", answer.text());
    let record = stage.record(&answer).await?;
    ensure!(record["usage"]["source"] == "measured", "{record}");
    ensure!(
        record["usage"]["input"] == canned::INPUT && record["usage"]["output"] == canned::OUTPUT,
        "{record}"
    );
    Ok(())
}

#[tokio::test]
async fn usage_that_the_caller_asked_for_stays() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let frames = canned::chat_frames("m", &canned::WORDS, true);
    let upstream = Upstream::always(canned::stream_answer(&frames)).await?;
    openai_account(&stage, &upstream).await?;
    let body = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#;
    let answer = stage.gateway.call(&Request::post(CHAT.path, body).bearer(&stage.key)).await?;
    ensure!(answer.body == frames.concat(), "{}", answer.text());
    ensure!(upstream.wait_for(1).await?[0].body == body, "the request was changed");
    let body = r#"{"model":"m","stream":true,"stream_options":{"include_usage":false,"x":1},"messages":[]}"#;
    let answer = stage.gateway.call(&Request::post(CHAT.path, body).bearer(&stage.key)).await?;
    ensure!(!answer.text().contains("\"choices\":[]"), "{}", answer.text());
    let sent = upstream.wait_for(2).await?.remove(1).json();
    ensure!(sent["stream_options"] == json!({"include_usage": true, "x": 1}), "{sent}");
    Ok(())
}

#[tokio::test]
async fn each_frame_reaches_the_caller_before_the_next_is_sent() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let chat = canned::chat_frames("m", &canned::WORDS, false);
    let messages = canned::message_frames("m", &canned::WORDS);
    for (surface, frames) in [(CHAT, chat), (MESSAGES, messages)] {
        let gated =
            |script: Script, (number, frame): (usize, &String)| script.gate(number as u64).chunk(frame);
        let script = frames.iter().enumerate().fold(canned::stream_head(), gated).last_chunk();
        let upstream = Upstream::always(script).await?;
        stage.account(surface.name, &surface, &upstream, surface.name).await?;
        let mut connection = stage.gateway.connect().await?;
        connection.send(&stage.request(&surface, &surface.request(surface.name, true))).await?;
        // What comes before the first content may be held back: until then the answer can still be another's.
        let held = frames.iter().position(|frame| frame.contains("Hello")).context("no content")?;
        upstream.open_gate(held as u64 + 1);
        let mut arriving = connection.arriving().await?;
        let mut seen = String::new();
        for number in held..frames.len() {
            upstream.open_gate(number as u64 + 1);
            let expected = frames[..=number].concat();
            while seen.len() < expected.len() {
                let piece = connection.piece(&mut arriving).await?.context("the answer ended early")?;
                seen.push_str(std::str::from_utf8(&piece.bytes)?);
            }
            ensure!(seen == expected, "{} frame {number}: {seen}", surface.name);
        }
        ensure!(connection.piece(&mut arriving).await?.is_none(), "more came after the end");
    }
    Ok(())
}

#[tokio::test]
async fn large_bodies_pass_both_ways() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let mut long = canned::body(&CHAT, "m");
    long["choices"][0]["message"]["content"] = json!("x".repeat(20 * 1024 * 1024));
    let long = long.to_string();
    let upstream = Upstream::always(canned::json_answer(200, &[], &long)).await?;
    stage.account("a", &CHAT, &upstream, "m").await?;
    let request =
        json!({"model": "m", "messages": [{"role": "user", "content": "y".repeat(30 * 1024 * 1024)}]});
    let answer = stage.send(&CHAT, &request).await?;
    ensure!(answer.body == long, "{} bytes, {} expected", answer.body.len(), long.len());
    ensure!(upstream.wait_for(1).await?[0].body == request.to_string(), "the request was changed");
    Ok(())
}

#[tokio::test]
async fn the_callers_own_mistakes_are_passed_on_unchanged() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    for surface in [CHAT, MESSAGES] {
        let body =
            canned::error_body(surface.dialect, "invalid_request_error", "max_tokens is too large: 1e9");
        for status in [400, 404, 413, 422] {
            let upstream =
                Upstream::always(canned::json_answer(status, &[("x-request-id", "up")], &body)).await?;
            let model = format!("{}-{status}", surface.name);
            stage.account(&model, &surface, &upstream, &model).await?;
            let answer = stage.ask(&surface, &model, false).await?;
            ensure!(answer.status() == status, "{} {}", answer.status(), answer.text());
            ensure!(answer.body == body, "{}", answer.text());
            ensure!(upstream.count() == 1, "asked {} times", upstream.count());
            let record = stage.record(&answer).await?;
            ensure!(record["attempts"][0]["class"] == "caller", "{record}");
        }
    }
    Ok(())
}
