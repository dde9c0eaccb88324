//! Writes a stream: every chunk a whole `GenerateContentResponse`, the last with the reason to finish and
//! what was used; as events, or as the elements of one JSON array.

use super::reply::{write_thoughts, write_usage};
use super::{carried, part_out, stop_name};
use crate::codec::sequence::Sequencer;
use crate::codec::{Asked, StreamEncoder, likely};
use crate::failure::UpstreamFailure;
use crate::json_writer::JsonWriter;
use crate::neutral::{
    Block, Citation, Delta, Event, Opaque, Part, PartKind, Reasoning, Stop, ToolCall, Used,
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
    chunks: u64,
    ended: bool,
    open: Option<Open>,
    /// The seal that stands on the next part.
    seal: Option<String>,
    text: String,
    citations: Vec<Citation>,
    stops: Vec<(u32, Stop)>,
    usage: Option<Used>,
    /// Bytes of what was generated, for an estimate where the provider states no usage.
    bytes: u64,
}

/// The part that is open, and its choice.
enum Open {
    Text(u32),
    Thoughts(u32, Vec<Opaque>),
    Call(u32, ToolCall),
    Skipped,
}

impl Encoder {
    pub(super) fn new(asked: &Asked) -> Self {
        let writer = Writer {
            asked: asked.clone(),
            id: asked.id.clone(),
            model: asked.model.clone(),
            chunks: 0,
            ended: false,
            open: None,
            seal: None,
            text: String::new(),
            citations: Vec::new(),
            stops: Vec::new(),
            usage: None,
            bytes: 0,
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
}

impl Writer {
    fn event(&mut self, event: Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, model } => {
                if !id.is_empty() {
                    self.id = id;
                }
                if !model.is_empty() {
                    self.model = model;
                }
            }
            Event::PartStart { choice, kind, .. } => self.part_start(choice, kind, out),
            Event::Delta { delta, .. } => self.delta(delta, out),
            Event::PartStop { .. } => self.part_stop(out),
            Event::Finish { choice, stop, .. } => self.stops.push((choice, stop)),
            Event::Usage(used) => self.usage = Some(used),
            Event::Tier(_) | Event::Aside(_) | Event::Ping => {}
            Event::Error(failure) => self.fail(&failure, out),
            Event::End => self.end(out),
        }
    }

    /// Writes one chunk or error.
    fn chunk(&mut self, json: &[u8], out: &mut Vec<u8>) {
        let (before, behind): (&[u8], &[u8]) = match (self.asked.as_array, self.chunks) {
            (false, _) => (b"data: ", b"\r\n\r\n"),
            (true, 0) => (b"[", b"\n"),
            (true, _) => (b",\r\n", b"\n"),
        };
        self.chunks += 1;
        for part in [before, json, behind] {
            out.extend_from_slice(part);
        }
    }

    /// Writes a chunk with one part.
    fn part(&mut self, choice: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut JsonWriter)) {
        self.candidate(choice, out, |_| {}, write);
    }

    /// Writes a chunk with these parts, and what else is said of the candidate.
    fn candidate(
        &mut self,
        choice: u32,
        out: &mut Vec<u8>,
        more: impl FnOnce(&mut JsonWriter),
        write: impl FnOnce(&mut JsonWriter),
    ) {
        let mut json = JsonWriter::with_capacity(256);
        json.object(|json| {
            json.key("candidates").array(|json| {
                json.object(|json| {
                    json.key("content").object(|json| {
                        json.key("parts").array(write);
                        json.text_member("role", "model");
                    });
                    json.plain_member("index", choice);
                    more(json);
                });
            });
            json.text_member("modelVersion", &self.model);
            json.text_member("responseId", &self.id);
        });
        let bytes = json.into_bytes();
        self.chunk(&bytes, out);
    }

    fn part_start(&mut self, choice: u32, kind: PartKind, out: &mut Vec<u8>) {
        self.open = Some(match kind {
            PartKind::Text | PartKind::Refusal => Open::Text(choice),
            PartKind::Reasoning => Open::Thoughts(choice, Vec::new()),
            PartKind::ToolCall(call) => Open::Call(choice, call),
            PartKind::Whole(part) => {
                self.whole(choice, &part, out);
                Open::Skipped
            }
        });
    }

    fn whole(&mut self, choice: u32, part: &Part, out: &mut Vec<u8>) {
        let mut json = JsonWriter::new();
        match &part.block {
            Block::Reasoning(thoughts) => write_thoughts(&mut json, thoughts, &mut self.seal),
            Block::Media(media) => {
                part_out::media(&mut json, media, None);
            }
            Block::Text(text) => part_out::text(&mut json, &text.text, self.seal.take().as_deref()),
            Block::Foreign(foreign) if foreign.origin == super::OWN => json.raw(foreign.raw.text()),
            _ => {}
        }
        if !json.bytes().is_empty() {
            let raw = json.into_string();
            self.part(choice, out, |json| json.raw(&raw));
        }
    }

    fn delta(&mut self, delta: Delta, out: &mut Vec<u8>) {
        self.bytes += delta.generated_bytes();
        match (&mut self.open, delta) {
            (Some(Open::Text(choice)), Delta::Text(text) | Delta::Refusal(text)) => {
                let (choice, seal) = (*choice, self.seal.take());
                if choice == 0 {
                    self.text.push_str(&text);
                }
                self.part(choice, out, |json| part_out::text(json, &text, seal.as_deref()));
            }
            (Some(Open::Text(choice)), Delta::Logprobs(entries)) => {
                let choice = *choice;
                self.candidate(choice, out, |json| likely::write_gemini(json, &entries), |_| {});
            }
            (Some(Open::Text(0)), Delta::Citation(citation)) => self.citations.push(*citation),
            (Some(Open::Thoughts(choice, _)), Delta::Thought(text) | Delta::Summary(_, text)) => {
                let (choice, thoughts) = (*choice, Reasoning { text, ..Reasoning::default() });
                self.part(choice, out, |json| part_out::thoughts(json, &thoughts));
            }
            (Some(Open::Thoughts(_, seals)), Delta::Opaque(opaque)) => seals.push(opaque),
            (Some(Open::Call(_, call)), Delta::Args(args)) => call.args.push_str(&args),
            (Some(Open::Call(_, call)), Delta::Opaque(opaque)) => call.opaque.push(opaque),
            _ => {}
        }
    }

    fn part_stop(&mut self, out: &mut Vec<u8>) {
        match self.open.take() {
            // The seal of thoughts that were told stands on an empty thought behind them.
            Some(Open::Thoughts(choice, seals)) => {
                if let Some(seal) = seals.first().map(carried) {
                    self.part(choice, out, |json| {
                        json.object(|json| {
                            json.text_member("text", "");
                            json.plain_member("thought", true);
                            json.text_member("thoughtSignature", &seal);
                        });
                    });
                }
            }
            Some(Open::Call(choice, call)) => {
                let name = self.asked.tool_name(&call.name).to_owned();
                let own = part_out::signature(&call.opaque).map(Into::into);
                let signature: Option<String> = own.or_else(|| self.seal.take());
                self.part(choice, out, |json| part_out::call(json, &call, &name, signature.as_deref()));
            }
            Some(Open::Text(_) | Open::Skipped) | None => {}
        }
    }

    /// The last chunk: why every candidate finished, and what was used.
    fn end(&mut self, out: &mut Vec<u8>) {
        self.part_stop(out);
        if self.stops.is_empty() {
            self.stops.push((0, Stop::End));
        }
        let (stops, seal) = (std::mem::take(&mut self.stops), self.seal.take());
        let mut json = JsonWriter::with_capacity(256);
        json.object(|json| {
            json.key("candidates").array(|json| {
                for (choice, stop) in &stops {
                    json.object(|json| self.finish(json, *choice, stop, seal.as_deref()));
                }
            });
            // Every stream of Google's states its usage in the end.
            let used = self.usage.take().unwrap_or_else(|| self.asked.estimated(self.bytes));
            write_usage(json.key("usageMetadata"), &used);
            json.text_member("modelVersion", &self.model);
            json.text_member("responseId", &self.id);
        });
        let bytes = json.into_bytes();
        self.chunk(&bytes, out);
        self.close(out);
    }

    fn finish(&self, json: &mut JsonWriter, choice: u32, stop: &Stop, seal: Option<&str>) {
        json.key("content").object(|json| {
            json.key("parts").array(|json| part_out::text(json, "", seal));
            json.text_member("role", "model");
        });
        json.text_member("finishReason", stop_name(stop));
        json.plain_member("index", choice);
        if choice == 0 && !self.citations.is_empty() {
            part_out::grounding(json.key("groundingMetadata"), &self.text, &self.citations);
        }
    }

    fn fail(&mut self, failure: &UpstreamFailure, out: &mut Vec<u8>) {
        let status = failure.status.unwrap_or(500);
        let name = match status {
            400 => "INVALID_ARGUMENT",
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            429 => "RESOURCE_EXHAUSTED",
            503 | 529 => "UNAVAILABLE",
            504 => "DEADLINE_EXCEEDED",
            _ => "INTERNAL",
        };
        let mut json = JsonWriter::new();
        json.object(|json| {
            json.key("error").object(|json| {
                json.plain_member("code", status);
                json.text_member("message", &failure.message);
                json.text_member("status", name);
            });
        });
        let bytes = json.into_bytes();
        self.chunk(&bytes, out);
        self.close(out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.asked.as_array {
            out.extend_from_slice(b"]\n");
        }
        self.ended = true;
    }
}
