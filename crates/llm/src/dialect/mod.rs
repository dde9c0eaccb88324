//! What differs between dialects when an answer is read: which event is content, which ends the
//! stream, where usage and errors stand.

mod anthropic;
mod gemini;
mod openai_chat;
mod openai_responses;
mod said;

pub(crate) use openai_chat::{broken_off, failed_base_response};
pub(crate) use openai_responses::with_status;

use crate::failure::UpstreamFailure;
use crate::scanner::estimate_tokens;
use crate::surface::{Family, Surface};
use crate::usage::{Counts, Stated};

/// What an answer has said so far, in any dialect.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    /// Something was generated, or the answer was finished.
    pub content_begun: bool,
    /// The marker that ends the stream was seen, or what the provider has in its place.
    pub terminal: bool,
    /// The first failure that was reported within the answer.
    pub failure: Option<UpstreamFailure>,
    /// The usage stated.
    pub counts: Counts,
    /// The usage as it was written.
    pub stated: Stated,
    /// How much was generated.
    pub content: Content,
    /// The id under which the provider keeps the answer (OpenAI's Responses).
    pub response_id: Option<Box<str>>,
    /// The number of the last event, where events are numbered (OpenAI's Responses).
    pub sequence: u64,
}

impl Findings {
    /// Reads one raw usage object.
    pub fn read_usage(&mut self, raw: &str) {
        self.counts.read(raw);
        self.stated.note(raw);
    }
}

/// How much text was generated, for estimates.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Content {
    /// Bytes.
    pub bytes: u64,
    /// Tokens, by estimate: at least one for each piece in which the provider sent them, however the pieces
    /// were joined on the way.
    pub tokens: u64,
}

impl Content {
    /// Counts one piece.
    pub fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.tokens += estimate_tokens(bytes);
    }
}

/// What shall happen to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is passed on.
    Pass,
    /// It carries usage and nothing else: the answer to our asking for usage.
    UsageOnly,
}

/// Reads the events of one stream.
#[derive(Clone, Debug)]
pub(crate) enum Reader {
    /// Chat Completions and Completions.
    Chat(openai_chat::Reader),
    /// Messages.
    Messages(anthropic::Reader),
    /// Responses.
    Responses(openai_responses::Reader),
    /// Gemini's content.
    Gemini(gemini::Reader),
}

impl Reader {
    /// A reader for streams of `surface`. `ends_without_done` is the provider's quirk, `choices` the
    /// number of answers asked for.
    pub(crate) fn new(surface: Surface, ends_without_done: bool, choices: u32) -> Self {
        match surface.family() {
            Family::OpenAi if surface.is_responses() => Self::Responses(openai_responses::Reader),
            Family::OpenAi => Self::Chat(openai_chat::Reader::new(ends_without_done, choices)),
            // Bedrock's own streams are never relayed: nobody but providers speaks them.
            Family::Anthropic | Family::Bedrock => Self::Messages(anthropic::Reader),
            Family::Gemini => Self::Gemini(gemini::Reader::new(choices)),
        }
    }

    /// Reads one event.
    pub(crate) fn event(&mut self, name: &[u8], data: &[u8], findings: &mut Findings) -> Verdict {
        match self {
            Self::Chat(reader) => reader.event(name, data, findings),
            Self::Messages(reader) => {
                reader.event(name, data, findings);
                Verdict::Pass
            }
            Self::Responses(reader) => reader.event(name, data, findings),
            Self::Gemini(reader) => reader.event(data, findings),
        }
    }
}

/// The top-level members of an unary answer in which content stands.
pub(crate) fn content_members(surface: Surface) -> &'static [&'static str] {
    match surface {
        Surface::ChatCompletions | Surface::Completions => &["choices"],
        Surface::Embeddings => &["data"],
        Surface::Moderations | Surface::Rerank => &["results", "data"],
        Surface::Messages => &["content"],
        Surface::Responses | Surface::ResponsesCompact => &["output"],
        Surface::GenerateContent | Surface::StreamGenerateContent => &["candidates", "promptFeedback"],
        Surface::EmbedContent => &["embedding"],
        Surface::BatchEmbedContents => &["embeddings"],
        Surface::Converse | Surface::ConverseStream => &["output"],
        Surface::CountTokens
        | Surface::ResponsesInputTokens
        | Surface::StoredResponse
        | Surface::GeminiCountTokens => &[],
    }
}
