//! Does one step of a request over and over, for counting its instructions:
//! `valgrind --tool=callgrind target/quick/examples/answer_cost <step> <times>`.
//! The difference between two numbers of times, divided, is the cost of one. Prints nothing.
//!
//! Steps: `nothing`, `unary` (a whole answer), `cut` (the same in pieces of 100 bytes), `usage`,
//! `peek`, `event` and `stripped` (an event of a chat stream, the usage chunk let pass or cut out), `key`.

use std::hint::black_box;

use bytes::Bytes;
use llm::{Quirks, Scanner, Surface};
use model::key_text;
use model::resource::key::KeyKind;

const CHAT: Surface = Surface::ChatCompletions;
const QUIRKS: Quirks = Quirks { takes_include_usage: true, ..Quirks::NONE };

fn main() {
    let mut arguments = std::env::args().skip(1);
    let step = arguments.next().unwrap_or_default();
    let times = arguments.next().and_then(|times| times.parse().ok()).unwrap_or(10_000);
    let (request, answer, event) = (request(), answer(), event());
    match step.as_str() {
        "unary" => repeat(times, || whole(&answer).is_complete()),
        "cut" => repeat(times, || in_pieces(&answer).is_complete()),
        "usage" => {
            let read = whole(&answer);
            repeat(times, || black_box(&read).usage());
        }
        "peek" => repeat(times, || llm::peek(CHAT, black_box(&request)).is_ok()),
        "event" | "stripped" => {
            let mut scanner = Scanner::stream(CHAT, &QUIRKS, step == "stripped", 1);
            repeat(times, || scanner.push(black_box(&event).clone()).is_ok());
        }
        "key" => {
            let id = model::ResourceId::mint(1_790_000_000_000, [3; 10]);
            let key = key_text::mint(KeyKind::Standard, &id, [7; 32]);
            repeat(times, || key_text::parse(black_box(key.expose())).is_some());
        }
        _ => repeat(times, || black_box(&answer).len()),
    }
}

fn repeat<T>(times: u64, mut step: impl FnMut() -> T) {
    for _ in 0..times {
        black_box(step());
    }
}

fn whole(answer: &Bytes) -> Scanner {
    let mut scanner = Scanner::unary(CHAT, &QUIRKS);
    let _ = black_box(scanner.push(black_box(answer).clone()));
    scanner
}

fn in_pieces(answer: &Bytes) -> Scanner {
    let mut scanner = Scanner::unary(CHAT, &QUIRKS);
    for start in (0..answer.len()).step_by(100) {
        let _ = black_box(scanner.push(answer.slice(start..answer.len().min(start + 100))));
    }
    scanner
}

/// 1.2 KB.
fn request() -> Bytes {
    let words = words("word", 110);
    Bytes::from(format!(
        r#"{{"model":"sim-unary","max_tokens":256,"messages":[{{"role":"system","content":"Answer briefly."}},{{"role":"user","content":"{words}"}}]}}"#
    ))
}

/// 1.1 KB.
fn answer() -> Bytes {
    let words = words("token", 70);
    Bytes::from(format!(
        r#"{{"id":"chatcmpl-00000001","object":"chat.completion","created":1790000000,"model":"sim-unary","choices":[{{"index":0,"message":{{"role":"assistant","content":"{words}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":240,"completion_tokens":70,"total_tokens":310}}}}"#
    ))
}

/// 323 bytes.
fn event() -> Bytes {
    Bytes::from_static(
        b"data: {\"id\":\"chatcmpl-00000001\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\
          \"model\":\"sim-stream\",\"system_fingerprint\":\"fp_0123456789\",\"service_tier\":\"default\",\
          \"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"token00031 \"},\
          \"logprobs\":null,\"finish_reason\":null}],\"usage\":null,\"obfuscation\":\"0123456789abcdef\"}\n\n",
    )
}

fn words(word: &str, count: usize) -> String {
    (0..count).map(|i| format!("{word}{i:05} ")).collect()
}
