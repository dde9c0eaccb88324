//! Bedrock Converse. Providers speak it; no caller does, yet it is read and written both ways, so that
//! what is recorded of it can be checked.

mod ask;
mod block;
mod conversation;
mod read;
mod reply;
mod stream;
mod tools;
mod write_stream;

#[cfg(test)]
mod tests;

use model::Rejection;

use super::{Addressed, Asked, Codec, Source, StreamDecoder, StreamEncoder, Target};
use crate::neutral::{Cache, Dialect, Losses, Reply, Request, Stop};

/// The dialect that this folder is about.
const SELF: Dialect = Dialect::BedrockConverse;

/// Reads and writes Converse.
pub struct Converse;

impl Codec for Converse {
    fn decode_request(&self, body: &str, addressed: &Addressed<'_>) -> Result<Request, Rejection> {
        read::request(body, addressed)
    }

    fn encode_request(
        &self,
        request: &Request,
        target: &Target<'_>,
        losses: &mut Losses,
    ) -> Result<Vec<u8>, Rejection> {
        ask::request(request, target, losses)
    }

    fn decode_reply(&self, body: &str, source: &Source<'_>) -> Result<Reply, Rejection> {
        reply::read(body, source.conventions(SELF))
    }

    fn encode_reply(&self, reply: &Reply, asked: &Asked, losses: &mut Losses) -> Vec<u8> {
        reply::write(reply, asked, losses)
    }

    fn stream_decoder(&self, source: &Source<'_>) -> Box<dyn StreamDecoder> {
        Box::new(stream::Decoder::new(source.conventions(SELF)))
    }

    fn stream_encoder(&self, asked: &Asked) -> Box<dyn StreamEncoder> {
        Box::new(write_stream::Encoder::new(asked))
    }
}

/// Why an answer ended, and what Converse calls that.
const STOPS: [(Stop, &str); 9] = [
    (Stop::End, "end_turn"),
    (Stop::Length, "max_tokens"),
    (Stop::ContextFull, "model_context_window_exceeded"),
    (Stop::ToolUse, "tool_use"),
    (Stop::Sequence(None), "stop_sequence"),
    (Stop::Refusal, "content_filtered"),
    (Stop::Filter, "guardrail_intervened"),
    (Stop::MalformedTool, "malformed_tool_use"),
    (Stop::MalformedTool, "malformed_model_output"),
];

/// Why an answer ended, from Converse's word for it. `sequence` is the text it came to, if that is said.
fn stop_of(native: &str, sequence: Option<String>) -> Stop {
    match STOPS.iter().find(|(_, name)| *name == native) {
        Some((Stop::Sequence(_), _)) => Stop::Sequence(sequence),
        Some((stop, _)) => stop.clone(),
        None => Stop::End,
    }
}

/// Converse's word for why an answer ended.
fn name_of(stop: &Stop) -> &'static str {
    let sequence = matches!(stop, Stop::Sequence(_));
    let found = STOPS.iter().find(|(known, _)| known == stop || sequence && *known == Stop::Sequence(None));
    found.map_or("end_turn", |(_, name)| name)
}

/// The members of a mark for the cache.
fn cache_point(cache: Cache) -> &'static str {
    match cache {
        Cache::Usual => r#"{"cachePoint":{"type":"default"}}"#,
        Cache::FiveMinutes => r#"{"cachePoint":{"type":"default","ttl":"5m"}}"#,
        Cache::Hour => r#"{"cachePoint":{"type":"default","ttl":"1h"}}"#,
    }
}
