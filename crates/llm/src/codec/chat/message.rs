//! Reads a message of the conversation.

use std::borrow::Cow;

use model::Rejection;

use super::{OWN, reasoning, tools};
use crate::codec::{invalid, read};
use crate::cursor::Cursor;
use crate::json::Fault;
use crate::members;
use crate::neutral::{
    Block, Citation, Ext, Foreign, Media, MediaKind, MediaSource, Part, Raw, Role, Text, ToolCall,
    ToolCallKind, ToolResult, Turn,
};

/// A message's members that matter.
#[derive(Default)]
struct Members<'a> {
    role: String,
    content: Vec<Part>,
    refusal: Option<String>,
    calls: Vec<Part>,
    older_call: Option<Part>,
    call_id: String,
    thoughts: reasoning::Said<'a>,
    annotations: Option<&'a str>,
}

/// A message.
pub(super) struct Message {
    /// What it says.
    pub turn: Turn,
    /// Whether it is what a tool said.
    pub is_result: bool,
}

/// Reads the message `raw`, which stands at `place`.
pub(super) fn decode(raw: &str, place: usize) -> Result<Turn, Rejection> {
    let message = decode_at(&mut Cursor::new(raw), place);
    message.unwrap_or_else(|_| Err(no_object(place))).map(|message| message.turn)
}

fn no_object(place: usize) -> Rejection {
    invalid(format!("`messages[{place}]` is not an object."), "messages")
}

/// Reads the message at `place`.
///
/// # Errors
/// Outside when it is not valid JSON, inside when it is no message.
pub(super) fn decode_at(value: &mut Cursor<'_>, place: usize) -> Result<Result<Message, Rejection>, Fault> {
    if value.first() != b'{' {
        return value.raw().map(|_| Err(no_object(place)));
    }
    let mut turn = Turn::new(Role::User, Vec::new(), place);
    let mut said = Members::default();
    value.object(|key, value| said.read(&mut turn, key, value))?;
    turn.role = match &*said.role {
        "system" => Role::System,
        "developer" => Role::Developer,
        "assistant" => Role::Assistant,
        "user" | "tool" | "function" => Role::User,
        other => {
            let message = format!("The role `{}` is not known.", other.escape_debug());
            return Ok(Err(invalid(message, &format!("messages[{place}].role"))));
        }
    };
    let is_result = said.is_result();
    turn.parts = said.parts(turn.name.take_if(|_| is_result));
    if let ([result], true) = (&mut *turn.parts, is_result) {
        // The results of a round become one turn.
        result.ext = std::mem::take(&mut turn.ext);
    }
    Ok(Ok(Message { turn, is_result }))
}

impl<'a> Members<'a> {
    fn is_result(&self) -> bool {
        matches!(&*self.role, "tool" | "function")
    }

    fn read(&mut self, turn: &mut Turn, key: &str, value: &mut Cursor<'a>) -> Result<(), Fault> {
        match key {
            "role" => self.role = value.owned()?,
            "content" => self.content = parts_at(value)?,
            "tool_calls" if value.first() == b'[' => {
                self.calls.clear();
                value.array(|value| {
                    self.calls.push(tools::call_at(value)?);
                    Ok(())
                })?;
            }
            "tool_call_id" => self.call_id = value.owned()?,
            _ => self.lesser(turn, key, value.raw()?),
        }
        Ok(())
    }

    fn lesser(&mut self, turn: &mut Turn, key: &str, value: &'a str) {
        match key {
            "name" => turn.name = read::text_if(value),
            "refusal" => self.refusal = read::text_if(value).filter(|text| !text.is_empty()),
            "tool_calls" => self.calls.clear(),
            "function_call" if value.starts_with('{') => {
                let mut call = ToolCall::default();
                tools::called(&mut call, value);
                self.older_call = (!tools::is_blank_call(value)).then(|| Block::ToolCall(call).into());
            }
            "annotations" => self.annotations = Some(value),
            _ if self.thoughts.read(key, value) => {}
            _ if value == "null" => {}
            _ => turn.ext.keep(OWN, key, value),
        }
    }

    fn parts(mut self, tool: Option<String>) -> Vec<Part> {
        let content = std::mem::take(&mut self.content);
        if self.is_result() {
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
        parts.extend(self.calls);
        parts
    }
}

/// The text of a part that is one.
pub(super) fn text_of(part: &mut Part) -> Option<&mut Text> {
    match &mut part.block {
        Block::Text(text) => Some(text),
        _ => None,
    }
}

/// Reads the content `raw`.
pub(super) fn parts_of(raw: &str) -> Vec<Part> {
    parts_at(&mut Cursor::new(raw)).unwrap_or_default()
}

/// Reads content: text, or parts.
fn parts_at(value: &mut Cursor<'_>) -> Result<Vec<Part>, Fault> {
    read::content(value, part)
}

/// Reads a part. Mistral's thoughts are a part that holds parts.
fn part(value: &mut Cursor<'_>) -> Result<Part, Fault> {
    if value.first() != b'{' {
        return value.raw().map(foreign);
    }
    let from = value.place();
    let mut kind = Cow::Borrowed("");
    let (mut text, mut inner, mut cache, mut ext) = (None, None, None, Ext::default());
    value.object(|key, value| {
        match key {
            "type" => kind = value.string()?.unwrap_or_default(),
            "text" | "refusal" => text = Some(value.words()?),
            "image_url" | "input_audio" | "file" | "video_url" | "thinking" => inner = Some(value.raw()?),
            "cache_control" => cache = read::cache_mark(value.raw()?),
            _ => ext.keep(OWN, key, value.raw()?),
        }
        Ok(())
    })?;
    let block = match (&*kind, text, inner) {
        ("text" | "input_text" | "output_text", Some(text), _) => {
            Block::Text(Text { text, citations: Vec::new() })
        }
        ("refusal", Some(text), _) => Block::Refusal(text.into_string()),
        ("image_url" | "input_image", _, Some(inner)) => Block::Media(image(inner)),
        ("input_audio", _, Some(inner)) => Block::Media(audio(inner)),
        ("file", _, Some(inner)) => Block::Media(file(inner)),
        ("video_url", _, Some(inner)) => Block::Media(addressed(MediaKind::Video, inner)),
        ("thinking", _, Some(inner)) => return Ok(Block::Reasoning(reasoning::of_parts(inner)).into()),
        _ => return Ok(foreign(value.since(from))),
    };
    Ok(Part { block, cache, ext })
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
        // A place without words is written where none is known.
        span: number("start_index").zip(number("end_index")).filter(|span| *span != (0, 0)),
        cited: read::member_text(cited, "content"),
        ..read::page(read::member_text(cited, "url"), read::member_text(cited, "title"))
    }
}

/// The pages that a whole answer of Perplexity's rests on: beside its choices, with titles or as addresses alone.
#[derive(Default)]
pub(super) struct Sources<'a> {
    found: Option<&'a str>,
    addresses: Option<&'a str>,
}

impl<'a> Sources<'a> {
    /// Reads a member of the answer; says whether it is one of them.
    pub(super) fn read(&mut self, key: &str, value: &'a str) -> bool {
        match key {
            "search_results" if value.starts_with('[') => self.found = Some(value),
            "citations" if value.starts_with('[') => self.addresses = Some(value),
            _ => return false,
        }
        true
    }

    /// The pages; `None` where none are named.
    pub(super) fn citations(&self) -> Option<Vec<Citation>> {
        let page = |raw: &str| match read::text_if(raw) {
            Some(url) => read::page(Some(url), None),
            None => read::page(read::member_text(raw, "url"), read::member_text(raw, "title")),
        };
        let pages = members::elements(self.found.or(self.addresses)?).into_iter().map(page);
        Some(pages.filter(|page| page.url.is_some()).collect())
    }
}
