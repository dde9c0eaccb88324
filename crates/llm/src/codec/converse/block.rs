//! The blocks that messages are made of.

use crate::codec::custom;
use crate::codec::ids::IdRule;
use crate::codec::read::text as text_of;
use crate::json_writer::JsonWriter;
use crate::members;
use crate::neutral::{
    Block, Cache, Citation, Foreign, Losses, Media, MediaKind, MediaSource, Opaque, OpaqueKind, Part, Raw,
    Reasoning, Text, ToolCall, ToolCallKind, ToolResult,
};

use super::SELF;

/// Documents of a request need names that differ and have few characters.
#[derive(Default)]
pub(super) struct Names(Vec<String>);

impl Names {
    /// A name for a document, made from its own.
    fn fit(&mut self, own: Option<&str>) -> String {
        let stem = own.map(|own| own.rsplit_once('.').map_or(own, |(stem, _)| stem)).unwrap_or("document");
        let mut name = String::new();
        for c in stem.chars().take(180) {
            let fits = c.is_ascii_alphanumeric() || "-()[]".contains(c);
            match (fits, name.ends_with(' ')) {
                (true, _) => name.push(c),
                (false, false) if !name.is_empty() => name.push(' '),
                _ => {}
            }
        }
        let name = if name.trim().is_empty() { "document".to_owned() } else { name.trim().to_owned() };
        let mut number = 1;
        let mut unique = name.clone();
        while self.0.contains(&unique) {
            number += 1;
            unique = format!("{name} {number}");
        }
        self.0.push(unique.clone());
        unique
    }
}

/// Writes one part of a message. What Converse has no block for is a loss at `path`.
pub(super) fn write(part: &Part, names: &mut Names, path: &str, json: &mut JsonWriter, losses: &mut Losses) {
    match &part.block {
        Block::Text(text) => write_text(text, part, json),
        Block::Media(media) => write_media(media, part, names, (json, losses, path)),
        Block::ToolCall(call) => json.object(|json| write_call(call, json)),
        Block::ToolResult(result) => {
            json.object(|json| write_result(result, names, path, json, losses));
        }
        Block::Reasoning(reasoning) => write_reasoning(reasoning, path, json, losses),
        Block::Refusal(text) => json.object(|json| json.text_member("text", text)),
        Block::Foreign(Foreign { origin: SELF, raw }) => json.raw(raw.text()),
        Block::Foreign(_) => losses.meaning(path, "the provider's dialect has no such block"),
    }
}

fn write_text(text: &Text, part: &Part, json: &mut JsonWriter) {
    if let Some(raw) = part.ext.get(SELF, "citationsContent") {
        return json.object(|json| json.raw_member("citationsContent", raw.text()));
    }
    if let Some(raw) = part.ext.get(SELF, "json") {
        return json.object(|json| json.raw_member("json", raw.text()));
    }
    if !text.text.trim().is_empty() {
        json.object(|json| json.text_member("text", &text.text));
    }
}

/// Whether Converse takes a medium as it is: it fetches nothing but from Amazon's own store.
pub(super) fn is_sendable(media: &Media) -> bool {
    match &media.source {
        MediaSource::Base64(_) => true,
        MediaSource::Text(_) => media.kind == MediaKind::Document,
        MediaSource::Url(url) => url.starts_with("s3://"),
        MediaSource::File { .. } => false,
    }
}

fn write_media(
    media: &Media,
    part: &Part,
    names: &mut Names,
    (json, losses, path): (&mut JsonWriter, &mut Losses, &str),
) {
    let kind = match media.kind {
        MediaKind::Image => "image",
        MediaKind::Document => "document",
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    };
    json.object(|json| {
        json.key(kind).object(|json| {
            json.text_member("format", &format_of(media));
            if media.kind == MediaKind::Document {
                json.text_member("name", &names.fit(media.name.as_deref()));
            }
            json.key("source").object(|json| match &media.source {
                MediaSource::Base64(data) => json.text_member("bytes", data),
                MediaSource::Text(text) => json.text_member("text", text),
                MediaSource::Url(url) => {
                    json.key("s3Location").object(|json| json.text_member("uri", url));
                }
                MediaSource::File { .. } => {}
            });
            part.ext.write(SELF, json, path, losses);
        });
    });
}

/// Types whose short name is not their last word.
const FORMATS: [(&str, &str); 12] = [
    ("text/plain", "txt"),
    ("text/markdown", "md"),
    ("application/msword", "doc"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("image/jpg", "jpeg"),
    ("video/quicktime", "mov"),
    ("video/x-matroska", "mkv"),
    ("video/3gpp", "three_gp"),
    ("audio/mpeg", "mp3"),
    ("audio/x-wav", "wav"),
];

fn format_of(media: &Media) -> String {
    let usual = match media.kind {
        MediaKind::Image => "png",
        MediaKind::Document if matches!(media.source, MediaSource::Text(_)) => "txt",
        MediaKind::Document => "pdf",
        MediaKind::Audio => "mp3",
        MediaKind::Video => "mp4",
    };
    let Some(mime) = media.mime.as_deref().map(|mime| mime.split(';').next().unwrap_or(mime).trim()) else {
        return usual.to_owned();
    };
    let known = FORMATS.iter().find(|(name, _)| mime.eq_ignore_ascii_case(name));
    known.map_or_else(
        || mime.split('/').next_back().unwrap_or(usual).to_ascii_lowercase(),
        |(_, format)| (*format).to_owned(),
    )
}

/// The type of a medium from Converse's short name for it.
fn mime_of(kind: MediaKind, format: &str) -> String {
    let family = match kind {
        MediaKind::Image => "image",
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
        MediaKind::Document if matches!(format, "csv" | "html") => "text",
        MediaKind::Document => "application",
    };
    let known = FORMATS.iter().find(|(name, short)| *short == format && *name != "image/jpg");
    known.map_or_else(|| format!("{family}/{format}"), |(name, _)| (*name).to_owned())
}

fn write_call(call: &ToolCall, json: &mut JsonWriter) {
    json.key("toolUse").object(|json| {
        json.text_member("toolUseId", &IdRule::Word64.fit(&call.id, "tooluse_"));
        json.text_member("name", &call.name);
        json.raw_member("input", &custom::args_object(call));
    });
}

fn write_result(
    result: &ToolResult,
    names: &mut Names,
    path: &str,
    json: &mut JsonWriter,
    losses: &mut Losses,
) {
    json.key("toolResult").object(|json| {
        json.text_member("toolUseId", &IdRule::Word64.fit(&result.call_id, "tooluse_"));
        json.key("content").array(|json| {
            let before = json.bytes().len();
            for part in &result.parts {
                write(part, names, path, json, losses);
            }
            if json.bytes().len() == before {
                json.raw(r#"{"text":"(no output)"}"#);
            }
        });
        if result.is_error {
            json.text_member("status", "error");
        }
    });
}

fn write_reasoning(reasoning: &Reasoning, path: &str, json: &mut JsonWriter, losses: &mut Losses) {
    let own = |kind| {
        let of = |opaque: &&Opaque| opaque.origin == SELF && opaque.kind == kind;
        reasoning.opaque.iter().find(of)
    };
    if let Some(redacted) = own(OpaqueKind::Redacted) {
        return json.object(|json| {
            json.key("reasoningContent").object(|json| json.text_member("redactedContent", &redacted.data));
        });
    }
    // Unsigned thoughts are refused by the models that sign theirs.
    let Some(signature) = own(OpaqueKind::Signature) else {
        return losses.advisory(path, "thoughts of another provider are not passed on");
    };
    json.object(|json| {
        json.key("reasoningContent").object(|json| {
            json.key("reasoningText").object(|json| {
                json.text_member("text", &reasoning.text);
                json.text_member("signature", &signature.data);
            });
        });
    });
}

/// Reads the block `raw`; `None` for a mark for the cache, which belongs to the block before it.
pub(super) fn read(raw: &str) -> Result<Part, Option<Cache>> {
    let mut found: Option<(&str, &str)> = None;
    let _ = members::each(raw, |name, value| {
        const KNOWN: [&str; 10] = [
            "text",
            "image",
            "document",
            "audio",
            "video",
            "toolUse",
            "toolResult",
            "reasoningContent",
            "citationsContent",
            "cachePoint",
        ];
        if let Some(known) = KNOWN.into_iter().find(|known| *known == name) {
            found = found.or(Some((known, value)));
        }
    });
    let foreign = || Block::Foreign(Foreign { origin: SELF, raw: Raw::new(raw) }).into();
    let Some((name, value)) = found else {
        return Ok(foreign());
    };
    Ok(match name {
        "text" => Part::text(members::string(value).unwrap_or_default()),
        "image" => read_media(MediaKind::Image, value),
        "document" => read_media(MediaKind::Document, value),
        "audio" => read_media(MediaKind::Audio, value),
        "video" => read_media(MediaKind::Video, value),
        "toolUse" => read_call(value).unwrap_or_else(foreign),
        "toolResult" => read_result(value).unwrap_or_else(foreign),
        "reasoningContent" => Block::Reasoning(read_reasoning(value)).into(),
        "citationsContent" => read_citations(value),
        _ => return Err(read_mark(value)),
    })
}

/// Reads a list of blocks. A mark for the cache is noted at the block before it.
pub(super) fn read_all(raw: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for block in members::elements(raw) {
        match read(block) {
            Ok(part) => parts.push(part),
            Err(cache) => {
                if let Some(last) = parts.last_mut() {
                    last.cache = cache;
                }
            }
        }
    }
    parts
}

/// What a mark for the cache says.
pub(super) fn read_mark(raw: &str) -> Option<Cache> {
    let mut cache = Cache::Usual;
    let _ = members::each(raw, |name, value| match (name, value) {
        ("ttl", "\"5m\"") => cache = Cache::FiveMinutes,
        ("ttl", "\"1h\"") => cache = Cache::Hour,
        _ => {}
    });
    Some(cache)
}

fn read_media(kind: MediaKind, raw: &str) -> Part {
    let mut media =
        Media { kind, mime: None, source: MediaSource::Base64(String::new()), name: None, detail: None };
    let mut ext = crate::neutral::Ext::default();
    let _ = members::each(raw, |name, value| match name {
        "format" => media.mime = Some(mime_of(kind, &text_of(value))),
        "name" => media.name = Some(text_of(value)),
        "source" => {
            let _ = members::each(value, |name, value| match name {
                "bytes" => media.source = MediaSource::Base64(text_of(value)),
                "text" => media.source = MediaSource::Text(text_of(value)),
                "s3Location" => {
                    let _ = members::each(value, |name, value| {
                        if name == "uri" {
                            media.source = MediaSource::Url(text_of(value));
                        }
                    });
                }
                _ => {}
            });
        }
        _ => ext.keep(SELF, name, value),
    });
    Part { block: Block::Media(media), cache: None, ext }
}

/// Reads a tool call; `None` for one that the provider runs itself.
fn read_call(raw: &str) -> Option<Part> {
    let mut call = ToolCall::default();
    let mut server = false;
    let _ = members::each(raw, |name, value| match name {
        "toolUseId" => call.id = text_of(value),
        "name" => call.name = text_of(value),
        "input" => value.clone_into(&mut call.args),
        "type" => server = value == "\"server_tool_use\"",
        _ => {}
    });
    (!server).then(|| Block::ToolCall(call).into())
}

/// Reads a tool's result; `None` for one that the provider ran itself.
fn read_result(raw: &str) -> Option<Part> {
    let mut result = ToolResult {
        call_id: String::new(),
        name: None,
        kind: ToolCallKind::Function,
        parts: Vec::new(),
        is_error: false,
    };
    let mut server = false;
    let _ = members::each(raw, |name, value| match name {
        "toolUseId" => result.call_id = text_of(value),
        "content" => result.parts = members::elements(value).into_iter().filter_map(read_output).collect(),
        "status" => result.is_error = value == "\"error\"",
        "type" => server = true,
        _ => {}
    });
    (!server).then(|| Block::ToolResult(result).into())
}

/// Reads one piece of a tool's result: it may be JSON, which elsewhere is text.
fn read_output(raw: &str) -> Option<Part> {
    let mut json = None;
    let _ = members::each(raw, |name, value| {
        if name == "json" {
            json = Some(value);
        }
    });
    let Some(json) = json else {
        return read(raw).ok();
    };
    let mut part = Part::text(json);
    part.ext.keep(SELF, "json", json);
    Some(part)
}

/// Reads thoughts, shown or hidden.
pub(super) fn read_reasoning(raw: &str) -> Reasoning {
    let mut reasoning = Reasoning::default();
    let opaque = |kind, value: &str| Opaque { origin: SELF, kind, data: text_of(value) };
    let _ = members::each(raw, |name, value| match name {
        "redactedContent" => reasoning.opaque.push(opaque(OpaqueKind::Redacted, value)),
        "reasoningText" => {
            let _ = members::each(value, |name, value| match name {
                "text" => reasoning.text = text_of(value),
                "signature" => reasoning.opaque.push(opaque(OpaqueKind::Signature, value)),
                _ => {}
            });
        }
        _ => {}
    });
    reasoning
}

fn read_citations(raw: &str) -> Part {
    let mut text = Text::default();
    let _ = members::each(raw, |name, value| match name {
        "content" => {
            for piece in members::elements(value) {
                let _ = members::each(piece, |name, value| {
                    if name == "text" {
                        text.text.push_str(&text_of(value));
                    }
                });
            }
        }
        "citations" => text.citations = members::elements(value).into_iter().map(read_citation).collect(),
        _ => {}
    });
    let mut part: Part = Block::Text(text).into();
    part.ext.keep(SELF, "citationsContent", raw);
    part
}

/// Reads one citation.
pub(super) fn read_citation(raw: &str) -> Citation {
    let mut citation = Citation::default();
    let _ = members::each(raw, |name, value| match name {
        "title" => citation.title = members::string(value).map(Into::into),
        "source" => citation.url = members::string(value).map(Into::into),
        "sourceContent" => {
            for piece in members::elements(value) {
                let _ = members::each(piece, |name, value| {
                    if name == "text" {
                        citation.cited.get_or_insert_default().push_str(&text_of(value));
                    }
                });
            }
        }
        "location" => {
            let _ = members::each(value, |kind, value| {
                let _ = members::each(value, |name, value| {
                    if kind == "web" && name == "url" {
                        citation.url = members::string(value).map(Into::into);
                    }
                });
            });
        }
        _ => {}
    });
    citation.ext.keep(SELF, "citation", raw);
    citation
}
