//! Reads and writes each dialect of chat: dialect → neutral form → dialect.
//!
//! To add a dialect, write its folder with a type that is a [`Codec`], and list it in [`codec`]. A pair of
//! dialects needs nothing of its own.

mod answer_tool;
mod aside;
pub mod asked;
mod balance;
mod chat;
mod conversation;
mod converse;
pub mod custom;
mod fit;
mod gemini;
pub mod ids;
mod likely;
pub mod media;
mod messages;
pub mod names;
mod offered;
mod own;
pub(crate) mod read;
mod refused;
mod responses;
pub mod restore;
mod retold;
mod schema;
mod search;
pub mod sequence;
mod server_tools;
mod sse;
mod subset;
mod target;
mod translation;
mod unsaid;

use model::{Code, Rejection};

pub use answer_tool::AnswerTool;
pub use asked::Asked;
pub use fit::fit;
pub use restore::{SealKeeper, Seals};
pub use server_tools::server_tools;
pub use target::{Addressed, Source, Target};
pub use translation::Translation;

use crate::failure::UpstreamFailure;
use crate::neutral::{Dialect, Event, Losses, Reply, Request};
use crate::surface::Surface;

/// A dialect that can be read and written.
pub trait Codec: Sync {
    /// Reads a caller's request. `addressed` is what dialects say in the path and not in the body.
    ///
    /// # Errors
    /// `INVALID_REQUEST` where it is not of this dialect, and `UNSUPPORTED_FEATURE` where it asks for what
    /// nobody else can give (state that a provider keeps), naming the field.
    fn decode_request(&self, body: &str, addressed: &Addressed<'_>) -> Result<Request, Rejection>;

    /// Writes a request for a provider. What cannot be said in this dialect is noted in `losses`.
    ///
    /// # Errors
    /// `UNSUPPORTED_FEATURE` where no honest request can be written, naming the field.
    fn encode_request(
        &self,
        request: &Request,
        target: &Target<'_>,
        losses: &mut Losses,
    ) -> Result<Vec<u8>, Rejection>;

    /// Reads a provider's whole answer, with a status of success.
    ///
    /// # Errors
    /// `UPSTREAM_INVALID_RESPONSE` where it is not of this dialect.
    fn decode_reply(&self, body: &str, source: &Source<'_>) -> Result<Reply, Rejection>;

    /// Writes a whole answer for a caller.
    fn encode_reply(&self, reply: &Reply, asked: &Asked, losses: &mut Losses) -> Vec<u8>;

    /// Reads a provider's stream.
    fn stream_decoder(&self, source: &Source<'_>) -> Box<dyn StreamDecoder>;

    /// Writes a stream for a caller.
    fn stream_encoder(&self, asked: &Asked) -> Box<dyn StreamEncoder>;
}

/// Reads the stream of one answer.
pub trait StreamDecoder: Send {
    /// Reads the next bytes, wherever they were cut, and adds the events that they complete.
    ///
    /// # Errors
    /// `UPSTREAM_INVALID_RESPONSE` where nothing sensible can follow.
    fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), Rejection>;

    /// Reads what the end of the body left incomplete. [`Event::End`] comes only from a terminal marker,
    /// or, for providers that send none, from finished choices: never from the mere end.
    fn finish(&mut self, events: &mut Vec<Event>);
}

/// Writes the stream of one answer. Whatever order events come in, what it writes is legal in its dialect:
/// it opens, closes and numbers as the dialect demands, and holds back what cannot be sent yet.
pub trait StreamEncoder: Send {
    /// Writes what `event` means to the caller behind `out`.
    fn encode(&mut self, event: Event, out: &mut Vec<u8>);

    /// The id that the answer has and the number of its last event, in dialects that number events; `None`
    /// before the first.
    fn numbered(&self) -> Option<(&str, u64)> {
        None
    }
}

/// The codec of a dialect. `None` where there is none yet: accounts that speak it serve only callers who
/// speak it too.
#[must_use]
pub fn codec(dialect: Dialect) -> Option<&'static dyn Codec> {
    match dialect {
        Dialect::OpenAiChat => Some(&chat::Chat),
        Dialect::AnthropicMessages => Some(&messages::Messages),
        Dialect::BedrockConverse => Some(&converse::Converse),
        Dialect::OpenAiResponses => Some(&responses::Responses),
        Dialect::Gemini => Some(&gemini::Gemini),
    }
}

/// Whether a request to `surface` carries a seal that another provider made: it cannot be relayed as it is,
/// because its own provider would refuse it. Callers of Chat carry the maker's name beside the seal.
#[must_use]
pub fn has_foreign_seal(surface: Surface, body: &[u8]) -> bool {
    match surface.dialect() {
        Some(Dialect::AnthropicMessages | Dialect::OpenAiResponses) => read::has_tagged_seal(body),
        Some(Dialect::Gemini) => gemini::has_foreign_seal(body),
        _ => false,
    }
}

/// Puts into words what a caller of the provider's own dialect leaves to the provider, where a request that
/// is written anew would otherwise say the opposite.
pub fn say_defaults(request: &mut Request) {
    responses::say_defaults(request);
}

/// Whether callers of the dialect `caller` can be served by accounts of the dialect `provider`, and not by
/// relaying.
#[must_use]
pub fn translates(caller: Dialect, provider: Dialect) -> bool {
    caller != provider && codec(caller).is_some() && codec(provider).is_some()
}

/// The rejection of a body that is not of its dialect.
pub(crate) fn invalid(message: impl Into<std::borrow::Cow<'static, str>>, field: &str) -> Rejection {
    Rejection::because(Code::InvalidRequest, message).at(field.to_owned())
}

/// The rejection of a request for what the account's dialect cannot give.
pub(crate) fn unsupported(message: impl Into<std::borrow::Cow<'static, str>>, field: &str) -> Rejection {
    Rejection::because(Code::UnsupportedFeature, message).at(field.to_owned())
}

/// The rejection of an answer that cannot be read.
pub(crate) fn unreadable(cause: impl std::fmt::Display) -> Rejection {
    Rejection::because(Code::UpstreamInvalidResponse, "The upstream's answer cannot be read.")
        .caused_by(cause)
}

/// The failure that an answer which cannot be told to the caller stands for.
pub(crate) fn failed(message: &str, code: &str) -> UpstreamFailure {
    UpstreamFailure { message: message.to_owned(), code: Some(code.to_owned()), ..UpstreamFailure::default() }
}
