//! Writes the blocks of one message.

use std::borrow::Cow;

use super::{OWN, write_mark};
use crate::codec::conversation::{self, Item};
use crate::codec::custom;
use crate::codec::ids::IdRule;
use crate::json_text::Piece;
use crate::json_writer::JsonWriter;
use crate::neutral::{
    Block, Dialect, Field, Losses, Media, MediaKind, MediaSource, OpaqueKind, Part, Reasoning, Text,
    ToolCall, ToolResult, Words,
};

/// Room for the names that a block has around its text.
const ROOM: usize = 64;

/// The blocks of a message, each as JSON.
pub(super) struct Blocks<'a, 'p> {
    blocks: Vec<JsonWriter>,
    origin: Dialect,
    losses: &'a mut Losses,
    /// The last text that may not end in space, if the last block is one.
    last_text: Option<Cow<'p, Words>>,
}

impl<'a, 'p> Blocks<'a, 'p> {
    pub(super) fn new(origin: Dialect, losses: &'a mut Losses) -> Self {
        Self { blocks: Vec::new(), origin, losses, last_text: None }
    }

    /// The blocks. A message of the model that ends the conversation is its beginning of the answer, and
    /// may not end in space.
    pub(super) fn finish(mut self, is_prefill: bool) -> Vec<JsonWriter> {
        if let (true, Some(text)) = (is_prefill, &self.last_text) {
            let trimmed = text.trim_end();
            self.blocks.pop();
            if !trimmed.is_empty() {
                self.blocks.push(text_block(trimmed, None));
            }
        }
        self.blocks
    }

    pub(super) fn item(&mut self, item: &Item<'p>, assistant: bool) {
        let part = item.part;
        self.last_text = None;
        match &part.block {
            Block::Text(text) if item.instructs => {
                self.text(Cow::Owned(conversation::instruction_text(&text.text).into()), part);
            }
            Block::Text(text) => {
                if !text.citations.is_empty() {
                    self.cited(text, part);
                } else {
                    self.text(Cow::Borrowed(&text.text), part);
                }
            }
            Block::Refusal(text) => self.text(Cow::Owned(text.as_str().into()), part),
            Block::Media(media) if !assistant => self.media(media, part, item.place),
            Block::Media(_) => self.lose(item.place, "an answer cannot contain media"),
            Block::ToolCall(call) if assistant => self.call(call, part),
            Block::ToolCall(_) => self.lose(item.place, "only the model calls tools"),
            Block::ToolResult(result) => self.result(result, part, item),
            Block::Reasoning(thoughts) => self.thoughts(thoughts, item.place),
            Block::Foreign(foreign) if foreign.origin == OWN => {
                self.blocks.push(JsonWriter::of(foreign.raw.text()));
            }
            Block::Foreign(_) => self.lose(item.place, "only its own dialect has such a part"),
        }
    }

    /// Empty text is refused, and says nothing.
    fn text(&mut self, text: Cow<'p, Words>, part: &Part) {
        if !text.is_blank() {
            self.blocks.push(text_block(&*text, Some(part)));
            self.last_text = Some(text);
        }
    }

    /// Text with the citations that were Anthropic's own; those of others are gone by now.
    fn cited(&mut self, said: &'p Text, part: &Part) {
        let own: Vec<_> =
            said.citations.iter().map(|one| one.ext.fields_of(OWN)).filter(|own| !own.is_empty()).collect();
        if own.is_empty() || said.text.is_blank() {
            return self.text(Cow::Borrowed(&said.text), part);
        }
        self.block(part, said.text.room(), |json| {
            json.text_member("type", "text");
            json.text_member("text", &said.text);
            json.key("citations").array(|json| {
                for fields in &own {
                    json.object(|json| {
                        fields.iter().for_each(|(name, raw)| json.raw_member(name, raw.text()));
                    });
                }
            });
        });
    }

    /// Writes a block with what is said about `part`; `length` is that of the longest thing in it.
    fn block(&mut self, part: &Part, length: usize, members: impl FnOnce(&mut JsonWriter)) {
        let mut json = JsonWriter::with_capacity(length + ROOM);
        json.object(|json| {
            members(json);
            if let Some(mark) = part.cache {
                write_mark(json, mark);
            }
            part.ext.write(OWN, json, "", &mut Losses::default());
        });
        self.blocks.push(json);
    }

    fn call(&mut self, call: &ToolCall, part: &Part) {
        let id = IdRule::Word64.fit(&call.id, "toolu_");
        self.block(part, call.args.len(), |json| {
            json.text_member("type", "tool_use");
            json.text_member("id", &id);
            json.text_member("name", &call.name);
            json.raw_member("input", &custom::args_object(call));
        });
    }

    fn result(&mut self, result: &'p ToolResult, part: &Part, item: &Item<'p>) {
        if item.orphan {
            self.blocks.push(text_block(&conversation::orphan_note(&result.call_id), None));
            let inner = |part| Item { part, place: item.place, instructs: false, orphan: false };
            return result.parts.iter().for_each(|part| self.item(&inner(part), false));
        }
        let only_text = match &*result.parts {
            [] => Some(Piece::Plain("")),
            [Part { block: Block::Text(text), cache: None, .. }] => Some(text.text.piece()),
            _ => None,
        };
        let blocks = if only_text.is_some() { Vec::new() } else { self.inside(result, item.place) };
        let length =
            only_text.map_or_else(|| blocks.iter().map(|block| block.bytes().len()).sum(), Piece::room);
        let id = IdRule::Word64.fit(&result.call_id, "toolu_");
        self.block(part, length, |json| {
            json.text_member("type", "tool_result");
            json.text_member("tool_use_id", &id);
            match only_text {
                Some(text) => json.text_member("content", text),
                None if blocks.is_empty() => json.text_member("content", ""),
                None => json.key("content").array(|json| blocks.iter().for_each(|block| json.append(block))),
            }
            if result.is_error {
                json.plain_member("is_error", true);
            }
        });
    }

    /// The blocks within a tool's result.
    fn inside(&mut self, result: &ToolResult, place: usize) -> Vec<JsonWriter> {
        let mut inside = Blocks::new(self.origin, self.losses);
        for inner in &result.parts {
            match &inner.block {
                Block::Text(text) => inside.text(Cow::Borrowed(&text.text), inner),
                Block::Media(media) => inside.media(media, inner, place),
                Block::Foreign(foreign) if foreign.origin == OWN => {
                    inside.blocks.push(JsonWriter::of(foreign.raw.text()));
                }
                _ => inside.lose(place, "a tool's result cannot contain this"),
            }
        }
        inside.blocks
    }

    /// Thoughts go back only with Anthropic's own seal: it refuses any other, and those without.
    fn thoughts(&mut self, thoughts: &Reasoning, place: usize) {
        let own = |kind| {
            let found = thoughts.opaque.iter().find(|one| one.origin == OWN && one.kind == kind);
            found.map(|opaque| &opaque.data)
        };
        let mut json = JsonWriter::new();
        if let Some(signature) = own(OpaqueKind::Signature) {
            json.object(|json| {
                json.text_member("type", "thinking");
                json.text_member("thinking", &thoughts.text);
                json.text_member("signature", signature);
            });
        } else if let Some(data) = own(OpaqueKind::Redacted) {
            json.object(|json| {
                json.text_member("type", "redacted_thinking");
                json.text_member("data", data);
            });
        } else {
            let path = format!("{}[{place}].reasoning", self.origin.field(Field::Turns));
            return self.losses.advisory(path, "thoughts of another provider are never sent on");
        }
        self.blocks.push(json);
    }

    fn media(&mut self, media: &Media, part: &Part, place: usize) {
        let name = match media.kind {
            MediaKind::Image => "image",
            MediaKind::Document => "document",
            MediaKind::Audio | MediaKind::Video => {
                return self.lose(place, "the provider's dialect knows neither sound nor film");
            }
        };
        let usual = if media.kind == MediaKind::Image { "image/png" } else { "application/pdf" };
        let mime = media.mime.as_deref().unwrap_or(usual);
        let length = match &media.source {
            MediaSource::Base64(data) | MediaSource::Text(data) => data.len(),
            MediaSource::Url(_) | MediaSource::File { .. } => 0,
        };
        if let MediaSource::File { owner, .. } = &media.source
            && *owner != OWN
        {
            return self.lose(place, "the file is kept by another provider");
        }
        self.block(part, length, |json| {
            json.text_member("type", name);
            json.key("source").object(|json| source(json, &media.source, mime));
            if media.kind == MediaKind::Document {
                json.text_member_if("title", media.name.as_deref());
            }
        });
    }

    fn lose(&mut self, place: usize, reason: &'static str) {
        self.losses.meaning(format_args!("{}[{place}].content", self.origin.field(Field::Turns)), reason);
    }
}

fn source(json: &mut JsonWriter, source: &MediaSource, mime: &str) {
    match source {
        // Text in base64 is refused where a document is meant.
        MediaSource::Base64(data) => {
            json.text_member("type", "base64");
            json.text_member("media_type", mime);
            json.text_member("data", data);
        }
        MediaSource::Text(text) => {
            json.text_member("type", "text");
            json.text_member("media_type", "text/plain");
            json.text_member("data", text);
        }
        MediaSource::Url(url) => {
            json.text_member("type", "url");
            json.text_member("url", url);
        }
        MediaSource::File { id, .. } => {
            json.text_member("type", "file");
            json.text_member("file_id", id);
        }
    }
}

fn text_block<'t>(text: impl Into<Piece<'t>>, part: Option<&Part>) -> JsonWriter {
    let text = text.into();
    let mut json = JsonWriter::with_capacity(text.room() / 8 * 9 + ROOM);
    json.object(|json| {
        json.text_member("type", "text");
        json.text_member("text", text);
        if let Some(part) = part {
            if let Some(mark) = part.cache {
                write_mark(json, mark);
            }
            part.ext.write(OWN, json, "", &mut Losses::default());
        }
    });
    json
}
