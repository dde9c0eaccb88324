//! Reads a stream.

use super::{OWN, block, reply, stop_of};
use crate::codec::aside::Aside;
use crate::codec::sse::EventReader;
use crate::codec::{Source, ids, read};
use crate::failure::UpstreamFailure;
use crate::members;
use crate::neutral::{Block, Delta, Event, OpaqueKind, Part, PartKind, ToolCall};
use crate::usage::{Conventions, Counts};

/// Blocks that may be open at a time; Anthropic has one.
const OPEN_LIMIT: usize = 64;

/// Reads event after event.
pub(super) struct Reader {
    conventions: Conventions,
    id: String,
    counts: Counts,
    parts: u32,
    open: Vec<Open>,
    finished: bool,
    aside: Aside,
}

/// A block that is being written.
struct Open {
    index: u64,
    part: u32,
    /// The arguments that the block began with, for vendors who send them so; deltas replace them.
    args: String,
    /// Nothing that follows in it can be told.
    whole: bool,
}

/// The members of an event, as raw values.
#[derive(Default)]
struct Members<'a> {
    kind: String,
    index: u64,
    message: Option<&'a str>,
    block: Option<&'a str>,
    delta: Option<&'a str>,
    usage: Option<&'a str>,
    error: Option<&'a str>,
}

impl Reader {
    pub(super) fn new(source: &Source<'_>) -> Self {
        Self {
            conventions: source.conventions(OWN),
            id: String::new(),
            counts: Counts::default(),
            parts: 0,
            open: Vec::new(),
            finished: false,
            aside: Aside::new(OWN),
        }
    }
}

impl EventReader for Reader {
    fn event(&mut self, name: &[u8], data: &str, events: &mut Vec<Event>) {
        let mut own = Members::default();
        let read = members::each(data, |key, value| match key {
            "type" => own.kind = read::text(value),
            "index" => own.index = value.parse().unwrap_or(0),
            "message" => own.message = Some(value),
            "content_block" => own.block = Some(value),
            "delta" => own.delta = Some(value),
            "usage" if value.starts_with('{') => own.usage = Some(value),
            "error" if members::is_said(value) => own.error = Some(value),
            _ => self.aside.add("", key, value),
        });
        if own.error.is_some() || name == b"error" || own.kind == "error" {
            let raw = own.error.unwrap_or(data);
            return events.push(Event::Error(UpstreamFailure::of_error(raw)));
        }
        if read.is_err() {
            return;
        }
        match &*own.kind {
            "message_start" => self.start(own.message.unwrap_or("{}"), events),
            "content_block_start" if !self.finished => {
                self.block(own.index, own.block.unwrap_or("{}"), events);
            }
            "content_block_delta" => self.delta(own.index, own.delta.unwrap_or("{}"), events),
            "content_block_stop" => self.stop_block(own.index, events),
            "message_delta" => self.finish(&own, events),
            "message_stop" => {
                if !self.finished {
                    self.finish(&Members { delta: Some("{\"stop_reason\":\"\"}"), ..own }, events);
                }
                events.push(Event::End);
            }
            "ping" => events.push(Event::Ping),
            _ => {}
        }
        self.aside.tell(events);
    }
}

impl Reader {
    fn start(&mut self, message: &str, events: &mut Vec<Event>) {
        let (mut model, mut usage) = (String::new(), None);
        let _ = members::each(message, |key, value| match key {
            "id" => self.id = read::text(value),
            "model" => model = read::text(value),
            "usage" => usage = Some(value),
            "content" | "stop_reason" | "stop_sequence" => {}
            _ => self.aside.add("", key, value),
        });
        // First, so that whoever writes the beginning knows it.
        if let Some(usage) = usage {
            self.usage(usage, events);
        }
        events.push(Event::Start { id: self.id.clone(), model });
    }

    fn usage(&mut self, raw: &str, events: &mut Vec<Event>) {
        self.counts.read(raw);
        let Some(used) = read::used(&self.counts, self.conventions, OWN, raw) else {
            return;
        };
        events.extend(reply::tier(&used).map(Event::Tier));
        events.push(Event::Usage(used));
    }

    fn block(&mut self, index: u64, raw: &str, events: &mut Vec<Event>) {
        if self.open.len() >= OPEN_LIMIT {
            return;
        }
        let part = self.parts;
        self.parts += 1;
        let mut open = Open { index, part, args: String::new(), whole: false };
        let decoded = block::decode(raw);
        if !matches!(decoded.block, Block::Foreign(_)) {
            self.aside.add_all("content", &decoded.ext);
        }
        let mut begun = Vec::new();
        let kind = match decoded.block {
            Block::Text(text) => {
                begun.extend((!text.text.is_empty()).then_some(Delta::Text(text.text.into_string())));
                PartKind::Text
            }
            Block::Reasoning(thoughts) if !is_hidden(&thoughts) => {
                begun.extend((!thoughts.text.is_empty()).then_some(Delta::Thought(thoughts.text)));
                begun.extend(thoughts.opaque.into_iter().map(Delta::Opaque));
                PartKind::Reasoning
            }
            Block::ToolCall(call) => {
                open.args = if call.args == "{}" { String::new() } else { call.args };
                let id =
                    if call.id.is_empty() { ids::missing_in_reply(&self.id, part as usize) } else { call.id };
                PartKind::ToolCall(ToolCall { id, args: String::new(), ..call })
            }
            other => {
                open.whole = true;
                PartKind::Whole(Box::new(Part { block: other, cache: None, ext: decoded.ext }))
            }
        };
        events.push(Event::PartStart { part, choice: 0, kind });
        events.extend(begun.into_iter().map(|delta| Event::Delta { part, delta }));
        self.open.push(open);
    }

    fn delta(&mut self, index: u64, raw: &str, events: &mut Vec<Event>) {
        let Some(open) = self.open.iter_mut().find(|open| open.index == index && !open.whole) else {
            return;
        };
        let part = open.part;
        let mut kind = String::new();
        let (mut text, mut citation) = (None, None);
        let _ = members::each(raw, |key, value| match key {
            "type" => kind = read::text(value),
            "text" | "thinking" | "signature" | "partial_json" => text = Some(value),
            "citation" => citation = Some(value),
            _ => {}
        });
        let words = || text.and_then(read::text_if).filter(|text| !text.is_empty());
        let delta = match &*kind {
            "text_delta" => words().map(Delta::Text),
            "thinking_delta" => words().map(Delta::Thought),
            "signature_delta" => words().map(|data| Delta::Opaque(block::own(OpaqueKind::Signature, data))),
            "input_json_delta" => {
                let args = words();
                if args.is_some() {
                    open.args.clear();
                }
                args.map(Delta::Args)
            }
            "citations_delta" => citation.map(|raw| Delta::Citation(Box::new(block::citation(raw)))),
            _ => None,
        };
        events.extend(delta.map(|delta| Event::Delta { part, delta }));
    }

    fn stop_block(&mut self, index: u64, events: &mut Vec<Event>) {
        if let Some(at) = self.open.iter().position(|open| open.index == index) {
            let open = self.open.remove(at);
            stop(open, events);
        }
    }

    fn finish(&mut self, own: &Members<'_>, events: &mut Vec<Event>) {
        let delta = own.delta.unwrap_or("{}");
        if let Some(usage) = own.usage {
            self.usage(usage, events);
        }
        let mut reason = None;
        let _ = members::each(delta, |key, value| match key {
            "stop_reason" => reason = read::text_if(value),
            "stop_sequence" => {}
            _ => self.aside.add("", key, value),
        });
        let Some(reason) = reason.filter(|_| !self.finished) else {
            return;
        };
        self.finished = true;
        self.open.drain(..).for_each(|open| stop(open, events));
        let stop = stop_of(&reason, read::member_text(delta, "stop_sequence"));
        events.push(Event::Finish { choice: 0, stop, native: Some(reason) });
    }
}

fn stop(open: Open, events: &mut Vec<Event>) {
    let part = open.part;
    if !open.args.is_empty() {
        events.push(Event::Delta { part, delta: Delta::Args(open.args) });
    }
    events.push(Event::PartStop { part });
}

fn is_hidden(thoughts: &crate::neutral::Reasoning) -> bool {
    thoughts.opaque.iter().any(|opaque| opaque.kind == OpaqueKind::Redacted)
}
