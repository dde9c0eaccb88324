//! Reads a stream, with the deviations of compatible vendors (dialects reference §1.7).

mod chunk;
mod delta;

use chunk::Chunk;
use delta::Said;

use super::inline::{Inline, Told};
use super::{BROKEN_OFF, OWN, message, reasoning, stop_of, tools};
use crate::codec::aside::Aside;
use crate::codec::balance::Balance;
use crate::codec::sse::EventReader;
use crate::codec::{Source, ids, likely, read};
use crate::dialect::broken_off;
use crate::failure::UpstreamFailure;
use crate::members;
use crate::neutral::{
    Block, Citation, Delta, Event, Opaque, OpaqueKind, Part, PartKind, Reasoning, Stop, ToolCall,
};
use crate::usage::{Conventions, Counts};

/// Choices beyond this number are not followed; providers allow at most 128.
const CHOICE_LIMIT: usize = 128;

/// Reads chunk after chunk.
pub(super) struct Reader {
    conventions: Conventions,
    ends_without_done: bool,
    thinks_in_text: bool,
    wanted: usize,
    started: bool,
    id: String,
    tier: Option<String>,
    counts: Counts,
    parts: u32,
    calls: usize,
    choices: Vec<Choice>,
    /// The pages that the whole answer rests on.
    sources: Vec<Citation>,
    aside: Aside,
}

/// What is open of one choice.
#[derive(Default)]
struct Choice {
    /// The text, the thoughts or the refusal that is being written: at most one of them.
    open: Option<(Kind, u32)>,
    calls: Vec<Call>,
    refused: bool,
    cited: bool,
    finished: bool,
    /// The index of the thoughts that the last entry of `reasoning_details` belonged to.
    thoughts: Option<u64>,
    /// The thoughts in the text.
    inline: Inline,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thoughts,
    Refusal,
}

/// A call of a tool that is being written.
struct Call {
    index: Option<i64>,
    id: String,
    part: u32,
    args: Balance,
    whole: bool,
}

impl Reader {
    pub(super) fn new(source: &Source<'_>) -> Self {
        Self {
            conventions: source.conventions(OWN),
            ends_without_done: source.quirks.ends_without_done,
            thinks_in_text: source.quirks.thinks_in_text,
            wanted: usize::try_from(source.choices).unwrap_or(CHOICE_LIMIT).clamp(1, CHOICE_LIMIT),
            started: false,
            id: String::new(),
            tier: None,
            counts: Counts::default(),
            parts: 0,
            calls: 0,
            choices: Vec::new(),
            sources: Vec::new(),
            aside: Aside::new(OWN),
        }
    }
}

impl EventReader for Reader {
    fn event(&mut self, name: &[u8], data: &str, events: &mut Vec<Event>) {
        if data.trim_ascii() == "[DONE]" {
            self.finish_all(events);
            return events.push(Event::End);
        }
        let mut chunk = Chunk::default();
        let read = members::each(data, |key, value| {
            if !chunk.read(key, value) {
                self.aside.add("", key, value);
            }
        });
        if name == b"error" && chunk.failure.is_none() {
            chunk.failure = Some(UpstreamFailure::of_error(data));
        }
        if chunk.object == Some("\"error\"") {
            chunk.failure = Some(UpstreamFailure::of_error(data));
        }
        if read.is_err() && chunk.failure.is_none() {
            return;
        }
        self.chunk(&chunk, events);
        if self.started {
            self.aside.tell(events);
        }
        if let Some(failure) = chunk.failure {
            events.push(Event::Error(failure));
        }
    }

    fn finish(&mut self, events: &mut Vec<Event>) {
        let whole = self.choices.len() >= self.wanted && self.choices.iter().all(|choice| choice.finished);
        if self.ends_without_done && whole {
            events.push(Event::End);
        }
    }
}

impl Reader {
    fn chunk(&mut self, chunk: &Chunk<'_>, events: &mut Vec<Event>) {
        // Azure begins with a chunk that has neither a name nor a choice.
        let said = |raw: Option<&str>| raw.is_some_and(members::is_said);
        if !self.started && (said(chunk.choices) || said(chunk.id)) {
            self.started = true;
            self.id = chunk.id.map(read::text).unwrap_or_default();
            let model = chunk.model.map(read::text).unwrap_or_default();
            events.push(Event::Start { id: self.id.clone(), model });
        }
        if let Some(tier) = chunk.tier.and_then(read::text_if).filter(|tier| self.tier.as_ref() != Some(tier))
        {
            self.tier = Some(tier.clone());
            events.push(Event::Tier(tier));
        }
        if let Some(sources) = chunk.sources.citations() {
            self.sources = sources;
        }
        for (place, raw) in members::elements(chunk.choices.unwrap_or("[]")).into_iter().enumerate() {
            self.choice(place, raw, events);
        }
        if let Some(raw) = chunk.usage {
            self.usage(raw, events);
        }
    }

    fn usage(&mut self, raw: &str, events: &mut Vec<Event>) {
        self.counts.read(raw);
        events.extend(read::used(&self.counts, self.conventions, OWN, raw).map(Event::Usage));
    }

    fn choice(&mut self, place: usize, raw: &str, events: &mut Vec<Event>) {
        let (mut index, mut delta, mut reason, mut usage, mut failed) = (place, None, None, None, None);
        let mut logprobs = None;
        let _ = members::each(raw, |key, value| match key {
            "index" => index = value.parse().unwrap_or(place),
            // Some vendors send the whole message in the end.
            "delta" => delta = Some(value),
            "finish_reason" => reason = read::text_if(value).filter(|reason| !reason.is_empty()),
            "usage" if value.starts_with('{') => usage = Some(value),
            "error" if members::is_said(value) => failed = Some(UpstreamFailure::of_error(value)),
            "logprobs" if value.starts_with('{') => {
                logprobs = read::member(value, "content").and_then(likely::list);
            }
            _ => self.aside.add("choices", key, value),
        });
        if index >= CHOICE_LIMIT {
            return;
        }
        if self.choices.len() <= index {
            self.choices.resize_with(index + 1, Choice::default);
        }
        if self.choices[index].finished {
            return;
        }
        if let Some(delta) = delta {
            self.delta(index, delta, events);
        }
        if let (Some(entries), Some((Kind::Text, part))) = (logprobs, self.choices[index].open) {
            events.push(Event::Delta { part, delta: Delta::Logprobs(entries) });
        }
        if let Some(raw) = usage {
            self.usage(raw, events);
        }
        if let Some(failed) = failed {
            return events.push(Event::Error(failed));
        }
        if reason.as_deref() == Some(BROKEN_OFF) {
            return events.push(Event::Error(broken_off()));
        }
        if let Some(reason) = reason {
            self.finish_choice(index, Some(reason), events);
        }
    }

    fn delta(&mut self, choice: usize, raw: &str, events: &mut Vec<Event>) {
        let mut said = Said::default();
        let _ = members::each(raw, |key, value| {
            if !said.read(key, value) {
                self.aside.add("choices.delta", key, value);
            }
        });
        // The list says all that the text says, seals included.
        match said.details.map(members::elements).filter(|entries| !entries.is_empty()) {
            Some(entries) => {
                let listed = entries.iter().any(|entry| {
                    let (_, one) = reasoning::detail(entry);
                    !one.text.is_empty() || !one.summary.is_empty()
                });
                if !listed {
                    self.words(choice, Kind::Thoughts, said.thoughts, events);
                }
                entries.into_iter().for_each(|entry| self.detail(choice, entry, events));
            }
            None => self.words(choice, Kind::Thoughts, said.thoughts, events),
        }
        match said.content.map(|raw| (raw, read::text_if(raw))) {
            Some((_, Some(text))) if self.thinks_in_text => {
                let told = self.choices[choice].inline.push(text);
                self.inline(choice, told, events);
            }
            Some((_, Some(text))) => self.words(choice, Kind::Text, Some(text), events),
            Some((raw, None)) => self.content_parts(choice, raw, events),
            None => {}
        }
        if let Some(raw) = said.annotations {
            self.annotations(choice, raw, events);
        }
        self.words(choice, Kind::Refusal, said.refusal, events);
        for raw in members::elements(said.calls.unwrap_or("[]")) {
            self.call(choice, raw, events);
        }
        if let Some(raw) = said.older_call.filter(|raw| !tools::is_blank_call(raw)) {
            self.call(choice, &format!(r#"{{"index":0,"function":{raw}}}"#), events);
        }
    }

    fn inline(&mut self, choice: usize, told: Told, events: &mut Vec<Event>) {
        self.words(choice, Kind::Thoughts, Some(told.thoughts), events);
        self.words(choice, Kind::Text, Some(told.text), events);
    }

    /// Mistral's content: parts, of which some are thoughts.
    fn content_parts(&mut self, choice: usize, raw: &str, events: &mut Vec<Event>) {
        for part in message::parts_of(raw) {
            match part.block {
                Block::Text(text) => self.words(choice, Kind::Text, Some(text.text.into_string()), events),
                Block::Reasoning(thoughts) => {
                    self.words(choice, Kind::Thoughts, Some(thoughts.text), events);
                }
                _ => self.whole(choice, part, events),
            }
        }
    }

    fn words(&mut self, choice: usize, kind: Kind, words: Option<String>, events: &mut Vec<Event>) {
        let Some(words) = words.filter(|words| !words.is_empty()) else {
            return;
        };
        self.choices[choice].refused |= kind == Kind::Refusal;
        let part = self.opened(choice, kind, events);
        let delta = match kind {
            Kind::Text => Delta::Text(words),
            Kind::Thoughts => Delta::Thought(words),
            Kind::Refusal => Delta::Refusal(words),
        };
        events.push(Event::Delta { part, delta });
    }

    /// The part of this kind that is open; whatever else is open is closed.
    fn opened(&mut self, choice: usize, kind: Kind, events: &mut Vec<Event>) -> u32 {
        if let Some((open, part)) = self.choices[choice].open
            && open == kind
        {
            return part;
        }
        self.close_words(choice, events);
        self.close_whole_calls(choice, events);
        let start = match kind {
            Kind::Text => PartKind::Text,
            Kind::Thoughts => PartKind::Reasoning,
            Kind::Refusal => PartKind::Refusal,
        };
        let part = self.start(choice, start, events);
        self.choices[choice].open = Some((kind, part));
        part
    }

    fn start(&mut self, choice: usize, kind: PartKind, events: &mut Vec<Event>) -> u32 {
        let part = self.parts;
        self.parts += 1;
        let choice = u32::try_from(choice).unwrap_or(u32::MAX);
        events.push(Event::PartStart { part, choice, kind });
        part
    }

    fn whole(&mut self, choice: usize, part: Part, events: &mut Vec<Event>) {
        self.close_words(choice, events);
        let part = self.start(choice, PartKind::Whole(Box::new(part)), events);
        events.push(Event::PartStop { part });
    }

    fn close_words(&mut self, choice: usize, events: &mut Vec<Event>) {
        if let Some((_, part)) = self.choices[choice].open.take() {
            events.push(Event::PartStop { part });
        }
        self.choices[choice].thoughts = None;
    }

    /// Closes the calls whose arguments are whole; the others may go on between others.
    fn close_whole_calls(&mut self, choice: usize, events: &mut Vec<Event>) {
        for call in &mut self.choices[choice].calls {
            if !call.whole && call.args.is_whole() {
                call.whole = true;
                events.push(Event::PartStop { part: call.part });
            }
        }
    }

    /// An entry of `reasoning_details`.
    fn detail(&mut self, choice: usize, raw: &str, events: &mut Vec<Event>) {
        let (index, one) = reasoning::detail(raw);
        let hidden = |opaque: &Opaque| {
            matches!(opaque.kind, OpaqueKind::Redacted | OpaqueKind::Details | OpaqueKind::Encrypted)
        };
        let alone = one.text.is_empty() && one.summary.is_empty() && one.opaque.iter().any(hidden);
        let open = matches!(self.choices[choice].open, Some((Kind::Thoughts, _)));
        let same = open && (index.is_none() || self.choices[choice].thoughts == index);
        if alone && !(same && one.opaque.iter().all(|opaque| opaque.kind == OpaqueKind::Encrypted)) {
            return self.whole(choice, Block::Reasoning(one).into(), events);
        }
        if open && !same && self.choices[choice].thoughts.is_some() {
            self.close_words(choice, events);
        }
        let Reasoning { text, summary, opaque, .. } = one;
        let part = self.opened(choice, Kind::Thoughts, events);
        self.choices[choice].thoughts = index;
        if !text.is_empty() {
            events.push(Event::Delta { part, delta: Delta::Thought(text) });
        }
        for summary in summary {
            events.push(Event::Delta { part, delta: Delta::Summary(0, summary) });
        }
        events.extend(opaque.into_iter().map(|one| Event::Delta { part, delta: Delta::Opaque(one) }));
    }

    fn annotations(&mut self, choice: usize, raw: &str, events: &mut Vec<Event>) {
        self.cite(choice, members::elements(raw).into_iter().map(message::citation).collect(), events);
    }

    fn cite(&mut self, choice: usize, citations: Vec<Citation>, events: &mut Vec<Event>) {
        if citations.is_empty() {
            return;
        }
        let part = self.opened(choice, Kind::Text, events);
        self.choices[choice].cited = true;
        let delta = |citation| Event::Delta { part, delta: Delta::Citation(Box::new(citation)) };
        events.extend(citations.into_iter().map(delta));
    }

    fn call(&mut self, choice: usize, raw: &str, events: &mut Vec<Event>) {
        let (mut call, mut index) = (ToolCall::default(), None);
        let _ = members::each(raw, |key, value| match key {
            "index" => index = value.parse::<i64>().ok().filter(|index| *index >= 0),
            "id" => call.id = read::text(value),
            "function" => tools::called(&mut call, value),
            "custom" => tools::custom(&mut call, value),
            "extra_content" => call.opaque.extend(tools::google_seal(value)),
            _ => {}
        });
        let told = self.choices[choice].inline.finish();
        self.inline(choice, told, events);
        self.close_words(choice, events);
        let at = match self.known_call(choice, index, &call) {
            Some(at) => at,
            None => self.new_call(choice, index, &mut call, events),
        };
        let known = &mut self.choices[choice].calls[at];
        if known.whole {
            return;
        }
        let part = known.part;
        if !call.args.is_empty() {
            known.args.push(&call.args);
            events.push(Event::Delta { part, delta: Delta::Args(call.args) });
        }
        events.extend(call.opaque.into_iter().map(|one| Event::Delta { part, delta: Delta::Opaque(one) }));
    }

    /// The call that a piece belongs to. Most vendors number them; where they do not, the id tells, and
    /// a piece without either continues the last. Some give every call the number 0 and an id of its own, or
    /// none (Google): behind whole arguments a name with more of them begins another call.
    fn known_call(&self, choice: usize, index: Option<i64>, call: &ToolCall) -> Option<usize> {
        let calls = &self.choices[choice].calls;
        let found = match index {
            Some(_) => calls.iter().rposition(|known| known.index == index),
            None if !call.id.is_empty() => calls.iter().rposition(|known| known.id == call.id),
            None if !call.name.is_empty() => None,
            None => calls.len().checked_sub(1),
        }?;
        let other_id = !call.id.is_empty() && calls[found].id != call.id;
        let begins_again = call.id.is_empty() && calls[found].args.is_whole() && !call.args.trim().is_empty();
        let another = !call.name.is_empty() && (other_id || begins_again);
        (!another).then_some(found)
    }

    fn new_call(
        &mut self,
        choice: usize,
        index: Option<i64>,
        call: &mut ToolCall,
        events: &mut Vec<Event>,
    ) -> usize {
        self.close_whole_calls(choice, events);
        let id = match std::mem::take(&mut call.id) {
            id if id.is_empty() => ids::missing_in_reply(&self.id, self.calls),
            id => id,
        };
        self.calls += 1;
        let opaque = std::mem::take(&mut call.opaque);
        let name = std::mem::take(&mut call.name);
        let begun = ToolCall { id: id.clone(), name, kind: call.kind, args: String::new(), opaque };
        let part = self.start(choice, PartKind::ToolCall(begun), events);
        let calls = &mut self.choices[choice].calls;
        calls.push(Call { index, id, part, args: Balance::default(), whole: false });
        calls.len() - 1
    }

    fn finish_choice(&mut self, index: usize, reason: Option<String>, events: &mut Vec<Event>) {
        let told = self.choices[index].inline.finish();
        self.inline(index, told, events);
        if matches!(self.choices[index].open, Some((Kind::Text, _))) && !self.choices[index].cited {
            self.cite(index, self.sources.clone(), events);
        }
        self.close_words(index, events);
        let choice = &mut self.choices[index];
        for call in choice.calls.iter_mut().filter(|call| !call.whole) {
            call.whole = true;
            events.push(Event::PartStop { part: call.part });
        }
        choice.finished = true;
        let stop = match stop_of(reason.as_deref().unwrap_or_default()) {
            Stop::End if !choice.calls.is_empty() => Stop::ToolUse,
            Stop::End if choice.refused => Stop::Refusal,
            stop => stop,
        };
        let choice = u32::try_from(index).unwrap_or(u32::MAX);
        events.push(Event::Finish { choice, stop, native: reason });
    }

    /// The terminal marker says that the answer is whole, whatever the choices have said.
    fn finish_all(&mut self, events: &mut Vec<Event>) {
        for index in 0..self.choices.len() {
            if !self.choices[index].finished {
                self.finish_choice(index, None, events);
            }
        }
    }
}
