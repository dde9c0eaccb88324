//! Streams, in Amazon's frames.

use std::collections::BTreeMap;

use model::Rejection;

use super::super::aside::Aside;
use super::super::{StreamDecoder, unreadable};
use super::reply::{note_additional, read_sequence, read_usage};
use super::{SELF, block, stop_of};
use crate::aws_stream::{Frame, FrameReader};
use crate::failure::UpstreamFailure;
use crate::members;
use crate::neutral::{Block, Delta, Event, Foreign, Opaque, OpaqueKind, PartKind, Raw, ToolCall};
use crate::usage::Conventions;

/// What a failure within a stream would have had as its status.
const STATUSES: [(&str, u16); 6] = [
    ("throttlingException", 429),
    ("serviceUnavailableException", 503),
    ("internalServerException", 500),
    ("modelStreamErrorException", 502),
    ("modelTimeoutException", 504),
    ("validationException", 400),
];

/// Reads a stream.
pub(super) struct Decoder {
    frames: FrameReader,
    reader: Reader,
}

impl Decoder {
    pub(super) fn new(conventions: Conventions) -> Self {
        let reader = Reader {
            conventions,
            started: false,
            open: BTreeMap::new(),
            stopped: false,
            metered: false,
            ended: false,
            aside: Aside::new(SELF),
        };
        Self { frames: FrameReader::default(), reader }
    }
}

impl StreamDecoder for Decoder {
    fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), Rejection> {
        let Self { frames, reader } = self;
        frames.push(bytes, |frame| reader.frame(&frame, events)).map_err(unreadable)
    }

    fn finish(&mut self, _events: &mut Vec<Event>) {}
}

struct Reader {
    conventions: Conventions,
    started: bool,
    /// The blocks that are open; of one that the provider's own tools fill, what has come of it.
    open: BTreeMap<u32, Option<Served>>,
    stopped: bool,
    metered: bool,
    ended: bool,
    aside: Aside,
}

/// A block of a tool that the provider runs itself.
struct Served {
    /// `toolUse` or `toolResult`.
    name: &'static str,
    /// The members with which it began.
    start: String,
    /// What has come since.
    content: String,
}

/// The members of an event that matter.
#[derive(Default)]
struct Parts<'a> {
    index: u32,
    start: Option<&'a str>,
    delta: Option<&'a str>,
    stop_reason: Option<&'a str>,
    additional: Option<&'a str>,
    usage: Option<&'a str>,
    tier: Option<&'a str>,
}

impl Reader {
    fn frame(&mut self, frame: &Frame<'_>, events: &mut Vec<Event>) {
        if self.ended {
            return;
        }
        if frame.message == "exception" || frame.message == "error" {
            self.ended = true;
            events.push(Event::Error(failure_of(frame)));
            return;
        }
        let mut parts = Parts::default();
        let _ = members::each(frame.payload, |name, value| match name {
            "contentBlockIndex" => parts.index = value.parse().unwrap_or(0),
            "start" => parts.start = Some(value),
            "delta" => parts.delta = Some(value),
            "stopReason" => parts.stop_reason = Some(value),
            "additionalModelResponseFields" => parts.additional = Some(value),
            "usage" => parts.usage = Some(value),
            "serviceTier" => parts.tier = Some(value),
            "role" => {}
            _ => self.aside.add("", name, value),
        });
        if !self.started {
            self.started = true;
            events.push(Event::Start { id: String::new(), model: String::new() });
        }
        match frame.kind {
            _ if self.stopped && frame.kind != "metadata" => {}
            "contentBlockStart" => self.block_start(parts.index, parts.start.unwrap_or("{}"), events),
            "contentBlockDelta" => self.block_delta(parts.index, parts.delta.unwrap_or("{}"), events),
            "contentBlockStop" => self.block_stop(parts.index, events),
            "messageStop" => self.message_stop(&parts, events),
            "metadata" => self.metadata(&parts, events),
            _ => {}
        }
        self.aside.tell(events);
        if self.stopped && self.metered {
            self.ended = true;
            events.push(Event::End);
        }
    }

    fn begin(&mut self, part: u32, kind: PartKind, events: &mut Vec<Event>) {
        if self.open.insert(part, None).is_none() {
            events.push(Event::PartStart { part, choice: 0, kind });
        }
    }

    fn block_start(&mut self, part: u32, raw: &str, events: &mut Vec<Event>) {
        let _ = members::each(raw, |name, value| match name {
            "toolUse" => {
                let (mut call, mut served) = (ToolCall::default(), false);
                let _ = members::each(value, |name, value| match name {
                    "toolUseId" => call.id = members::string(value).unwrap_or_default().into(),
                    "name" => call.name = members::string(value).unwrap_or_default().into(),
                    "type" => served = value == "\"server_tool_use\"",
                    _ => {}
                });
                if served {
                    self.serve(part, "toolUse", value);
                } else {
                    self.begin(part, PartKind::ToolCall(call), events);
                }
            }
            "toolResult" => self.serve(part, "toolResult", value),
            _ => {}
        });
    }

    fn serve(&mut self, part: u32, name: &'static str, start: &str) {
        let served = Served { name, start: start.to_owned(), content: String::new() };
        self.open.insert(part, Some(served));
    }

    fn block_delta(&mut self, part: u32, raw: &str, events: &mut Vec<Event>) {
        let _ = members::each(raw, |name, value| {
            if let Some(Some(served)) = self.open.get_mut(&part) {
                return served.add(name, value);
            }
            match name {
                "text" => self.text(part, value, events),
                "toolUse" => {
                    let _ = members::each(value, |name, value| {
                        if let ("input", Some(args)) = (name, members::string(value)) {
                            self.begin(part, PartKind::ToolCall(ToolCall::default()), events);
                            push(part, Delta::Args(args.into()), events);
                        }
                    });
                }
                "reasoningContent" => self.reasoning(part, value, events),
                "citation" => {
                    self.begin(part, PartKind::Text, events);
                    push(part, Delta::Citation(Box::new(block::read_citation(value))), events);
                }
                _ => {}
            }
        });
    }

    fn text(&mut self, part: u32, raw: &str, events: &mut Vec<Event>) {
        if let Some(text) = members::string(raw).filter(|text| !text.is_empty()) {
            self.begin(part, PartKind::Text, events);
            push(part, Delta::Text(text.into()), events);
        }
    }

    fn reasoning(&mut self, part: u32, raw: &str, events: &mut Vec<Event>) {
        let _ = members::each(raw, |name, value| {
            let text = || members::string(value).unwrap_or_default().into_owned();
            match name {
                "text" if value == "\"\"" => {}
                "text" => {
                    self.begin(part, PartKind::Reasoning, events);
                    push(part, Delta::Thought(text()), events);
                }
                "signature" => {
                    self.begin(part, PartKind::Reasoning, events);
                    let opaque = Opaque { origin: SELF, kind: OpaqueKind::Signature, data: text() };
                    push(part, Delta::Opaque(opaque), events);
                }
                "redactedContent" => {
                    let whole = Block::Reasoning(block::read_reasoning(raw)).into();
                    self.begin(part, PartKind::Whole(Box::new(whole)), events);
                }
                _ => {}
            }
        });
    }

    fn block_stop(&mut self, part: u32, events: &mut Vec<Event>) {
        match self.open.remove(&part) {
            None => {}
            Some(None) => events.push(Event::PartStop { part }),
            Some(Some(served)) => {
                let kind = PartKind::Whole(Box::new(served.block().into()));
                events.push(Event::PartStart { part, choice: 0, kind });
                events.push(Event::PartStop { part });
            }
        }
    }

    fn message_stop(&mut self, parts: &Parts<'_>, events: &mut Vec<Event>) {
        let open: Vec<u32> = self.open.keys().copied().collect();
        open.into_iter().for_each(|part| self.block_stop(part, events));
        let native = parts.stop_reason.and_then(members::string).map(String::from);
        let sequence = parts.additional.and_then(read_sequence);
        note_additional(&mut self.aside, parts.additional.unwrap_or("{}"));
        let stop = stop_of(native.as_deref().unwrap_or_default(), sequence);
        self.stopped = true;
        events.push(Event::Finish { choice: 0, stop, native });
    }

    fn metadata(&mut self, parts: &Parts<'_>, events: &mut Vec<Event>) {
        self.metered = true;
        if let Some(usage) = parts.usage {
            events.push(Event::Usage(read_usage(usage, self.conventions)));
        }
        let _ = members::each(parts.tier.unwrap_or("{}"), |name, value| {
            if let ("type", Some(tier)) = (name, members::string(value)) {
                events.push(Event::Tier(tier.into()));
            }
        });
    }
}

fn push(part: u32, delta: Delta, events: &mut Vec<Event>) {
    events.push(Event::Delta { part, delta });
}

impl Served {
    /// Adds a piece: text of its input, or an array of what came out.
    fn add(&mut self, name: &str, value: &str) {
        match name {
            "toolUse" => {
                let _ = members::each(value, |name, value| {
                    if let ("input", Some(text)) = (name, members::string(value)) {
                        self.content.push_str(&text);
                    }
                });
            }
            "toolResult" => {
                for piece in members::elements(value) {
                    let comma = if self.content.is_empty() { "" } else { "," };
                    self.content.push_str(comma);
                    self.content.push_str(piece);
                }
            }
            _ => {}
        }
    }

    /// The block as it would stand in a whole answer.
    fn block(self) -> Block {
        let members = self.start.trim().trim_start_matches('{').trim_end_matches('}');
        let raw = match self.name {
            "toolUse" if members::each(&self.content, |_, _| {}).is_ok() => {
                format!(r#"{{"toolUse":{{{members},"input":{}}}}}"#, self.content)
            }
            "toolUse" => format!(r#"{{"toolUse":{{{members},"input":{{}}}}}}"#),
            name => format!(r#"{{"{name}":{{{members},"content":[{}]}}}}"#, self.content),
        };
        Block::Foreign(Foreign { origin: SELF, raw: Raw::new(raw) })
    }
}

/// What went wrong within a stream.
fn failure_of(frame: &Frame<'_>) -> UpstreamFailure {
    let mut failure = if frame.message == "error" {
        UpstreamFailure { message: frame.payload.to_owned(), ..UpstreamFailure::default() }
    } else {
        UpstreamFailure::of_error(frame.payload)
    };
    failure.code = Some(frame.kind.to_owned());
    let status = STATUSES.iter().find(|(name, _)| *name == frame.kind);
    failure.status = Some(status.map_or(502, |(_, status)| *status));
    failure
}
