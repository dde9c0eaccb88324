//! The scanner of requests: what it reads of a body is what a parser reads.

#![no_main]

use bytes::Bytes;
use llm::{Surface, peek};
use serde_json::Value;

const SURFACES: [(Surface, &str); 3] = [
    (Surface::ChatCompletions, "max_completion_tokens"),
    (Surface::Messages, "max_tokens"),
    (Surface::Responses, "max_output_tokens"),
];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let body = Bytes::copy_from_slice(data);
    for (surface, most) in SURFACES {
        let Ok(call) = peek(surface, &body) else { continue };
        // Numbers beyond the parser's own range are right all the same.
        let Ok(parsed) = serde_json::from_slice::<Value>(data) else { continue };
        assert_eq!(Some(&*call.model), parsed["model"].as_str(), "the model");
        assert_eq!(call.stream, parsed["stream"].as_bool().unwrap_or(false), "whether it streams");
        if let Some(most) = parsed[most].as_u64() {
            assert_eq!(call.max_output, Some(most), "the longest answer");
        }
    }
});
