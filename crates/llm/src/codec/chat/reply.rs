//! Reads and writes a whole answer.

use model::{Rejection, Usage};

use super::{BROKEN_OFF, OWN, inline, message, reasoning, stop_name, stop_of, tools};
use crate::codec::aside::Aside;
use crate::codec::{Asked, Source, ids, likely, read, unreadable};
use crate::json_writer::JsonWriter;
use crate::members;
use crate::neutral::{
    Block, Choice, Citation, Losses, MediaSource, Part, Raw, Reasoning, Reply, Stop, Text, ToolCall, Turn,
    Used,
};
use crate::usage::Counts;

/// Reads an answer.
pub(super) fn decode(body: &str, source: &Source<'_>) -> Result<Reply, Rejection> {
    let mut reply = Reply::default();
    let (mut choices, mut sources) = (None, message::Sources::default());
    members::each(body, |key, value| match key {
        "id" => reply.id = read::text(value),
        "model" => reply.model = read::text(value),
        "created" => reply.created = read::count(value),
        "choices" => choices = Some(value),
        "usage" => reply.usage = usage(value, source),
        "service_tier" => reply.tier = read::text_if(value),
        "object" => {}
        _ if value == "null" => {}
        _ => {
            sources.read(key, value);
            reply.ext.keep(OWN, key, value);
        }
    })
    .map_err(|_| unreadable("the answer is not one JSON object"))?;
    let choices = choices.ok_or_else(|| unreadable("the answer has no choices"))?;
    let mut aside = Aside::new(OWN);
    aside.add_all("", &reply.ext);
    for (place, raw) in members::elements(choices).into_iter().enumerate() {
        let mut choice = decode_choice(raw, place, &reply.id, &mut aside)?;
        if source.quirks.thinks_in_text {
            choice.parts = apart(choice.parts);
        }
        cite(&mut choice.parts, &sources);
        reply.choices.push(choice);
    }
    reply.aside = aside.into_paths();
    Ok(reply)
}

/// Notes what a whole answer rests on with the last of its texts, where nothing is cited more exactly.
fn cite(parts: &mut [Part], sources: &message::Sources<'_>) {
    let text = parts.iter_mut().rev().find_map(message::text_of).filter(|text| text.citations.is_empty());
    if let (Some(text), Some(pages)) = (text, sources.citations()) {
        text.citations = pages;
    }
}

/// The parts, with the thoughts that the first text begins with as a part of their own.
fn apart(parts: Vec<Part>) -> Vec<Part> {
    let mut is_first = true;
    let split = |part: Part| match part.block {
        Block::Text(text) if text.citations.is_empty() && std::mem::take(&mut is_first) => {
            let told = inline::split(&text.text);
            let thoughts = Reasoning { text: told.thoughts, ..Reasoning::default() };
            let text = Part { block: Block::Text(Text { text: told.text.into(), ..text }), ..part };
            let has_text = matches!(&text.block, Block::Text(text) if !text.text.is_empty());
            let thoughts = (!thoughts.text.is_empty()).then(|| Part::from(Block::Reasoning(thoughts)));
            thoughts.into_iter().chain(has_text.then_some(text)).collect()
        }
        _ => vec![part],
    };
    parts.into_iter().flat_map(split).collect()
}

pub(super) fn usage(raw: &str, source: &Source<'_>) -> Option<Used> {
    let mut counts = Counts::default();
    counts.read(raw);
    read::used(&counts, source.conventions(OWN), OWN, raw)
}

fn decode_choice(raw: &str, place: usize, reply: &str, aside: &mut Aside) -> Result<Choice, Rejection> {
    let index = u32::try_from(place).unwrap_or(u32::MAX);
    let mut choice = Choice {
        index,
        parts: Vec::new(),
        stop: Stop::End,
        native: None,
        logprobs: None,
        ext: crate::neutral::Ext::default(),
    };
    let mut turn = None;
    let read = members::each(raw, |key, value| match key {
        "index" => choice.index = value.parse().unwrap_or(choice.index),
        "message" => turn = Some(message::decode(value, place)),
        "finish_reason" => choice.native = read::text_if(value),
        _ if value == "null" => {}
        "logprobs" => choice.logprobs = read::member(value, "content").and_then(likely::list),
        _ => choice.ext.keep(OWN, key, value),
    });
    read.map_err(|_| unreadable("a choice is not an object"))?;
    let turn: Turn = match turn {
        Some(turn) => turn.map_err(unreadable_message)?,
        None => return Err(unreadable("a choice has no message")),
    };
    if choice.native.as_deref() == Some(BROKEN_OFF) {
        return Err(unreadable("the provider broke the answer off"));
    }
    aside.add_all("choices", &choice.ext);
    aside.add_all("choices.message", &turn.ext);
    choice.parts = turn.parts;
    let mut calls = 0;
    for part in &mut choice.parts {
        if let Block::ToolCall(call) = &mut part.block {
            if call.id.is_empty() {
                call.id = ids::missing_in_reply(reply, calls);
            }
            calls += 1;
        }
    }
    choice.stop = settled(stop_of(choice.native.as_deref().unwrap_or_default()), &choice.parts);
    Ok(choice)
}

fn unreadable_message(rejection: Rejection) -> Rejection {
    unreadable(rejection.message)
}

/// The reason to stop, where what was generated says more than the provider: several report `stop` behind
/// a call of a tool, and OpenAI reports it behind a refusal.
fn settled(stop: Stop, parts: &[Part]) -> Stop {
    let has = |wanted: fn(&Block) -> bool| parts.iter().any(|part| wanted(&part.block));
    match stop {
        Stop::End if has(|block| matches!(block, Block::ToolCall(_))) => Stop::ToolUse,
        Stop::End if has(|block| matches!(block, Block::Refusal(_))) => Stop::Refusal,
        other => other,
    }
}

/// Writes an answer.
pub(super) fn encode(reply: &Reply, asked: &Asked, losses: &mut Losses) -> Vec<u8> {
    let mut json = JsonWriter::with_capacity(1024);
    json.object(|json| {
        json.text_member("id", &asked.reply_id("chatcmpl-", &reply.id));
        json.text_member("object", "chat.completion");
        json.plain_member("created", reply.created.unwrap_or(asked.created));
        json.text_member("model", if reply.model.is_empty() { &asked.model } else { &reply.model });
        json.key("choices").array(|json| {
            for choice in &reply.choices {
                encode_choice(json, choice, losses);
            }
        });
        if let Some(used) = &reply.usage {
            write_usage(json.key("usage"), used);
        }
        json.text_member_if("service_tier", reply.tier.as_deref().and_then(tier));
        reply.ext.write_own(OWN, json);
    });
    json.into_bytes()
}

/// The tier as OpenAI would name it.
pub(super) fn tier(name: &str) -> Option<&str> {
    match name {
        "standard" | "STANDARD" => Some("default"),
        "auto" | "default" | "flex" | "scale" | "priority" => Some(name),
        _ => None,
    }
}

fn encode_choice(json: &mut JsonWriter, choice: &Choice, losses: &mut Losses) {
    json.object(|json| {
        json.plain_member("index", choice.index);
        json.key("message").object(|json| encode_message(json, choice, losses));
        write_logprobs(json, choice.logprobs.as_ref());
        json.text_member("finish_reason", stop_name(&choice.stop));
        choice.ext.write_own(OWN, json);
    });
}

/// Writes how likely the tokens were, where that is known.
pub(super) fn write_logprobs(json: &mut JsonWriter, entries: Option<&Raw>) {
    match entries {
        Some(entries) => json.key("logprobs").object(|json| {
            json.raw_member("content", entries.text());
            json.raw_member("refusal", "null");
        }),
        None => json.raw_member("logprobs", "null"),
    }
}

fn encode_message(json: &mut JsonWriter, choice: &Choice, losses: &mut Losses) {
    let said = Said::of(&choice.parts, losses);
    json.text_member("role", "assistant");
    match &said.text {
        Some(text) => json.text_member("content", text),
        None => json.raw_member("content", "null"),
    }
    match &said.refusal {
        Some(refusal) => json.text_member("refusal", refusal),
        None => json.raw_member("refusal", "null"),
    }
    if !said.thoughts.is_empty() {
        let texts: Vec<String> = said.thoughts.iter().map(|one| reasoning::text_of(one)).collect();
        json.text_member("reasoning_content", &texts.join("\n\n"));
        json.key("reasoning_details").array(|json| {
            said.thoughts.iter().enumerate().for_each(|(at, one)| reasoning::write_details(json, one, at));
        });
    }
    if !said.calls.is_empty() {
        json.key("tool_calls").array(|json| {
            said.calls.iter().for_each(|call| tools::write_call(json, call, &call.id));
        });
    }
    if !said.citations.is_empty() {
        json.key("annotations").array(|json| {
            said.citations.iter().for_each(|(from, citation)| write_citation(json, citation, *from));
        });
    }
}

/// The parts of an answer as a message has them.
#[derive(Default)]
struct Said<'a> {
    text: Option<String>,
    refusal: Option<String>,
    thoughts: Vec<&'a crate::neutral::Reasoning>,
    calls: Vec<&'a ToolCall>,
    /// Citations, each with the code points of text in front of its own.
    citations: Vec<(u64, &'a Citation)>,
}

impl<'a> Said<'a> {
    fn of(parts: &'a [Part], losses: &mut Losses) -> Self {
        let mut said = Self::default();
        let mut points = 0;
        for part in parts {
            match &part.block {
                Block::Text(text) => {
                    said.text.get_or_insert_default().push_str(&text.text);
                    said.citations.extend(text.citations.iter().map(|citation| (points, citation)));
                    points += text.text.chars().count() as u64;
                }
                Block::Refusal(text) => said.refusal.get_or_insert_default().push_str(text),
                Block::Reasoning(thoughts) => said.thoughts.push(thoughts),
                Block::ToolCall(call) => said.calls.push(call),
                Block::Media(media) => {
                    if let MediaSource::Url(url) = &media.source {
                        said.text.get_or_insert_default().push_str(&format!("![]({url})"));
                    } else {
                        losses.meaning("media", "an answer of this dialect has no place for media");
                    }
                }
                Block::Foreign(_) | Block::ToolResult(_) => {
                    losses.meaning("content", "only the provider's dialect has such a part");
                }
            }
        }
        said
    }
}

/// Writes a citation whose text begins `from` code points into the whole.
pub(super) fn write_citation(json: &mut JsonWriter, citation: &Citation, from: u64) {
    let own = citation.ext.fields_of(OWN);
    if !own.is_empty() {
        return json.object(|json| own.iter().for_each(|(name, raw)| json.raw_member(name, raw.text())));
    }
    let (start, end) = citation.span.unwrap_or((0, 0));
    json.object(|json| {
        json.text_member("type", "url_citation");
        json.key("url_citation").object(|json| {
            json.plain_member("start_index", from + start);
            json.plain_member("end_index", from + end);
            json.text_member("url", citation.url.as_deref().unwrap_or_default());
            json.text_member("title", citation.title.as_deref().unwrap_or_default());
            json.text_member_if("content", citation.cited.as_deref());
        });
    });
}

/// Writes usage as OpenAI counts it: the cached part within the prompt, the reasoning within the answer.
pub(super) fn write_usage(json: &mut JsonWriter, used: &Used) {
    let own = used.ext.fields_of(OWN);
    if !own.is_empty() {
        return json.object(|json| own.iter().for_each(|(name, raw)| json.raw_member(name, raw.text())));
    }
    let Usage { cache_read, output, reasoning, audio_in, audio_out, .. } = used.counters;
    let written = used.counters.cache_write_5m + used.counters.cache_write_1h;
    json.object(|json| {
        json.plain_member("prompt_tokens", used.counters.total_input());
        json.plain_member("completion_tokens", output);
        json.plain_member("total_tokens", used.counters.total_input() + output);
        json.key("prompt_tokens_details").object(|json| {
            json.plain_member("cached_tokens", cache_read);
            if written > 0 {
                json.plain_member("cache_write_tokens", written);
            }
            json.plain_member("audio_tokens", audio_in);
        });
        json.key("completion_tokens_details").object(|json| {
            json.plain_member("reasoning_tokens", reasoning);
            json.plain_member("audio_tokens", audio_out);
            json.plain_member("accepted_prediction_tokens", 0);
            json.plain_member("rejected_prediction_tokens", 0);
        });
    });
}
