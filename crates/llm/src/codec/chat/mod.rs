//! OpenAI's Chat Completions, and what compatible vendors made of it.

mod inline;
mod message;
mod reasoning;
mod reply;
mod request;
mod request_out;
mod settings_out;
mod stream;
mod stream_out;
mod tools;

#[cfg(test)]
mod vendor_tests;

use model::Rejection;

use super::sse::SseDecoder;
use super::{Addressed, Asked, Codec, Source, StreamDecoder, StreamEncoder, Target};
use crate::neutral::{Dialect, Losses, Reply, Request, Stop};

/// The dialect that everything in this folder is about.
const OWN: Dialect = Dialect::OpenAiChat;

/// The codec of Chat Completions.
pub(super) struct Chat;

impl Codec for Chat {
    fn decode_request(&self, body: &str, _: &Addressed<'_>) -> Result<Request, Rejection> {
        request::decode(body)
    }

    fn encode_request(
        &self,
        request: &Request,
        target: &Target<'_>,
        losses: &mut Losses,
    ) -> Result<Vec<u8>, Rejection> {
        request_out::encode(request, target, losses)
    }

    fn decode_reply(&self, body: &str, source: &Source<'_>) -> Result<Reply, Rejection> {
        reply::decode(body, source)
    }

    fn encode_reply(&self, reply: &Reply, asked: &Asked, losses: &mut Losses) -> Vec<u8> {
        reply::encode(reply, asked, losses)
    }

    fn stream_decoder(&self, source: &Source<'_>) -> Box<dyn StreamDecoder> {
        Box::new(SseDecoder::new(stream::Reader::new(source)))
    }

    fn stream_encoder(&self, asked: &Asked) -> Box<dyn StreamEncoder> {
        Box::new(stream_out::Encoder::new(asked))
    }
}

/// Zhipu's reason to finish where its own machines have failed: no answer ends so.
const BROKEN_OFF: &str = "network_error";

/// Why an answer ended, by the name that OpenAI or a compatible vendor has for it.
fn stop_of(reason: &str) -> Stop {
    match reason {
        "length" | "max_tokens" | "model_length" => Stop::Length,
        "tool_calls" | "function_call" | "tool_use" => Stop::ToolUse,
        "content_filter" | "sensitive" => Stop::Filter,
        "refusal" => Stop::Refusal,
        "malformed_function_call" => Stop::MalformedTool,
        _ => Stop::End,
    }
}

/// What OpenAI calls it.
fn stop_name(stop: &Stop) -> &'static str {
    match stop {
        Stop::Length | Stop::ContextFull => "length",
        Stop::ToolUse | Stop::MalformedTool => "tool_calls",
        Stop::Filter => "content_filter",
        Stop::End | Stop::Sequence(_) | Stop::Refusal | Stop::Pause => "stop",
    }
}
