//! Writes a stream: every item and every part of it opened, filled and closed, all events numbered, and in
//! the end the whole response.

mod text;

use super::item_out;
use super::reply::{self, End, Head, State, bare, names};
use crate::codec::sequence::Sequencer;
use crate::codec::{Asked, StreamEncoder, failed, ids};
use crate::failure::UpstreamFailure;
use crate::json_writer::JsonWriter;
use crate::neutral::{
    Block, Delta, Event, MediaSource, Opaque, Part, PartKind, Raw, Reasoning, Stop, Text, ToolCall, Used,
};

/// Writes event after event.
pub(super) struct Encoder {
    sequencer: Sequencer,
    writer: Writer,
}

struct Writer {
    asked: Asked,
    id: String,
    model: String,
    started: bool,
    ended: bool,
    number: u64,
    items: Vec<String>,
    message: Option<Message>,
    open: Option<Open>,
    usage: Option<Used>,
    /// Bytes of what was generated, for an estimate where the provider states no usage.
    bytes: u64,
    /// How likely the tokens of the open text were.
    logprobs: Option<Raw>,
    tier: Option<String>,
    stop: Stop,
}

/// The message that is open, with the parts of it that are whole.
struct Message {
    id: String,
    parts: Vec<String>,
}

/// The part that is open.
enum Open {
    Text(Text),
    Refusal(String),
    Reasoning {
        id: String,
        thoughts: Reasoning,
        begun: Option<u32>,
    },
    Call {
        id: String,
        call: ToolCall,
        custom: bool,
    },
    /// Nothing of it is written.
    Skipped,
}

impl Encoder {
    pub(super) fn new(asked: &Asked) -> Self {
        let writer = Writer {
            asked: asked.clone(),
            id: String::new(),
            model: String::new(),
            started: false,
            ended: false,
            number: 0,
            items: Vec::new(),
            message: None,
            open: None,
            usage: None,
            bytes: 0,
            logprobs: None,
            tier: None,
            stop: Stop::End,
        };
        Self { sequencer: Sequencer::default(), writer }
    }
}

impl StreamEncoder for Encoder {
    fn encode(&mut self, event: Event, out: &mut Vec<u8>) {
        let Self { sequencer, writer } = self;
        sequencer.push(event, |event| {
            if !writer.ended {
                writer.event(event, out);
            }
        });
    }

    fn numbered(&self) -> Option<(&str, u64)> {
        Some((&self.writer.id, self.writer.number.checked_sub(1)?))
    }
}

impl Writer {
    fn event(&mut self, event: Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, model } => self.start(&id, &model, out),
            Event::PartStart { choice, kind, .. } => {
                self.start("", "", out);
                if choice == 0 {
                    self.part_start(kind, out);
                } else {
                    self.open = Some(Open::Skipped);
                }
            }
            Event::Delta { delta, .. } => self.delta(delta, out),
            Event::PartStop { .. } => self.part_stop(out),
            Event::Finish { stop: Stop::MalformedTool, .. } => {
                let message = "The model wrote a tool call that cannot be read.";
                self.fail(&failed(message, "malformed_tool_call"), out);
            }
            Event::Finish { choice: 0, stop, .. } => self.stop = stop,
            Event::Finish { .. } | Event::Aside(_) | Event::Ping => {}
            Event::Usage(used) => self.usage = Some(used),
            Event::Tier(tier) => self.tier = Some(tier),
            Event::Error(failure) => self.fail(&failure, out),
            Event::End => self.end(out),
        }
    }

    /// Writes one event of `kind` with the members that `members` writes.
    fn write(&mut self, kind: &str, out: &mut Vec<u8>, members: impl FnOnce(&mut JsonWriter)) {
        let mut json = JsonWriter::with_capacity(256);
        json.object(|json| {
            json.text_member("type", kind);
            json.plain_member("sequence_number", self.number);
            members(json);
        });
        self.number += 1;
        for part in [b"event: ", kind.as_bytes(), b"\ndata: ", json.bytes(), b"\n\n"] {
            out.extend_from_slice(part);
        }
    }

    fn response(&self, state: &State<'_>) -> String {
        let head = Head { id: &self.id, model: &self.model, created: self.asked.created };
        let mut json = JsonWriter::new();
        reply::response(&mut json, &head, &self.items, &self.asked, state);
        json.into_string()
    }

    fn start(&mut self, id: &str, model: &str, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        self.id = self.asked.reply_id("resp_", id);
        model.clone_into(&mut self.model);
        let response = self.response(&State::Begun);
        for kind in ["response.created", "response.in_progress"] {
            self.write(kind, out, |json| json.raw_member("response", &response));
        }
    }

    /// The number of the item that is open or comes next.
    fn place(&self) -> usize {
        self.items.len()
    }

    fn item_id(&self, prefix: &str) -> String {
        format!("{prefix}_{}_{}", bare(&self.id), self.place())
    }

    fn item(&mut self, kind: &str, item: &str, out: &mut Vec<u8>) {
        let place = self.place();
        self.write(kind, out, |json| {
            json.plain_member("output_index", place);
            json.raw_member("item", item);
        });
    }

    fn item_done(&mut self, item: String, out: &mut Vec<u8>) {
        self.item("response.output_item.done", &item, out);
        self.items.push(item);
    }

    /// Writes an event about the item `id`.
    fn about(&mut self, kind: &str, id: &str, out: &mut Vec<u8>, members: impl FnOnce(&mut JsonWriter)) {
        let place = self.place();
        self.write(kind, out, |json| {
            json.text_member("item_id", id);
            json.plain_member("output_index", place);
            members(json);
        });
    }

    fn part_start(&mut self, kind: PartKind, out: &mut Vec<u8>) {
        if !matches!(kind, PartKind::Text | PartKind::Refusal) {
            self.close_message(out);
        }
        self.open = Some(match kind {
            PartKind::Text => self.text_start(out),
            PartKind::Refusal => {
                self.content_start(r#"{"type":"refusal","refusal":""}"#, out);
                Open::Refusal(String::new())
            }
            PartKind::Reasoning => self.reasoning_start(out),
            PartKind::ToolCall(call) => self.call_start(call, out),
            PartKind::Whole(part) => {
                self.whole(*part, out);
                Open::Skipped
            }
        });
    }

    /// Begins a part of a message, and the message if none is open.
    fn content_start(&mut self, empty: &str, out: &mut Vec<u8>) {
        if self.message.is_none() {
            let id = self.item_id("msg");
            let item = reply::message(&id, "in_progress", "[]");
            self.item("response.output_item.added", &item, out);
            self.message = Some(Message { id, parts: Vec::new() });
        }
        self.content("response.content_part.added", out, |json| json.raw_member("part", empty));
    }

    /// Writes an event about the part of the message that is open.
    fn content(&mut self, kind: &str, out: &mut Vec<u8>, members: impl FnOnce(&mut JsonWriter)) {
        let Some(message) = &self.message else { return };
        let (id, index) = (message.id.clone(), message.parts.len());
        self.about(kind, &id, out, |json| {
            json.plain_member("content_index", index);
            members(json);
        });
    }

    fn content_stop(&mut self, part: String, out: &mut Vec<u8>) {
        self.content("response.content_part.done", out, |json| json.raw_member("part", &part));
        if let Some(message) = &mut self.message {
            message.parts.push(part);
        }
    }

    fn close_message(&mut self, out: &mut Vec<u8>) {
        if let Some(message) = self.message.take() {
            let content = format!("[{}]", message.parts.join(","));
            self.item_done(reply::message(&message.id, "completed", &content), out);
        }
    }

    fn reasoning_start(&mut self, out: &mut Vec<u8>) -> Open {
        let id = self.item_id("rs");
        let thoughts = Reasoning::default();
        let item = written(|json| item_out::reasoning(json, &thoughts, Some(&id)));
        self.item("response.output_item.added", &item, out);
        Open::Reasoning { id, thoughts, begun: None }
    }

    fn call_start(&mut self, mut call: ToolCall, out: &mut Vec<u8>) -> Open {
        // A seal on a call has no place of its own here: it comes as thoughts in front of it.
        for opaque in std::mem::take(&mut call.opaque) {
            self.sealed(opaque, out);
        }
        let own = self.asked.tool_name(&call.name).to_owned();
        call.name = own;
        if call.id.is_empty() {
            call.id = ids::missing_in_reply(&self.id, self.place());
        }
        let custom = names(&self.asked).is_custom(&call);
        let id = self.item_id(if custom { "ctc" } else { "fc" });
        let args = std::mem::take(&mut call.args);
        let item = written(|json| {
            item_out::call(json, &call, names(&self.asked), Some((&id, "in_progress")));
        });
        self.item("response.output_item.added", &item, out);
        self.open = Some(Open::Call { id, call, custom });
        if !args.is_empty() {
            self.delta(Delta::Args(args), out);
        }
        self.open.take().unwrap_or(Open::Skipped)
    }

    fn sealed(&mut self, opaque: Opaque, out: &mut Vec<u8>) {
        let thoughts = Reasoning { opaque: vec![opaque], ..Reasoning::default() };
        let id = self.item_id("rs");
        let item = written(|json| item_out::reasoning(json, &thoughts, Some(&id)));
        self.item("response.output_item.added", &item, out);
        self.item_done(item, out);
    }

    fn whole(&mut self, part: Part, out: &mut Vec<u8>) {
        let item = match part.block {
            Block::Reasoning(thoughts) => {
                let id = self.item_id("rs");
                written(|json| item_out::reasoning(json, &thoughts, Some(&id)))
            }
            Block::Media(media) => match &media.source {
                MediaSource::Base64(data) => {
                    let id = self.item_id("ig");
                    written(|json| reply::image(json, &id, data))
                }
                _ => return,
            },
            Block::Foreign(foreign) if foreign.origin == super::OWN => foreign.raw.text().to_owned(),
            Block::Text(text) => {
                self.open = Some(self.text_start(out));
                self.delta(Delta::Text(text.text.into_string()), out);
                self.part_stop(out);
                return;
            }
            _ => return,
        };
        self.item("response.output_item.added", &item, out);
        self.item_done(item, out);
    }

    fn delta(&mut self, delta: Delta, out: &mut Vec<u8>) {
        self.bytes += delta.generated_bytes();
        let Some(mut open) = self.open.take() else { return };
        match (&mut open, delta) {
            (Open::Text(text), Delta::Text(more)) => {
                text.text.push_str(&more);
                self.content("response.output_text.delta", out, |json| {
                    json.text_member("delta", &more);
                    json.raw_member("logprobs", "[]");
                });
            }
            (Open::Text(_), Delta::Logprobs(entries)) => self.logprobs(&entries, out),
            (Open::Text(text), Delta::Citation(citation)) => self.citation(text, *citation, out),
            (Open::Refusal(text), Delta::Refusal(more) | Delta::Text(more)) => {
                text.push_str(&more);
                self.content("response.refusal.delta", out, |json| json.text_member("delta", &more));
            }
            (Open::Reasoning { id, thoughts, begun }, delta) => match delta {
                Delta::Thought(more) => {
                    self.thought((id, begun), (0, &more), out);
                    thoughts.text.push_str(&more);
                }
                Delta::Summary(number, more) => {
                    self.thought((id, begun), (number, &more), out);
                    let number = usize::try_from(number).unwrap_or(0).min(thoughts.summary.len());
                    match thoughts.summary.get_mut(number) {
                        Some(text) => text.push_str(&more),
                        None => thoughts.summary.push(more),
                    }
                }
                Delta::Opaque(opaque) => thoughts.opaque.push(opaque),
                _ => {}
            },
            (Open::Call { id, call, custom }, Delta::Args(more)) => {
                call.args.push_str(&more);
                let direct = call.kind == crate::neutral::ToolCallKind::Custom;
                let kind = match (*custom, direct) {
                    (false, _) => Some("response.function_call_arguments.delta"),
                    (true, true) => Some("response.custom_tool_call_input.delta"),
                    // The text within the arguments is told when they are whole.
                    (true, false) => None,
                };
                if let Some(kind) = kind {
                    let id = id.clone();
                    self.about(kind, &id, out, |json| json.text_member("delta", &more));
                }
            }
            _ => {}
        }
        self.open = Some(open);
    }

    /// Thoughts go on, in the summary of this number.
    fn thought(
        &mut self,
        (id, begun): (&str, &mut Option<u32>),
        (number, more): (u32, &str),
        out: &mut Vec<u8>,
    ) {
        if begun.is_none_or(|begun| begun < number) {
            *begun = Some(number);
            self.about("response.reasoning_summary_part.added", id, out, |json| {
                json.plain_member("summary_index", number);
                json.raw_member("part", r#"{"type":"summary_text","text":""}"#);
            });
        }
        self.about("response.reasoning_summary_text.delta", id, out, |json| {
            json.plain_member("summary_index", number);
            json.text_member("delta", more);
        });
    }

    fn part_stop(&mut self, out: &mut Vec<u8>) {
        match self.open.take() {
            Some(Open::Text(text)) => self.text_stop(&text, out),
            Some(Open::Refusal(text)) => {
                self.content("response.refusal.done", out, |json| json.text_member("refusal", &text));
                let part = written(|json| item_out::refusal(json, &text));
                self.content_stop(part, out);
            }
            Some(Open::Reasoning { id, thoughts, .. }) => self.reasoning_stop(&id, &thoughts, out),
            Some(Open::Call { id, call, custom }) => self.call_stop(&id, call, custom, out),
            Some(Open::Skipped) | None => {}
        }
    }

    fn reasoning_stop(&mut self, id: &str, thoughts: &Reasoning, out: &mut Vec<u8>) {
        let (summary, _) = item_out::shown(thoughts);
        for (number, text) in summary.iter().enumerate() {
            self.about("response.reasoning_summary_text.done", id, out, |json| {
                json.plain_member("summary_index", number);
                json.text_member("text", text);
            });
            self.about("response.reasoning_summary_part.done", id, out, |json| {
                json.plain_member("summary_index", number);
                json.key("part").object(|json| {
                    json.text_member("type", "summary_text");
                    json.text_member("text", text);
                });
            });
        }
        let item = written(|json| item_out::reasoning(json, thoughts, Some(id)));
        self.item_done(item, out);
    }

    fn call_stop(&mut self, id: &str, mut call: ToolCall, custom: bool, out: &mut Vec<u8>) {
        if call.args.is_empty() && !custom {
            "{}".clone_into(&mut call.args);
        }
        if custom {
            let direct = call.kind == crate::neutral::ToolCallKind::Custom;
            let text = super::tools::free_text(&call);
            if !direct {
                self.about("response.custom_tool_call_input.delta", id, out, |json| {
                    json.text_member("delta", &text);
                });
            }
            self.about("response.custom_tool_call_input.done", id, out, |json| {
                json.text_member("input", &text);
            });
        } else {
            self.about("response.function_call_arguments.done", id, out, |json| {
                json.text_member("name", &call.name);
                json.text_member("arguments", &call.args);
            });
        }
        let item = written(|json| {
            item_out::call(json, &call, names(&self.asked), Some((id, "completed")));
        });
        self.item_done(item, out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.start("", "", out);
        self.part_stop(out);
        self.close_message(out);
        let used = self.usage.take().unwrap_or_else(|| self.asked.estimated(self.bytes));
        let end = End { stop: &self.stop, usage: Some(&used), tier: self.tier.as_deref() };
        let response = self.response(&State::Ended(end));
        let kind = match super::incomplete(&self.stop) {
            Some(_) => "response.incomplete",
            None => "response.completed",
        };
        self.write(kind, out, |json| json.raw_member("response", &response));
        self.ended = true;
    }

    /// The two events with which OpenAI ends a response that failed.
    fn fail(&mut self, failure: &UpstreamFailure, out: &mut Vec<u8>) {
        self.start("", "", out);
        self.write("error", out, |json| reply::failure(json, failure));
        let response = self.response(&State::Failed(failure));
        self.write("response.failed", out, |json| json.raw_member("response", &response));
        self.ended = true;
    }
}

fn written(write: impl FnOnce(&mut JsonWriter)) -> String {
    let mut json = JsonWriter::new();
    write(&mut json);
    json.into_string()
}
