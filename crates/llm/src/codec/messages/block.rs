//! Reads blocks: of instructions, messages, tool results and answers.

use super::OWN;
use crate::codec::read;
use crate::members;
use crate::neutral::{
    Block, Cache, Citation, Ext, Foreign, Media, MediaKind, MediaSource, Opaque, OpaqueKind, Part, Raw,
    Reasoning, Text, ToolCall, ToolCallKind, ToolResult,
};

/// Reads text, or blocks.
pub(super) fn decode_all(raw: &str) -> Vec<Part> {
    match members::string(raw) {
        Some(text) if text.is_empty() => Vec::new(),
        Some(text) => vec![Part::text(text)],
        None => members::elements(raw).into_iter().map(decode).collect(),
    }
}

/// A block's members, as raw values.
#[derive(Default)]
pub(super) struct Members<'a> {
    pub kind: String,
    text: Option<&'a str>,
    citations: Option<&'a str>,
    thinking: Option<&'a str>,
    signature: Option<&'a str>,
    data: Option<&'a str>,
    id: Option<&'a str>,
    name: Option<&'a str>,
    input: Option<&'a str>,
    call_id: Option<&'a str>,
    content: Option<&'a str>,
    is_error: bool,
    source: Option<&'a str>,
    title: Option<&'a str>,
    mark: Option<Cache>,
    ext: Ext,
}

impl<'a> Members<'a> {
    /// Reads the members of the block `raw`.
    pub(super) fn of(raw: &'a str) -> Self {
        let mut own = Self::default();
        let _ = members::each(raw, |key, value| own.read(key, value));
        own
    }

    fn read(&mut self, key: &str, value: &'a str) {
        match key {
            "type" => self.kind = read::text(value),
            "text" => self.text = Some(value),
            "citations" if value.starts_with('[') => self.citations = Some(value),
            "thinking" => self.thinking = Some(value),
            "signature" => self.signature = Some(value),
            "data" => self.data = Some(value),
            "id" => self.id = Some(value),
            "name" => self.name = Some(value),
            "input" => self.input = Some(value),
            "tool_use_id" => self.call_id = Some(value),
            "content" => self.content = Some(value),
            "is_error" => self.is_error = value == "true",
            "source" => self.source = Some(value),
            "title" => self.title = Some(value),
            "cache_control" => self.mark = read::cache_mark(value),
            _ if value == "null" => {}
            _ => self.ext.keep(OWN, key, value),
        }
    }

    fn text(&self, member: Option<&str>) -> String {
        member.map(read::text).unwrap_or_default()
    }
}

/// Reads a block.
pub(super) fn decode(raw: &str) -> Part {
    let members = Members::of(raw);
    let block = match &*members.kind {
        "text" => Block::Text(Text {
            text: members.text(members.text),
            citations: members::elements(members.citations.unwrap_or("[]"))
                .into_iter()
                .map(citation)
                .collect(),
        }),
        "image" => media(MediaKind::Image, &members).map_or_else(|| foreign(raw), Block::Media),
        "document" => media(MediaKind::Document, &members).map_or_else(|| foreign(raw), Block::Media),
        "thinking" => Block::Reasoning(thoughts(&members)),
        "redacted_thinking" => Block::Reasoning(hidden(&members)),
        "tool_use" => Block::ToolCall(ToolCall {
            id: members.text(members.id),
            name: members.text(members.name),
            kind: ToolCallKind::Function,
            args: members.input.map(input_text).unwrap_or_default(),
            opaque: Vec::new(),
        }),
        "tool_result" => Block::ToolResult(ToolResult {
            call_id: members.text(members.call_id),
            name: None,
            kind: ToolCallKind::Function,
            parts: members.content.map(decode_all).unwrap_or_default(),
            is_error: members.is_error,
        }),
        _ => foreign(raw),
    };
    let is_foreign = matches!(block, Block::Foreign(_));
    let ext = if is_foreign { Ext::default() } else { members.ext };
    Part { block, cache: members.mark, ext }
}

fn foreign(raw: &str) -> Block {
    Block::Foreign(Foreign { origin: OWN, raw: Raw::new(raw) })
}

/// The arguments of a call. What is not an object was kept as a string when it was written.
fn input_text(raw: &str) -> String {
    match members::string(raw) {
        Some(text) => text.into_owned(),
        None => raw.to_owned(),
    }
}

fn thoughts(members: &Members<'_>) -> Reasoning {
    let mut thoughts = Reasoning { text: members.text(members.thinking), ..Reasoning::default() };
    let signature = members.text(members.signature);
    match read::untag_seal(&signature) {
        Some(foreign) => thoughts.opaque.extend(foreign),
        None if signature.is_empty() => {}
        None => thoughts.opaque.push(own(OpaqueKind::Signature, signature)),
    }
    thoughts
}

fn hidden(members: &Members<'_>) -> Reasoning {
    let data = members.text(members.data);
    let opaque = match read::untag_seal(&data) {
        Some(foreign) => foreign.into_iter().collect(),
        None => vec![own(OpaqueKind::Redacted, data)],
    };
    Reasoning { opaque, ..Reasoning::default() }
}

pub(super) fn own(kind: OpaqueKind, data: String) -> Opaque {
    Opaque { origin: OWN, kind, data }
}

fn media(kind: MediaKind, members: &Members<'_>) -> Option<Media> {
    let source = members.source?;
    let mime = read::member_text(source, "media_type");
    let text = |name| read::member_text(source, name);
    let (source, mime) = match &*text("type")? {
        "base64" => (MediaSource::Base64(text("data")?), mime),
        "text" => (MediaSource::Text(text("data")?), mime),
        "url" => (MediaSource::Url(text("url")?), mime),
        "file" => (MediaSource::File { owner: OWN, id: text("file_id")? }, mime),
        _ => return None,
    };
    let name = members.title.and_then(read::text_if);
    Some(Media { kind, mime, source, name, detail: None })
}

/// Reads a citation. Those of pages on the web mean something elsewhere; the others are kept whole.
pub(super) fn citation(raw: &str) -> Citation {
    let mut citation = Citation {
        cited: read::member_text(raw, "cited_text"),
        ..read::page(read::member_text(raw, "url"), read::member_text(raw, "title"))
    };
    citation.title = citation.title.or_else(|| read::member_text(raw, "document_title"));
    let _ = members::each(raw, |key, value| citation.ext.keep(OWN, key, value));
    citation
}
