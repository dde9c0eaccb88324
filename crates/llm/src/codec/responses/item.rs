//! Reads the items that conversations and answers are made of.

use super::{OWN, tools};
use crate::codec::read;
use crate::members;
use crate::neutral::{
    Block, Citation, Foreign, Media, MediaKind, MediaSource, Opaque, OpaqueKind, Part, Raw, Reasoning, Role,
    Text, ToolCall, ToolCallKind, ToolResult,
};

/// What an item is.
pub(super) enum Item {
    /// A message.
    Message(Role, Vec<Part>),
    /// Something that the model said or did.
    Said(Part),
    /// What a tool said.
    Result(Part),
    /// Tools that are offered from here on.
    Tools(Vec<Raw>),
    /// Another wish how much to think.
    Reasoning(Raw),
    /// A reference to an item that the provider keeps.
    Reference,
}

/// Reads one item.
pub(super) fn read(raw: &str) -> Item {
    let kind = read::member_text(raw, "type").unwrap_or_else(|| "message".to_owned());
    match kind.as_str() {
        "message" => message(raw),
        "reasoning" => Item::Said(reasoning(raw)),
        "function_call" | "custom_tool_call" => {
            let mut part: Part = Block::ToolCall(call(raw, &kind)).into();
            keep(raw, &["type", "call_id", "name", "namespace", "arguments", "input", "status"], &mut part);
            Item::Said(part)
        }
        "function_call_output" | "custom_tool_call_output" => {
            let mut part: Part = Block::ToolResult(result(raw, &kind)).into();
            keep(raw, &["type", "call_id", "output", "status"], &mut part);
            Item::Result(part)
        }
        "additional_tools" => {
            let list = members::elements(read::member(raw, "tools").unwrap_or("[]"));
            Item::Tools(list.into_iter().map(Raw::new).collect())
        }
        "configuration_update" => Item::Reasoning(Raw::new(read::member(raw, "reasoning").unwrap_or("{}"))),
        "item_reference" => Item::Reference,
        _ if kind.ends_with("_output") || kind.ends_with("_response") => Item::Result(foreign(raw)),
        _ => Item::Said(foreign(raw)),
    }
}

fn foreign(raw: &str) -> Part {
    Block::Foreign(Foreign { origin: OWN, raw: Raw::new(raw) }).into()
}

/// Keeps the members of an item that are not `read`, nor `null`.
fn keep(raw: &str, read: &[&str], part: &mut Part) {
    let _ = members::each(raw, |key, value| {
        if !read.contains(&key) && members::is_said(value) {
            part.ext.keep(OWN, key, value);
        }
    });
}

fn message(raw: &str) -> Item {
    let role = match read::member_text(raw, "role").as_deref() {
        Some("assistant") => Role::Assistant,
        Some("system") => Role::System,
        Some("developer") => Role::Developer,
        _ => Role::User,
    };
    let mut parts = content(read::member(raw, "content").unwrap_or("[]"));
    if let Some(first) = parts.first_mut() {
        keep(raw, &["type", "role", "content", "status", "id"], first);
    }
    Item::Message(role, parts)
}

/// The parts of a message, or of a tool's output; a string is one part of text.
pub(super) fn content(raw: &str) -> Vec<Part> {
    match read::text_if(raw) {
        Some(text) => vec![Part::text(text)],
        None => members::elements(raw).into_iter().map(part).collect(),
    }
}

/// Members of a part that are read, or say nothing in what a caller sends.
const PART: [&str; 13] = [
    "type",
    "text",
    "refusal",
    "annotations",
    "logprobs",
    "image_url",
    "file_id",
    "detail",
    "input_audio",
    "file_data",
    "file_url",
    "filename",
    "cache_control",
];

fn part(raw: &str) -> Part {
    let kind = read::member_text(raw, "type").unwrap_or_default();
    let text = |name| read::member_text(raw, name);
    let mut part: Part = match kind.as_str() {
        "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text" => {
            let citations = members::elements(read::member(raw, "annotations").unwrap_or("[]"));
            Block::Text(Text {
                text: text("text").unwrap_or_default().into(),
                citations: citations.into_iter().map(citation).collect(),
            })
            .into()
        }
        "refusal" => Block::Refusal(text("refusal").unwrap_or_default()).into(),
        "input_image" | "input_file" | "input_audio" => match media(raw, &kind) {
            Some(media) => Block::Media(media).into(),
            None => foreign(raw),
        },
        _ => foreign(raw),
    };
    if let Some(mark) = read::member(raw, "cache_control") {
        part.cache = read::cache_mark(mark);
    }
    if !matches!(part.block, Block::Foreign(_)) {
        keep(raw, &PART, &mut part);
    }
    part
}

fn media(raw: &str, kind: &str) -> Option<Media> {
    let text = |name| read::member_text(raw, name);
    let file = |kind| {
        let source = MediaSource::File { owner: OWN, id: text("file_id")? };
        Some(Media { kind, mime: None, source, name: None, detail: None })
    };
    let mut media = match kind {
        "input_image" => match text("image_url") {
            Some(url) => read::media_at(MediaKind::Image, url),
            None => file(MediaKind::Image)?,
        },
        "input_audio" => {
            let audio = read::member(raw, "input_audio")?;
            let format = read::member_text(audio, "format").unwrap_or_else(|| "wav".to_owned());
            Media {
                kind: MediaKind::Audio,
                mime: Some(format!("audio/{}", if format == "mp3" { "mpeg" } else { &format })),
                source: MediaSource::Base64(read::member_text(audio, "data")?),
                name: None,
                detail: None,
            }
        }
        _ => match text("file_data").or_else(|| text("file_url")) {
            Some(url) if url.contains(':') => {
                let mut media = read::media_at(MediaKind::Document, url);
                media.kind = media.mime.as_deref().map_or(media.kind, read::kind_of_mime);
                media
            }
            Some(data) => Media {
                kind: MediaKind::Document,
                mime: Some("application/pdf".to_owned()),
                source: MediaSource::Base64(data),
                name: None,
                detail: None,
            },
            None => file(MediaKind::Document)?,
        },
    };
    media.name = text("filename");
    media.detail = text("detail");
    Some(media)
}

/// Reads a citation of an answer's text.
pub(super) fn citation(raw: &str) -> Citation {
    let mut citation = Citation::default();
    let (mut start, mut end) = (None, None);
    let _ = members::each(raw, |key, value| match key {
        "url" => citation.url = read::text_if(value),
        "title" => citation.title = read::text_if(value),
        "start_index" => start = read::count(value),
        "end_index" => end = read::count(value),
        _ => {}
    });
    citation.span = start.zip(end);
    if citation.url.is_none() {
        citation.ext.keep(OWN, "annotation", raw);
    }
    citation
}

fn call(raw: &str, kind: &str) -> ToolCall {
    let text = |name| read::member_text(raw, name);
    let custom = kind == "custom_tool_call";
    let name = text("name").unwrap_or_default();
    ToolCall {
        id: text("call_id").or_else(|| text("id")).unwrap_or_default(),
        name: match text("namespace").filter(|space| !space.is_empty() && *space != name) {
            Some(namespace) => tools::flat_name(&namespace, &name),
            None => name,
        },
        kind: if custom { ToolCallKind::Custom } else { ToolCallKind::Function },
        args: text(if custom { "input" } else { "arguments" }).unwrap_or_default(),
        opaque: Vec::new(),
    }
}

fn result(raw: &str, kind: &str) -> ToolResult {
    let output = read::member(raw, "output").unwrap_or("\"\"");
    ToolResult {
        call_id: read::member_text(raw, "call_id").unwrap_or_default(),
        name: None,
        kind: if kind.starts_with("custom") { ToolCallKind::Custom } else { ToolCallKind::Function },
        parts: content(output),
        is_error: read::member_text(raw, "status").as_deref() == Some("failed"),
    }
}

/// Reads thoughts. What another maker sealed, and was carried by the caller, is that maker's again.
pub(super) fn reasoning(raw: &str) -> Part {
    let texts = |name| -> Vec<String> {
        let list = members::elements(read::member(raw, name).unwrap_or("[]"));
        list.into_iter().filter_map(|part| read::member_text(part, "text")).collect()
    };
    let mut thoughts = Reasoning {
        text: texts("content").concat(),
        summary: texts("summary"),
        id: read::member_text(raw, "id"),
        opaque: Vec::new(),
    };
    if let Some(sealed) = read::member_text(raw, "encrypted_content").filter(|text| !text.is_empty()) {
        match read::untag_seal(&sealed) {
            Some(seal) => {
                // The summary was made of the thoughts themselves.
                thoughts.text = std::mem::take(&mut thoughts.summary).concat() + &thoughts.text;
                thoughts.id = None;
                thoughts.opaque.extend(seal);
            }
            None => {
                thoughts.opaque.push(Opaque { origin: OWN, kind: OpaqueKind::Encrypted, data: sealed });
            }
        }
    }
    Block::Reasoning(thoughts).into()
}
