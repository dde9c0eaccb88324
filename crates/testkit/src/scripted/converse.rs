//! Bedrock Converse, with its binary stream.

use serde_json::{Value, json};

use super::{INPUT, OUTPUT, Piece, Play, SEAL, Stop, joined};
use crate::canned;
use crate::script::Script;

fn stop(stop: Stop) -> &'static str {
    match stop {
        Stop::End => "end_turn",
        Stop::Tools => "tool_use",
        Stop::Length => "max_tokens",
        Stop::Refusal => "content_filtered",
    }
}

fn usage() -> Value {
    json!({"inputTokens": INPUT, "outputTokens": OUTPUT, "totalTokens": INPUT + OUTPUT})
}

pub(super) fn whole(play: &Play) -> Value {
    let block = |piece: Piece| match piece {
        Piece::Text(text) => json!({"text": text}),
        Piece::Thought(text) => {
            json!({"reasoningContent": {"reasoningText": {"text": text, "signature": SEAL}}})
        }
        Piece::Call(id, name, args) => json!({"toolUse": {"toolUseId": id, "name": name, "input": args}}),
    };
    let content: Vec<Value> = joined(play).into_iter().map(block).collect();
    json!({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": stop(play.stop),
        "usage": usage(), "metrics": {"latencyMs": 1}})
}

pub(super) fn stream(play: &Play) -> Script {
    let mut frames = vec![frame("messageStart", &json!({"p": "abc", "role": "assistant"}))];
    for (index, piece) in joined(play).iter().enumerate() {
        let delta = |delta: Value| {
            frame("contentBlockDelta", &json!({"contentBlockIndex": index, "delta": delta, "p": "abcdef"}))
        };
        match piece {
            Piece::Text(text) => frames.push(delta(json!({"text": text}))),
            Piece::Thought(text) => {
                frames.push(delta(json!({"reasoningContent": {"text": text}})));
                frames.push(delta(json!({"reasoningContent": {"signature": SEAL}})));
            }
            Piece::Call(id, name, args) => {
                let start = json!({"toolUse": {"toolUseId": id, "name": name}});
                frames.push(frame("contentBlockStart", &json!({"contentBlockIndex": index, "start": start})));
                let text = args.to_string();
                let (first, rest) = text.split_at(text.len() / 2);
                frames.push(delta(json!({"toolUse": {"input": first}})));
                frames.push(delta(json!({"toolUse": {"input": rest}})));
            }
        }
        frames.push(frame("contentBlockStop", &json!({"contentBlockIndex": index})));
    }
    if play.breaks {
        frames.push(frame("throttlingException", &json!({"message": "it broke"})));
    } else {
        frames.push(frame("messageStop", &json!({"stopReason": stop(play.stop)})));
        frames.push(frame("metadata", &json!({"usage": usage(), "metrics": {"latencyMs": 1}})));
    }
    let headers = [("content-type", "application/vnd.amazon.eventstream"), ("transfer-encoding", "chunked")];
    let head = Script::new().send(canned::head(200, &headers));
    frames.iter().fold(head, Script::chunk).last_chunk()
}

/// One frame. Written here and not by the gateway's own code, so that a mistake there shows.
fn frame(kind: &str, payload: &Value) -> Vec<u8> {
    let payload = payload.to_string();
    let (name, message) =
        if kind.ends_with("Exception") { (":exception-type", "exception") } else { (":event-type", "event") };
    let mut headers = Vec::new();
    for (name, value) in [(name, kind), (":content-type", "application/json"), (":message-type", message)] {
        headers.push(u8::try_from(name.len()).unwrap_or_default());
        headers.extend_from_slice(name.as_bytes());
        headers.push(7);
        headers.extend(u16::try_from(value.len()).unwrap_or_default().to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or_default().to_be_bytes();
    let mut frame = Vec::new();
    frame.extend(length(16 + headers.len() + payload.len()));
    frame.extend(length(headers.len()));
    frame.extend(crc32(&frame).to_be_bytes());
    frame.extend(headers);
    frame.extend_from_slice(payload.as_bytes());
    frame.extend(crc32(&frame).to_be_bytes());
    frame
}

/// The checksum of zip files and of Amazon's frames, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_the_published_one() {
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
    }
}
