//! Callers of one dialect at accounts of another: what reaches the account, and what comes back.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::canned::{
    INPUT, OUTPUT, chat_frames, error_body, error_frame, json_answer, message_frames, stream_answer, text,
};
use testkit::gateway::Options;
use testkit::http::{Answer, Request};
use testkit::script::Script;
use testkit::surface::{CHAT, Dialect, MESSAGES, Surface};
use testkit::upstream::Upstream;

use crate::stage::Stage;

/// A gateway with one account that speaks the dialect of `surface`, and what that answers.
async fn stage(surface: &Surface, scripts: impl IntoIterator<Item = Script>) -> Result<(Stage, Upstream)> {
    let stage = Stage::start(Options::default()).await?;
    let upstream = Upstream::always(Script::new().hold()).await?;
    upstream.next(scripts);
    stage.account("abroad", surface, &upstream, "far").await?;
    Ok((stage, upstream))
}

fn last_body(upstream: &Upstream) -> Result<Value> {
    Ok(upstream.received().last().context("nothing was sent upstream")?.json())
}

/// The data objects of a stream.
fn events(answer: &Answer) -> Vec<Value> {
    let text = answer.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter_map(|data| serde_json::from_str(data).ok()).collect()
}

/// What the deltas of a chat stream add up to.
fn chat_text(answer: &Answer) -> String {
    let deltas = events(answer);
    deltas.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}

/// What the deltas of a message stream add up to.
fn message_text(answer: &Answer) -> String {
    let deltas = events(answer);
    deltas.iter().filter_map(|event| event["delta"]["text"].as_str()).collect()
}

fn message_body(content: &Value, stop: &str) -> Script {
    let body = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "far", "content": content,
        "stop_reason": stop, "stop_sequence": null,
        "usage": {"input_tokens": INPUT, "cache_read_input_tokens": 5, "output_tokens": OUTPUT}});
    json_answer(200, &[], &body.to_string())
}

fn chat_body(message: &Value, finish: &str) -> Script {
    let body = json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "far",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT,
            "prompt_tokens_details": {"cached_tokens": 4}}});
    json_answer(200, &[], &body.to_string())
}

#[tokio::test]
async fn a_chat_caller_is_served_by_anthropic() -> Result<()> {
    let answer = message_body(&json!([{"type": "text", "text": text()}]), "end_turn");
    let (stage, upstream) =
        stage(&MESSAGES, [answer, stream_answer(&message_frames("far", &["a", "b"]))]).await?;
    let body = json!({"model": "far", "messages": [
        {"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
        "temperature": 1.5, "logit_bias": {"1": 2}});
    let answer = stage.send(&CHAT, &body).await?;
    ensure!(answer.status() == 200, "{}", answer.text());
    let said = answer.json();
    ensure!(said["object"] == "chat.completion", "{said}");
    ensure!(said["choices"][0]["message"]["content"] == text(), "{said}");
    ensure!(said["choices"][0]["finish_reason"] == "stop", "{said}");
    ensure!(said["usage"]["prompt_tokens"] == INPUT + 5, "{said}");
    ensure!(said["usage"]["prompt_tokens_details"]["cached_tokens"] == 5, "{said}");
    let header = answer.header("x-yumen-translation").unwrap_or_default().to_owned();
    ensure!(header == "lossy; dropped=temperature,logit_bias", "{header}");
    let sent = last_body(&upstream)?;
    ensure!(upstream.received()[0].target == "/v1/messages", "{}", upstream.received()[0].target);
    ensure!(sent["system"] == "be brief" && sent["temperature"] == 1, "{sent}");
    ensure!(
        sent["messages"] == json!([{"role": "user", "content": [{"type": "text", "text": "hi"}]}]),
        "{sent}"
    );
    ensure!(sent["max_tokens"].is_u64() && sent["stream"].is_null(), "{sent}");
    let record = stage.record(&answer).await?;
    ensure!(record["translation"]["dialect"] == "anthropic_messages", "{record}");
    ensure!(record["translation"]["losses"][0]["path"] == "temperature", "{record}");
    ensure!(record["usage"]["cache_read"] == 5 && record["usage"]["output"] == OUTPUT, "{record}");

    let body = json!({"model": "far", "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "hi"}]});
    let answer = stage.send(&CHAT, &body).await?;
    ensure!(chat_text(&answer) == "ab", "{}", answer.text());
    ensure!(answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
    let last = events(&answer).pop().context("no events")?;
    ensure!(last["choices"] == json!([]) && last["usage"]["completion_tokens"] == OUTPUT, "{last}");
    ensure!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")));
    Ok(())
}

#[tokio::test]
async fn a_messages_caller_is_served_by_openai() -> Result<()> {
    let answer = chat_body(&json!({"role": "assistant", "content": text()}), "length");
    let (stage, upstream) =
        stage(&CHAT, [answer, stream_answer(&chat_frames("far", &["a", "b"], true))]).await?;
    let body = json!({"model": "far", "max_tokens": 50, "system": [{"type": "text", "text": "be brief"}],
        "messages": [{"role": "user", "content": "hi"}], "stop_sequences": ["x"], "top_k": 3});
    let answer = stage.send(&MESSAGES, &body).await?;
    ensure!(answer.status() == 200, "{}", answer.text());
    let said = answer.json();
    ensure!(said["type"] == "message" && said["content"][0]["text"] == text(), "{said}");
    ensure!(said["stop_reason"] == "max_tokens", "{said}");
    ensure!(said["usage"]["input_tokens"] == INPUT - 4, "{said}");
    ensure!(said["usage"]["cache_read_input_tokens"] == 4, "{said}");
    let sent = last_body(&upstream)?;
    ensure!(sent["messages"][0] == json!({"role": "system", "content": "be brief"}), "{sent}");
    ensure!(sent["stop"] == json!(["x"]), "{sent}");

    let body = json!({"model": "far", "max_tokens": 50, "stream": true,
        "messages": [{"role": "user", "content": "hi"}]});
    let answer = stage.send(&MESSAGES, &body).await?;
    ensure!(message_text(&answer) == "ab", "{}", answer.text());
    let kinds: Vec<Value> = events(&answer).iter().map(|event| event["type"].clone()).collect();
    let expected = [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    ensure!(kinds == expected, "{kinds:?}");
    let end = &events(&answer)[6];
    ensure!(end["usage"]["output_tokens"] == OUTPUT && end["delta"]["stop_reason"] == "end_turn", "{end}");
    Ok(())
}

#[tokio::test]
async fn tools_go_round_with_their_seals_though_the_caller_drops_them() -> Result<()> {
    let thinking = json!({"type": "thinking", "thinking": "hm", "signature": "SEAL"});
    let calls = json!([thinking, {"type": "text", "text": "Looking."},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": 1.0}},
        {"type": "tool_use", "id": "toolu_2", "name": "look", "input": {}}]);
    let done = message_body(&json!([{"type": "text", "text": "done"}]), "end_turn");
    let (stage, upstream) = stage(&MESSAGES, [message_body(&calls, "tool_use"), done]).await?;
    let tools = json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object",
        "properties": {"at": {"type": "number"}}}}}]);
    let ask = json!({"role": "user", "content": "look"});
    let body = json!({"model": "far", "reasoning_effort": "low", "max_completion_tokens": 9000, "tools": tools,
        "messages": [ask]});
    let said = stage.send(&CHAT, &body).await?.json();
    let message = &said["choices"][0]["message"];
    ensure!(said["choices"][0]["finish_reason"] == "tool_calls", "{said}");
    ensure!(message["reasoning_content"] == "hm" && message["content"] == "Looking.", "{said}");
    ensure!(message["tool_calls"][0]["function"]["arguments"] == r#"{"at":1.0}"#, "{said}");
    let sent = last_body(&upstream)?;
    ensure!(sent["thinking"] == json!({"type": "enabled", "budget_tokens": 2048}), "{sent}");

    // As most clients do: only what OpenAI's own types have comes back.
    let call = |at: usize| message["tool_calls"][at].clone();
    let body = json!({"model": "far", "reasoning_effort": "low", "max_completion_tokens": 9000, "tools": tools,
        "messages": [ask,
            {"role": "assistant", "content": "Looking.", "tool_calls": [call(0), call(1)]},
            {"role": "tool", "tool_call_id": "toolu_1", "content": "one"},
            {"role": "tool", "tool_call_id": "toolu_2", "content": "two"}]});
    let answer = stage.send(&CHAT, &body).await?;
    ensure!(
        answer.header("x-yumen-translation") == Some("exact"),
        "{:?}",
        answer.header("x-yumen-translation")
    );
    let sent = last_body(&upstream)?;
    ensure!(sent["messages"][1]["content"][0] == thinking, "{sent}");
    ensure!(sent["messages"][1]["content"][2]["input"] == json!({"at": 1.0}), "{sent}");
    let results = json!([{"type": "tool_result", "tool_use_id": "toolu_1", "content": "one"},
        {"type": "tool_result", "tool_use_id": "toolu_2", "content": "two"}]);
    ensure!(sent["messages"][2] == json!({"role": "user", "content": results}), "{sent}");
    ensure!(sent["thinking"]["type"] == "enabled", "{sent}");
    Ok(())
}

#[tokio::test]
async fn failures_are_told_in_the_callers_terms_with_the_providers_words() -> Result<()> {
    let refused = |dialect, kind: &str| json_answer(400, &[], &error_body(dialect, kind, "too many cooks"));
    let broken = |frames: Vec<String>, error: String| {
        let mut frames: Vec<String> = frames.into_iter().take(4).collect();
        frames.push(error);
        stream_answer(&frames)
    };
    let cut = |frames: Vec<String>| stream_answer(&frames[..4]);
    let chat = |usage| chat_frames("far", &["a", "b", "c"], usage);
    let (stage, _upstream) = stage(
        &CHAT,
        [
            refused(Dialect::OpenAi, "invalid_request_error"),
            broken(chat(true), error_frame(Dialect::OpenAi, "server_error", "too many cooks")),
            cut(chat(true)),
        ],
    )
    .await?;
    let answer = stage.ask(&MESSAGES, "far", false).await?;
    ensure!(answer.status() == 400, "{}", answer.text());
    let error = &answer.json()["error"];
    ensure!(error["type"] == "invalid_request_error" && error["message"] == "too many cooks", "{error}");
    for words in ["too many cooks", "before it was complete"] {
        let answer = stage.ask(&MESSAGES, "far", true).await?;
        ensure!(answer.status() == 200, "{}", answer.text());
        let last = events(&answer).pop().context("no events")?;
        ensure!(last["type"] == "error", "{}", answer.text());
        ensure!(last["error"]["message"].as_str().is_some_and(|said| said.contains(words)), "{last}");
        ensure!(!answer.text().contains("message_stop"), "{}", answer.text());
    }
    Ok(())
}

#[tokio::test]
async fn a_strict_key_is_refused_what_would_be_lost() -> Result<()> {
    let answer = message_body(&json!([{"type": "text", "text": "ok"}]), "end_turn");
    let (stage, upstream) = stage(&MESSAGES, [answer]).await?;
    let (_, strict) = stage.admin.create_key(&json!({"name": "strict", "translation": "strict"})).await?;
    stage.gateway.offers(&strict, &["far".to_owned()], crate::stage::IN_FORCE).await?;
    let mut body = json!({"model": "far", "messages": [{"role": "user", "content": "hi"}], "user": "u",
        "logit_bias": {"1": 1}, "seed": 3});
    let send = async |body: &Value| {
        stage.gateway.call(&Request::post(CHAT.path, body.to_string()).bearer(&strict)).await
    };
    let answer = send(&body).await?;
    ensure!(answer.status() == 400, "{}", answer.text());
    let error = &answer.json()["error"];
    ensure!(error["code"] == "UNSUPPORTED_FEATURE" && error["param"] == "seed", "{error}");
    ensure!(error["message"].as_str().is_some_and(|said| said.contains("seed, logit_bias")), "{error}");
    ensure!(upstream.count() == 0, "it reached the account");
    for name in ["logit_bias", "seed"] {
        body.as_object_mut().context("an object")?.remove(name);
    }
    ensure!(send(&body).await?.status() == 200);
    Ok(())
}

#[tokio::test]
async fn a_conversation_that_changes_its_provider_keeps_no_foreign_seal() -> Result<()> {
    let thought = json!({"role": "assistant", "content": "a", "reasoning_content": "hm"});
    let (stage, _upstream) = stage(&CHAT, [chat_body(&thought, "stop")]).await?;
    let home = Upstream::always(message_body(&json!([{"type": "text", "text": "ok"}]), "end_turn")).await?;
    stage.account("home", &MESSAGES, &home, "near").await?;
    let ask = json!({"role": "user", "content": "hi"});
    let said =
        stage.send(&MESSAGES, &json!({"model": "far", "max_tokens": 9, "messages": [ask]})).await?.json();
    ensure!(said["content"][0]["type"] == "thinking", "{said}");
    let body = json!({"model": "near", "max_tokens": 9, "messages": [ask,
        {"role": "assistant", "content": said["content"]}, {"role": "user", "content": "go on"}],
        "context_management": {"edits": []}});
    let request = stage.request(&MESSAGES, &body).header("anthropic-beta", "some-beta");
    let answer = stage.gateway.call(&request).await?;
    ensure!(answer.status() == 200, "{}", answer.text());
    let sent = last_body(&home)?;
    ensure!(sent["messages"][1]["content"] == json!([{"type": "text", "text": "a"}]), "{sent}");
    ensure!(sent["context_management"] == body["context_management"], "{sent}");
    ensure!(home.received()[0].header("anthropic-beta") == Some("some-beta"));
    Ok(())
}

#[tokio::test]
async fn what_no_translation_can_give_is_refused_by_name() -> Result<()> {
    let (stage, upstream) = stage(&MESSAGES, []).await?;
    let ask = json!({"role": "user", "content": "hi"});
    let answer = stage.send(&CHAT, &json!({"model": "far", "n": 2, "messages": [ask]})).await?;
    ensure!(answer.status() == 400, "{}", answer.text());
    let error = &answer.json()["error"];
    ensure!(error["code"] == "UNSUPPORTED_FEATURE" && error["param"] == "n", "{error}");
    ensure!(upstream.count() == 0, "it reached the account");
    let file = json!({"type": "document", "source": {"type": "url", "url": "http://127.0.0.1:1/secret.pdf"}});
    let chat = Upstream::always(Script::new().hold()).await?;
    stage.account("chat", &CHAT, &chat, "chat").await?;
    let body = json!({"model": "chat", "max_tokens": 9, "messages": [{"role": "user", "content": [file]}]});
    let answer = stage.send(&MESSAGES, &body).await?;
    ensure!(answer.status() == 400, "{}", answer.text());
    let said = answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
    ensure!(said.contains("cannot be fetched"), "{said}");
    ensure!(chat.count() == 0, "it reached the account");
    Ok(())
}
