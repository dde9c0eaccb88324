//! Reads a stream: whole answers one after the other, of which each adds something. Nothing but the reasons
//! to finish says that it is whole, so the end of the body ends it.

use std::collections::BTreeMap;

use super::pieces::Pieces;
use super::reply::{citations, span, usage};
use super::{OWN, content, each, member, member_text, plain, stop_of};
use crate::codec::aside::Aside;
use crate::codec::sse::EventReader;
use crate::codec::{Source, ids, likely, read};
use crate::failure::UpstreamFailure;
use crate::members;
use crate::neutral::{Block, Delta, Event, Ext, Part, PartKind, Stop, ToolCall};
use crate::provider::Quirks;

/// Reads chunk after chunk.
pub(super) struct Reader {
    quirks: Quirks,
    choices: u32,
    started: bool,
    reply: String,
    next: u32,
    calls: usize,
    candidates: BTreeMap<u32, Candidate>,
    blocked: bool,
    aside: Aside,
}

/// The members of a chunk, as raw values.
#[derive(Default)]
struct Chunk<'a> {
    id: Option<&'a str>,
    model: Option<&'a str>,
    candidates: Option<&'a str>,
    feedback: Option<&'a str>,
    usage: Option<&'a str>,
    error: Option<&'a str>,
}

/// The members of one candidate, as raw values.
#[derive(Default)]
struct Members<'a> {
    index: Option<u32>,
    content: Option<&'a str>,
    grounding: Option<&'a str>,
    cited: Option<&'a str>,
    logprobs: Option<&'a str>,
    reason: Option<String>,
}

/// What has come of one candidate.
#[derive(Default)]
struct Candidate {
    open: Option<(u32, Kind)>,
    text: String,
    /// A call whose arguments come in pieces.
    pending: Option<(u32, Pieces)>,
    called: bool,
    finished: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thought,
}

impl Reader {
    pub(super) fn new(source: &Source<'_>) -> Self {
        Self {
            quirks: *source.quirks,
            choices: source.choices,
            started: false,
            reply: String::new(),
            next: 0,
            calls: 0,
            candidates: BTreeMap::new(),
            blocked: false,
            aside: Aside::new(OWN),
        }
    }

    fn start(&mut self, chunk: &Chunk<'_>, events: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.started, true) {
            self.reply = chunk.id.and_then(read::text_if).unwrap_or_default();
            let model = chunk.model.and_then(read::text_if).unwrap_or_default();
            events.push(Event::Start { id: self.reply.clone(), model });
        }
    }

    fn chunk<'a>(&mut self, data: &'a str) -> Chunk<'a> {
        let mut chunk = Chunk::default();
        let _ = each(data, |key, name, value| match key {
            "responseid" => chunk.id = Some(value),
            "modelversion" => chunk.model = Some(value),
            "candidates" => chunk.candidates = Some(value),
            "promptfeedback" => {
                chunk.feedback = Some(value);
                self.aside.add("", name, value);
            }
            "usagemetadata" => chunk.usage = Some(value),
            "error" if members::is_said(value) => chunk.error = Some(value),
            _ => self.aside.add("", name, value),
        });
        chunk
    }

    fn members<'a>(&mut self, raw: &'a str) -> Members<'a> {
        let mut of = Members::default();
        let _ = each(raw, |key, name, value| match key {
            "index" => of.index = value.parse().ok(),
            "content" => of.content = Some(value),
            "finishreason" => of.reason = read::text_if(value),
            "logprobsresult" => of.logprobs = Some(value),
            "groundingmetadata" => {
                of.grounding = Some(value);
                self.aside.add("candidates", name, value);
            }
            "citationmetadata" => of.cited = Some(value),
            _ => self.aside.add("candidates", name, value),
        });
        of
    }

    fn candidate(&mut self, place: u32, raw: &str, events: &mut Vec<Event>) {
        let of = self.members(raw);
        let choice = of.index.unwrap_or(place);
        let mut seen = self.candidates.remove(&choice).unwrap_or_default();
        // As in every other dialect: behind its end nothing belongs to an answer.
        if seen.finished {
            self.candidates.insert(choice, seen);
            return;
        }
        let parts = of.content.and_then(|content| member(content, "parts")).unwrap_or("[]");
        for part in content::parts(parts) {
            self.part(choice, &mut seen, part, events);
        }
        for raw in [of.grounding, of.cited].into_iter().flatten() {
            self.cite(choice, &mut seen, raw, events);
        }
        let entries = of.logprobs.and_then(likely::of_gemini);
        if let (Some(entries), Some((part, Kind::Text))) = (entries, seen.open) {
            events.push(Event::Delta { part, delta: Delta::Logprobs(entries) });
        }
        if let Some(native) = of.reason {
            close(&mut seen, events);
            seen.finished = true;
            let stop = match stop_of(&native) {
                Stop::End if seen.called => Stop::ToolUse,
                other => other,
            };
            events.push(Event::Finish { choice, stop, native: Some(native) });
        }
        self.candidates.insert(choice, seen);
    }

    fn part(&mut self, choice: u32, seen: &mut Candidate, part: Part, events: &mut Vec<Event>) {
        match part.block {
            Block::Text(text) => {
                let open = self.open(choice, seen, Kind::Text, events);
                seen.text.push_str(&text.text);
                events.push(Event::Delta { part: open, delta: Delta::Text(text.text.into_string()) });
            }
            Block::Reasoning(thoughts) if thoughts.text.is_empty() => {
                // A seal behind thoughts is theirs; behind words nobody needs it.
                if let Some((open, Kind::Thought)) = seen.open {
                    for opaque in thoughts.opaque {
                        events.push(Event::Delta { part: open, delta: Delta::Opaque(opaque) });
                    }
                }
            }
            Block::Reasoning(thoughts) => {
                let open = self.open(choice, seen, Kind::Thought, events);
                events.push(Event::Delta { part: open, delta: Delta::Thought(thoughts.text) });
                for opaque in thoughts.opaque {
                    events.push(Event::Delta { part: open, delta: Delta::Opaque(opaque) });
                }
            }
            Block::ToolCall(call) => self.call(choice, seen, (call, &part.ext), events),
            _ => {
                close(seen, events);
                let part = self.begin(choice, PartKind::Whole(Box::new(part)), events);
                events.push(Event::PartStop { part });
            }
        }
    }

    /// A call comes whole, or its name first and its arguments in pieces, each in a call without a name.
    fn call(
        &mut self,
        choice: u32,
        seen: &mut Candidate,
        (mut call, ext): (ToolCall, &Ext),
        events: &mut Vec<Event>,
    ) {
        let continued = call.name.is_empty();
        if !continued {
            close(seen, events);
            seen.called = true;
            if call.id.is_empty() {
                call.id = ids::missing_in_reply(&self.reply, self.calls);
            }
            self.calls += 1;
            let args = std::mem::take(&mut call.args);
            let part = self.begin(choice, PartKind::ToolCall(call), events);
            if !args.is_empty() {
                events.push(Event::Delta { part, delta: Delta::Args(args) });
                events.push(Event::PartStop { part });
                return;
            }
            seen.pending = Some((part, Pieces::default()));
        }
        let Some((_, pieces)) = &mut seen.pending else { return };
        let mut goes_on = false;
        for (name, value) in ext.fields_of(OWN) {
            match &*plain(name) {
                "functioncall.partialargs" => pieces.add(value.text()),
                "functioncall.willcontinue" => goes_on = value.text() == "true",
                _ => {}
            }
        }
        if !goes_on {
            end_call(seen, events);
        }
    }

    fn begin(&mut self, choice: u32, kind: PartKind, events: &mut Vec<Event>) -> u32 {
        let part = self.next;
        self.next += 1;
        events.push(Event::PartStart { part, choice, kind });
        part
    }

    /// The open part of this kind, begun if there is none.
    fn open(&mut self, choice: u32, seen: &mut Candidate, kind: Kind, events: &mut Vec<Event>) -> u32 {
        if let Some((part, open)) = seen.open
            && open == kind
        {
            return part;
        }
        close(seen, events);
        let begun = if kind == Kind::Text { PartKind::Text } else { PartKind::Reasoning };
        let part = self.begin(choice, begun, events);
        seen.open = Some((part, kind));
        if kind == Kind::Text {
            seen.text.clear();
        }
        part
    }

    /// What the answer rests on comes in the end; it is told of the text that is open.
    fn cite(&mut self, choice: u32, seen: &mut Candidate, raw: &str, events: &mut Vec<Event>) {
        let found = citations(raw);
        if found.is_empty() {
            return;
        }
        let part = self.open(choice, seen, Kind::Text, events);
        for (mut citation, bytes) in found {
            citation.span = span(&seen.text, bytes);
            events.push(Event::Delta { part, delta: Delta::Citation(Box::new(citation)) });
        }
    }

    fn is_whole(&self) -> bool {
        let wanted = usize::try_from(self.choices.max(1)).unwrap_or(usize::MAX);
        let finished = self.candidates.values().filter(|seen| seen.finished).count();
        self.blocked || finished >= wanted && finished == self.candidates.len()
    }
}

/// Ends a call whose arguments came in pieces.
fn end_call(seen: &mut Candidate, events: &mut Vec<Event>) {
    if let Some((part, pieces)) = seen.pending.take() {
        events.push(Event::Delta { part, delta: Delta::Args(pieces.into_json()) });
        events.push(Event::PartStop { part });
    }
}

fn close(seen: &mut Candidate, events: &mut Vec<Event>) {
    end_call(seen, events);
    if let Some((part, _)) = seen.open.take() {
        events.push(Event::PartStop { part });
    }
}

impl EventReader for Reader {
    fn event(&mut self, _name: &[u8], data: &str, events: &mut Vec<Event>) {
        let chunk = self.chunk(data);
        if let Some(error) = chunk.error {
            events.push(Event::Error(UpstreamFailure::of_error(error)));
            return;
        }
        self.start(&chunk, events);
        for (place, raw) in (0..).zip(members::elements(chunk.candidates.unwrap_or("[]"))) {
            self.candidate(place, raw, events);
        }
        self.aside.tell(events);
        let blocked = chunk.feedback.and_then(|raw| member_text(raw, "blockreason"));
        if let Some(native) = blocked.filter(|_| self.candidates.is_empty() && !self.blocked) {
            self.blocked = true;
            events.push(Event::Finish { choice: 0, stop: Stop::Filter, native: Some(native) });
        }
        let source = Source { quirks: &self.quirks, choices: self.choices };
        if let Some(used) = chunk.usage.and_then(|raw| usage(raw, &source)) {
            events.push(Event::Usage(used));
        }
    }

    fn finish(&mut self, events: &mut Vec<Event>) {
        if self.is_whole() {
            events.push(Event::End);
        }
    }
}
