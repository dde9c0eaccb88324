//! Writes the items that conversations and answers are made of.

use super::{OWN, tools};
use crate::codec::ids::IdRule;
use crate::codec::read;
use crate::json_writer::JsonWriter;
use crate::neutral::{
    Citation, Media, MediaKind, MediaSource, Namespaced, Opaque, OpaqueKind, Raw, Reasoning, Text, ToolCall,
    ToolCallKind,
};

/// What the caller, or the provider, calls the tools.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    /// Tools in namespaces.
    pub namespaces: &'a [Namespaced],
    /// Tools that take free text, by their one name.
    pub custom: &'a [String],
}

impl Names<'_> {
    /// Whether calls of the tool are free text.
    pub(super) fn is_custom(&self, call: &ToolCall) -> bool {
        call.kind == ToolCallKind::Custom || self.custom.contains(&call.name)
    }

    /// Writes the tool's name, and the namespace it is in.
    fn write(&self, json: &mut JsonWriter, name: &str) {
        match self.namespaces.iter().find(|known| known.flat == name) {
            Some(known) => {
                json.text_member("name", &known.name);
                json.text_member("namespace", &known.namespace);
            }
            None => json.text_member("name", name),
        }
    }
}

/// Writes a call. Of an answer, `own` is the item's id and how far it is.
pub(super) fn call(json: &mut JsonWriter, call: &ToolCall, names: Names<'_>, own: Option<(&str, &str)>) {
    let custom = names.is_custom(call);
    json.object(|json| {
        json.text_member("type", if custom { "custom_tool_call" } else { "function_call" });
        if let Some((id, status)) = own {
            json.text_member("id", id);
            json.text_member("status", status);
        }
        json.text_member("call_id", &IdRule::Word64.fit(&call.id, "call_"));
        names.write(json, &call.name);
        if custom {
            json.text_member("input", &tools::free_text(call));
        } else {
            json.text_member(
                "arguments",
                if own.is_none() && call.args.is_empty() { "{}" } else { &call.args },
            );
        }
    });
}

/// Writes thoughts. Of an answer, `id` is the item's, and what another maker has sealed is carried along,
/// marked as its maker's.
pub(super) fn reasoning(json: &mut JsonWriter, thoughts: &Reasoning, id: Option<&str>) {
    let (summary, sealed) = shown(thoughts);
    json.object(|json| {
        json.text_member("type", "reasoning");
        json.text_member_if("id", id.or(thoughts.id.as_deref().filter(|id| id.starts_with("rs_"))));
        json.key("summary").array(|json| {
            for text in summary {
                json.object(|json| {
                    json.text_member("type", "summary_text");
                    json.text_member("text", text);
                });
            }
        });
        // Vendors show the thoughts themselves besides a summary of them.
        if !thoughts.summary.is_empty() && !thoughts.text.is_empty() {
            json.key("content").array(|json| {
                json.object(|json| {
                    json.text_member("type", "reasoning_text");
                    json.text_member("text", &thoughts.text);
                });
            });
        }
        json.text_member_if("encrypted_content", sealed.as_deref());
    });
}

/// What of thoughts stands in the summary, and their seal as a caller carries it.
pub(super) fn shown(thoughts: &Reasoning) -> (Vec<&str>, Option<String>) {
    let summary: Vec<&str> = match thoughts.summary.is_empty() {
        false => thoughts.summary.iter().map(String::as_str).collect(),
        true => Some(&*thoughts.text).filter(|text| !text.is_empty()).into_iter().collect(),
    };
    (summary, seal(thoughts.opaque.first(), &thoughts.text))
}

/// The seal as a caller carries it; thoughts that nobody sealed are marked, so that they are known again.
pub(super) fn seal(opaque: Option<&Opaque>, text: &str) -> Option<String> {
    match opaque {
        Some(Opaque { origin: OWN, kind: OpaqueKind::Encrypted, data }) => Some(data.clone()),
        Some(other) => Some(read::tag_seal(Some(other))),
        None if text.is_empty() => None,
        None => Some(read::tag_seal(None)),
    }
}

/// Writes a part of text that the model said.
pub(super) fn output_text(json: &mut JsonWriter, text: &Text, logprobs: Option<&Raw>) {
    json.object(|json| {
        json.text_member("type", "output_text");
        json.text_member("text", &text.text);
        json.key("annotations").array(|json| text.citations.iter().for_each(|one| citation(json, one)));
        json.raw_member("logprobs", logprobs.map_or("[]", Raw::text));
    });
}

/// Writes a refusal as a part of a message.
pub(super) fn refusal(json: &mut JsonWriter, text: &str) {
    json.object(|json| {
        json.text_member("type", "refusal");
        json.text_member("refusal", text);
    });
}

/// Writes a citation.
pub(super) fn citation(json: &mut JsonWriter, citation: &Citation) {
    if let Some(raw) = citation.ext.get(OWN, "annotation") {
        return json.raw(raw.text());
    }
    let (start, end) = citation.span.unwrap_or((0, 0));
    json.object(|json| {
        json.text_member("type", "url_citation");
        json.plain_member("start_index", start);
        json.plain_member("end_index", end);
        json.text_member("url", citation.url.as_deref().unwrap_or_default());
        json.text_member(
            "title",
            citation.title.as_deref().or(citation.cited.as_deref()).unwrap_or_default(),
        );
    });
}

/// Writes a medium as a part of a message of the user's, or of a tool's output. Says whether it could.
pub(super) fn media(json: &mut JsonWriter, media: &Media) -> bool {
    let data = || match (&media.source, media.mime.as_deref()) {
        (MediaSource::Base64(data), mime) => {
            Some(format!("data:{};base64,{data}", mime.unwrap_or(usual(media))))
        }
        (MediaSource::Url(url), _) => Some(url.clone()),
        _ => None,
    };
    let file = match &media.source {
        MediaSource::File { owner: OWN, id } => Some(id),
        _ => None,
    };
    let address = data();
    match (media.kind, &media.source, address, file) {
        (_, MediaSource::Text(text), ..) => json.object(|json| {
            json.text_member("type", "input_text");
            json.text_member("text", text);
        }),
        (MediaKind::Image, _, Some(url), _) => json.object(|json| {
            json.text_member("type", "input_image");
            json.text_member("image_url", &url);
            json.text_member("detail", media.detail.as_deref().unwrap_or("auto"));
        }),
        (MediaKind::Image, _, _, Some(id)) => json.object(|json| {
            json.text_member("type", "input_image");
            json.text_member("file_id", id);
            json.text_member("detail", media.detail.as_deref().unwrap_or("auto"));
        }),
        (MediaKind::Document, MediaSource::Url(url), ..) => json.object(|json| {
            json.text_member("type", "input_file");
            json.text_member("file_url", url);
        }),
        (MediaKind::Document, _, Some(data), _) => json.object(|json| {
            json.text_member("type", "input_file");
            json.text_member("filename", media.name.as_deref().unwrap_or("document.pdf"));
            json.text_member("file_data", &data);
        }),
        (MediaKind::Document, _, _, Some(id)) => json.object(|json| {
            json.text_member("type", "input_file");
            json.text_member("file_id", id);
        }),
        (MediaKind::Audio, MediaSource::Base64(data), ..) => json.object(|json| {
            let wave = media.mime.as_deref().is_none_or(|mime| mime.contains("wav"));
            json.text_member("type", "input_audio");
            json.key("input_audio").object(|json| {
                json.text_member("data", data);
                json.text_member("format", if wave { "wav" } else { "mp3" });
            });
        }),
        _ => return false,
    }
    true
}

fn usual(media: &Media) -> &'static str {
    match media.kind {
        MediaKind::Image => "image/png",
        MediaKind::Document => "application/pdf",
        MediaKind::Audio => "audio/wav",
        MediaKind::Video => "video/mp4",
    }
}
