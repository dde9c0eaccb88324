//! Reads and writes a whole answer.

use model::{Rejection, Usage};

use super::{OWN, block, stop_name, stop_of};
use crate::codec::aside::Aside;
use crate::codec::{Asked, Source, custom, ids, read, unreadable};
use crate::json_writer::JsonWriter;
use crate::members;
use crate::neutral::{
    Block, Choice, Citation, Ext, Losses, Opaque, OpaqueKind, Part, Reasoning, Reply, Stop, Text, Used,
};
use crate::usage::Counts;

/// Reads an answer.
pub(super) fn decode(body: &str, source: &Source<'_>) -> Result<Reply, Rejection> {
    let mut reply = Reply::default();
    let (mut content, mut reason, mut sequence) = (None, None, None);
    members::each(body, |key, value| match key {
        "id" => reply.id = read::text(value),
        "model" => reply.model = read::text(value),
        "content" => content = Some(value),
        "stop_reason" => reason = read::text_if(value),
        "stop_sequence" => sequence = read::text_if(value),
        "usage" => reply.usage = usage(value, source),
        "type" | "role" => {}
        _ if value == "null" => {}
        _ => reply.ext.keep(OWN, key, value),
    })
    .map_err(|_| unreadable("the answer is not one JSON object"))?;
    let content = content.ok_or_else(|| unreadable("the answer has no content"))?;
    reply.tier = reply.usage.as_ref().and_then(tier);
    let mut aside = Aside::new(OWN);
    aside.add_all("", &reply.ext);
    reply.aside = aside.into_paths();
    let mut parts = block::decode_all(content);
    for (index, part) in parts.iter_mut().enumerate() {
        if let Block::ToolCall(call) = &mut part.block
            && call.id.is_empty()
        {
            call.id = ids::missing_in_reply(&reply.id, index);
        }
    }
    reply.choices.push(Choice {
        index: 0,
        parts,
        stop: stop_of(reason.as_deref().unwrap_or_default(), sequence),
        native: reason,
        logprobs: None,
        ext: Ext::default(),
    });
    Ok(reply)
}

pub(super) fn usage(raw: &str, source: &Source<'_>) -> Option<Used> {
    let mut counts = Counts::default();
    counts.read(raw);
    read::used(&counts, source.conventions(OWN), OWN, raw)
}

/// The tier, which this dialect states with the usage.
pub(super) fn tier(used: &Used) -> Option<String> {
    used.ext.get(OWN, "service_tier").and_then(|raw| read::text_if(raw.text()))
}

/// Writes an answer: the first, where there are several.
pub(super) fn encode(reply: &Reply, asked: &Asked, losses: &mut Losses) -> Vec<u8> {
    let mut json = JsonWriter::with_capacity(1024);
    let choice = reply.choices.first();
    json.object(|json| {
        json.text_member("id", &asked.reply_id("msg_", &reply.id));
        json.text_member("type", "message");
        json.text_member("role", "assistant");
        json.text_member("model", if reply.model.is_empty() { &asked.model } else { &reply.model });
        json.key("content").array(|json| {
            for part in choice.iter().flat_map(|choice| &choice.parts) {
                encode_part(json, part, losses);
            }
        });
        write_stop(json, choice.map_or(&Stop::End, |choice| &choice.stop));
        write_usage(json.key("usage"), &reply.usage.clone().unwrap_or_default(), reply.tier.as_deref());
        reply.ext.write_own(OWN, json);
    });
    json.into_bytes()
}

pub(super) fn write_stop(json: &mut JsonWriter, stop: &Stop) {
    json.text_member("stop_reason", stop_name(stop));
    match stop {
        Stop::Sequence(Some(sequence)) => json.text_member("stop_sequence", sequence),
        _ => json.raw_member("stop_sequence", "null"),
    }
}

fn encode_part(json: &mut JsonWriter, part: &Part, losses: &mut Losses) {
    match &part.block {
        Block::Text(text) => json.object(|json| {
            json.text_member("type", "text");
            json.text_member("text", &text.text);
            write_citations(json, text);
            part.ext.write(OWN, json, "content", losses);
        }),
        Block::Refusal(text) => json.object(|json| {
            json.text_member("type", "text");
            json.text_member("text", text);
        }),
        Block::Reasoning(thoughts) => write_thoughts(json, thoughts),
        Block::ToolCall(call) => json.object(|json| {
            json.text_member("type", "tool_use");
            json.text_member("id", &call.id);
            json.text_member("name", &call.name);
            json.raw_member("input", &custom::args_object(call));
            part.ext.write(OWN, json, "content", losses);
        }),
        Block::Foreign(foreign) if foreign.origin == OWN => json.raw(foreign.raw.text()),
        Block::Foreign(_) | Block::Media(_) | Block::ToolResult(_) => {
            losses.meaning("content", "an answer of this dialect has no place for this part");
        }
    }
}

fn write_citations(json: &mut JsonWriter, text: &Text) {
    if !text.citations.is_empty() {
        json.key("citations").array(|json| text.citations.iter().for_each(|one| write_citation(json, one)));
    }
}

/// Writes a citation: as it was, or as that of a page on the web.
pub(super) fn write_citation(json: &mut JsonWriter, citation: &Citation) {
    let own = citation.ext.fields_of(OWN);
    json.object(|json| {
        if !own.is_empty() {
            return own.iter().for_each(|(name, raw)| json.raw_member(name, raw.text()));
        }
        json.text_member("type", "web_search_result_location");
        json.text_member("cited_text", citation.cited.as_deref().unwrap_or_default());
        json.text_member("encrypted_index", "");
        json.text_member_if("title", citation.title.as_deref());
        json.text_member("url", citation.url.as_deref().unwrap_or_default());
    });
}

/// Writes thoughts: shown ones as thinking, hidden ones as redacted. A seal that is not Anthropic's is
/// marked with its maker, and thoughts without one with that, so that none is ever taken for Anthropic's.
fn write_thoughts(json: &mut JsonWriter, thoughts: &Reasoning) {
    let text = shown(thoughts);
    json.object(|json| {
        if let (true, Some(opaque)) = (text.is_empty(), hidden(thoughts)) {
            json.text_member("type", "redacted_thinking");
            json.text_member("data", &sealed(Some(opaque)));
        } else {
            json.text_member("type", "thinking");
            json.text_member("thinking", &text);
            json.text_member("signature", &sealed(thoughts.opaque.first()));
        }
    });
}

fn shown(thoughts: &Reasoning) -> String {
    if thoughts.text.is_empty() { thoughts.summary.join("\n\n") } else { thoughts.text.clone() }
}

/// What of thoughts that are not shown stands for them.
pub(super) fn hidden(thoughts: &Reasoning) -> Option<&Opaque> {
    thoughts.opaque.iter().find(|opaque| !(opaque.origin == OWN && opaque.kind == OpaqueKind::Signature))
}

/// A seal as this dialect carries it.
pub(super) fn sealed(opaque: Option<&Opaque>) -> String {
    match opaque {
        Some(opaque) if opaque.origin == OWN => opaque.data.clone(),
        other => read::tag_seal(other),
    }
}

/// Writes usage as Anthropic counts it: the cached part beside the input.
pub(super) fn write_usage(json: &mut JsonWriter, used: &Used, tier: Option<&str>) {
    let own = used.ext.fields_of(OWN);
    if !own.is_empty() {
        return json.object(|json| own.iter().for_each(|(name, raw)| json.raw_member(name, raw.text())));
    }
    let Usage { input, cache_read, cache_write_5m, cache_write_1h, output, reasoning, web_searches, .. } =
        used.counters;
    json.object(|json| {
        json.plain_member("input_tokens", input);
        json.plain_member("cache_creation_input_tokens", cache_write_5m + cache_write_1h);
        json.plain_member("cache_read_input_tokens", cache_read);
        json.key("cache_creation").object(|json| {
            json.plain_member("ephemeral_5m_input_tokens", cache_write_5m);
            json.plain_member("ephemeral_1h_input_tokens", cache_write_1h);
        });
        json.plain_member("output_tokens", output);
        if reasoning > 0 {
            json.key("output_tokens_details").object(|json| json.plain_member("thinking_tokens", reasoning));
        }
        if web_searches > 0 {
            json.key("server_tool_use").object(|json| json.plain_member("web_search_requests", web_searches));
        }
        let tier = if tier == Some("priority") { "priority" } else { "standard" };
        json.text_member("service_tier", tier);
    });
}
