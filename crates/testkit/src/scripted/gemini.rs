//! Answers as Gemini gives them: generateContent, whole and as events with CRLF.

use serde_json::{Value, json};

use super::{INPUT, OUTPUT, Piece, Play, SEAL, Stop, joined};

fn finish(stop: Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Tools => "STOP",
        Stop::Length => "MAX_TOKENS",
        Stop::Refusal => "SAFETY",
    }
}

fn part(piece: &Piece, sealed: bool) -> Value {
    match piece {
        Piece::Text(text) => json!({"text": text}),
        Piece::Thought(text) => json!({"text": text, "thought": true}),
        Piece::Call(_, name, args) => {
            let mut part = json!({"functionCall": {"name": name, "args": args}});
            if sealed {
                part["thoughtSignature"] = json!(SEAL);
            }
            part
        }
    }
}

fn usage() -> Value {
    json!({"promptTokenCount": INPUT, "candidatesTokenCount": OUTPUT, "totalTokenCount": INPUT + OUTPUT})
}

fn chunk(parts: &[Value], reason: Option<&str>) -> Value {
    let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
    if let Some(reason) = reason {
        candidate["finishReason"] = json!(reason);
    }
    json!({"candidates": [candidate], "usageMetadata": usage(), "modelVersion": "up", "responseId": "r-up"})
}

/// The parts; the first call carries the seal.
fn parts(pieces: &[Piece]) -> Vec<Value> {
    let mut sealed = false;
    let mut parts = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let first = matches!(piece, Piece::Call(..)) && !sealed;
        sealed |= first;
        parts.push(part(piece, first));
    }
    parts
}

pub(super) fn whole(play: &Play) -> Value {
    chunk(&parts(&joined(play)), Some(finish(play.stop)))
}

pub(super) fn frames(play: &Play) -> Vec<String> {
    let frame = |chunk: Value| format!("data: {chunk}\r\n\r\n");
    let mut frames: Vec<String> =
        parts(&play.pieces).into_iter().map(|part| frame(chunk(&[part], None))).collect();
    if play.breaks {
        let error = json!({"error": {"code": 503, "message": "it broke", "status": "UNAVAILABLE"}});
        frames.push(frame(error));
        return frames;
    }
    frames.push(frame(chunk(&[json!({"text": ""})], Some(finish(play.stop)))));
    frames
}
