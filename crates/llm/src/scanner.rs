//! Reads an answer while it passes: when content begins, how it ends, what it used, what failed.
//!
//! The bytes are handed on as they came; the one exception is the usage chunk that the caller did
//! not ask for and we did, which is cut out of the stream.

mod array;
mod guard;
mod stream;
mod unary;

use bytes::Bytes;
use model::{Rejection, Usage};

use crate::codec::Translation;
use crate::dialect::{Content, Findings};
use crate::failure::UpstreamFailure;
use crate::neutral::Losses;
use crate::peek::{Call, Framing};
use crate::provider::Quirks;
use crate::sealed::SealReader;
use crate::surface::Surface;

/// Reads one answer. Feed it every piece of the body with [`Scanner::push`] and end with
/// [`Scanner::flush`]; ask the rest at any time.
#[derive(Debug)]
pub struct Scanner(Mode);

#[derive(Debug)]
enum Mode {
    Stream(Box<stream::Stream>),
    Array(Box<array::Array>),
    Unary(Box<unary::Unary>),
    Translated(Box<Translation>),
}

impl Scanner {
    /// For an answer of server-sent events. `strip_usage_chunk` says that the caller did not ask for
    /// the usage chunk that will come; `choices` is how many answers were asked for.
    #[must_use]
    pub fn stream(surface: Surface, quirks: &Quirks, strip_usage_chunk: bool, choices: u32) -> Self {
        let stream = stream::Stream::new(surface, quirks, strip_usage_chunk, choices);
        Self(Mode::Stream(Box::new(stream)))
    }

    /// For a streamed answer to `call`, however its pieces are told apart.
    #[must_use]
    pub fn of_stream(call: &Call, quirks: &Quirks, strip_usage_chunk: bool) -> Self {
        match call.framing {
            Framing::Events => Self::stream(call.surface, quirks, strip_usage_chunk, call.choices),
            Framing::Array => Self::array(call.surface, quirks, call.choices),
        }
    }

    /// For a streamed answer that is one JSON array.
    #[must_use]
    pub fn array(surface: Surface, quirks: &Quirks, choices: u32) -> Self {
        Self(Mode::Array(Box::new(array::Array::new(surface, quirks, choices))))
    }

    /// For an answer that is one JSON object.
    #[must_use]
    pub fn unary(surface: Surface, quirks: &Quirks) -> Self {
        Self(Mode::Unary(Box::new(unary::Unary::new(surface, quirks))))
    }

    /// For an answer in another dialect than its caller's: what is to be sent on is its translation.
    #[must_use]
    pub fn translated(translation: Translation) -> Self {
        Self(Mode::Translated(Box::new(translation)))
    }

    /// Whether what is sent on is a translation.
    #[must_use]
    pub fn is_translated(&self) -> bool {
        matches!(self.0, Mode::Translated(_))
    }

    /// A scanner that has read the same; `None` of a translation, which holds more than it has read.
    #[must_use]
    pub fn fork(&self) -> Option<Self> {
        Some(Self(match &self.0 {
            Mode::Stream(stream) => Mode::Stream(stream.clone()),
            Mode::Array(array) => Mode::Array(array.clone()),
            Mode::Unary(unary) => Mode::Unary(unary.clone()),
            Mode::Translated(_) => return None,
        }))
    }

    /// Reads the next piece and returns what is to be sent on: the same bytes, or fewer or more of
    /// them where an event that may have to be cut out, or tells of a failure, is held back until it is whole.
    ///
    /// # Errors
    /// `UPSTREAM_INVALID_RESPONSE` when a line or an event is longer than 1 MiB. Nothing of the
    /// answer may be sent after that.
    pub fn push(&mut self, chunk: Bytes) -> Result<Bytes, Rejection> {
        match &mut self.0 {
            Mode::Stream(stream) => stream.push(chunk),
            Mode::Array(array) => array.push(chunk),
            Mode::Translated(translation) => translation.push(&chunk),
            Mode::Unary(unary) => {
                unary.push(&chunk);
                Ok(chunk)
            }
        }
    }

    /// Reads what the end of the body left incomplete and returns what was held back. Call it once,
    /// at the clean end and before [`Scanner::is_complete`].
    #[must_use]
    pub fn flush(&mut self) -> Bytes {
        match &mut self.0 {
            Mode::Stream(stream) => stream.flush(),
            Mode::Array(array) => array.flush(),
            Mode::Unary(_) => Bytes::new(),
            Mode::Translated(translation) => translation.flush(),
        }
    }

    /// Whether anything generated has passed, or a reason to finish; of an unary answer, whether it
    /// is known to be an answer and not an error.
    #[must_use]
    pub fn content_begun(&self) -> bool {
        match &self.0 {
            Mode::Unary(unary) => unary.content_begun(),
            Mode::Translated(translation) => translation.content_begun(),
            _ => self.findings().is_some_and(|findings| findings.content_begun),
        }
    }

    /// A failure that the upstream reported within the answer, after its status 200.
    #[must_use]
    pub fn failure(&self) -> Option<&UpstreamFailure> {
        match &self.0 {
            Mode::Unary(unary) => unary.failure(),
            Mode::Translated(translation) => translation.failure(),
            _ => self.findings()?.failure.as_ref(),
        }
    }

    /// Whether the answer is whole: the stream's terminal marker has passed (or, for providers that
    /// send none, every choice is finished), or the object is closed. A failure does not change it.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match &self.0 {
            Mode::Stream(stream) => stream.findings().terminal,
            Mode::Array(array) => array.is_complete(),
            Mode::Unary(unary) => unary.is_closed(),
            Mode::Translated(translation) => translation.is_whole(),
        }
    }

    /// The usage that the answer stated, in the product's counters; `None` when it stated none.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        match &self.0 {
            Mode::Stream(stream) => stream.usage(),
            Mode::Array(array) => array.usage(),
            Mode::Unary(unary) => unary.usage(),
            Mode::Translated(translation) => translation.usage(),
        }
    }

    /// The usage that the answer stated, in the provider's own words; a list where it stated some in the beginning and
    /// more in the end.
    #[must_use]
    pub fn stated_usage(&self) -> Option<Box<str>> {
        match &self.0 {
            Mode::Stream(stream) => stream.stated_usage(),
            Mode::Array(array) => array.findings().stated.json(),
            Mode::Unary(unary) => unary.stated_usage(),
            Mode::Translated(translation) => translation.stated_usage(),
        }
    }

    /// Bytes of what was generated: text within a stream's deltas; of an unary answer, its whole body.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        self.content().bytes
    }

    /// Tokens that were generated, by an estimate that does not depend on how the answer was cut on its way.
    #[must_use]
    pub fn content_tokens(&self) -> u64 {
        self.content().tokens
    }

    fn content(&self) -> Content {
        match &self.0 {
            Mode::Unary(unary) => {
                let mut content = Content::default();
                content.add(unary.bytes());
                content
            }
            Mode::Translated(translation) => translation.content(),
            _ => self.findings().map_or_else(Content::default, |findings| findings.content),
        }
    }

    /// The id under which the provider keeps the answer, where it has said one (OpenAI's Responses).
    #[must_use]
    pub fn response_id(&self) -> Option<&str> {
        match &self.0 {
            Mode::Unary(unary) => unary.response_id(),
            _ => self.findings()?.response_id.as_deref(),
        }
    }

    /// The id that a stream has and the number of its last event, where events are numbered (OpenAI's
    /// Responses).
    #[must_use]
    pub fn numbered(&self) -> Option<(&str, u64)> {
        match &self.0 {
            Mode::Translated(translation) => translation.numbered(),
            _ => {
                let findings = self.findings()?;
                Some((findings.response_id.as_deref()?, findings.sequence))
            }
        }
    }

    /// Of an answer that is an array: what must stand before one more element, `None` where none can follow.
    /// `sent` says whether the last piece was sent on.
    #[must_use]
    pub fn before_element(&self, sent: bool) -> Option<&'static str> {
        match &self.0 {
            Mode::Array(array) => array.before_element(sent),
            _ => None,
        }
    }

    /// Why the first answer of a translation ended, in the provider's own word, once it has said so.
    #[must_use]
    pub fn native_finish_reason(&self) -> Option<&str> {
        match &self.0 {
            Mode::Translated(translation) => translation.native_finish_reason(),
            _ => None,
        }
    }

    /// What the provider has sealed for itself and only this account can open (OpenAI's Responses), as far as it
    /// has passed since this was asked last: what each is known by.
    #[must_use]
    pub fn take_seals(&mut self) -> Vec<Box<str>> {
        let seals = match &mut self.0 {
            Mode::Stream(stream) => stream.seals(),
            Mode::Unary(unary) => unary.seals(),
            Mode::Translated(translation) => translation.seals(),
            Mode::Array(_) => None,
        };
        seals.map(SealReader::take).unwrap_or_default()
    }

    /// What the answer has lost in its translation, since this was asked last.
    #[must_use]
    pub fn take_losses(&mut self) -> Losses {
        match &mut self.0 {
            Mode::Translated(translation) => translation.take_losses(),
            _ => Losses::default(),
        }
    }

    fn findings(&self) -> Option<&Findings> {
        match &self.0 {
            Mode::Stream(stream) => Some(stream.findings()),
            Mode::Array(array) => Some(array.findings()),
            Mode::Unary(_) | Mode::Translated(_) => None,
        }
    }
}

/// Tokens that `bytes` of text are taken for where nothing better is known: a quarter, and at least
/// one where there is text.
#[must_use]
pub(crate) fn estimate_tokens(bytes: u64) -> u64 {
    match bytes {
        0 => 0,
        _ => (bytes / 4).max(1),
    }
}
