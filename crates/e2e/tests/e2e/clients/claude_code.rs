//! Claude Code at a gateway that is its `ANTHROPIC_BASE_URL` (level A of the reference): everything it sends
//! reaches the provider as it was, and everything the provider says reaches it as it was.

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::canned;
use testkit::gateway::Options;
use testkit::http::Request;
use testkit::surface::{COUNT_TOKENS, MESSAGES};
use testkit::upstream::Upstream;

use super::captured;
use crate::stage::Stage;

const MODEL: &str = "claude-opus-4-8";

async fn stage() -> Result<(Stage, Upstream)> {
    let stage = Stage::start(Options::default()).await?;
    let upstream = Upstream::start(|received| {
        let stream = received.json()["stream"] == true;
        canned::answer(
            if received.target.contains("count") { &COUNT_TOKENS } else { &MESSAGES },
            MODEL,
            stream,
        )
    })
    .await?;
    stage.account("anthropic", &MESSAGES, &upstream, MODEL).await?;
    Ok((stage, upstream))
}

#[tokio::test]
async fn every_captured_request_reaches_the_provider_byte_for_byte() -> Result<()> {
    let Some(captures) = captured("claude-code")? else { return Ok(()) };
    let (stage, upstream) = stage().await?;
    let mut calls = 0;
    for capture in captures {
        let answer = stage.gateway.call(&capture.request(&stage.key)).await?;
        ensure!(answer.status() == 200, "{}: {} {}", capture.id, answer.status(), answer.text());
        if capture.method != "POST" {
            continue;
        }
        calls += 1;
        let received = upstream.wait_for(calls).await?.pop().ok_or_else(|| anyhow::anyhow!("none"))?;
        ensure!(received.target == capture.path, "{} became {}", capture.path, received.target);
        ensure!(received.body == capture.body, "{}: the body differs", capture.id);
        for (name, value) in capture.own_headers() {
            let came = received.header(name);
            ensure!(came == Some(value), "{}: {name} came as {came:?}", capture.id);
        }
        ensure!(received.header("x-api-key") != Some(stage.key.as_str()), "the caller's key was passed on");
        let record = stage.record(&answer).await?;
        ensure!(record["program"]["program"] == "claude-cli", "{record}");
        let session =
            capture.own_headers().find(|(name, _)| name.eq_ignore_ascii_case("x-claude-code-session-id"));
        ensure!(record["program"]["session"].as_str() == session.map(|(_, value)| value), "{record}");
    }
    ensure!(calls >= 3, "{calls}");
    Ok(())
}

#[tokio::test]
async fn lists_of_headers_fields_and_betas_are_open() -> Result<()> {
    let (stage, upstream) = stage().await?;
    let body = json!({
        "model": MODEL, "max_tokens": 9, "messages": [{"role": "system", "content": "x"}], "unknown": {"a": [1]},
        "safeguards": [{"type": "dangerous_tool_use", "classifier_context": {"x": 1}}],
        "thinking": {"type": "adaptive", "display": "omitted"}, "context_management": {"edits": []},
        "system": [{"type": "text", "text": "x-anthropic-billing-header: cc_version=9"}],
    });
    let text = body.to_string();
    let request = Request::post("/v1/messages?beta=true&new=1", text.clone())
        .bearer(&stage.key)
        .header("anthropic-beta", "future-2027-01-01,dangerous-tool-use-2026-09-03")
        .header("anthropic-version", "2026-10-21")
        .header("anthropic-workspace-id", "w")
        .header("anthropic-future", "f")
        .header("x-claude-code-agent-id", "a-1")
        .header("x-claude-code-request-class", "subagent");
    let answer = stage.gateway.call(&request).await?;
    ensure!(answer.status() == 200, "{}", answer.text());
    let received = upstream.received().remove(0);
    ensure!(received.body == text, "the body differs");
    ensure!(received.target == "/v1/messages?beta=true&new=1", "{}", received.target);
    for (name, value) in [
        ("anthropic-beta", "future-2027-01-01,dangerous-tool-use-2026-09-03"),
        ("anthropic-version", "2026-10-21"),
        ("anthropic-workspace-id", "w"),
        ("anthropic-future", "f"),
    ] {
        ensure!(received.header(name) == Some(value), "{name}: {:?}", received.header(name));
    }
    let record = stage.record(&answer).await?;
    ensure!(record["program"]["agent"] == "a-1", "{record}");
    ensure!(record["program"]["request_class"] == "subagent", "{record}");
    Ok(())
}

/// Recovery of the client goes by these words (reference, level A point 6).
#[tokio::test]
async fn the_providers_words_about_a_bad_request_pass_unchanged() -> Result<()> {
    let (stage, upstream) = stage().await?;
    for (status, kind, words) in [
        (400, "invalid_request_error", "prompt is too long: 215000 tokens > 200000 maximum"),
        (400, "invalid_request_error", "messages.1.content.0: Invalid `signature` in `thinking` block"),
        (400, "invalid_request_error", "safeguards: Extra inputs are not permitted"),
        (400, "invalid_request_error", "image exceeds 5 MB maximum"),
        (413, "request_too_large", "Request exceeds the maximum size"),
    ] {
        let body =
            json!({"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_up"});
        let text = format!(" {body}\n");
        upstream.next([canned::json_answer(status, &[], &text)]);
        let answer = stage.ask(&MESSAGES, MODEL, true).await?;
        ensure!(answer.status() == status, "{words}: {}", answer.status());
        ensure!(answer.text() == text, "{words}: {}", answer.text());
    }
    Ok(())
}

#[tokio::test]
async fn pings_and_comments_of_the_provider_pass() -> Result<()> {
    let (stage, upstream) = stage().await?;
    let mut frames = canned::message_frames(MODEL, &["a", "b"]);
    frames.insert(2, "event: ping\ndata: {\"type\": \"ping\"}\n\n".to_owned());
    frames.insert(3, ": comment of theirs\n\n".to_owned());
    upstream.next([canned::stream_answer(&frames)]);
    let answer = stage.ask(&MESSAGES, MODEL, true).await?;
    ensure!(answer.text() == frames.concat(), "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn probes_and_counting_are_answered_and_both_carriers_of_the_key_are_taken() -> Result<()> {
    let (stage, _upstream) = stage().await?;
    for path in ["/", "/api/hello"] {
        let answer = stage.gateway.call(&Request::new("HEAD", path)).await?;
        ensure!(answer.status() == 200, "HEAD {path}: {}", answer.status());
    }
    let counted = stage.ask(&COUNT_TOKENS, MODEL, false).await?;
    ensure!(counted.json()["input_tokens"].is_u64(), "{}", counted.text());
    let listed = Request::get("/v1/models?limit=1000")
        .bearer(&stage.key)
        .header("x-api-key", &stage.key)
        .header("anthropic-version", "2023-06-01");
    let listed = stage.gateway.call(&listed).await?;
    ensure!(listed.status() == 200 && listed.json()["data"][0]["id"] == MODEL, "{}", listed.text());
    Ok(())
}

#[tokio::test]
async fn tokens_are_estimated_and_marked_where_no_account_counts_them() -> Result<()> {
    let (stage, upstreams) = super::matrix::stage().await?;
    let answer = stage.ask(&COUNT_TOKENS, "bedrock_converse-text", false).await?;
    ensure!(answer.status() == 200, "{}", answer.text());
    ensure!(answer.json()["input_tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{}", answer.text());
    ensure!(answer.header("x-yumen-estimated") == Some("true"), "{:?}", answer.head.headers);
    ensure!(upstreams.iter().all(|upstream| upstream.count() == 0), "a provider was called");
    Ok(())
}
