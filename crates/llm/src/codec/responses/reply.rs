//! Reads and writes a whole answer.

use model::{Code, Rejection};

use super::item::{self, Item};
use super::item_out::{self, Names};
use super::{OWN, incomplete, stop_of};
use crate::codec::aside::Aside;
use crate::codec::likely;
use crate::codec::{Asked, Source, ids, read, unreadable};
use crate::failure::UpstreamFailure;
use crate::json_writer::JsonWriter;
use crate::members;
use crate::neutral::{Block, Choice, Losses, MediaSource, Part, Raw, Reply, Stop, ToolCall, Used};
use crate::usage::Counts;

/// Reads an answer.
pub(super) fn decode(body: &str, source: &Source<'_>) -> Result<Reply, Rejection> {
    let mut reply = Reply::default();
    let (mut output, mut reason, mut error) = (None, None, None);
    members::each(body, |key, value| match key {
        _ if value == "null" => {}
        "id" => reply.id = read::text(value),
        "model" => reply.model = read::text(value),
        "created_at" => reply.created = read::count(value),
        "output" => output = Some(value),
        "usage" => reply.usage = usage(value, source),
        "service_tier" => reply.tier = read::text_if(value),
        "incomplete_details" => reason = read::member_text(value, "reason"),
        "error" => error = Some(UpstreamFailure::of_error(value)),
        "object" | "status" => {}
        _ => reply.ext.keep(OWN, key, value),
    })
    .map_err(|_| unreadable("the answer is not one JSON object"))?;
    if let Some(failed) = error {
        let message = format!("The upstream answered: {}", failed.message);
        return Err(Rejection::because(Code::UpstreamError, message));
    }
    let output = output.ok_or_else(|| unreadable("the answer has no output"))?;
    let mut aside = Aside::new(OWN);
    aside.add_all("", &reply.ext);
    reply.aside = aside.into_paths();
    let (mut parts, mut logprobs) = (Vec::new(), None);
    for raw in members::elements(output) {
        for text in members::elements(read::member(raw, "content").unwrap_or("[]")) {
            if let Some(more) = read::member(text, "logprobs").and_then(likely::list) {
                logprobs = Some(likely::joined(logprobs, &more));
            }
        }
        match item::read(raw) {
            Item::Message(_, more) => parts.extend(more),
            Item::Said(part) | Item::Result(part) => parts.push(part),
            Item::Tools(_) | Item::Reasoning(_) | Item::Reference => {}
        }
    }
    let stop = settled(reason.as_deref().map_or(Stop::End, stop_of), &parts);
    let ext = crate::neutral::Ext::default();
    reply.choices.push(Choice { index: 0, parts, stop, native: reason, logprobs, ext });
    Ok(reply)
}

/// The reason to stop, where what was generated says more than the provider.
pub(super) fn settled(stop: Stop, parts: &[Part]) -> Stop {
    let has = |wanted: fn(&Block) -> bool| parts.iter().any(|part| wanted(&part.block));
    match stop {
        Stop::End if has(|block| matches!(block, Block::ToolCall(_))) => Stop::ToolUse,
        Stop::End if has(|block| matches!(block, Block::Refusal(_))) => Stop::Refusal,
        other => other,
    }
}

/// Reads what was used.
pub(super) fn usage(raw: &str, source: &Source<'_>) -> Option<Used> {
    let mut counts = Counts::default();
    counts.read(raw);
    read::used(&counts, source.conventions(OWN), OWN, raw)
}

/// Writes an answer.
pub(super) fn encode(reply: &Reply, asked: &Asked, losses: &mut Losses) -> Vec<u8> {
    let choice = reply.choices.first();
    let parts = choice.map_or(&[][..], |choice| &choice.parts);
    let id = asked.reply_id("resp_", &reply.id);
    let logprobs = choice.and_then(|choice| choice.logprobs.as_ref());
    let mut output = Output { items: Vec::new(), base: bare(&id).to_owned(), asked, losses, logprobs };
    output.write(parts);
    let items = output.items;
    let seen = Head { id: &id, model: &reply.model, created: reply.created.unwrap_or(asked.created) };
    let mut json = JsonWriter::with_capacity(1024);
    let ended = State::Ended(End {
        stop: choice.map_or(&Stop::End, |choice| &choice.stop),
        usage: reply.usage.as_ref(),
        tier: reply.tier.as_deref(),
    });
    response(&mut json, &seen, &items, asked, &ended);
    json.into_bytes()
}

/// Who answers.
pub(super) struct Head<'a> {
    pub id: &'a str,
    pub model: &'a str,
    pub created: u64,
}

/// How an answer ended.
pub(super) struct End<'a> {
    pub stop: &'a Stop,
    pub usage: Option<&'a Used>,
    pub tier: Option<&'a str>,
}

/// How far an answer has come.
pub(super) enum State<'a> {
    /// It is in progress.
    Begun,
    /// It ended as the model meant it to.
    Ended(End<'a>),
    /// It broke off.
    Failed(&'a UpstreamFailure),
}

/// Writes the response object.
pub(super) fn response(
    json: &mut JsonWriter,
    head: &Head<'_>,
    items: &[String],
    asked: &Asked,
    state: &State<'_>,
) {
    let (reason, end) = match state {
        State::Ended(end) => (incomplete(end.stop), Some(end)),
        State::Begun | State::Failed(_) => (None, None),
    };
    let status = match (state, reason) {
        (State::Begun, _) => "in_progress",
        (State::Failed(_), _) => "failed",
        (State::Ended(_), Some(_)) => "incomplete",
        (State::Ended(end), None) if *end.stop == Stop::Pause => "in_progress",
        (State::Ended(_), None) => "completed",
    };
    json.object(|json| {
        json.text_member("id", head.id);
        json.text_member("object", "response");
        json.plain_member("created_at", head.created);
        json.text_member("status", status);
        json.plain_member("background", false);
        match state {
            State::Failed(failure) => json.key("error").object(|json| {
                json.text_member("code", own_code(failure));
                json.text_member("message", &failure.message);
            }),
            State::Begun | State::Ended(_) => json.raw_member("error", "null"),
        }
        match reason {
            Some(reason) => json.key("incomplete_details").object(|json| json.text_member("reason", reason)),
            None => json.raw_member("incomplete_details", "null"),
        }
        json.text_member("model", if head.model.is_empty() { &asked.model } else { head.model });
        json.key("output").array(|json| items.iter().for_each(|item| json.raw(item)));
        for (name, value) in asked.response.fields_of(OWN) {
            json.raw_member(name, value.text());
        }
        let tier = end.and_then(|end| end.tier).and_then(own_tier);
        json.text_member("service_tier", tier.unwrap_or("default"));
        match end.and_then(|end| end.usage) {
            Some(used) => write_usage(json.key("usage"), used),
            None => json.raw_member("usage", "null"),
        }
    });
}

/// Writes the members of the event that tells of a failure: those that OpenAI's document gives it, and the
/// envelope that OpenAI's service sends and its SDKs raise.
pub(super) fn failure(json: &mut JsonWriter, failure: &UpstreamFailure) {
    let code = failure.code.as_deref().unwrap_or("server_error");
    let members = |json: &mut JsonWriter| {
        json.text_member("code", code);
        json.text_member("message", &failure.message);
        json.raw_member("param", "null");
    };
    members(json);
    json.key("error").object(|json| {
        json.text_member("type", failure.kind.as_deref().unwrap_or("server_error"));
        members(json);
    });
}

/// A failure's code as Responses has them. Codes of this gateway, and those by which Codex tells what to do
/// (clients reference §1.3), are told as they are.
fn own_code(failure: &UpstreamFailure) -> &str {
    match failure.code.as_deref().unwrap_or("server_error") {
        "rate_limit_error" | "RESOURCE_EXHAUSTED" | "throttlingException" | "429" => "rate_limit_exceeded",
        "invalid_request_error" | "INVALID_ARGUMENT" | "validationException" => "invalid_prompt",
        "overloaded_error" | "api_error" | "timeout_error" | "INTERNAL" | "UNAVAILABLE" => "server_error",
        number if number.bytes().all(|byte| byte.is_ascii_digit()) => "server_error",
        other => other,
    }
}

fn own_tier(name: &str) -> Option<&str> {
    matches!(name, "auto" | "default" | "flex" | "scale" | "priority").then_some(name)
}

/// Writes what was used.
pub(super) fn write_usage(json: &mut JsonWriter, used: &Used) {
    let own = used.ext.fields_of(OWN);
    json.object(|json| {
        if !own.is_empty() {
            return own.iter().for_each(|(name, value)| json.raw_member(name, value.text()));
        }
        let counters = &used.counters;
        json.plain_member("input_tokens", counters.total_input());
        json.key("input_tokens_details").object(|json| {
            json.plain_member("cached_tokens", counters.cache_read);
            json.plain_member("cache_write_tokens", counters.cache_write());
        });
        json.plain_member("output_tokens", counters.output);
        json.key("output_tokens_details")
            .object(|json| json.plain_member("reasoning_tokens", counters.reasoning));
        json.plain_member("total_tokens", counters.total());
    });
}

/// The part of an answer's id that its items share.
pub(super) fn bare(id: &str) -> &str {
    id.strip_prefix("resp_").unwrap_or(id)
}

/// The items of an answer in the making.
struct Output<'a> {
    items: Vec<String>,
    base: String,
    asked: &'a Asked,
    losses: &'a mut Losses,
    /// How likely the tokens of all its text were: told with the first.
    logprobs: Option<&'a Raw>,
}

impl Output<'_> {
    fn id(&self, prefix: &str) -> String {
        format!("{prefix}_{}_{}", self.base, self.items.len())
    }

    fn write(&mut self, parts: &[Part]) {
        let mut said: Vec<&Part> = Vec::new();
        for part in parts {
            if matches!(part.block, Block::Text(_) | Block::Refusal(_)) {
                said.push(part);
                continue;
            }
            self.said(&mut said);
            self.part(part);
        }
        self.said(&mut said);
    }

    fn said(&mut self, said: &mut Vec<&Part>) {
        if said.is_empty() {
            return;
        }
        let mut content = JsonWriter::new();
        content.array(|json| {
            for part in said.drain(..) {
                match &part.block {
                    Block::Text(text) => item_out::output_text(json, text, self.logprobs.take()),
                    Block::Refusal(text) => item_out::refusal(json, text),
                    _ => {}
                }
            }
        });
        let item = message(&self.id("msg"), "completed", &content.into_string());
        self.items.push(item);
    }

    fn part(&mut self, part: &Part) {
        let mut json = JsonWriter::new();
        match &part.block {
            Block::ToolCall(call) => {
                for seal in &call.opaque {
                    let thoughts =
                        crate::neutral::Reasoning { opaque: vec![seal.clone()], ..Default::default() };
                    item_out::reasoning(&mut json, &thoughts, Some(&self.id("rs")));
                    self.items.push(std::mem::take(&mut json).into_string());
                }
                let call = self.named(call);
                item_out::call(&mut json, &call, names(self.asked), Some((&self.id("fc"), "completed")));
            }
            Block::Reasoning(thoughts) => {
                let own = thoughts.id.clone().filter(|id| id.starts_with("rs_"));
                item_out::reasoning(&mut json, thoughts, Some(&own.unwrap_or_else(|| self.id("rs"))));
            }
            Block::Media(media) => match &media.source {
                MediaSource::Base64(data) => image(&mut json, &self.id("ig"), data),
                _ => self.losses.meaning("output", "only pictures that are here can be shown"),
            },
            Block::Foreign(foreign) if foreign.origin == OWN => json.raw(foreign.raw.text()),
            Block::Foreign(_) | Block::ToolResult(_) | Block::Text(_) | Block::Refusal(_) => {
                self.losses.meaning("output", "the caller's dialect has no such item");
            }
        }
        if !json.bytes().is_empty() {
            self.items.push(json.into_string());
        }
    }

    /// The call with an id, by the caller's name.
    fn named(&self, call: &ToolCall) -> ToolCall {
        let mut call = call.clone();
        call.name = self.asked.tool_name(&call.name).to_owned();
        if call.id.is_empty() {
            call.id = ids::missing_in_reply(&self.base, self.items.len());
        }
        if call.args.is_empty() {
            "{}".clone_into(&mut call.args);
        }
        call
    }
}

/// What the caller calls its tools.
pub(super) fn names(asked: &Asked) -> Names<'_> {
    Names { namespaces: &asked.namespaces, custom: &asked.custom_tools }
}

/// A message item.
pub(super) fn message(id: &str, status: &str, content: &str) -> String {
    let mut json = JsonWriter::new();
    json.object(|json| {
        json.text_member("type", "message");
        json.text_member("id", id);
        json.text_member("status", status);
        json.text_member("role", "assistant");
        json.raw_member("content", content);
    });
    json.into_string()
}

/// Writes a picture as the item that OpenAI's own tool would make.
pub(super) fn image(json: &mut JsonWriter, id: &str, data: &str) {
    json.object(|json| {
        json.text_member("type", "image_generation_call");
        json.text_member("id", id);
        json.text_member("status", "completed");
        json.text_member("result", data);
    });
}
