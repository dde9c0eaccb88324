//! Answers as OpenAI gives them in Responses, whole and as events, every item and part opened and closed.

use serde_json::{Value, json};

use super::{INPUT, OUTPUT, Piece, Play, SEAL, Stop, joined};

fn usage() -> Value {
    json!({"input_tokens": INPUT, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": OUTPUT, "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": INPUT + OUTPUT})
}

/// The response object; without `items`, before anything was said.
fn response(play: &Play, items: Option<&[Value]>) -> Value {
    let incomplete = play.stop == Stop::Length && items.is_some();
    let status = match (items, incomplete) {
        (None, _) => "in_progress",
        (Some(_), true) => "incomplete",
        (Some(_), false) => "completed",
    };
    let why = if incomplete { json!({"reason": "max_output_tokens"}) } else { Value::Null };
    json!({"id": "resp_up", "object": "response", "created_at": 1, "status": status, "background": false,
        "error": null, "incomplete_details": why, "instructions": null, "max_output_tokens": null,
        "model": "up", "output": items.unwrap_or_default(), "parallel_tool_calls": true, "store": false,
        "temperature": 1.0, "top_p": 1.0, "text": {"format": {"type": "text"}}, "tool_choice": "auto",
        "tools": [], "truncation": "disabled", "metadata": {}, "service_tier": "default",
        "usage": if items.is_some() { usage() } else { Value::Null }})
}

/// A part of a message, with what was said in it.
fn part(play: &Play, text: &str) -> Value {
    match play.stop {
        Stop::Refusal => json!({"type": "refusal", "refusal": text}),
        _ => json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []}),
    }
}

/// A piece as the item that holds it, as it begins or whole.
fn item(play: &Play, at: usize, piece: &Piece, whole: bool) -> Value {
    let status = if whole { "completed" } else { "in_progress" };
    match piece {
        Piece::Text(text) => json!({"id": format!("msg_up_{at}"), "type": "message", "role": "assistant",
            "status": status, "content": if whole { vec![part(play, text)] } else { Vec::new() }}),
        Piece::Thought(text) => {
            let summary =
                if whole { vec![json!({"type": "summary_text", "text": text})] } else { Vec::new() };
            json!({"id": format!("rs_up_{at}"), "type": "reasoning", "summary": summary,
                "encrypted_content": if whole { SEAL } else { "" }})
        }
        Piece::Call(id, name, args) => json!({"id": format!("fc_up_{at}"), "type": "function_call",
            "status": status, "call_id": id, "name": name,
            "arguments": if whole { args.to_string() } else { String::new() }}),
    }
}

pub(super) fn whole(play: &Play) -> Value {
    let items: Vec<Value> =
        joined(play).iter().enumerate().map(|(at, piece)| item(play, at, piece, true)).collect();
    response(play, Some(&items))
}

/// The events between the beginning and the end of an item.
fn inside(play: &Play, at: usize, piece: &Piece, id: &Value) -> Vec<Value> {
    let about = |kind: &str, more: Value| {
        let mut event = json!({"type": format!("response.{kind}"), "item_id": id, "output_index": at});
        for (name, value) in more.as_object().into_iter().flatten() {
            event[name] = value.clone();
        }
        event
    };
    match piece {
        Piece::Text(text) => {
            let named = if play.stop == Stop::Refusal { "refusal" } else { "output_text" };
            let (member, logprobs) =
                if named == "refusal" { (named, None) } else { ("text", Some(json!([]))) };
            let mut done = json!({"content_index": 0, member: text});
            let mut delta = json!({"content_index": 0, "delta": text});
            if let Some(logprobs) = logprobs {
                done["logprobs"] = logprobs.clone();
                delta["logprobs"] = logprobs;
            }
            vec![
                about("content_part.added", json!({"content_index": 0, "part": part(play, "")})),
                about(&format!("{named}.delta"), delta),
                about(&format!("{named}.done"), done),
                about("content_part.done", json!({"content_index": 0, "part": part(play, text)})),
            ]
        }
        Piece::Thought(text) => {
            let summary =
                |text: &str| json!({"summary_index": 0, "part": {"type": "summary_text", "text": text}});
            vec![
                about("reasoning_summary_part.added", summary("")),
                about("reasoning_summary_text.delta", json!({"summary_index": 0, "delta": text})),
                about("reasoning_summary_text.done", json!({"summary_index": 0, "text": text})),
                about("reasoning_summary_part.done", summary(text)),
            ]
        }
        Piece::Call(_, name, args) => {
            let text = args.to_string();
            let (first, rest) = text.split_at(text.len() / 2);
            let done = json!({"arguments": text, "name": name});
            vec![
                about("function_call_arguments.delta", json!({"delta": first})),
                about("function_call_arguments.delta", json!({"delta": rest})),
                about("function_call_arguments.done", done),
            ]
        }
    }
}

pub(super) fn frames(play: &Play) -> Vec<String> {
    let mut events = vec![
        json!({"type": "response.created", "response": response(play, None)}),
        json!({"type": "response.in_progress", "response": response(play, None)}),
    ];
    let mut items = Vec::new();
    for (at, piece) in joined(play).iter().enumerate() {
        let (begun, done) = (item(play, at, piece, false), item(play, at, piece, true));
        events.push(json!({"type": "response.output_item.added", "output_index": at, "item": begun}));
        events.extend(inside(play, at, piece, &done["id"]));
        events.push(json!({"type": "response.output_item.done", "output_index": at, "item": done}));
        items.push(done);
    }
    events.push(if play.breaks {
        let mut failed = response(play, None);
        failed["status"] = json!("failed");
        failed["error"] = json!({"code": "server_error", "message": "it broke"});
        json!({"type": "response.failed", "response": failed})
    } else {
        let kind = if play.stop == Stop::Length { "response.incomplete" } else { "response.completed" };
        json!({"type": kind, "response": response(play, Some(&items))})
    });
    let frame = |(number, mut event): (usize, Value)| {
        event["sequence_number"] = json!(number);
        format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default())
    };
    events.into_iter().enumerate().map(frame).collect()
}
