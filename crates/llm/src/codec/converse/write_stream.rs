//! Streams, as a provider would send them.

use super::super::{Asked, StreamEncoder, sequence::Sequencer};
use super::{block, name_of, reply};
use crate::aws_stream::write_frame;
use crate::json_writer::JsonWriter;
use crate::neutral::{Block, Delta, Event, Losses, OpaqueKind, Part, PartKind};

/// Writes a stream.
pub(super) struct Encoder {
    sequencer: Sequencer,
    writer: Writer,
}

impl Encoder {
    pub(super) fn new(_asked: &Asked) -> Self {
        Self { sequencer: Sequencer::default(), writer: Writer::default() }
    }
}

impl StreamEncoder for Encoder {
    fn encode(&mut self, event: Event, out: &mut Vec<u8>) {
        let Self { sequencer, writer } = self;
        sequencer.push(event, |event| writer.write(event, out));
    }
}

#[derive(Default)]
struct Writer {
    started: bool,
    /// The number of the next block: the neutral numbers may have gaps.
    next: u32,
    /// What the last block is, until it stops.
    whole: Option<Box<Part>>,
    over: bool,
}

impl Writer {
    fn write(&mut self, event: Event, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        if !self.started && !matches!(event, Event::Ping | Event::Error(_)) {
            self.started = true;
            write_frame("messageStart", r#"{"role":"assistant"}"#, out);
        }
        match event {
            Event::PartStart { kind, .. } => self.start(kind, out),
            Event::Delta { delta, .. } => self.delta(&delta, out),
            Event::PartStop { .. } => self.stop(out),
            Event::Finish { stop, native, .. } => {
                let native = native.filter(|name| super::STOPS.iter().any(|(_, own)| own == name));
                let name = native.unwrap_or_else(|| name_of(&stop).to_owned());
                frame("messageStop", out, |json| json.text_member("stopReason", &name));
            }
            Event::Usage(used) => frame("metadata", out, |json| {
                json.key("usage");
                reply::write_usage(&used, json);
            }),
            Event::Error(failure) => {
                self.over = true;
                let kind = match failure.status {
                    Some(400) => "validationException",
                    Some(429) => "throttlingException",
                    Some(503 | 529) => "serviceUnavailableException",
                    _ => "internalServerException",
                };
                frame(kind, out, |json| json.text_member("message", &failure.message));
            }
            Event::End => self.over = true,
            Event::Start { .. } | Event::Tier(_) | Event::Aside(_) | Event::Ping => {}
        }
    }

    fn start(&mut self, kind: PartKind, out: &mut Vec<u8>) {
        let index = self.next;
        match kind {
            PartKind::ToolCall(call) => frame("contentBlockStart", out, |json| {
                json.key("start").object(|json| {
                    json.key("toolUse").object(|json| {
                        json.text_member("toolUseId", &call.id);
                        json.text_member("name", &call.name);
                    });
                });
                json.plain_member("contentBlockIndex", index);
            }),
            PartKind::Whole(part) => self.whole = Some(part),
            PartKind::Text | PartKind::Reasoning | PartKind::Refusal => {}
        }
    }

    fn delta(&self, delta: &Delta, out: &mut Vec<u8>) {
        match delta {
            Delta::Text(text) | Delta::Refusal(text) => {
                self.add(out, |json| json.text_member("text", text));
            }
            Delta::Thought(text) | Delta::Summary(_, text) => self.add(out, |json| {
                json.key("reasoningContent").object(|json| json.text_member("text", text));
            }),
            Delta::Opaque(opaque) if opaque.kind == OpaqueKind::Signature => self.add(out, |json| {
                json.key("reasoningContent").object(|json| json.text_member("signature", &opaque.data));
            }),
            Delta::Args(args) => self.add(out, |json| {
                json.key("toolUse").object(|json| json.text_member("input", args));
            }),
            Delta::Citation(citation) => {
                if let Some(own) = citation.ext.get(super::SELF, "citation") {
                    self.add(out, |json| json.raw_member("citation", own.text()));
                }
            }
            Delta::Opaque(_) | Delta::Logprobs(_) => {}
        }
    }

    fn add(&self, out: &mut Vec<u8>, members: impl FnOnce(&mut JsonWriter)) {
        frame("contentBlockDelta", out, |json| {
            json.key("delta").object(members);
            json.plain_member("contentBlockIndex", self.next);
        });
    }

    fn stop(&mut self, out: &mut Vec<u8>) {
        if let Some(part) = self.whole.take() {
            self.write_whole(&part, out);
        }
        frame("contentBlockStop", out, |json| json.plain_member("contentBlockIndex", self.next));
        self.next += 1;
    }

    /// A block that came whole: hidden thoughts are a delta, everything else is as in a whole answer.
    fn write_whole(&self, part: &Part, out: &mut Vec<u8>) {
        let redacted = match &part.block {
            Block::Reasoning(reasoning) => {
                reasoning.opaque.iter().find(|opaque| opaque.kind == OpaqueKind::Redacted)
            }
            _ => None,
        };
        if let Some(redacted) = redacted {
            return self.add(out, |json| {
                json.key("reasoningContent")
                    .object(|json| json.text_member("redactedContent", &redacted.data));
            });
        }
        let mut json = JsonWriter::new();
        block::write(part, &mut block::Names::default(), "output", &mut json, &mut Losses::default());
        if !json.bytes().is_empty() {
            let block = json.into_string();
            frame("contentBlockStart", out, |json| {
                json.raw_member("start", &block);
                json.plain_member("contentBlockIndex", self.next);
            });
        }
    }
}

/// Writes a frame whose payload has `members`.
fn frame(kind: &str, out: &mut Vec<u8>, members: impl FnOnce(&mut JsonWriter)) {
    let mut json = JsonWriter::new();
    json.object(members);
    write_frame(kind, &json.into_string(), out);
}
