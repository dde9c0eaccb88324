//! Answers as OpenAI gives them in Chat Completions, whole and as chunks.

use serde_json::{Value, json};

use super::{INPUT, OUTPUT, Piece, Play, Stop, joined};

fn finish(stop: Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Refusal => "stop",
        Stop::Tools => "tool_calls",
        Stop::Length => "length",
    }
}

fn usage() -> Value {
    json!({"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT})
}

pub(super) fn whole(play: &Play) -> Value {
    let mut message = json!({"role": "assistant", "content": null, "refusal": null});
    let mut calls = Vec::new();
    for piece in joined(play) {
        match piece {
            Piece::Text(text) if play.stop == Stop::Refusal => message["refusal"] = json!(text),
            Piece::Text(text) => message["content"] = json!(text),
            Piece::Thought(text) => message["reasoning_content"] = json!(text),
            Piece::Call(id, name, args) => calls.push(json!({"id": id, "type": "function",
                "function": {"name": name, "arguments": args.to_string()}})),
        }
    }
    if !calls.is_empty() {
        message["tool_calls"] = json!(calls);
    }
    json!({"id": "chatcmpl-up", "object": "chat.completion", "created": 1, "model": "up",
        "choices": [{"index": 0, "message": message, "finish_reason": finish(play.stop), "logprobs": null}],
        "usage": usage()})
}

pub(super) fn frames(play: &Play) -> Vec<String> {
    let chunk = |choices: Value, usage: Value| {
        format!(
            "data: {}\n\n",
            json!({"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": 1,
            "model": "up", "choices": choices, "usage": usage})
        )
    };
    let delta = |delta: Value, finish: Value| {
        chunk(json!([{"index": 0, "delta": delta, "finish_reason": finish}]), Value::Null)
    };
    let mut frames = vec![delta(json!({"role": "assistant", "content": ""}), Value::Null)];
    let mut calls = 0;
    for piece in &play.pieces {
        match piece {
            Piece::Text(text) if play.stop == Stop::Refusal => {
                frames.push(delta(json!({"refusal": text}), Value::Null));
            }
            Piece::Text(text) => frames.push(delta(json!({"content": text}), Value::Null)),
            Piece::Thought(text) => frames.push(delta(json!({"reasoning_content": text}), Value::Null)),
            Piece::Call(id, name, args) => {
                let begun = json!({"index": calls, "id": id, "type": "function",
                    "function": {"name": name, "arguments": ""}});
                frames.push(delta(json!({"tool_calls": [begun]}), Value::Null));
                let text = args.to_string();
                let (first, rest) = text.split_at(text.len() / 2);
                for part in [first, rest] {
                    let more = json!({"index": calls, "function": {"arguments": part}});
                    frames.push(delta(json!({"tool_calls": [more]}), Value::Null));
                }
                calls += 1;
            }
        }
    }
    if play.breaks {
        let error =
            json!({"error": {"message": "it broke", "type": "server_error", "param": null, "code": null}});
        frames.push(format!("data: {error}\n\n"));
        return frames;
    }
    frames.push(delta(json!({}), json!(finish(play.stop))));
    frames.push(chunk(json!([]), usage()));
    frames.push("data: [DONE]\n\n".to_owned());
    frames
}
