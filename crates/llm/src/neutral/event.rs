//! What is answered, as it comes.
//!
//! A stream is: `Start`, then parts, each of `PartStart`, any number of `Delta`, `PartStop`; `Finish` once
//! for each choice, behind its parts; `Usage` any number of times, each a running total, and in front of `Start`
//! where it is known by then; `End`. `Aside` may come anywhere behind `Start`. Parts may
//! overlap: a dialect that cannot have that puts them in a row, see [`crate::codec::sequence`]. `Ping`
//! may come anywhere. Behind `Error` or `End` nothing comes.

use super::{Citation, Opaque, Part, Raw, Stop, ToolCall, Used};
use crate::failure::UpstreamFailure;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The answer begins.
    Start {
        /// The provider's id of it; empty where it gave none.
        id: String,
        /// The model that answers; empty where the provider did not say.
        model: String,
    },
    /// A part begins.
    PartStart {
        /// Its number: unique within the stream, and rising.
        part: u32,
        /// The choice that it belongs to.
        choice: u32,
        /// What it will be.
        kind: PartKind,
    },
    /// A part goes on.
    Delta {
        /// Its number.
        part: u32,
        /// What is added.
        delta: Delta,
    },
    /// A part is whole.
    PartStop {
        /// Its number.
        part: u32,
    },
    /// A choice is finished.
    Finish {
        /// Which.
        choice: u32,
        /// Why.
        stop: Stop,
        /// The same in the provider's own words.
        native: Option<String>,
    },
    /// What was used so far, in total.
    Usage(Used),
    /// The service tier that serves it.
    Tier(String),
    /// The path of what only the provider's dialect can say of the answer: lost in any other.
    Aside(Box<str>),
    /// The provider failed. Nothing follows.
    Error(UpstreamFailure),
    /// A sign of life.
    Ping,
    /// The marker that the stream is whole. Nothing follows.
    End,
}

/// What a part of a stream will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// Text, by deltas.
    Text,
    /// Thoughts, by deltas.
    Reasoning,
    /// A tool call; its arguments come by deltas.
    ToolCall(ToolCall),
    /// A refusal, by deltas.
    Refusal,
    /// A part that comes whole: hidden thoughts, media, what only one dialect has. No delta follows.
    Whole(Box<Part>),
}

impl Delta {
    /// Bytes of what was generated: seals and citations are not.
    #[must_use]
    pub fn generated_bytes(&self) -> u64 {
        let text = match self {
            Self::Text(text)
            | Self::Thought(text)
            | Self::Summary(_, text)
            | Self::Args(text)
            | Self::Refusal(text) => text.len(),
            Self::Citation(_) | Self::Opaque(_) | Self::Logprobs(_) => 0,
        };
        u64::try_from(text).unwrap_or(u64::MAX)
    }
}

/// What is added to a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// Text, of a text part.
    Text(String),
    /// A citation, of a text part.
    Citation(Box<Citation>),
    /// Thoughts, of a reasoning part.
    Thought(String),
    /// The summary of thoughts, of a reasoning part: the number of the summary, and its text.
    Summary(u32, String),
    /// What the provider wants back, of a reasoning part or a tool call.
    Opaque(Opaque),
    /// Arguments, of a tool call.
    Args(String),
    /// Words of a refusal.
    Refusal(String),
    /// How likely the tokens of a text part were: a list as OpenAI has it.
    Logprobs(Raw),
}
