//! Answers as Anthropic gives them in Messages, whole and as events.

use serde_json::{Value, json};

use super::{INPUT, OUTPUT, Piece, Play, SEAL, Stop, joined};

fn stop(stop: Stop) -> &'static str {
    match stop {
        Stop::End => "end_turn",
        Stop::Tools => "tool_use",
        Stop::Length => "max_tokens",
        Stop::Refusal => "refusal",
    }
}

pub(super) fn whole(play: &Play) -> Value {
    let block = |piece: Piece| match piece {
        Piece::Text(text) => json!({"type": "text", "text": text}),
        Piece::Thought(text) => json!({"type": "thinking", "thinking": text, "signature": SEAL}),
        Piece::Call(id, name, args) => json!({"type": "tool_use", "id": id, "name": name, "input": args}),
    };
    json!({"id": "msg_up", "type": "message", "role": "assistant", "model": "up",
        "content": joined(play).into_iter().map(block).collect::<Vec<_>>(),
        "stop_reason": stop(play.stop), "stop_sequence": null,
        "usage": {"input_tokens": INPUT, "output_tokens": OUTPUT}})
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default())
}

/// The pieces that make one block, and how it begins and goes on.
fn block(piece: &Piece) -> (Value, Vec<Value>) {
    match piece {
        Piece::Text(text) => {
            (json!({"type": "text", "text": ""}), vec![json!({"type": "text_delta", "text": text})])
        }
        Piece::Thought(text) => (
            json!({"type": "thinking", "thinking": "", "signature": ""}),
            vec![
                json!({"type": "thinking_delta", "thinking": text}),
                json!({"type": "signature_delta", "signature": SEAL}),
            ],
        ),
        Piece::Call(id, name, args) => {
            let text = args.to_string();
            let (first, rest) = text.split_at(text.len() / 2);
            let delta = |part: &str| json!({"type": "input_json_delta", "partial_json": part});
            let begun = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
            (begun, vec![delta(""), delta(first), delta(rest)])
        }
    }
}

pub(super) fn frames(play: &Play) -> Vec<String> {
    let mut frames =
        vec![event(&json!({"type": "message_start", "message": {"id": "msg_up", "type": "message",
        "role": "assistant", "model": "up", "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": INPUT, "output_tokens": 1}}}))];
    for (index, piece) in joined(play).iter().enumerate() {
        let (begun, deltas) = block(piece);
        frames.push(event(&json!({"type": "content_block_start", "index": index, "content_block": begun})));
        if index == 0 {
            frames.push(event(&json!({"type": "ping"})));
        }
        for delta in deltas {
            frames.push(event(&json!({"type": "content_block_delta", "index": index, "delta": delta})));
        }
        frames.push(event(&json!({"type": "content_block_stop", "index": index})));
    }
    if play.breaks {
        let error = json!({"type": "overloaded_error", "message": "it broke"});
        frames.push(event(&json!({"type": "error", "error": error})));
        return frames;
    }
    frames.push(event(&json!({"type": "message_delta", "usage": {"output_tokens": OUTPUT},
        "delta": {"stop_reason": stop(play.stop), "stop_sequence": null}})));
    frames.push(event(&json!({"type": "message_stop"})));
    frames
}
