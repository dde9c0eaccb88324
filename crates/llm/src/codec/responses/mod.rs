//! OpenAI's Responses.
//!
//! A conversation is a list of items here. What the model says in one go, its thoughts, words and calls,
//! are several of them; in the neutral form they are the parts of one turn.

mod echo;
mod item;
mod item_out;
mod reply;
mod request;
mod request_out;
mod stream;
mod stream_out;
mod tools;

#[cfg(test)]
mod tests;

use model::Rejection;

use super::sse::SseDecoder;
use super::{Addressed, Asked, Codec, Source, StreamDecoder, StreamEncoder, Target};
use crate::neutral::{Dialect, Losses, Reply, Request, Stop};

pub(super) use echo::echo;

/// The dialect that everything in this folder is about.
const OWN: Dialect = Dialect::OpenAiResponses;

/// What asks for sealed thoughts, among what is included in answers.
const SEALED: &str = "reasoning.encrypted_content";
/// The same for how likely tokens were.
const LOGPROBS: &str = "message.output_text.logprobs";

/// The codec of Responses.
pub(super) struct Responses;

impl Codec for Responses {
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

/// Says that an answer is to be kept, as it is at OpenAI where nothing is said.
pub(super) fn say_defaults(request: &mut Request) {
    if request.origin == OWN && request.ext.get(OWN, "store").is_none() {
        request.ext.keep(OWN, "store", "true");
    }
}

/// Why an answer is incomplete, if it is: the reason that OpenAI gives.
fn incomplete(stop: &Stop) -> Option<&'static str> {
    match stop {
        Stop::Length | Stop::ContextFull => Some("max_output_tokens"),
        Stop::Filter => Some("content_filter"),
        _ => None,
    }
}

/// Why an answer ended, by OpenAI's reason for its being incomplete.
fn stop_of(reason: &str) -> Stop {
    match reason {
        "max_output_tokens" | "max_tokens" => Stop::Length,
        "content_filter" => Stop::Filter,
        _ => Stop::End,
    }
}
