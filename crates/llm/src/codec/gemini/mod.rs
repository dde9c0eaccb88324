//! Google's Gemini.
//!
//! Every name has two spellings, and clients mix them: what is read is compared without underscores and
//! case, what is written is camelCase.

mod content;
mod part_out;
mod pieces;
mod reply;
mod request;
mod request_out;
mod schema_in;
mod settings_out;
mod stream;
mod stream_out;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Rejection;

use super::{Addressed, Asked, Codec, Source, StreamDecoder, StreamEncoder, Target, read};
use crate::codec::sse::SseDecoder;
use crate::json::Fault;
use crate::members;
use crate::neutral::{Dialect, Losses, Opaque, OpaqueKind, Reply, Request, Stop};

pub(super) use request_out::is_newer;

/// The dialect that everything in this folder is about.
const OWN: Dialect = Dialect::Gemini;

/// The codec of Gemini.
pub(super) struct Gemini;

impl Codec for Gemini {
    fn decode_request(&self, body: &str, addressed: &Addressed<'_>) -> Result<Request, Rejection> {
        request::decode(body, addressed)
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

/// A name as it is compared: `system_instruction` and `systemInstruction` are `systeminstruction`.
fn plain(name: &str) -> String {
    name.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect()
}

/// Calls `each` with the plain name, the name as it stands and the raw value of every member of `raw`.
fn each<'a>(raw: &'a str, mut each: impl FnMut(&str, &str, &'a str)) -> Result<(), Fault> {
    members::each(raw, |name, value| each(&plain(name), name, value))
}

/// The member `name` (in its plain spelling) of the object `raw`.
pub(super) fn member<'a>(raw: &'a str, name: &str) -> Option<&'a str> {
    let mut found = None;
    let _ = each(raw, |key, _, value| {
        if key == name {
            found = Some(value);
        }
    });
    found
}

fn member_text(raw: &str, name: &str) -> Option<String> {
    read::text_if(member(raw, name)?)
}

/// Google's reasons to finish by what they mean; the first name of a meaning is the one that is written.
const STOPS: &[(&str, Stop)] = &[
    ("STOP", Stop::End),
    ("MAX_TOKENS", Stop::Length),
    ("SAFETY", Stop::Filter),
    ("RECITATION", Stop::Filter),
    ("LANGUAGE", Stop::Filter),
    ("BLOCKLIST", Stop::Filter),
    ("PROHIBITED_CONTENT", Stop::Filter),
    ("SPII", Stop::Filter),
    ("MODEL_ARMOR", Stop::Filter),
    ("IMAGE_SAFETY", Stop::Filter),
    ("IMAGE_PROHIBITED_CONTENT", Stop::Filter),
    ("IMAGE_RECITATION", Stop::Filter),
    ("MALFORMED_FUNCTION_CALL", Stop::MalformedTool),
    ("UNEXPECTED_TOOL_CALL", Stop::MalformedTool),
    ("CONTINUATION", Stop::Pause),
];

fn stop_of(reason: &str) -> Stop {
    STOPS.iter().find(|(name, _)| *name == reason).map_or(Stop::End, |(_, stop)| stop.clone())
}

/// What Google calls it; calls of tools and texts to stop at end an answer like any other.
fn stop_name(stop: &Stop) -> &'static str {
    match stop {
        Stop::Length | Stop::ContextFull => "MAX_TOKENS",
        Stop::Filter | Stop::Refusal => "SAFETY",
        Stop::MalformedTool => "MALFORMED_FUNCTION_CALL",
        Stop::Pause => "CONTINUATION",
        Stop::End | Stop::ToolUse | Stop::Sequence(_) => "STOP",
    }
}

/// A seal as a Gemini caller carries it: Google's own as it is, any other's marked and in base64, because
/// signatures are bytes to Google's SDKs.
fn carried(opaque: &Opaque) -> Cow<'_, str> {
    match opaque {
        Opaque { origin: OWN, kind: OpaqueKind::Signature, data } => Cow::Borrowed(data),
        other => Cow::Owned(STANDARD.encode(read::tag_seal(Some(other)))),
    }
}

/// Whether a request has a signature that [`carried`] made of another's seal: what it begins with, in base64.
pub(super) fn has_foreign_seal(body: &[u8]) -> bool {
    read::begins_a_text(body, b"\"eXVtZW4u")
}

/// What [`carried`] made; anything else is Google's own.
fn uncarried(signature: String) -> Opaque {
    let marked = STANDARD.decode(&signature).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let foreign = marked.as_deref().and_then(read::untag_seal).flatten();
    foreign.unwrap_or(Opaque { origin: OWN, kind: OpaqueKind::Signature, data: signature })
}
