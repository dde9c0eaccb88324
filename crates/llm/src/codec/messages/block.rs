//! Reads blocks: of instructions, messages, tool results and answers.

use super::OWN;
use crate::codec::read;
use crate::cursor::Cursor;
use crate::json::Fault;
use crate::members;
use crate::neutral::{
    Block, Cache, Citation, Ext, Foreign, Media, MediaKind, MediaSource, Opaque, OpaqueKind, Part, Raw,
    Reasoning, Text, ToolCall, ToolCallKind, ToolResult, Words,
};

/// Reads the text or the blocks that `raw` is.
pub(super) fn decode_all(raw: &str) -> Vec<Part> {
    decode_all_at(&mut Cursor::new(raw)).unwrap_or_default()
}

/// Reads text, or blocks.
pub(super) fn decode_all_at(value: &mut Cursor<'_>) -> Result<Vec<Part>, Fault> {
    read::content(value, decode_at)
}

/// A block's members: texts as such, the others as raw values.
#[derive(Default)]
struct Members<'a> {
    kind: String,
    text: Words,
    citations: Option<&'a str>,
    thinking: String,
    signature: String,
    data: String,
    id: String,
    name: String,
    input: Option<&'a str>,
    call_id: String,
    content: Vec<Part>,
    is_error: bool,
    source: Option<&'a str>,
    title: Option<&'a str>,
    mark: Option<Cache>,
    ext: Ext,
}

impl<'a> Members<'a> {
    fn read(&mut self, key: &str, value: &mut Cursor<'a>) -> Result<(), Fault> {
        match key {
            "type" => self.kind = value.owned()?,
            "text" => self.text = value.words()?,
            "thinking" => self.thinking = value.owned()?,
            "signature" => self.signature = value.owned()?,
            "data" => self.data = value.owned()?,
            "id" => self.id = value.owned()?,
            "name" => self.name = value.owned()?,
            "tool_use_id" => self.call_id = value.owned()?,
            // Of other blocks it is of no use, and theirs may be long.
            "content" if matches!(&*self.kind, "" | "tool_result") => self.content = decode_all_at(value)?,
            _ => self.lesser(key, value.raw()?),
        }
        Ok(())
    }

    fn lesser(&mut self, key: &str, value: &'a str) {
        match key {
            "citations" if value.starts_with('[') => self.citations = Some(value),
            "input" => self.input = Some(value),
            "content" => {}
            "is_error" => self.is_error = value == "true",
            "source" => self.source = Some(value),
            "title" => self.title = Some(value),
            "cache_control" => self.mark = read::cache_mark(value),
            _ if value == "null" => {}
            _ => self.ext.keep(OWN, key, value),
        }
    }
}

/// Reads the block `raw`.
pub(super) fn decode(raw: &str) -> Part {
    decode_at(&mut Cursor::new(raw)).unwrap_or_else(|_| foreign(raw).into())
}

/// Reads a block.
fn decode_at(value: &mut Cursor<'_>) -> Result<Part, Fault> {
    if value.first() != b'{' {
        return value.raw().map(|raw| foreign(raw).into());
    }
    let from = value.place();
    let mut members = Members::default();
    value.object(|key, value| members.read(key, value))?;
    let raw = value.since(from);
    let (mark, ext) = (members.mark, std::mem::take(&mut members.ext));
    let block = block(members, raw);
    let is_foreign = matches!(block, Block::Foreign(_));
    Ok(Part { block, cache: mark, ext: if is_foreign { Ext::default() } else { ext } })
}

fn block(members: Members<'_>, raw: &str) -> Block {
    match &*members.kind {
        "text" => Block::Text(Text {
            text: members.text,
            citations: members.citations.map(members::elements).into_iter().flatten().map(citation).collect(),
        }),
        "image" => media(MediaKind::Image, &members).map_or_else(|| foreign(raw), Block::Media),
        "document" => media(MediaKind::Document, &members).map_or_else(|| foreign(raw), Block::Media),
        "thinking" => Block::Reasoning(thoughts(members)),
        "redacted_thinking" => Block::Reasoning(hidden(members.data)),
        "tool_use" => Block::ToolCall(ToolCall {
            id: members.id,
            name: members.name,
            kind: ToolCallKind::Function,
            args: members.input.map(input_text).unwrap_or_default(),
            opaque: Vec::new(),
        }),
        "tool_result" => Block::ToolResult(ToolResult {
            call_id: members.call_id,
            name: None,
            kind: ToolCallKind::Function,
            parts: members.content,
            is_error: members.is_error,
        }),
        _ => foreign(raw),
    }
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

fn thoughts(members: Members<'_>) -> Reasoning {
    let mut thoughts = Reasoning { text: members.thinking, ..Reasoning::default() };
    let signature = members.signature;
    match read::untag_seal(&signature) {
        Some(foreign) => thoughts.opaque.extend(foreign),
        None if signature.is_empty() => {}
        None => thoughts.opaque.push(own(OpaqueKind::Signature, signature)),
    }
    thoughts
}

fn hidden(data: String) -> Reasoning {
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
