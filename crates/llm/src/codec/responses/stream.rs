//! Reads a stream: events about items by their number, and about the parts of items. Their names are not
//! looked at, the type within the data counts; what only comes whole at the end is read there.

use std::collections::BTreeMap;

use super::item::{self, Item};
use super::reply::{settled, usage};
use super::{OWN, stop_of};
use crate::codec::Source;
use crate::codec::aside::Aside;
use crate::codec::likely;
use crate::codec::read;
use crate::codec::sse::EventReader;
use crate::dialect::with_status;
use crate::failure::UpstreamFailure;
use crate::members;
use crate::neutral::{Block, Delta, Event, Part, PartKind, Stop};
use crate::provider::Quirks;

/// The place of a part: its item, and within a message its number.
type Place = (u32, u32);

/// Reads event after event.
pub(super) struct Reader {
    quirks: Quirks,
    started: bool,
    next: u32,
    open: BTreeMap<Place, Open>,
    /// Items that are read to their end.
    done: Vec<u32>,
    /// Parts of messages that are.
    ended: Vec<Place>,
    /// The kinds of parts that have come: what the reason to stop depends on.
    called: bool,
    refused: bool,
    aside: Aside,
}

/// A part that has begun.
struct Open {
    part: u32,
    /// Whether anything of it has come.
    filled: bool,
}

/// The members of an event that matter, as raw values.
#[derive(Default)]
struct Parts<'a> {
    kind: &'a str,
    item: Option<&'a str>,
    part: Option<&'a str>,
    delta: Option<&'a str>,
    /// Arguments, all at once.
    whole: Option<&'a str>,
    annotation: Option<&'a str>,
    logprobs: Option<&'a str>,
    response: Option<&'a str>,
    error: Option<&'a str>,
    output: u32,
    content: u32,
    summary: u32,
}

impl Reader {
    pub(super) fn new(source: &Source<'_>) -> Self {
        Self {
            quirks: *source.quirks,
            started: false,
            next: 0,
            open: BTreeMap::new(),
            done: Vec::new(),
            ended: Vec::new(),
            called: false,
            refused: false,
            aside: Aside::new(OWN),
        }
    }

    fn start(&mut self, response: &str, events: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.started, true) {
            let text = |name| read::member_text(response, name).unwrap_or_default();
            events.push(Event::Start { id: text("id"), model: text("model") });
        }
    }

    /// The part at `place`, begun as `kind` if it has not begun.
    fn part(&mut self, place: Place, kind: impl FnOnce() -> PartKind, events: &mut Vec<Event>) -> &mut Open {
        let Self { next, open, called, refused, .. } = self;
        open.entry(place).or_insert_with(|| {
            let part = *next;
            *next += 1;
            let kind = kind();
            *called |= matches!(kind, PartKind::ToolCall(_));
            *refused |= kind == PartKind::Refusal;
            events.push(Event::PartStart { part, choice: 0, kind });
            Open { part, filled: false }
        })
    }

    fn delta(
        &mut self,
        place: Place,
        kind: impl FnOnce() -> PartKind,
        delta: Delta,
        events: &mut Vec<Event>,
    ) {
        let open = self.part(place, kind, events);
        open.filled = true;
        let part = open.part;
        events.push(Event::Delta { part, delta });
    }

    fn close(&mut self, place: Place, events: &mut Vec<Event>) {
        if let Some(open) = self.open.remove(&place) {
            events.push(Event::PartStop { part: open.part });
        }
    }

    fn item_added(&mut self, output: u32, raw: &str, events: &mut Vec<Event>) {
        let Item::Said(Part { block, .. }) = item::read(raw) else {
            return;
        };
        match block {
            Block::ToolCall(mut call) => {
                let args = std::mem::take(&mut call.args);
                self.part((output, 0), || PartKind::ToolCall(call), events);
                if !args.is_empty() && args != "{}" {
                    self.delta((output, 0), || PartKind::Text, Delta::Args(args), events);
                }
            }
            Block::Reasoning(_) => {
                self.part((output, 0), || PartKind::Reasoning, events);
            }
            _ => {}
        }
    }

    /// An item is whole: what has not come of it before comes now.
    fn item_done(&mut self, output: u32, raw: &str, events: &mut Vec<Event>) {
        if self.done.contains(&output) {
            return;
        }
        self.done.push(output);
        match item::read(raw) {
            Item::Message(_, parts) => {
                for (content, part) in (0..).zip(parts) {
                    self.whole_part((output, content), part, events);
                }
            }
            Item::Said(part) => self.whole_item(output, part, events),
            Item::Result(part) => self.whole_item(output, part, events),
            Item::Tools(_) | Item::Reasoning(_) | Item::Reference => {}
        }
        let places: Vec<Place> =
            self.open.range((output, 0)..=(output, u32::MAX)).map(|(at, _)| *at).collect();
        places.into_iter().for_each(|place| self.close(place, events));
    }

    /// A part of a message, whole; most of them have come by deltas.
    fn whole_part(&mut self, place: Place, part: Part, events: &mut Vec<Event>) {
        if self.ended.contains(&place) {
            return;
        }
        self.ended.push(place);
        let filled = self.open.get(&place).is_some_and(|open| open.filled);
        match part.block {
            _ if filled => {}
            Block::Text(text) if text.text.is_empty() => {}
            Block::Text(text) => {
                self.delta(place, || PartKind::Text, Delta::Text(text.text.into_string()), events);
                for citation in text.citations {
                    self.delta(place, || PartKind::Text, Delta::Citation(Box::new(citation)), events);
                }
            }
            Block::Refusal(text) => {
                self.delta(place, || PartKind::Refusal, Delta::Refusal(text), events);
            }
            _ => {}
        }
        self.close(place, events);
    }

    fn whole_item(&mut self, output: u32, part: Part, events: &mut Vec<Event>) {
        let place = (output, 0);
        let filled = self.open.get(&place).is_some_and(|open| open.filled);
        match part.block {
            Block::ToolCall(mut call) => {
                let args = std::mem::take(&mut call.args);
                let open = self.part(place, || PartKind::ToolCall(call), events);
                if !filled && !args.is_empty() {
                    let part = open.part;
                    events.push(Event::Delta { part, delta: Delta::Args(args) });
                }
            }
            Block::Reasoning(thoughts) => {
                let kind = || PartKind::Reasoning;
                if !filled {
                    for (number, text) in (0..).zip(thoughts.summary) {
                        self.delta(place, kind, Delta::Summary(number, text), events);
                    }
                    if !thoughts.text.is_empty() {
                        self.delta(place, kind, Delta::Thought(thoughts.text), events);
                    }
                }
                for opaque in thoughts.opaque {
                    self.delta(place, kind, Delta::Opaque(opaque), events);
                }
            }
            block => {
                let whole = Part { block, cache: None, ext: part.ext };
                self.part(place, || PartKind::Whole(Box::new(whole)), events);
            }
        }
    }

    fn end(&mut self, parts: &Parts<'_>, events: &mut Vec<Event>) {
        let response = parts.response.unwrap_or("{}");
        self.start(response, events);
        let _ = members::each(response, |key, value| match key {
            "id" | "object" | "created_at" | "status" | "error" | "incomplete_details" | "model"
            | "output" | "usage" | "service_tier" => {}
            _ => self.aside.add("", key, value),
        });
        self.aside.tell(events);
        // Some say nothing of an item before the end.
        for (output, raw) in (0..).zip(members::elements(read::member(response, "output").unwrap_or("[]"))) {
            self.item_done(output, raw, events);
        }
        let reason = read::member(response, "incomplete_details")
            .and_then(|details| read::member_text(details, "reason"));
        let source = Source { quirks: &self.quirks, choices: 1 };
        if let Some(used) = read::member(response, "usage").and_then(|raw| usage(raw, &source)) {
            events.push(Event::Usage(used));
        }
        if let Some(tier) = read::member_text(response, "service_tier") {
            events.push(Event::Tier(tier));
        }
        let stop = match settled(reason.as_deref().map_or(Stop::End, stop_of), &[]) {
            Stop::End if self.called => Stop::ToolUse,
            Stop::End if self.refused => Stop::Refusal,
            other => other,
        };
        events.push(Event::Finish { choice: 0, stop, native: reason });
        events.push(Event::End);
    }

    fn known(&mut self, parts: &Parts<'_>, events: &mut Vec<Event>) {
        let item = (parts.output, 0);
        let part = (parts.output, parts.content);
        let delta = || parts.delta.and_then(read::text_if).unwrap_or_default();
        match parts.kind {
            "response.created" | "response.in_progress" | "response.queued" => {
                self.start(parts.response.unwrap_or("{}"), events);
            }
            "response.output_item.added" => {
                self.item_added(parts.output, parts.item.unwrap_or("{}"), events);
            }
            "response.output_item.done" => self.item_done(parts.output, parts.item.unwrap_or("{}"), events),
            "response.output_text.delta" => {
                self.delta(part, || PartKind::Text, Delta::Text(delta()), events);
                if let Some(entries) = parts.logprobs.and_then(likely::list) {
                    self.delta(part, || PartKind::Text, Delta::Logprobs(entries), events);
                }
            }
            "response.refusal.delta" => {
                self.delta(part, || PartKind::Refusal, Delta::Refusal(delta()), events);
            }
            "response.output_text.annotation.added" => {
                let citation = Box::new(item::citation(parts.annotation.unwrap_or("{}")));
                self.delta(part, || PartKind::Text, Delta::Citation(citation), events);
            }
            "response.content_part.done" => {
                if let Some(raw) = parts.part {
                    let whole = item::content(&format!("[{raw}]")).into_iter().next();
                    if let Some(whole) = whole {
                        self.whole_part(part, whole, events);
                    }
                }
            }
            "response.reasoning_text.delta" => {
                self.delta(item, || PartKind::Reasoning, Delta::Thought(delta()), events);
            }
            "response.reasoning_summary_text.delta" => {
                let summary = Delta::Summary(parts.summary, delta());
                self.delta(item, || PartKind::Reasoning, summary, events);
            }
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                let called = self.open.contains_key(&item);
                if called {
                    self.delta(item, || PartKind::Text, Delta::Args(delta()), events);
                }
            }
            // Some say nothing of the arguments before.
            "response.function_call_arguments.done" | "response.custom_tool_call_input.done" => {
                let is_empty = self.open.get(&item).is_some_and(|open| !open.filled);
                if let Some(args) =
                    parts.whole.and_then(read::text_if).filter(|args| is_empty && !args.is_empty())
                {
                    self.delta(item, || PartKind::Text, Delta::Args(args), events);
                }
            }
            _ => {}
        }
    }
}

impl EventReader for Reader {
    fn event(&mut self, name: &[u8], data: &str, events: &mut Vec<Event>) {
        let mut parts = Parts::default();
        let number = |value: &str| value.parse().unwrap_or(0);
        let mut kind = None;
        let read = members::each(data, |key, value| match key {
            "type" => kind = members::string(value),
            "item" => parts.item = Some(value),
            "part" => parts.part = Some(value),
            "delta" => parts.delta = Some(value),
            "arguments" | "input" => parts.whole = Some(value),
            "annotation" => parts.annotation = Some(value),
            "logprobs" => parts.logprobs = Some(value),
            "response" => parts.response = Some(value),
            "error" => parts.error = Some(value),
            "output_index" => parts.output = number(value),
            "content_index" => parts.content = number(value),
            "summary_index" => parts.summary = number(value),
            _ => {}
        });
        if read.is_err() {
            return;
        }
        let kind = kind.unwrap_or_else(|| String::from_utf8_lossy(name));
        parts.kind = &kind;
        let error = parts.error.filter(|error| members::is_said(error));
        match &*kind {
            "response.completed" | "response.incomplete" => self.end(&parts, events),
            "response.failed" => {
                let failure = UpstreamFailure::of_error(parts.response.unwrap_or(data));
                events.push(Event::Error(with_status(failure)));
            }
            _ if kind == "error" || error.is_some() => {
                let failure = UpstreamFailure::of_error(error.unwrap_or(data));
                events.push(Event::Error(with_status(failure)));
            }
            _ => {
                if !kind.starts_with("response.") {
                    return;
                }
                self.known(&parts, events);
            }
        }
    }
}
