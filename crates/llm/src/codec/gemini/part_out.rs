//! Writes the parts of contents.

use std::borrow::Cow;

use super::{OWN, carried};
use crate::codec::custom;
use crate::json_writer::JsonWriter;
use crate::neutral::{Citation, Media, MediaKind, MediaSource, Opaque, Reasoning, ToolCall};

/// Writes a part of text.
pub(super) fn text(json: &mut JsonWriter, text: &str, signature: Option<&str>) {
    json.object(|json| {
        json.text_member("text", text);
        json.text_member_if("thoughtSignature", signature);
    });
}

/// Writes thoughts, with the first of their seals.
pub(super) fn thoughts(json: &mut JsonWriter, thoughts: &Reasoning) {
    let summary = thoughts.summary.concat();
    json.object(|json| {
        json.text_member("text", if thoughts.text.is_empty() { &summary } else { &thoughts.text });
        json.plain_member("thought", true);
        json.text_member_if("thoughtSignature", thoughts.opaque.first().map(carried).as_deref());
    });
}

/// Writes a call.
pub(super) fn call(json: &mut JsonWriter, call: &ToolCall, name: &str, signature: Option<&str>) {
    json.object(|json| {
        json.key("functionCall").object(|json| {
            if !call.id.is_empty() {
                json.text_member("id", &call.id);
            }
            json.text_member("name", name);
            json.raw_member("args", &args(call));
        });
        json.text_member_if("thoughtSignature", signature);
    });
}

/// The arguments as an object, whatever the model wrote.
fn args(call: &ToolCall) -> Cow<'_, str> {
    match custom::args_object(call) {
        args if args.starts_with('{') => args,
        other => Cow::Owned(format!("{{\"input\":{other}}}")),
    }
}

/// The first seal of `opaque` as a caller of this dialect carries it.
pub(super) fn signature(opaque: &[Opaque]) -> Option<Cow<'_, str>> {
    opaque.first().map(carried)
}

/// Writes a medium. Says whether it could.
pub(super) fn media(json: &mut JsonWriter, media: &Media, signature: Option<&str>) -> bool {
    let mime = media.mime.clone().unwrap_or_else(|| mime_of(media));
    let (key, name, data) = match &media.source {
        MediaSource::Base64(data) => ("inlineData", "data", data),
        MediaSource::Url(url) => ("fileData", "fileUri", url),
        MediaSource::File { owner: OWN, id } => ("fileData", "fileUri", id),
        MediaSource::Text(words) => {
            text(json, words, signature);
            return true;
        }
        MediaSource::File { .. } => return false,
    };
    json.object(|json| {
        json.key(key).object(|json| {
            json.text_member("mimeType", &mime);
            json.text_member(name, data);
        });
        json.text_member_if("thoughtSignature", signature);
    });
    true
}

/// The type of a medium that says none: by the ending of its address, or what is usual.
fn mime_of(media: &Media) -> String {
    let ending = match &media.source {
        MediaSource::Url(url) => {
            let path = url.split(['?', '#']).next().unwrap_or(url);
            path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, ending)| ending)
        }
        _ => None,
    };
    let known = match ending.map(str::to_ascii_lowercase).as_deref() {
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("png") => "image/png",
        Some("webp") => "image/webp",
        Some("gif") => "image/gif",
        Some("pdf") => "application/pdf",
        Some("mp3") => "audio/mpeg",
        Some("wav") => "audio/wav",
        Some("mp4") => "video/mp4",
        _ => match media.kind {
            MediaKind::Image => "image/jpeg",
            MediaKind::Document => "application/pdf",
            MediaKind::Audio => "audio/wav",
            MediaKind::Video => "video/mp4",
        },
    };
    known.to_owned()
}

/// Writes what text rests on, with places in bytes of `text`.
pub(super) fn grounding(json: &mut JsonWriter, text: &str, citations: &[Citation]) {
    json.object(|json| {
        json.key("groundingChunks").array(|json| {
            for citation in citations {
                json.object(|json| {
                    json.key("web").object(|json| {
                        json.text_member("uri", citation.url.as_deref().unwrap_or_default());
                        json.text_member_if("title", citation.title.as_deref());
                    });
                });
            }
        });
        json.key("groundingSupports").array(|json| {
            for (place, citation) in citations.iter().enumerate() {
                let Some((start, end)) = citation.span else { continue };
                let (start, end) = (bytes_before(text, start), bytes_before(text, end));
                json.object(|json| {
                    json.key("segment").object(|json| {
                        json.plain_member("startIndex", start);
                        json.plain_member("endIndex", end);
                        json.text_member("text", text.get(start..end).unwrap_or_default());
                    });
                    json.key("groundingChunkIndices").array(|json| json.plain(place));
                });
            }
        });
    });
}

/// The bytes that the first `points` code points of `text` take.
fn bytes_before(text: &str, points: u64) -> usize {
    let points = usize::try_from(points).unwrap_or(usize::MAX);
    text.char_indices().nth(points).map_or(text.len(), |(at, _)| at)
}
