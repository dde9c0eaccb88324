//! Reads and writes a whole answer.

use model::Rejection;

use super::{OWN, content, each, member, member_text, part_out, stop_name, stop_of};
use crate::codec::aside::Aside;
use crate::codec::{Asked, Source, ids, likely, read, unreadable};
use crate::json_writer::JsonWriter;
use crate::members;
use crate::neutral::{
    Block, Choice, Citation, Ext, Losses, OpaqueKind, Part, Reasoning, Reply, Stop, Text, Used,
};
use crate::usage::Counts;

/// Reads an answer.
pub(super) fn decode(body: &str, source: &Source<'_>) -> Result<Reply, Rejection> {
    let mut reply = Reply::default();
    let (mut candidates, mut blocked) = (None, None);
    members::each(body, |key, value| match key {
        _ if value == "null" => {}
        "responseId" => reply.id = read::text(value),
        "modelVersion" => reply.model = read::text(value),
        "candidates" => candidates = Some(value),
        "promptFeedback" => {
            blocked = member_text(value, "blockreason");
            reply.ext.keep(OWN, key, value);
        }
        "usageMetadata" => {
            reply.usage = usage(value, source);
            reply.tier = member_text(value, "servicetier");
        }
        _ => reply.ext.keep(OWN, key, value),
    })
    .map_err(|_| unreadable("the answer is not one JSON object"))?;
    for (place, raw) in members::elements(candidates.unwrap_or("[]")).into_iter().enumerate() {
        reply.choices.push(candidate(raw, place, &reply.id));
    }
    if reply.choices.is_empty() {
        let Some(native) = blocked else {
            return Err(unreadable("the answer has no candidates"));
        };
        // The prompt was blocked: an answer without a word.
        let choice = Choice {
            index: 0,
            parts: Vec::new(),
            stop: Stop::Filter,
            native: Some(native),
            logprobs: None,
            ext: Ext::default(),
        };
        reply.choices.push(choice);
    }
    let mut aside = Aside::new(OWN);
    aside.add_all("", &reply.ext);
    reply.choices.iter().for_each(|choice| aside.add_all("candidates", &choice.ext));
    reply.aside = aside.into_paths();
    Ok(reply)
}

/// Reads what was used.
pub(super) fn usage(raw: &str, source: &Source<'_>) -> Option<Used> {
    let mut counts = Counts::default();
    counts.read(raw);
    read::used(&counts, source.conventions(OWN), OWN, raw)
}

fn candidate(raw: &str, place: usize, reply: &str) -> Choice {
    let mut choice = Choice {
        index: u32::try_from(place).unwrap_or(u32::MAX),
        parts: Vec::new(),
        stop: Stop::End,
        native: None,
        logprobs: None,
        ext: Ext::default(),
    };
    let mut found = Vec::new();
    let _ = each(raw, |key, name, value| match key {
        _ if value == "null" => {}
        "index" => choice.index = value.parse().unwrap_or(choice.index),
        "content" => choice.parts = content::parts(member(value, "parts").unwrap_or("[]")),
        "finishreason" => choice.native = read::text_if(value),
        "logprobsresult" => choice.logprobs = likely::of_gemini(value),
        "groundingmetadata" | "citationmetadata" => {
            found.extend(citations(value));
            choice.ext.keep(OWN, name, value);
        }
        _ => choice.ext.keep(OWN, name, value),
    });
    let mut calls = 0;
    for part in &mut choice.parts {
        if let Block::ToolCall(call) = &mut part.block {
            if call.id.is_empty() {
                call.id = ids::missing_in_reply(reply, calls);
            }
            calls += 1;
        }
    }
    let stop = stop_of(choice.native.as_deref().unwrap_or_default());
    choice.stop = if stop == Stop::End && calls > 0 { Stop::ToolUse } else { stop };
    cite(&mut choice.parts, &found);
    choice
}

/// Puts what an answer rests on where it rests on it: places are bytes of all its text, one after the other.
fn cite(parts: &mut [Part], citations: &[(Citation, (usize, usize))]) {
    let mut before = 0;
    for part in parts {
        let Block::Text(text) = &mut part.block else { continue };
        let end = before + text.text.len();
        for (citation, bytes) in citations {
            if bytes.0 >= before && bytes.1 <= end {
                let mut citation = citation.clone();
                citation.span = span(&text.text, (bytes.0 - before, bytes.1 - before));
                text.citations.push(citation);
            }
        }
        before = end;
    }
}

/// Places in code points from places in bytes.
pub(super) fn span(text: &str, (start, end): (usize, usize)) -> Option<(u64, u64)> {
    let points = |bytes: usize| Some(u64::try_from(text.get(..bytes)?.chars().count()).unwrap_or(u64::MAX));
    points(start).zip(points(end))
}

/// The pages that an answer rests on, each with the bytes of the answer that do: those that a search found, and
/// those that the model repeats.
pub(super) fn citations(raw: &str) -> Vec<(Citation, (usize, usize))> {
    let mut found = searched(raw);
    // Vertex has another name for the list.
    let repeated = member(raw, "citationsources").or(member(raw, "citations")).unwrap_or("[]");
    for source in members::elements(repeated) {
        let at = |name| member(source, name).and_then(|raw| raw.parse::<usize>().ok()).unwrap_or(0);
        if let Some(uri) = member_text(source, "uri") {
            let page = read::page(Some(uri), member_text(source, "title"));
            found.push((page, (at("startindex"), at("endindex"))));
        }
    }
    found
}

fn searched(grounding: &str) -> Vec<(Citation, (usize, usize))> {
    let pages: Vec<Citation> = members::elements(member(grounding, "groundingchunks").unwrap_or("[]"))
        .into_iter()
        .map(|chunk| {
            let page = member(chunk, "web").or(member(chunk, "retrievedcontext")).unwrap_or("{}");
            read::page(member_text(page, "uri"), member_text(page, "title"))
        })
        .collect();
    let mut found = Vec::new();
    for support in members::elements(member(grounding, "groundingsupports").unwrap_or("[]")) {
        let segment = member(support, "segment").unwrap_or("{}");
        let at = |name| member(segment, name).and_then(|raw| raw.parse::<usize>().ok()).unwrap_or(0);
        for index in members::elements(member(support, "groundingchunkindices").unwrap_or("[]")) {
            if let Some(page) = index.parse::<usize>().ok().and_then(|index| pages.get(index)) {
                let page = Citation { cited: member_text(segment, "text"), ..page.clone() };
                found.push((page, (at("startindex"), at("endindex"))));
            }
        }
    }
    found
}

/// Writes an answer.
pub(super) fn encode(reply: &Reply, asked: &Asked, losses: &mut Losses) -> Vec<u8> {
    let mut json = JsonWriter::with_capacity(1024);
    json.object(|json| {
        json.key("candidates").array(|json| {
            for choice in &reply.choices {
                json.object(|json| write_choice(json, choice, asked, losses));
            }
        });
        if let Some(used) = &reply.usage {
            write_usage(json.key("usageMetadata"), used);
        }
        json.text_member("modelVersion", if reply.model.is_empty() { &asked.model } else { &reply.model });
        json.text_member("responseId", if reply.id.is_empty() { &asked.id } else { &reply.id });
        reply.ext.write_own(OWN, json);
    });
    json.into_bytes()
}

fn write_choice(json: &mut JsonWriter, choice: &Choice, asked: &Asked, losses: &mut Losses) {
    json.key("content").object(|json| {
        json.key("parts").array(|json| {
            let mut seal = None;
            for part in &choice.parts {
                write_part(json, part, &mut seal, asked, losses);
            }
            if let Some(seal) = seal {
                part_out::text(json, "", Some(&seal));
            }
        });
        json.text_member("role", "model");
    });
    let native = choice.native.as_deref().filter(|name| super::STOPS.iter().any(|(own, _)| own == name));
    json.text_member("finishReason", native.unwrap_or(stop_name(&choice.stop)));
    json.plain_member("index", choice.index);
    if let Some(entries) = &choice.logprobs {
        likely::write_gemini(json, entries);
    }
    choice.ext.write_own(OWN, json);
    if choice.ext.get(OWN, "groundingMetadata").or(choice.ext.get(OWN, "citationMetadata")).is_none() {
        let text = choice.parts.iter().filter_map(|part| match &part.block {
            Block::Text(text) => Some(text),
            _ => None,
        });
        let whole = joined(text);
        if !whole.citations.is_empty() {
            part_out::grounding(json.key("groundingMetadata"), &whole.text, &whole.citations);
        }
    }
}

/// Several texts as one, the places of their citations with them.
fn joined<'a>(texts: impl Iterator<Item = &'a Text>) -> Text {
    let mut whole = Text::default();
    for text in texts {
        let before = u64::try_from(whole.text.chars().count()).unwrap_or(0);
        whole.text.push_str(&text.text);
        for citation in &text.citations {
            let mut citation = citation.clone();
            citation.span = citation.span.map(|(start, end)| (start + before, end + before));
            whole.citations.push(citation);
        }
    }
    whole
}

fn write_part(
    json: &mut JsonWriter,
    part: &Part,
    seal: &mut Option<String>,
    asked: &Asked,
    losses: &mut Losses,
) {
    let own = part.ext.get(OWN, "thoughtSignature").and_then(|raw| read::text_if(raw.text()));
    match &part.block {
        Block::Reasoning(thoughts) => write_thoughts(json, thoughts, seal),
        Block::ToolCall(call) => {
            let name = asked.tool_name(&call.name);
            let signature = part_out::signature(&call.opaque).map(Into::into).or(seal.take());
            part_out::call(json, call, name, signature.as_deref());
        }
        Block::Text(text) if text.text.is_empty() => {}
        Block::Text(text) => part_out::text(json, &text.text, own.or(seal.take()).as_deref()),
        Block::Refusal(text) => part_out::text(json, text, seal.take().as_deref()),
        Block::Media(media) => {
            if !part_out::media(json, media, own.as_deref()) {
                losses.meaning("candidates.content.parts", "the medium is kept by another provider");
            }
        }
        Block::Foreign(foreign) if foreign.origin == OWN => json.raw(foreign.raw.text()),
        Block::Foreign(_) | Block::ToolResult(_) => {
            losses.meaning("candidates.content.parts", "the caller's dialect has no such part");
        }
    }
}

/// Thoughts, or, where they are hidden, their seal on the next part.
pub(super) fn write_thoughts(json: &mut JsonWriter, thoughts: &Reasoning, seal: &mut Option<String>) {
    let hidden = thoughts.text.is_empty() && thoughts.summary.iter().all(String::is_empty);
    let signs = |kind| matches!(kind, OpaqueKind::Signature | OpaqueKind::Redacted | OpaqueKind::Encrypted);
    if hidden {
        let carried = thoughts.opaque.iter().find(|opaque| signs(opaque.kind)).map(super::carried);
        *seal = carried.map(Into::into).or(seal.take());
    } else {
        part_out::thoughts(json, thoughts);
    }
}

/// Writes what was used.
pub(super) fn write_usage(json: &mut JsonWriter, used: &Used) {
    let own = used.ext.fields_of(OWN);
    json.object(|json| {
        if !own.is_empty() {
            return own.iter().for_each(|(name, value)| json.raw_member(name, value.text()));
        }
        let counters = &used.counters;
        json.plain_member("promptTokenCount", counters.total_input());
        json.plain_member("candidatesTokenCount", counters.output.saturating_sub(counters.reasoning));
        if counters.reasoning > 0 {
            json.plain_member("thoughtsTokenCount", counters.reasoning);
        }
        if counters.cache_read > 0 {
            json.plain_member("cachedContentTokenCount", counters.cache_read);
        }
        json.plain_member("totalTokenCount", counters.total());
    });
}
