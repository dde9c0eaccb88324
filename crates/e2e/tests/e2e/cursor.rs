//! Cursor's endpoint: bodies of four shapes, at accounts of three dialects, and always an answer in Chat.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::admin::UPSTREAM_CREDENTIAL;
use testkit::canned::{self, OUTPUT, chat_frames, error_body, json_answer, stream_answer, text};
use testkit::gateway::Options;
use testkit::http::{Answer, Request};
use testkit::script::Script;
use testkit::surface::{CHAT, Dialect, MESSAGES};
use testkit::upstream::Upstream;

use crate::stage::Stage;

const PATH: &str = "/cursor/v1/chat/completions";

/// The same request in every shape, with what Cursor adds to all of them.
fn shapes(stream: bool) -> Vec<(&'static str, Value)> {
    let schema = json!({"type": "object", "properties": {"path": {"type": "string"}}});
    let chat_tool =
        json!({"type": "function", "function": {"name": "look", "description": "d", "parameters": schema}});
    let shapes = [
        (
            "chat",
            json!({"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
                "max_tokens": 50, "tools": [chat_tool]}),
        ),
        (
            "responses",
            json!({"instructions": "be brief", "input": [{"role": "user", "content": "hi"}],
                "max_output_tokens": 50, "store": false, "include": ["reasoning.encrypted_content"],
                "tools": [{"type": "function", "name": "look", "description": "d", "parameters": schema}]}),
        ),
        (
            "messages",
            json!({"system": [{"type": "text", "text": "be brief"}], "max_tokens": 50,
                "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
                "tools": [{"name": "look", "description": "d", "input_schema": schema}]}),
        ),
        (
            "gemini",
            json!({"systemInstruction": {"parts": [{"text": "be brief"}]},
                "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
                "generationConfig": {"maxOutputTokens": 50},
                "tools": [{"functionDeclarations": [{"name": "look", "description": "d",
                    "parameters": schema}]}]}),
        ),
    ];
    let common = json!({"model": "far", "stream": stream, "stream_options": {"include_usage": true}});
    let whole = |mut body: Value| {
        body.as_object_mut()
            .into_iter()
            .for_each(|body| body.extend(common.as_object().cloned().unwrap_or_default()));
        body
    };
    shapes.into_iter().map(|(name, body)| (name, whole(body))).collect()
}

async fn ask(stage: &Stage, body: &Value) -> Result<Answer> {
    stage.gateway.call(&Request::post(PATH, body.to_string()).bearer(&stage.key)).await
}

/// What a provider of Gemini's dialect answers.
fn gemini_reply() -> Value {
    json!({"candidates": [{"content": {"role": "model", "parts": [{"text": text()}]}, "finishReason": "STOP",
        "index": 0}], "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": OUTPUT,
        "totalTokenCount": 9 + OUTPUT}, "modelVersion": "far"})
}

fn gemini_answer(stream: bool) -> Script {
    match stream {
        true => stream_answer(&[format!("data: {}\n\n", gemini_reply())]),
        false => json_answer(200, &[], &gemini_reply().to_string()),
    }
}

/// Checks that an answer is one of Chat, with the provider's words and its usage.
fn ensure_chat(answer: &Answer, stream: bool) -> Result<()> {
    ensure!(answer.status() == 200, "{}", answer.text());
    if !stream {
        let said = answer.json();
        ensure!(said["object"] == "chat.completion", "{said}");
        ensure!(said["choices"][0]["message"]["content"] == text(), "{said}");
        ensure!(said["choices"][0]["finish_reason"] == "stop", "{said}");
        ensure!(said["usage"]["completion_tokens"] == OUTPUT, "{said}");
        return Ok(());
    }
    let all = answer.text();
    ensure!(all.ends_with("data: [DONE]\n\n"), "{all}");
    let data = all.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    let chunks: Vec<Value> = data.map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(chunks.iter().all(|chunk| chunk["object"] == "chat.completion.chunk"), "{all}");
    let words = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
    ensure!(words.collect::<String>() == text(), "{all}");
    let last = chunks.last().context("no chunks")?;
    ensure!(last["usage"]["completion_tokens"] == OUTPUT, "{all}");
    Ok(())
}

#[tokio::test]
async fn every_shape_reaches_an_account_of_chat() -> Result<()> {
    for stream in [false, true] {
        let stage = Stage::start(Options::default()).await?;
        let upstream = Upstream::always(canned::answer(&CHAT, "far", stream)).await?;
        stage.account("abroad", &CHAT, &upstream, "far").await?;
        for (name, body) in shapes(stream) {
            let answer = ask(&stage, &body).await?;
            ensure_chat(&answer, stream).context(name)?;
            let received = upstream.received();
            let last = received.last().context("nothing was sent upstream")?;
            ensure!(last.target == "/v1/chat/completions", "{name}: {}", last.target);
            let sent = last.json();
            ensure!(
                sent["messages"][0] == json!({"role": "system", "content": "be brief"}),
                "{name}: {sent}"
            );
            ensure!(sent["messages"][1] == json!({"role": "user", "content": "hi"}), "{name}: {sent}");
            ensure!(sent["tools"][0]["function"]["name"] == "look", "{name}: {sent}");
            let most = sent["max_tokens"].as_u64().or(sent["max_completion_tokens"].as_u64());
            ensure!(most == Some(50), "{name}: {sent}");
            for gone in
                ["input", "instructions", "system", "contents", "generationConfig", "max_output_tokens"]
            {
                ensure!(sent[gone].is_null(), "{name}: {sent}");
            }
            if name == "chat" {
                ensure!(sent == body, "{sent}");
            }
            let record = stage.record(&answer).await?;
            ensure!(record["translation"].is_null() == (name == "chat"), "{record}");
            ensure!(record["usage"]["output"] == OUTPUT, "{record}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_shape_reaches_an_account_of_messages_and_its_own_keeps_its_marks() -> Result<()> {
    for stream in [false, true] {
        let stage = Stage::start(Options::default()).await?;
        let upstream = Upstream::always(canned::answer(&MESSAGES, "far", stream)).await?;
        stage.account("abroad", &MESSAGES, &upstream, "far").await?;
        for (name, mut body) in shapes(stream) {
            if name == "messages" {
                body["system"][0]["cache_control"] = json!({"type": "ephemeral"});
            }
            let answer = ask(&stage, &body).await?;
            ensure_chat(&answer, stream).context(name)?;
            let received = upstream.received();
            let last = received.last().context("nothing was sent upstream")?;
            ensure!(last.target == "/v1/messages", "{name}: {}", last.target);
            let sent = last.json();
            ensure!(sent["tools"][0]["input_schema"]["type"] == "object", "{name}: {sent}");
            ensure!(sent["max_tokens"] == 50 && sent["stream_options"].is_null(), "{name}: {sent}");
            if name == "messages" {
                ensure!(sent["system"] == body["system"] && sent["messages"] == body["messages"], "{sent}");
                ensure!(answer.header("x-yumen-translation") == Some("exact"), "{}", answer.text());
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_shape_reaches_an_account_of_gemini() -> Result<()> {
    for stream in [false, true] {
        let stage = Stage::start(Options::default()).await?;
        let upstream = Upstream::always(gemini_answer(stream)).await?;
        stage
            .create(&json!({"name": "abroad", "provider": "gemini", "base_url": upstream.url(),
                "allow_private": true, "models": ["far"],
                "credential": {"type": "api_key", "api_key": UPSTREAM_CREDENTIAL}}))
            .await?;
        for (name, body) in shapes(stream) {
            ensure_chat(&ask(&stage, &body).await?, stream).context(name)?;
            let received = upstream.received();
            let sent = received.last().context("nothing was sent upstream")?.json();
            ensure!(sent["contents"][0]["parts"][0]["text"] == "hi", "{name}: {sent}");
            ensure!(sent["generationConfig"]["maxOutputTokens"] == 50, "{name}: {sent}");
            for gone in ["model", "stream", "stream_options"] {
                ensure!(sent[gone].is_null(), "{name}: {sent}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn usage_is_stated_only_to_those_who_ask() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let upstream = Upstream::always(stream_answer(&chat_frames("far", &["a"], true))).await?;
    stage.account("abroad", &CHAT, &upstream, "far").await?;
    // Chat is relayed as it is: what this account says unasked passes.
    for (name, mut body) in shapes(true).into_iter().filter(|(name, _)| *name != "chat") {
        body["stream_options"] = Value::Null;
        let answer = ask(&stage, &body).await?;
        ensure!(answer.status() == 200, "{name}: {}", answer.text());
        ensure!(!answer.text().contains("completion_tokens"), "{name}: {}", answer.text());
    }
    Ok(())
}

#[tokio::test]
async fn what_fails_and_what_is_listed_is_in_openais_form() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let refusal = error_body(Dialect::Anthropic, "invalid_request_error", "prompt is odd");
    let upstream = Upstream::always(json_answer(400, &[], &refusal)).await?;
    stage.account("abroad", &MESSAGES, &upstream, "far").await?;
    for (name, mut body) in shapes(false) {
        let refused = ask(&stage, &body).await?;
        ensure!(refused.status() == 400, "{name}: {}", refused.text());
        let error = &refused.json()["error"];
        ensure!(error["message"].as_str().is_some_and(|text| text.contains("prompt is odd")), "{error}");
        ensure!(error["type"].is_string() && error["status"].is_null(), "{name}: {error}");
        body["model"] = json!("nothing");
        let missing = ask(&stage, &body).await?;
        ensure!(missing.status() == 404, "{name}: {}", missing.text());
        ensure!(missing.json()["error"]["code"] == "MODEL_NOT_FOUND", "{name}: {}", missing.text());
        body["model"] = Value::Null;
        let nameless = ask(&stage, &body).await?;
        ensure!(nameless.status() == 400, "{name}: {}", nameless.text());
        ensure!(nameless.json()["error"]["param"] == "model", "{name}: {}", nameless.text());
    }
    let kept = json!({"model": "far", "input": "go on", "previous_response_id": "resp_1"});
    let refused = ask(&stage, &kept).await?;
    ensure!(refused.json()["error"]["param"] == "previous_response_id", "{}", refused.text());
    let list = Request::get("/cursor/v1/models").bearer(&stage.key).header("anthropic-version", "2023-06-01");
    let list = stage.gateway.call(&list).await?.json();
    ensure!(list["object"] == "list" && list["data"][0]["id"] == "far", "{list}");
    Ok(())
}
