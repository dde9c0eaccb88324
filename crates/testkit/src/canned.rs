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
        "openai_responses" => response(model, Some(&text())),
        "gemini_generate_content" => gemini_chunk(model, &text(), true),
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
        (Dialect::Gemini, _) => gemini_frames(model, &WORDS),
        (_, "openai_responses") => response_frames(model, &WORDS),
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

/// The object of Responses; without a text, before anything was said.
fn response(model: &str, text: Option<&str>) -> Value {
    let output = text.map(|text| json!([response_item(text)]));
    let usage = json!({"input_tokens": INPUT, "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": OUTPUT, "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": INPUT + OUTPUT});
    json!({"id": "resp_1", "object": "response", "created_at": 1, "model": model, "error": null,
        "status": if text.is_some() { "completed" } else { "in_progress" }, "incomplete_details": null,
        "output": output.unwrap_or_else(|| json!([])), "usage": text.map(|_| usage)})
}

fn response_item(text: &str) -> Value {
    let part = json!({"type": "output_text", "text": text, "annotations": []});
    json!({"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]})
}

/// Frames of a stream of Responses.
#[must_use]
pub fn response_frames(model: &str, words: &[&str]) -> Vec<String> {
    let whole = words.concat();
    let at = |kind: &str, more: Value| {
        let mut event = json!({"type": kind, "item_id": "msg_1", "output_index": 0, "content_index": 0});
        for (name, value) in more.as_object().into_iter().flatten() {
            event[name] = value.clone();
        }
        event
    };
    let begun = json!({"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress",
        "content": []});
    let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
    let mut events = vec![
        json!({"type": "response.created", "response": response(model, None)}),
        json!({"type": "response.in_progress", "response": response(model, None)}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": begun}),
        at("response.content_part.added", json!({"part": part("")})),
    ];
    events.extend(words.iter().map(|word| at("response.output_text.delta", json!({"delta": word}))));
    events.push(at("response.output_text.done", json!({"text": whole})));
    events.push(at("response.content_part.done", json!({"part": part(&whole)})));
    let done = response_item(&whole);
    events.push(json!({"type": "response.output_item.done", "output_index": 0, "item": done}));
    events.push(json!({"type": "response.completed", "response": response(model, Some(&whole))}));
    let numbered = |(number, mut data): (usize, Value)| {
        data["sequence_number"] = json!(number);
        event(&data)
    };
    events.into_iter().enumerate().map(numbered).collect()
}

fn gemini_chunk(model: &str, text: &str, last: bool) -> Value {
    let mut candidate = json!({"content": {"role": "model", "parts": [{"text": text}]}, "index": 0});
    if last {
        candidate["finishReason"] = json!("STOP");
    }
    let usage = json!({"promptTokenCount": INPUT, "candidatesTokenCount": OUTPUT,
        "totalTokenCount": INPUT + OUTPUT});
    let mut chunk = json!({"candidates": [candidate], "modelVersion": model, "responseId": "r-1"});
    if last {
        chunk["usageMetadata"] = usage;
    }
    chunk
}

/// Frames of Gemini's stream; the last one has the reason and the usage, and no text.
#[must_use]
pub fn gemini_frames(model: &str, words: &[&str]) -> Vec<String> {
    let mut frames: Vec<String> = words.iter().map(|word| data(&gemini_chunk(model, word, false))).collect();
    frames.push(data(&gemini_chunk(model, "", true)));
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
        Dialect::Gemini => json!({"error": {"code": 500, "message": message, "status": "INTERNAL"}}),
    };
    body.to_string()
}

/// An error inside a stream, in the provider's own dialect.
#[must_use]
pub fn error_frame(dialect: Dialect, kind: &str, message: &str) -> String {
    let body = error_body(dialect, kind, message);
    match dialect {
        Dialect::OpenAi | Dialect::Gemini => format!("data: {body}\n\n"),
        Dialect::Anthropic => format!("event: error\ndata: {body}\n\n"),
    }
}

fn data(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default())
}
