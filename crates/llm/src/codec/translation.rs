//! One answer on its way from a provider's dialect into its caller's: bytes in, bytes out, and what the
//! gateway must know of it besides.

use std::sync::Arc;

use bytes::Bytes;
use model::{Rejection, ServiceTier, Usage, UsageSource};

use super::answer_tool::{self, Answers};
use super::refused::{self, Refusals};
use super::restore::{Restorer, restore};
use super::{Asked, Codec, SealKeeper, Source, StreamDecoder, StreamEncoder, codec, read, unreadable};
use crate::dialect::{Content, failed_base_response};
use crate::failure::UpstreamFailure;
use crate::foreign_words::foreign_words;
use crate::members;
use crate::neutral::{Block, Choice, Delta, Dialect, Event, Losses, Part, PartKind, Reply, Stop, Used};
use crate::scanner::estimate_tokens;
use crate::sealed::SealReader;
use crate::usage::Stated;

/// A whole answer is read up to here: more than any answer has been seen to have, generated images
/// included.
const WHOLE_LIMIT: usize = 64 << 20;

/// The longest reason to finish that is kept: the longest of any provider has 33 characters.
const NATIVE_CHARS: usize = 64;

/// Why what only the provider's dialect says of an answer is lost.
const ASIDE: &str = "the caller's dialect has no place for it";

/// Translates one answer.
pub struct Translation {
    asked: Asked,
    keeper: Option<Arc<dyn SealKeeper>>,
    found: Found,
    way: Way,
    seals: Option<SealReader>,
}

/// What an answer has said so far.
#[derive(Default)]
struct Found {
    content_begun: bool,
    content: Content,
    whole: bool,
    failure: Option<UpstreamFailure>,
    usage: Option<Usage>,
    tier: Option<ServiceTier>,
    losses: Losses,
    native: Option<String>,
    stated: Stated,
}

/// How the answer comes.
enum Way {
    /// Piece by piece.
    Stream(Box<Stream>),
    /// Whole.
    Whole(Whole),
}

struct Stream {
    /// From which dialect into which.
    way: (Dialect, Dialect),
    to: &'static dyn Codec,
    decoder: Box<dyn StreamDecoder>,
    answers: Answers,
    refusals: Refusals,
    restorer: Restorer,
    encoder: Box<dyn StreamEncoder>,
    events: Vec<Event>,
}

struct Whole {
    from: &'static dyn Codec,
    to: &'static dyn Codec,
    caller: Dialect,
    quirks: crate::provider::Quirks,
    choices: u32,
    body: Vec<u8>,
}

impl Translation {
    /// Of a stream, from the dialect `from` into the dialect `to`; `None` where one of them has no codec.
    #[must_use]
    pub fn of_stream(from: Dialect, to: Dialect, source: &Source<'_>, mut asked: Asked) -> Option<Self> {
        asked.sealer = Some(from).filter(|from| reads_sealed_text(*from));
        let stream = Stream {
            way: (from, to),
            to: codec(to)?,
            decoder: codec(from)?.stream_decoder(source),
            answers: Answers::of(asked.answer_tool.clone()),
            refusals: Refusals::of(to),
            restorer: Restorer::default(),
            encoder: codec(to)?.stream_encoder(&asked),
            events: Vec::new(),
        };
        Some(Self::new(from, asked, Way::Stream(Box::new(stream))))
    }

    /// Of a whole answer.
    #[must_use]
    pub fn of_whole(from: Dialect, to: Dialect, source: &Source<'_>, asked: Asked) -> Option<Self> {
        let whole = Whole {
            from: codec(from)?,
            to: codec(to)?,
            caller: to,
            quirks: *source.quirks,
            choices: source.choices,
            body: Vec::new(),
        };
        Some(Self::new(from, asked, Way::Whole(whole)))
    }

    fn new(from: Dialect, asked: Asked, way: Way) -> Self {
        let seals = (from == Dialect::OpenAiResponses).then(SealReader::default);
        Self { asked, keeper: None, found: Found::default(), way, seals }
    }

    /// The same, keeping the seals of its calls.
    #[must_use]
    pub fn with_keeper(self, keeper: Arc<dyn SealKeeper>) -> Self {
        Self { keeper: Some(keeper), ..self }
    }

    /// Reads the next piece and returns what the caller gets of it; of a whole answer nothing until
    /// [`Translation::flush`].
    ///
    /// # Errors
    /// `UPSTREAM_INVALID_RESPONSE` where nothing sensible can follow.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<Bytes, Rejection> {
        if let Some(seals) = &mut self.seals {
            seals.push(chunk);
        }
        match &mut self.way {
            Way::Whole(whole) => {
                if whole.body.len() + chunk.len() > WHOLE_LIMIT {
                    return Err(unreadable("the answer is longer than can be held"));
                }
                whole.body.extend_from_slice(chunk);
                Ok(Bytes::new())
            }
            Way::Stream(stream) => {
                let read = stream.decoder.push(chunk, &mut stream.events);
                let out = stream.drain(&self.asked, self.keeper.as_deref(), &mut self.found);
                read.map(|()| out)
            }
        }
    }

    /// Reads what the end of the body left and returns what the caller gets of it.
    pub(crate) fn flush(&mut self) -> Bytes {
        match &mut self.way {
            Way::Whole(whole) => whole.translate(&self.asked, self.keeper.as_deref(), &mut self.found),
            Way::Stream(stream) => {
                stream.decoder.finish(&mut stream.events);
                stream.drain(&self.asked, self.keeper.as_deref(), &mut self.found)
            }
        }
    }

    pub(crate) fn content_begun(&self) -> bool {
        self.found.content_begun
    }

    pub(crate) fn content(&self) -> Content {
        self.found.content
    }

    pub(crate) fn failure(&self) -> Option<&UpstreamFailure> {
        self.found.failure.as_ref()
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.found.whole
    }

    pub(crate) fn numbered(&self) -> Option<(&str, u64)> {
        match &self.way {
            Way::Stream(stream) => stream.encoder.numbered(),
            Way::Whole(_) => None,
        }
    }

    pub(crate) fn seals(&mut self) -> Option<&mut SealReader> {
        self.seals.as_mut()
    }

    pub(crate) fn stated_usage(&self) -> Option<Box<str>> {
        self.found.stated.json()
    }

    pub(crate) fn native_finish_reason(&self) -> Option<&str> {
        self.found.native.as_deref()
    }

    pub(crate) fn usage(&self) -> Option<Usage> {
        let found = &self.found;
        found.usage.map(|usage| Usage { tier: found.tier.or(usage.tier), ..usage })
    }

    pub(crate) fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.found.losses)
    }
}

/// Whether providers of a dialect want the text of sealed thoughts back as they wrote it.
fn reads_sealed_text(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::AnthropicMessages | Dialect::BedrockConverse)
}

impl std::fmt::Debug for Translation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Translation").field("model", &self.asked.model).finish_non_exhaustive()
    }
}

impl Stream {
    /// Writes the events that have come.
    fn drain(&mut self, asked: &Asked, keeper: Option<&dyn SealKeeper>, found: &mut Found) -> Bytes {
        let mut out = Vec::new();
        let (from, caller) = self.way;
        let Self { to, answers, refusals, restorer, encoder, events, .. } = self;
        let mut told = |mut event: Event| {
            if let Event::Error(failure) = &mut event {
                failure.message = foreign_words(failure, from, caller);
            }
            // A caller of any dialect expects to be told what it used.
            if matches!(event, Event::End) && found.usage.is_none() {
                encoder.encode(Event::Usage(estimated(asked, found.content.bytes)), &mut out);
            }
            found.see(&event);
            if let Event::PartStart { kind: PartKind::Whole(part), .. } = &event {
                weigh(*to, part, asked, &mut found.losses);
            }
            for event in refusals.before(&event).into_iter().chain([event]) {
                restorer.push(event, asked, keeper, |event| encoder.encode(event, &mut out));
            }
        };
        events.drain(..).for_each(|event| answers.push(event, &mut told));
        Bytes::from(out)
    }
}

impl Whole {
    fn translate(&mut self, asked: &Asked, keeper: Option<&dyn SealKeeper>, found: &mut Found) -> Bytes {
        let body = std::mem::take(&mut self.body);
        found.content.add(body.len() as u64);
        let Ok(text) = std::str::from_utf8(&body) else {
            return Bytes::new();
        };
        found.failure = stated_failure(text);
        if found.failure.is_some() {
            return Bytes::new();
        }
        let source = Source { quirks: &self.quirks, choices: self.choices };
        let Ok(mut reply) = self.from.decode_reply(text, &source) else {
            return Bytes::new();
        };
        if let Some(used) = &reply.usage {
            found.note_usage(used);
        }
        if let Some(tier) = &reply.tier {
            found.note_tier(tier);
        }
        if let Some(native) = reply.choices.first().and_then(|choice| choice.native.as_deref()) {
            found.note_native(native);
        }
        if reply.choices.iter().any(|choice| choice.stop == Stop::MalformedTool) {
            found.failure = Some(super::failed(
                "The model wrote a tool call that cannot be read.",
                "malformed_tool_call",
            ));
            return Bytes::new();
        }
        reply.usage.get_or_insert_with(|| estimated(asked, text_bytes(&reply.choices)));
        if let Some(tool) = &asked.answer_tool {
            answer_tool::tell(&mut reply, tool);
        }
        reply.aside.iter().for_each(|path| found.losses.advisory(path, ASIDE));
        restore(&mut reply, asked, keeper);
        refused::tell(&mut reply, self.caller);
        found.whole = true;
        found.content_begun = true;
        Bytes::from(self.to.encode_reply(&reply, asked, &mut found.losses))
    }
}

/// Notes what a part that comes whole loses in a stream: what it loses in an answer that has nothing else.
fn weigh(to: &dyn Codec, part: &Part, asked: &Asked, losses: &mut Losses) {
    let choice = Choice {
        index: 0,
        parts: vec![part.clone()],
        stop: Stop::End,
        native: None,
        logprobs: None,
        ext: crate::neutral::Ext::default(),
    };
    to.encode_reply(&Reply { choices: vec![choice], ..Reply::default() }, asked, losses);
}

/// The usage of an answer of which the provider stated none.
fn estimated(asked: &Asked, content_bytes: u64) -> Used {
    let counters = Usage {
        input: asked.input_estimate,
        output: estimate_tokens(content_bytes),
        source: UsageSource::Estimated,
        ..Usage::default()
    };
    Used { counters, ..Used::default() }
}

/// Bytes of what was generated.
fn text_bytes(choices: &[Choice]) -> u64 {
    let bytes = |block: &Block| match block {
        Block::Text(text) => text.text.len(),
        Block::Reasoning(thoughts) => thoughts.text.len(),
        Block::ToolCall(call) => call.name.len() + call.args.len(),
        Block::Refusal(text) => text.len(),
        Block::Media(_) | Block::ToolResult(_) | Block::Foreign(_) => 0,
    };
    choices.iter().flat_map(|choice| &choice.parts).map(|part| bytes(&part.block) as u64).sum()
}

/// A failure in the place of an answer, with a status of success: OpenRouter, MiniMax, vLLM.
fn stated_failure(body: &str) -> Option<UpstreamFailure> {
    let mut failure = None;
    let _ = members::each(body, |key, value| match key {
        "error" if members::is_said(value) => failure = Some(UpstreamFailure::of_error(value)),
        "base_resp" if failure.is_none() => failure = failed_base_response(value),
        _ => {}
    });
    let is_error = || read::member(body, "object") == Some("\"error\"");
    failure.or_else(|| is_error().then(|| UpstreamFailure::of_error(body)))
}

impl Found {
    fn note_usage(&mut self, used: &Used) {
        self.usage = Some(used.counters);
        self.stated.note(&used.ext.json());
    }

    fn note_tier(&mut self, word: &str) {
        self.tier = ServiceTier::named(word).or(self.tier);
    }

    fn note_native(&mut self, native: &str) {
        self.native = Some(native.chars().take(NATIVE_CHARS).collect());
    }

    fn see(&mut self, event: &Event) {
        if let Event::Finish { choice: 0, native: Some(native), .. } = event {
            self.note_native(native);
        }
        match event {
            Event::PartStart { kind, .. } => {
                self.content_begun |= matches!(kind, PartKind::ToolCall(_) | PartKind::Whole(_));
            }
            Event::Delta { delta, .. } => {
                self.content_begun = true;
                self.content.add(match delta {
                    Delta::Text(text)
                    | Delta::Thought(text)
                    | Delta::Summary(_, text)
                    | Delta::Args(text)
                    | Delta::Refusal(text) => text.len() as u64,
                    Delta::Citation(_) | Delta::Opaque(_) | Delta::Logprobs(_) => 0,
                });
            }
            Event::Finish { stop: Stop::MalformedTool, .. } => {
                let message = "The model wrote a tool call that cannot be read.";
                self.failure.get_or_insert_with(|| super::failed(message, "malformed_tool_call"));
            }
            Event::Finish { .. } => self.content_begun = true,
            Event::Usage(used) => self.note_usage(used),
            Event::Tier(tier) => self.note_tier(tier),
            Event::Error(failure) => {
                self.failure.get_or_insert_with(|| failure.clone());
            }
            Event::End => self.whole = true,
            Event::Aside(path) => self.losses.advisory(path, ASIDE),
            Event::Start { .. } | Event::PartStop { .. } | Event::Ping => {}
        }
    }
}
