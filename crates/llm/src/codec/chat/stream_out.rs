//! Writes a stream: the role first, then pieces, each choice's reason to finish once and alone, the usage
//! where it was asked for, and the terminal marker.

use super::{reasoning, reply, stop_name, tools};
use crate::codec::{Asked, StreamEncoder, failed};
use crate::failure::UpstreamFailure;
use crate::json_writer::JsonWriter;
use crate::neutral::{
    Block, Delta, Event, Opaque, OpaqueKind, Part, PartKind, Raw, Stop, ToolCall, ToolCallKind, Used,
};

/// Writes chunk after chunk.
pub(super) struct Encoder {
    include_usage: bool,
    asked: Asked,
    id: String,
    model: String,
    tier: Option<String>,
    started: bool,
    ended: bool,
    usage: Option<Used>,
    choices: Vec<Choice>,
    parts: Vec<Open>,
}

#[derive(Clone, Default)]
struct Choice {
    begun: bool,
    finished: bool,
    calls: usize,
    thoughts: usize,
    /// Code points of text so far, from which citations count.
    points: u64,
}

/// A part that is being written.
struct Open {
    part: u32,
    choice: usize,
    /// The number of a call or of thoughts within its choice.
    number: usize,
    kind: ToolCallKind,
    /// Code points of its choice's text in front of it.
    from: u64,
    /// A call whose arguments have not begun: a client that parses nothing fails, so it gets `{}`.
    lacks_args: bool,
}

impl Encoder {
    pub(super) fn new(asked: &Asked) -> Self {
        Self {
            include_usage: asked.include_usage,
            asked: asked.clone(),
            id: asked.reply_id("chatcmpl-", ""),
            model: asked.model.clone(),
            tier: None,
            started: false,
            ended: false,
            usage: None,
            choices: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// Writes a chunk with one choice, whose delta has the members that `delta` writes.
    fn chunk(
        &mut self,
        choice: usize,
        finish: Option<&str>,
        out: &mut Vec<u8>,
        delta: impl FnOnce(&mut JsonWriter),
    ) {
        if self.choices.len() <= choice {
            self.choices.resize_with(choice + 1, Choice::default);
        }
        if !std::mem::replace(&mut self.choices[choice].begun, true) {
            self.write(out, |json| {
                one_choice(json, choice, (None, None), |json| {
                    json.text_member("role", "assistant");
                    json.text_member("content", "");
                    json.raw_member("refusal", "null");
                });
            });
        }
        self.write(out, |json| one_choice(json, choice, (finish, None), delta));
    }

    /// Writes a chunk with what all chunks have and what `choices` writes.
    fn write(&self, out: &mut Vec<u8>, choices: impl FnOnce(&mut JsonWriter)) {
        self.write_with(out, choices, None);
    }

    fn write_with(&self, out: &mut Vec<u8>, choices: impl FnOnce(&mut JsonWriter), usage: Option<&Used>) {
        let mut json = JsonWriter::with_capacity(256);
        json.object(|json| {
            json.text_member("id", &self.id);
            json.text_member("object", "chat.completion.chunk");
            json.plain_member("created", self.asked.created);
            json.text_member("model", &self.model);
            json.text_member_if("service_tier", self.tier.as_deref());
            json.key("choices").array(choices);
            match usage {
                Some(used) => reply::write_usage(json.key("usage"), used),
                None if self.include_usage => json.raw_member("usage", "null"),
                None => {}
            }
        });
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(json.bytes());
        out.extend_from_slice(b"\n\n");
    }

    fn start_part(&mut self, part: u32, choice: usize, kind: PartKind, out: &mut Vec<u8>) {
        if self.choices.len() <= choice {
            self.choices.resize_with(choice + 1, Choice::default);
        }
        if self.choices[choice].finished {
            return;
        }
        let own = &mut self.choices[choice];
        let from = own.points;
        let mut open =
            Open { part, choice, number: 0, kind: ToolCallKind::Function, from, lacks_args: false };
        match kind {
            PartKind::Text | PartKind::Refusal => {}
            PartKind::Reasoning => {
                open.number = own.thoughts;
                own.thoughts += 1;
            }
            PartKind::ToolCall(call) => {
                open.number = own.calls;
                own.calls += 1;
                open.kind = call.kind;
                open.lacks_args = call.kind == ToolCallKind::Function && call.args.is_empty();
                let number = open.number;
                self.chunk(choice, None, out, |json| start_call(json, &call, number));
            }
            PartKind::Whole(part) => {
                self.whole(choice, &part, out);
                return;
            }
        }
        self.parts.push(open);
    }

    /// A part that comes whole: sealed thoughts. Nothing else has a place in a stream of this dialect.
    fn whole(&mut self, choice: usize, part: &Part, out: &mut Vec<u8>) {
        match &part.block {
            Block::Reasoning(thoughts) => {
                let number = self.choices[choice].thoughts;
                self.choices[choice].thoughts += 1;
                let text = reasoning::text_of(thoughts);
                self.chunk(choice, None, out, |json| {
                    if !text.is_empty() {
                        json.text_member("reasoning_content", &text);
                    }
                    json.key("reasoning_details")
                        .array(|json| reasoning::write_details(json, thoughts, number));
                });
            }
            Block::Text(text) => {
                let text = text.text.clone();
                self.choices[choice].points += text.chars().count() as u64;
                self.chunk(choice, None, out, |json| json.text_member("content", &text));
            }
            _ => {}
        }
    }

    fn delta(&mut self, part: u32, delta: &Delta, out: &mut Vec<u8>) {
        let Some(open) = self.parts.iter_mut().find(|open| open.part == part) else {
            return;
        };
        open.lacks_args &= !matches!(delta, Delta::Args(args) if !args.is_empty());
        let (choice, number, kind, from) = (open.choice, open.number, open.kind, open.from);
        match delta {
            Delta::Text(text) => {
                self.choices[choice].points += text.chars().count() as u64;
                self.chunk(choice, None, out, |json| json.text_member("content", text));
            }
            Delta::Refusal(text) => {
                self.chunk(choice, None, out, |json| json.text_member("refusal", text));
            }
            Delta::Thought(text) => {
                let sealer = self.asked.sealer;
                self.chunk(choice, None, out, |json| {
                    json.text_member("reasoning_content", text);
                    // Callers that send back only the list must find the text in it.
                    if let Some(sealer) = sealer {
                        json.key("reasoning_details")
                            .array(|json| reasoning::write_piece(json, text, sealer, number));
                    }
                });
            }
            Delta::Summary(_, text) => {
                self.chunk(choice, None, out, |json| json.text_member("reasoning_content", text));
            }
            Delta::Args(args) => {
                self.chunk(choice, None, out, |json| more_args(json, number, kind, args));
            }
            Delta::Opaque(opaque) => self.seal(choice, number, opaque, out),
            Delta::Logprobs(entries) => {
                self.write(out, |json| one_choice(json, choice, (None, Some(entries)), |_| {}));
            }
            Delta::Citation(citation) => {
                self.chunk(choice, None, out, |json| {
                    json.key("annotations").array(|json| reply::write_citation(json, citation, from));
                });
            }
        }
    }

    fn stop_part(&mut self, part: u32, out: &mut Vec<u8>) {
        let Some(at) = self.parts.iter().position(|open| open.part == part) else {
            return;
        };
        let open = self.parts.swap_remove(at);
        if open.lacks_args {
            self.chunk(open.choice, None, out, |json| more_args(json, open.number, open.kind, "{}"));
        }
    }

    /// A seal: of thoughts in the list of details, of a call beside the call.
    fn seal(&mut self, choice: usize, number: usize, opaque: &Opaque, out: &mut Vec<u8>) {
        let on_call = opaque.origin == crate::neutral::Dialect::Gemini
            && opaque.kind == OpaqueKind::Signature
            && self.choices[choice].calls > 0;
        self.chunk(choice, None, out, |json| {
            if on_call {
                let call = ToolCall { opaque: vec![opaque.clone()], ..ToolCall::default() };
                json.key("tool_calls").array(|json| {
                    json.object(|json| {
                        json.plain_member("index", number);
                        tools::write_seal(json, &call);
                    });
                });
            } else {
                json.key("reasoning_details")
                    .array(|json| reasoning::write_sealed(json, opaque, None, number));
            }
        });
    }

    fn finish(&mut self, choice: usize, stop: &Stop, out: &mut Vec<u8>) {
        if *stop == Stop::MalformedTool {
            return self.fail(
                &failed("The model wrote a tool call that cannot be read.", "malformed_tool_call"),
                out,
            );
        }
        if self.choices.get(choice).is_some_and(|own| own.finished) {
            return;
        }
        while let Some(open) = self.parts.iter().find(|open| open.choice == choice) {
            self.stop_part(open.part, out);
        }
        self.chunk(choice, Some(stop_name(stop)), out, |_| {});
        self.choices[choice].finished = true;
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        for choice in 0..self.choices.len() {
            if self.choices[choice].begun && !self.choices[choice].finished {
                self.finish(choice, &Stop::End, out);
            }
        }
        if self.include_usage {
            let used = self.usage.take().unwrap_or_default();
            self.write_with(out, |_| {}, Some(&used));
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
        self.ended = true;
    }

    fn fail(&mut self, failure: &UpstreamFailure, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&error(failure));
        out.extend_from_slice(b"\n\n");
        self.ended = true;
    }
}

impl StreamEncoder for Encoder {
    fn encode(&mut self, event: Event, out: &mut Vec<u8>) {
        if self.ended {
            return;
        }
        match event {
            Event::Start { .. } if std::mem::replace(&mut self.started, true) => {}
            Event::Start { id, model } => {
                self.id = self.asked.reply_id("chatcmpl-", &id);
                if !model.is_empty() {
                    self.model = model;
                }
            }
            Event::PartStart { part, choice, kind } => self.start_part(part, choice as usize, kind, out),
            Event::Delta { part, delta } => self.delta(part, &delta, out),
            Event::PartStop { part } => self.stop_part(part, out),
            Event::Finish { choice, stop, .. } => self.finish(choice as usize, &stop, out),
            Event::Usage(used) => self.usage = Some(used),
            Event::Tier(tier) => self.tier = reply::tier(&tier).map(str::to_owned),
            Event::Error(failure) => self.fail(&failure, out),
            Event::Aside(_) | Event::Ping => {}
            Event::End => self.end(out),
        }
    }
}

fn one_choice(
    json: &mut JsonWriter,
    choice: usize,
    (finish, logprobs): (Option<&str>, Option<&Raw>),
    delta: impl FnOnce(&mut JsonWriter),
) {
    json.object(|json| {
        json.plain_member("index", choice);
        json.key("delta").object(delta);
        reply::write_logprobs(json, logprobs);
        match finish {
            Some(reason) => json.text_member("finish_reason", reason),
            None => json.raw_member("finish_reason", "null"),
        }
    });
}

fn start_call(json: &mut JsonWriter, call: &ToolCall, number: usize) {
    json.key("tool_calls").array(|json| {
        json.object(|json| {
            json.plain_member("index", number);
            json.text_member("id", &call.id);
            let (kind, args) = kind_names(call.kind);
            json.text_member("type", kind);
            json.key(kind).object(|json| {
                json.text_member("name", &call.name);
                json.text_member(args, &call.args);
            });
            tools::write_seal(json, call);
        });
    });
}

fn more_args(json: &mut JsonWriter, number: usize, kind: ToolCallKind, more: &str) {
    json.key("tool_calls").array(|json| {
        json.object(|json| {
            json.plain_member("index", number);
            let (kind, args) = kind_names(kind);
            json.key(kind).object(|json| json.text_member(args, more));
        });
    });
}

fn kind_names(kind: ToolCallKind) -> (&'static str, &'static str) {
    match kind {
        ToolCallKind::Function => ("function", "arguments"),
        ToolCallKind::Custom => ("custom", "input"),
    }
}

/// A failure as OpenAI words it.
fn error(failure: &UpstreamFailure) -> Vec<u8> {
    let mut json = JsonWriter::new();
    json.object(|json| {
        json.key("error").object(|json| {
            json.text_member("message", &failure.message);
            json.text_member("type", failure.kind.as_deref().unwrap_or("upstream_error"));
            json.raw_member("param", "null");
            match &failure.code {
                Some(code) => json.text_member("code", code),
                None => json.raw_member("code", "null"),
            }
        });
    });
    json.into_bytes()
}
