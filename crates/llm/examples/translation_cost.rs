//! What translating costs: a conversation of 100 KB, and one piece of a stream, both ways. Each time is that
//! of the best of several batches, with the allocator of the product: what else the machine does is noise.
//!
//! `cargo run --release -p llm --example translation_cost`

#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::time::{Duration, Instant};

use llm::codec::{Addressed, Asked, Source, Target};
use llm::neutral::{Dialect, Losses};
use llm::{Quirks, codec};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Batches that each time is the best of.
const BATCHES: u32 = 15;
const QUIRKS: Quirks = Quirks::NONE;
const PAIRS: [(Dialect, Dialect); 2] =
    [(Dialect::OpenAiChat, Dialect::AnthropicMessages), (Dialect::AnthropicMessages, Dialect::OpenAiChat)];

fn main() {
    for (from, to) in PAIRS {
        let body = conversation(from);
        let each = timed(30, || request(from, to, &body));
        println!("{} -> {}: a request of {} KB {:?}", from.name(), to.name(), body.len() >> 10, each);
        let piece = piece(from);
        let source = Source { quirks: &QUIRKS, choices: 1 };
        let mut decoder = codec(from).expect("a codec").stream_decoder(&source);
        let mut encoder = codec(to).expect("a codec").stream_encoder(&Asked::default());
        let (mut events, mut out) = (Vec::new(), Vec::new());
        decoder.push(beginning(from).as_bytes(), &mut events).expect("it can be read");
        events.drain(..).for_each(|event| encoder.encode(event, &mut out));
        let each = timed(20_000, || {
            out.clear();
            decoder.push(piece.as_bytes(), &mut events).expect("it can be read");
            events.drain(..).for_each(|event| encoder.encode(event, &mut out));
            assert!(!out.is_empty());
        });
        println!("{} -> {}: a piece of a stream {:?}", from.name(), to.name(), each);
    }
}

fn request(from: Dialect, to: Dialect, body: &str) {
    let addressed = Addressed { model: "m", stream: true };
    let request = codec(from).expect("a codec").decode_request(body, &addressed).expect("a request");
    let target = Target { provider: "vllm", model: "m", quirks: &QUIRKS, clamp: None, max_output: 8192 };
    let out = codec(to).expect("a codec").encode_request(&request, &target, &mut Losses::default());
    assert!(out.expect("it can be said").len() > body.len() / 2);
}

fn timed(rounds: u32, mut work: impl FnMut()) -> Duration {
    work();
    let mut batch = || {
        let begun = Instant::now();
        (0..rounds).for_each(|_| work());
        begun.elapsed() / rounds
    };
    (0..BATCHES).map(|_| batch()).min().unwrap_or_default()
}

/// Turns of text, calls and results, 100 KB in all.
fn conversation(dialect: Dialect) -> String {
    let words = "The quick brown fox said \\\"hello\\\" and jumped.\\n".repeat(20);
    let turns: Vec<String> = (0..100)
        .map(|at| match dialect {
            Dialect::OpenAiChat => format!(
                r#"{{"role":"user","content":"{words}"}},{{"role":"assistant","content":null,"tool_calls":[{{"id":"c{at}","type":"function","function":{{"name":"f","arguments":"{{\"a\":{at}}}"}}}}]}},{{"role":"tool","tool_call_id":"c{at}","content":"ok"}}"#
            ),
            _ => format!(
                r#"{{"role":"user","content":"{words}"}},{{"role":"assistant","content":[{{"type":"tool_use","id":"c{at}","name":"f","input":{{"a":{at}}}}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"c{at}","content":"ok"}}]}}"#
            ),
        })
        .collect();
    format!(r#"{{"model":"m","max_tokens":100,"stream":true,"messages":[{}]}}"#, turns.join(","))
}

fn beginning(dialect: Dialect) -> String {
    match dialect {
        Dialect::OpenAiChat => piece(dialect),
        _ => concat!(
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"m\",",
            "\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n",
            "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,",
            "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
        )
        .to_owned(),
    }
}

fn piece(dialect: Dialect) -> String {
    match dialect {
        Dialect::OpenAiChat => concat!(
            "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",",
            "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" hello\"},\"finish_reason\":null}]}\n\n"
        )
        .to_owned(),
        _ => concat!(
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,",
            "\"delta\":{\"type\":\"text_delta\",\"text\":\" hello\"}}\n\n"
        )
        .to_owned(),
    }
}
