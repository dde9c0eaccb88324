//! Writes a stream: one block after the other, each opened and closed, the reason to stop and the usage
//! in the end, and the terminal marker.

use super::OWN;
use super::reply::{hidden, sealed, write_citation, write_stop, write_usage};
use crate::codec::sequence::Sequencer;
use crate::codec::{Asked, StreamEncoder, failed};
use crate::failure::UpstreamFailure;
use crate::json_writer::JsonWriter;
use crate::neutral::{Block, Delta, Event, Opaque, Part, PartKind, Stop, Used};

/// Writes event after event.
pub(super) struct Encoder {
    asked: Asked,
    sequencer: Sequencer,
    writer: Writer,
}

/// What has been written.
struct Writer {
    started: bool,
    ended: bool,
    blocks: usize,
    open: Option<Open>,
    usage: Option<Used>,
    tier: Option<String>,
    stop: Option<Stop>,
}

/// The block that is open.
struct Open {
    kind: Kind,
    seal: Option<Opaque>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    Tool,
    /// Nothing of it is written: another choice, or a part without a place in this dialect.
    Skipped,
}

impl Encoder {
    pub(super) fn new(asked: &Asked) -> Self {
        Self {
            asked: asked.clone(),
            sequencer: Sequencer::default(),
            writer: Writer {
                started: false,
                ended: false,
                blocks: 0,
                open: None,
                usage: None,
                tier: None,
                stop: None,
            },
        }
    }
}

impl StreamEncoder for Encoder {
    fn encode(&mut self, event: Event, out: &mut Vec<u8>) {
        let Self { asked, sequencer, writer } = self;
        sequencer.push(event, |event| {
            if !writer.ended {
                writer.event(event, asked, out);
            }
        });
    }
}

impl Writer {
    fn event(&mut self, event: Event, asked: &Asked, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, model } => self.start(&id, &model, asked, out),
            Event::PartStart { choice, kind, .. } => {
                self.start("", "", asked, out);
                self.start_part(choice, kind, out);
            }
            Event::Delta { delta, .. } => self.delta(&delta, out),
            Event::PartStop { .. } => self.stop_part(out),
            Event::Finish { stop: Stop::MalformedTool, .. } => {
                let message = "The model wrote a tool call that cannot be read.";
                self.fail(&failed(message, "malformed_tool_call"), out);
            }
            Event::Finish { choice: 0, stop, .. } => self.stop = Some(stop),
            Event::Finish { .. } => {}
            Event::Usage(used) => self.usage = Some(used),
            Event::Tier(tier) => self.tier = Some(tier),
            Event::Error(failure) => self.fail(&failure, out),
            Event::Ping if self.started => ping(out),
            Event::Aside(_) | Event::Ping => {}
            Event::End => self.end(asked, out),
        }
    }

    fn start(&mut self, id: &str, model: &str, asked: &Asked, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let mut used = self.usage.clone().unwrap_or_default();
        if self.usage.is_none() {
            // Anthropic's clients read the input from here; the true number comes in the end.
            used.counters.input = asked.input_estimate;
        }
        event(out, "message_start", |json| {
            json.key("message").object(|json| {
                json.text_member("id", &asked.reply_id("msg_", id));
                json.text_member("type", "message");
                json.text_member("role", "assistant");
                json.text_member("model", if model.is_empty() { &asked.model } else { model });
                json.raw_member("content", "[]");
                json.raw_member("stop_reason", "null");
                json.raw_member("stop_sequence", "null");
                write_usage(json.key("usage"), &used, self.tier.as_deref());
            });
        });
    }

    fn start_part(&mut self, choice: u32, kind: PartKind, out: &mut Vec<u8>) {
        let mut open = Open { kind: Kind::Skipped, seal: None };
        if choice == 0 {
            match kind {
                PartKind::Text | PartKind::Refusal => {
                    open.kind = Kind::Text;
                    self.start_block(out, |json| {
                        json.text_member("type", "text");
                        json.text_member("text", "");
                    });
                }
                PartKind::Reasoning => {
                    open.kind = Kind::Thinking;
                    self.start_block(out, |json| {
                        json.text_member("type", "thinking");
                        json.text_member("thinking", "");
                        json.text_member("signature", "");
                    });
                }
                PartKind::ToolCall(call) => {
                    open.kind = Kind::Tool;
                    self.start_block(out, |json| {
                        json.text_member("type", "tool_use");
                        json.text_member("id", &call.id);
                        json.text_member("name", &call.name);
                        json.raw_member("input", "{}");
                    });
                    if !call.args.is_empty() {
                        self.block_delta(out, "input_json_delta", "partial_json", &call.args);
                    }
                }
                PartKind::Whole(whole) => self.whole(&whole, out),
            }
        }
        self.open = Some(open);
    }

    /// A part that comes whole: hidden thoughts, or a block that was Anthropic's own.
    fn whole(&mut self, part: &Part, out: &mut Vec<u8>) {
        match &part.block {
            Block::Reasoning(thoughts) => {
                let seal = sealed(hidden(thoughts));
                self.start_block(out, |json| {
                    json.text_member("type", "redacted_thinking");
                    json.text_member("data", &seal);
                });
            }
            Block::Foreign(foreign) if foreign.origin == OWN => {
                self.start_raw_block(out, |json| json.raw(foreign.raw.text()));
            }
            Block::Text(text) => {
                self.start_block(out, |json| {
                    json.text_member("type", "text");
                    json.text_member("text", "");
                });
                self.block_delta(out, "text_delta", "text", &text.text);
            }
            _ => return,
        }
        self.stop_block(out);
    }

    fn delta(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        let Some(open) = self.open.as_mut() else { return };
        match (open.kind, delta) {
            (Kind::Text, Delta::Text(text) | Delta::Refusal(text)) => {
                self.block_delta(out, "text_delta", "text", text);
            }
            (Kind::Text, Delta::Citation(citation)) => {
                let index = self.blocks - 1;
                event(out, "content_block_delta", |json| {
                    json.plain_member("index", index);
                    json.key("delta").object(|json| {
                        json.text_member("type", "citations_delta");
                        write_citation(json.key("citation"), citation);
                    });
                });
            }
            (Kind::Thinking, Delta::Thought(text) | Delta::Summary(_, text)) => {
                self.block_delta(out, "thinking_delta", "thinking", text);
            }
            (Kind::Thinking, Delta::Opaque(opaque)) => match &mut open.seal {
                Some(seal) if seal.origin == opaque.origin && seal.kind == opaque.kind => {
                    seal.data.push_str(&opaque.data);
                }
                Some(_) => {}
                seal @ None => *seal = Some(opaque.clone()),
            },
            (Kind::Tool, Delta::Args(args)) => {
                self.block_delta(out, "input_json_delta", "partial_json", args);
            }
            _ => {}
        }
    }

    fn stop_part(&mut self, out: &mut Vec<u8>) {
        let Some(open) = self.open.take() else { return };
        match open.kind {
            Kind::Skipped => return,
            Kind::Thinking => {
                let seal = sealed(open.seal.as_ref());
                self.block_delta(out, "signature_delta", "signature", &seal);
            }
            Kind::Text | Kind::Tool => {}
        }
        self.stop_block(out);
    }

    fn start_block(&mut self, out: &mut Vec<u8>, members: impl FnOnce(&mut JsonWriter)) {
        self.start_raw_block(out, |json| json.object(members));
    }

    fn start_raw_block(&mut self, out: &mut Vec<u8>, block: impl FnOnce(&mut JsonWriter)) {
        let index = self.blocks;
        self.blocks += 1;
        event(out, "content_block_start", |json| {
            json.plain_member("index", index);
            block(json.key("content_block"));
        });
        if index == 0 {
            ping(out);
        }
    }

    fn block_delta(&self, out: &mut Vec<u8>, kind: &str, name: &str, text: &str) {
        event(out, "content_block_delta", |json| {
            json.plain_member("index", self.blocks - 1);
            json.key("delta").object(|json| {
                json.text_member("type", kind);
                json.text_member(name, text);
            });
        });
    }

    fn stop_block(&self, out: &mut Vec<u8>) {
        event(out, "content_block_stop", |json| json.plain_member("index", self.blocks - 1));
    }

    fn end(&mut self, asked: &Asked, out: &mut Vec<u8>) {
        self.start("", "", asked, out);
        let stop = self.stop.take().unwrap_or_default();
        let used = self.usage.take().unwrap_or_default();
        event(out, "message_delta", |json| {
            json.key("delta").object(|json| write_stop(json, &stop));
            write_usage(json.key("usage"), &used, self.tier.as_deref());
        });
        event(out, "message_stop", |_| {});
        self.ended = true;
    }

    fn fail(&mut self, failure: &UpstreamFailure, out: &mut Vec<u8>) {
        event(out, "error", |json| {
            json.key("error").object(|json| {
                json.text_member("type", error_type(failure));
                json.text_member("message", &failure.message);
            });
        });
        self.ended = true;
    }
}

/// What Anthropic calls a failure.
fn error_type(failure: &UpstreamFailure) -> &'static str {
    const TYPES: [&str; 8] = [
        "invalid_request_error",
        "authentication_error",
        "billing_error",
        "permission_error",
        "not_found_error",
        "request_too_large",
        "rate_limit_error",
        "overloaded_error",
    ];
    let named = |name: &Option<String>| {
        let name = name.as_deref()?;
        TYPES.into_iter().find(|known| *known == name)
    };
    match (named(&failure.kind).or_else(|| named(&failure.code)), failure.status) {
        (Some(known), _) => known,
        (None, Some(429)) => "rate_limit_error",
        (None, Some(503 | 529)) => "overloaded_error",
        (None, Some(400 | 422)) => "invalid_request_error",
        (None, Some(413)) => "request_too_large",
        _ => "api_error",
    }
}

/// Writes one event: its name, and its name again as the type of its data.
fn event(out: &mut Vec<u8>, name: &str, members: impl FnOnce(&mut JsonWriter)) {
    let mut json = JsonWriter::with_capacity(192);
    json.object(|json| {
        json.text_member("type", name);
        members(json);
    });
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    out.extend_from_slice(json.bytes());
    out.extend_from_slice(b"\n\n");
}

fn ping(out: &mut Vec<u8>) {
    event(out, "ping", |_| {});
}
