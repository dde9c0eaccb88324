//! Reads contents: who speaks, and the parts of what is said.

use std::borrow::Cow;

use super::{OWN, each, member, member_text, uncarried};
use crate::codec::read;
use crate::json_writer::JsonWriter;
use crate::members;
use crate::neutral::{
    Block, Ext, Foreign, Media, MediaKind, MediaSource, Part, Raw, Reasoning, Role, ToolCall, ToolCallKind,
    ToolResult, Turn,
};

/// Reads one content.
pub(super) fn turn(raw: &str, place: usize) -> Turn {
    let role = match member_text(raw, "role").as_deref() {
        Some("model") => Role::Assistant,
        Some("system") => Role::System,
        _ => Role::User,
    };
    Turn::new(role, parts(member(raw, "parts").unwrap_or("[]")), place)
}

/// Reads parts: a list of them, or one alone.
pub(super) fn parts(raw: &str) -> Vec<Part> {
    if raw.starts_with('{') {
        return part(raw).into_iter().collect();
    }
    let mut parts: Vec<Part> = Vec::new();
    for next in members::elements(raw).into_iter().filter_map(part) {
        match (parts.last_mut().map(|part| &mut part.block), next.block) {
            // Thoughts that came in pieces, their seal in the last of them.
            (Some(Block::Reasoning(last)), Block::Reasoning(more)) if last.opaque.is_empty() => {
                last.text.push_str(&more.text);
                last.opaque = more.opaque;
            }
            (_, block) => parts.push(Part { block, ..next }),
        }
    }
    parts
}

/// The members of a part.
#[derive(Default)]
struct Parts<'a> {
    text: Option<String>,
    thought: bool,
    signature: Option<String>,
    data: Option<(&'static str, Cow<'a, str>, &'a str)>,
    ext: Ext,
}

/// Reads one part; an empty one is none.
pub(super) fn part(raw: &str) -> Option<Part> {
    let mut seen = Parts::default();
    each(raw, |key, name, value| match key {
        _ if value == "null" => {}
        "text" => seen.text = read::text_if(value),
        "thought" => seen.thought = value == "true",
        "thoughtsignature" => seen.signature = read::text_if(value).filter(|text| !text.is_empty()),
        "partmetadata" | "videometadata" | "mediaresolution" => seen.ext.keep(OWN, name, value),
        _ if seen.data.is_some() => seen.ext.keep(OWN, name, value),
        _ => seen.data = Some((data_kind(name), name.to_owned().into(), value)),
    })
    .ok()?;
    let seal = seen.signature.clone().map(uncarried);
    if let Some(text) = seen.text {
        if let Some((_, name, value)) = seen.data {
            seen.ext.keep(OWN, &name, value);
        }
        if seen.thought {
            let thoughts = Reasoning { text, opaque: seal.into_iter().collect(), ..Reasoning::default() };
            return Some(Part { ext: seen.ext, ..Block::Reasoning(thoughts).into() });
        }
        if text.is_empty() {
            // An empty part carries what belongs to no other.
            return seal.map(|seal| sealed(seal).into());
        }
        let mut part = Part { ext: seen.ext, ..Part::text(text) };
        if let Some(signature) = seen.signature {
            keep_signature(&mut part, &signature);
        }
        return Some(part);
    }
    let Some((name, _, value)) = seen.data else {
        return seal.map(|seal| sealed(seal).into());
    };
    let block = match name {
        "functioncall" => {
            let mut part = Part { ext: seen.ext, ..Block::ToolCall(call(value)).into() };
            keep_others(value, "functionCall", &["id", "name", "args"], &mut part);
            if let Block::ToolCall(call) = &mut part.block {
                call.opaque.extend(seal);
            }
            return Some(part);
        }
        "functionresponse" => Block::ToolResult(result(value)),
        "inlinedata" | "filedata" => media(name, value).map_or_else(|| foreign(raw), Block::Media),
        _ => foreign(raw),
    };
    let mut part: Part = block.into();
    if matches!(part.block, Block::ToolResult(_)) {
        keep_others(value, "functionResponse", &["id", "name", "response", "parts"], &mut part);
    }
    if !matches!(part.block, Block::Foreign(_)) {
        seen.ext.fields_of(OWN).iter().for_each(|(name, raw)| part.ext.keep(OWN, name, raw.text()));
    }
    if let Some(signature) = seen.signature.filter(|_| !matches!(part.block, Block::Foreign(_))) {
        keep_signature(&mut part, &signature);
    }
    Some(part)
}

/// Keeps the members of a call or a result that nobody reads here.
fn keep_others(raw: &str, within: &str, read: &[&str], part: &mut Part) {
    let _ = each(raw, |key, name, value| {
        if !read.contains(&key) && value != "null" {
            part.ext.keep(OWN, &format!("{within}.{name}"), value);
        }
    });
}

fn keep_signature(part: &mut Part, signature: &str) {
    let mut json = JsonWriter::new();
    json.text(signature);
    part.ext.keep(OWN, "thoughtSignature", &json.into_string());
}

fn sealed(seal: crate::neutral::Opaque) -> Block {
    Block::Reasoning(Reasoning { opaque: vec![seal], ..Reasoning::default() })
}

fn foreign(raw: &str) -> Block {
    Block::Foreign(Foreign { origin: OWN, raw: Raw::new(raw) })
}

/// The kinds of data that are read, by their plain names.
fn data_kind(name: &str) -> &'static str {
    match super::plain(name).as_str() {
        "functioncall" => "functioncall",
        "functionresponse" => "functionresponse",
        "inlinedata" => "inlinedata",
        "filedata" => "filedata",
        _ => "",
    }
}

/// Reads a call.
pub(super) fn call(raw: &str) -> ToolCall {
    let mut call = ToolCall::default();
    let _ = each(raw, |key, _, value| match key {
        "id" => call.id = read::text(value),
        "name" => call.name = read::text(value),
        "args" if value != "null" => value.clone_into(&mut call.args),
        _ => {}
    });
    call
}

/// Reads what a tool said: text where the response is nothing but text, else the response as it stands.
fn result(raw: &str) -> ToolResult {
    let mut result = ToolResult {
        call_id: String::new(),
        name: None,
        kind: ToolCallKind::Function,
        parts: Vec::new(),
        is_error: false,
    };
    let mut more = Vec::new();
    let _ = each(raw, |key, _, value| match key {
        "id" => result.call_id = read::text(value),
        "name" => result.name = read::text_if(value),
        "response" => {
            let (text, is_error) = response(value);
            result.parts.push(Part::text(text));
            result.is_error = is_error;
        }
        "parts" => more = parts(value),
        _ => {}
    });
    result.parts.extend(more);
    result
}

fn response(raw: &str) -> (String, bool) {
    let (mut members_seen, mut text, mut is_error) = (0, None, false);
    let _ = members::each(raw, |key, value| {
        members_seen += 1;
        if matches!(key, "output" | "result" | "error") {
            text = read::text_if(value);
            is_error = key == "error";
        }
    });
    match text {
        Some(text) if members_seen == 1 => (text, is_error),
        _ => (raw.to_owned(), false),
    }
}

/// Reads a medium.
fn media(kind: &str, raw: &str) -> Option<Media> {
    let mime = member_text(raw, "mimetype");
    let source = match kind {
        "inlinedata" => MediaSource::Base64(standard(member_text(raw, "data")?)),
        _ => {
            let uri = member_text(raw, "fileuri")?;
            match uri.contains("generativelanguage.googleapis.com") || !uri.contains("://") {
                true => MediaSource::File { owner: OWN, id: uri },
                false => MediaSource::Url(uri),
            }
        }
    };
    let kind = mime.as_deref().map_or(MediaKind::Image, read::kind_of_mime);
    Some(Media { kind, mime, source, name: member_text(raw, "displayname"), detail: None })
}

/// Base64 in the alphabet that everybody else takes; Google takes both.
fn standard(data: String) -> String {
    match data.contains(['-', '_']) {
        true => data.replace('-', "+").replace('_', "/"),
        false => data,
    }
}
