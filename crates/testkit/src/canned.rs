//! Answers that a well-behaved provider gives, made by this project, small enough to read in a failure.

use serde_json::{Value, json};

use crate::script::Script;
use crate::surface::{Dialect, Surface};

/// The words of every canned answer; one has bytes outside ASCII, to be cut in two.
pub const WORDS: [&str; 4] = ["Hello", " from", " the höme", " 世界"];
/// Prompt tokens that every canned answer states.
pub const INPUT: u64 = 11;
/// Answer tokens that every canned answer states.
pub const OUTPUT: u64 = 7;

/// The text of every canned answer.
#[must_use]
pub fn text() -> String {
    WORDS.concat()
}

/// Status line and headers of an answer.
#[must_use]
pub fn head(status: u16, headers: &[(&str, &str)]) -> String {
    let mut text = format!("HTTP/1.1 {status} Canned\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text
}

/// A whole JSON answer with its length stated.
#[must_use]
pub fn json_answer(status: u16, headers: &[(&str, &str)], body: &str) -> Script {
    let length = body.len().to_string();
    let mut all = vec![("content-type", "application/json"), ("content-length", length.as_str())];
    all.extend_from_slice(headers);
    Script::new().send(head(status, &all) + body)
}

/// The head of a streamed answer.
#[must_use]
pub fn stream_head() -> Script {
    let headers = [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")];
    Script::new().send(head(200, &headers))
}

/// A streamed answer, one write per frame.
#[must_use]
pub fn stream_answer(frames: &[String]) -> Script {
    let script = frames.iter().fold(stream_head(), |script, frame| script.chunk(frame));
    script.last_chunk()
}

/// A streamed answer with a pause before every frame.
#[must_use]
pub fn paced_answer(frames: &[String], every_ms: u64) -> Script {
    let paced = |script: Script, frame: &String| script.wait_ms(every_ms).chunk(frame);
    frames.iter().fold(stream_head(), paced).last_chunk()
}

/// The right answer for a surface.
#[must_use]
pub fn answer(surface: &Surface, model: &str, stream: bool) -> Script {
    if stream {
        stream_answer(&frames(surface, model))
    } else {
        json_answer(200, &[], &body(surface, model).to_string())
    }
}

/// The right body for a surface.
#[must_use]
pub fn body(surface: &Surface, model: &str) -> Value {
    let usage = json!({"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT});
    match surface.name {
        "openai_chat" => {
            json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text()}, "finish_reason": "stop"}],
            "usage": usage})
        }
        "openai_completions" => {
            json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": model,
            "choices": [{"index": 0, "text": text(), "finish_reason": "stop"}], "usage": usage})
        }
        "openai_embeddings" => json!({"object": "list", "model": model,
            "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}],
            "usage": {"prompt_tokens": INPUT, "total_tokens": INPUT}}),
        "openai_moderations" => json!({"id": "modr-1", "model": model,
            "results": [{"flagged": false, "categories": {}, "category_scores": {}}]}),
        "rerank" => json!({"id": "rr-1", "model": model,
            "results": [{"index": 0, "relevance_score": 0.9}, {"index": 1, "relevance_score": 0.1}]}),
        "anthropic_messages" => json!({"id": "msg_1", "type": "message", "role": "assistant", "model": model,
            "content": [{"type": "text", "text": text()}], "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {"input_tokens": INPUT, "output_tokens": OUTPUT}}),
        _ => json!({"input_tokens": INPUT}),
    }
}

/// The right frames of a streamed answer, the terminal one included.
#[must_use]
pub fn frames(surface: &Surface, model: &str) -> Vec<String> {
    match (surface.dialect, surface.name) {
        (Dialect::Anthropic, _) => message_frames(model, &WORDS),
        (_, "openai_completions") => completion_frames(model, &WORDS),
        _ => chat_frames(model, &WORDS, true),
    }
}

/// Frames of a chat stream; `usage` adds the extra chunk that a caller may ask for.
#[must_use]
pub fn chat_frames(model: &str, words: &[&str], usage: bool) -> Vec<String> {
    let chunk = |choices: Value, stated: Value| {
        let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model,
            "choices": choices, "usage": stated});
        data(&chunk)
    };
    let delta = |delta: Value, finish: Value| {
        chunk(json!([{"index": 0, "delta": delta, "finish_reason": finish}]), Value::Null)
    };
    let mut frames = vec![delta(json!({"role": "assistant", "content": ""}), Value::Null)];
    frames.extend(words.iter().map(|word| delta(json!({"content": word}), Value::Null)));
    frames.push(delta(json!({}), json!("stop")));
    if usage {
        let stated =
            json!({"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT});
        frames.push(chunk(json!([]), stated));
    }
    frames.push("data: [DONE]\n\n".to_owned());
    frames
}

/// Frames of a legacy completion stream, its usage stated.
#[must_use]
pub fn completion_frames(model: &str, words: &[&str]) -> Vec<String> {
    let chunk = |text: &str, finish: Value, usage: Value| {
        let chunk = json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": model,
            "choices": [{"index": 0, "text": text, "finish_reason": finish}], "usage": usage});
        data(&chunk)
    };
    let mut frames: Vec<String> = words.iter().map(|word| chunk(word, Value::Null, Value::Null)).collect();
    let usage = json!({"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT});
    frames.push(chunk("", json!("stop"), usage));
    frames.push("data: [DONE]\n\n".to_owned());
    frames
}

/// Frames of a messages stream.
#[must_use]
pub fn message_frames(model: &str, words: &[&str]) -> Vec<String> {
    let mut frames = vec![
        event(&json!({"type": "message_start", "message": {"id": "msg_1", "type": "message",
            "role": "assistant", "model": model, "content": [], "stop_reason": null, "stop_sequence": null,
            "usage": {"input_tokens": INPUT, "output_tokens": 1}}})),
        event(
            &json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        ),
        event(&json!({"type": "ping"})),
    ];
    frames.extend(words.iter().map(|word| {
        let delta = json!({"type": "text_delta", "text": word});
        event(&json!({"type": "content_block_delta", "index": 0, "delta": delta}))
    }));
    frames.push(event(&json!({"type": "content_block_stop", "index": 0})));
    frames.push(event(&json!({"type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": OUTPUT}})));
    frames.push(event(&json!({"type": "message_stop"})));
    frames
}

/// An error body in the provider's own dialect.
#[must_use]
pub fn error_body(dialect: Dialect, kind: &str, message: &str) -> String {
    let body = match dialect {
        Dialect::OpenAi => {
            json!({"error": {"message": message, "type": kind, "param": null, "code": kind}})
        }
        Dialect::Anthropic => {
            json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_up"})
        }
    };
    body.to_string()
}

/// An error inside a stream, in the provider's own dialect.
#[must_use]
pub fn error_frame(dialect: Dialect, kind: &str, message: &str) -> String {
    let body = error_body(dialect, kind, message);
    match dialect {
        Dialect::OpenAi => format!("data: {body}\n\n"),
        Dialect::Anthropic => format!("event: error\ndata: {body}\n\n"),
    }
}

fn data(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default())
}
