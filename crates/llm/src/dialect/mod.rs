//! What differs between dialects when an answer is read: which event is content, which ends the
//! stream, where usage and errors stand.

mod anthropic;
mod openai_chat;
mod said;

pub(crate) use openai_chat::failed_base_response;

use crate::failure::UpstreamFailure;
use crate::surface::{Family, Surface};
use crate::usage::Counts;

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
    /// Bytes of generated text, for estimates.
    pub content_bytes: u64,
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
}

impl Reader {
    /// A reader for streams of `surface`. `ends_without_done` is the provider's quirk, `choices` the
    /// number of answers asked for.
    pub(crate) fn new(surface: Surface, ends_without_done: bool, choices: u32) -> Self {
        match surface.family() {
            Family::OpenAi => Self::Chat(openai_chat::Reader::new(ends_without_done, choices)),
            Family::Anthropic => Self::Messages(anthropic::Reader),
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
        Surface::CountTokens => &[],
    }
}
