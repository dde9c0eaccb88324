//! Reads a message of the conversation.

use model::Rejection;

use super::{OWN, reasoning, tools};
use crate::codec::{invalid, read};
use crate::members;
use crate::neutral::{
    Block, Citation, Foreign, Media, MediaKind, MediaSource, Part, Raw, Role, Text, ToolCall, ToolCallKind,
    ToolResult, Turn,
};

/// Whether a message is what a tool said.
pub(super) fn is_result(message: &str) -> bool {
    matches!(read::member(message, "role"), Some("\"tool\"" | "\"function\""))
}

/// A message's members that matter.
#[derive(Default)]
struct Members<'a> {
    role: String,
    content: Option<&'a str>,
    refusal: Option<String>,
    calls: Vec<ToolCall>,
    older_call: Option<ToolCall>,
    call_id: String,
    thoughts: reasoning::Said<'a>,
    annotations: Option<&'a str>,
}

/// Reads the message at `place`.
pub(super) fn decode(raw: &str, place: usize) -> Result<Turn, Rejection> {
    let mut turn = Turn::new(Role::User, Vec::new(), place);
    let mut said = Members::default();
    members::each(raw, |key, value| said.read(&mut turn, key, value))
        .map_err(|_| invalid(format!("`messages[{place}]` is not an object."), "messages"))?;
    turn.role = match &*said.role {
        "system" => Role::System,
        "developer" => Role::Developer,
        "assistant" => Role::Assistant,
        "user" | "tool" | "function" => Role::User,
        other => {
            let message = format!("The role `{}` is not known.", other.escape_debug());
            return Err(invalid(message, &format!("messages[{place}].role")));
        }
    };
    turn.parts = said.parts(turn.name.take_if(|_| is_result(raw)));
    Ok(turn)
}

impl<'a> Members<'a> {
    fn read(&mut self, turn: &mut Turn, key: &str, value: &'a str) {
        match key {
            "role" => self.role = read::text(value),
            "content" => self.content = Some(value),
            "name" => turn.name = read::text_if(value),
            "refusal" => self.refusal = read::text_if(value).filter(|text| !text.is_empty()),
            "tool_calls" => self.calls = members::elements(value).into_iter().map(tools::call).collect(),
            "function_call" if value.starts_with('{') => {
                let mut call = ToolCall::default();
                tools::called(&mut call, value);
                self.older_call = Some(call);
            }
            "tool_call_id" => self.call_id = read::text(value),
            "annotations" => self.annotations = Some(value),
            _ if self.thoughts.read(key, value) => {}
            _ if value == "null" => {}
            _ => turn.ext.keep(OWN, key, value),
        }
    }

    fn parts(mut self, tool: Option<String>) -> Vec<Part> {
        let content = self.content.map(parts_of).unwrap_or_default();
        if matches!(&*self.role, "tool" | "function") {
            let result = ToolResult {
                call_id: self.call_id,
                name: tool,
                kind: ToolCallKind::Function,
                parts: content,
                is_error: false,
            };
            return vec![Block::ToolResult(result).into()];
        }
        let mut parts: Vec<Part> = self.thoughts.parts();
        parts.extend(content);
        if let (Some(raw), Some(text)) = (self.annotations, parts.iter_mut().rev().find_map(text_of)) {
            text.citations = members::elements(raw).into_iter().map(citation).collect();
        }
        parts.extend(self.refusal.map(|text| Part::from(Block::Refusal(text))));
        self.calls.extend(self.older_call);
        parts.extend(self.calls.into_iter().map(|call| Part::from(Block::ToolCall(call))));
        parts
    }
}

fn text_of(part: &mut Part) -> Option<&mut Text> {
    match &mut part.block {
        Block::Text(text) => Some(text),
        _ => None,
    }
}

/// Reads content: text, or parts.
pub(super) fn parts_of(raw: &str) -> Vec<Part> {
    match members::string(raw) {
        Some(text) if text.is_empty() => Vec::new(),
        Some(text) => vec![Part::text(text)],
        None => members::elements(raw).into_iter().flat_map(part).collect(),
    }
}

/// Reads a part. Mistral's thoughts are a part that holds parts.
fn part(raw: &str) -> Vec<Part> {
    let mut kind = String::new();
    let (mut inner, mut cache) = (None, None);
    let _ = members::each(raw, |key, value| match key {
        "type" => kind = read::text(value),
        "text" | "refusal" | "image_url" | "input_audio" | "file" | "video_url" | "thinking" => {
            inner = Some(value);
        }
        "cache_control" => cache = read::cache_mark(value),
        _ => {}
    });
    let Some(inner) = inner else {
        return vec![foreign(raw)];
    };
    let block = match &*kind {
        "text" | "input_text" | "output_text" => {
            Block::Text(Text { text: read::text(inner), citations: Vec::new() })
        }
        "refusal" => Block::Refusal(read::text(inner)),
        "image_url" | "input_image" => Block::Media(image(inner)),
        "input_audio" => Block::Media(audio(inner)),
        "file" => Block::Media(file(inner)),
        "video_url" => Block::Media(addressed(MediaKind::Video, inner)),
        "thinking" => return vec![Block::Reasoning(reasoning::of_parts(inner)).into()],
        _ => return vec![foreign(raw)],
    };
    let mut part = Part::from(block);
    part.cache = cache;
    vec![part]
}

fn foreign(raw: &str) -> Part {
    Block::Foreign(Foreign { origin: OWN, raw: Raw::new(raw) }).into()
}

fn addressed(kind: MediaKind, raw: &str) -> Media {
    let url = read::text_if(raw).or_else(|| read::member_text(raw, "url")).unwrap_or_default();
    read::media_at(kind, url)
}

fn image(raw: &str) -> Media {
    Media { detail: read::member_text(raw, "detail"), ..addressed(MediaKind::Image, raw) }
}

fn audio(raw: &str) -> Media {
    let mime = read::member_text(raw, "format").map(|format| match &*format {
        "mp3" => "audio/mpeg".to_owned(),
        other => format!("audio/{other}"),
    });
    let data = read::member_text(raw, "data").unwrap_or_default();
    Media { kind: MediaKind::Audio, mime, source: MediaSource::Base64(data), name: None, detail: None }
}

fn file(raw: &str) -> Media {
    let name = read::member_text(raw, "filename");
    if let Some(id) = read::member_text(raw, "file_id") {
        let source = MediaSource::File { owner: OWN, id };
        return Media { kind: MediaKind::Document, mime: None, source, name, detail: None };
    }
    let data = read::member_text(raw, "file_data").unwrap_or_default();
    match read::data_url(&data) {
        Some((mime, data)) => Media {
            kind: read::kind_of_mime(&mime),
            mime: Some(mime),
            source: MediaSource::Base64(data),
            name,
            detail: None,
        },
        // Some clients send the bare base64, and some vendors take an address.
        None if data.starts_with("http") => Media { name, ..read::media_at(MediaKind::Document, data) },
        None => Media {
            kind: MediaKind::Document,
            mime: Some("application/pdf".to_owned()),
            source: MediaSource::Base64(data),
            name,
            detail: None,
        },
    }
}

/// Reads an annotation.
pub(super) fn citation(raw: &str) -> Citation {
    let Some(cited) = read::member(raw, "url_citation") else {
        let mut citation = Citation::default();
        let _ = members::each(raw, |key, value| citation.ext.keep(OWN, key, value));
        return citation;
    };
    let number = |name| read::member(cited, name).and_then(read::count);
    Citation {
        span: number("start_index").zip(number("end_index")),
        cited: read::member_text(cited, "content"),
        ..read::page(read::member_text(cited, "url"), read::member_text(cited, "title"))
    }
}
