//! Anthropic's Messages.

mod block;
mod blocks_out;
mod reply;
mod request;
mod request_out;
mod settings_out;
mod stream;
mod stream_out;
mod tools;

pub(super) use settings_out::{answers_in_form, takes_one_of_both, thinks_adaptively};

use model::Rejection;

use super::sse::SseDecoder;
use super::{Addressed, Asked, Codec, Source, StreamDecoder, StreamEncoder, Target, unsupported};
use crate::json_writer::JsonWriter;
use crate::neutral::{Cache, Dialect, Losses, Reply, Request, Stop};

/// The dialect that everything in this folder is about.
const OWN: Dialect = Dialect::AnthropicMessages;

/// The codec of Messages.
pub(super) struct Messages;

impl Codec for Messages {
    fn decode_request(&self, body: &str, _: &Addressed<'_>) -> Result<Request, Rejection> {
        let request = request::decode(body)?;
        // Claude Code sends the request again without them, and tells its user why (clients reference).
        match request.ext.get(OWN, "safeguards") {
            Some(_) => {
                let message = "`safeguards` cannot be evaluated by the provider of this model.";
                Err(unsupported(message, "safeguards"))
            }
            None => Ok(request),
        }
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

/// Writes a mark for the prompt cache.
pub(super) fn write_mark(json: &mut JsonWriter, mark: Cache) {
    json.raw_member(
        "cache_control",
        match mark {
            Cache::Usual => r#"{"type":"ephemeral"}"#,
            Cache::FiveMinutes => r#"{"type":"ephemeral","ttl":"5m"}"#,
            Cache::Hour => r#"{"type":"ephemeral","ttl":"1h"}"#,
        },
    );
}

/// Why an answer ended, by Anthropic's name; `sequence` is the caller's text that ended it.
fn stop_of(reason: &str, sequence: Option<String>) -> Stop {
    match reason {
        "max_tokens" => Stop::Length,
        "model_context_window_exceeded" => Stop::ContextFull,
        "tool_use" => Stop::ToolUse,
        "stop_sequence" => Stop::Sequence(sequence),
        "refusal" => Stop::Refusal,
        "pause_turn" | "compaction" => Stop::Pause,
        _ => Stop::End,
    }
}

/// What Anthropic calls it.
fn stop_name(stop: &Stop) -> &'static str {
    match stop {
        Stop::Length => "max_tokens",
        Stop::ContextFull => "model_context_window_exceeded",
        Stop::ToolUse | Stop::MalformedTool => "tool_use",
        Stop::Sequence(_) => "stop_sequence",
        Stop::Refusal | Stop::Filter => "refusal",
        Stop::Pause => "pause_turn",
        Stop::End => "end_turn",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safeguards_are_refused_by_name() {
        let body =
            r#"{"model":"m","max_tokens":1,"messages":[],"safeguards":[{"type":"dangerous_tool_use"}]}"#;
        let refused = Messages.decode_request(body, &Addressed::default()).unwrap_err();
        assert_eq!(
            (refused.code, refused.param.as_deref()),
            (model::Code::UnsupportedFeature, Some("safeguards"))
        );
        assert!(refused.message.contains("safeguards"), "{}", refused.message);
    }
}
