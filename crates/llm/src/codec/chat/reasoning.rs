//! Thoughts in Chat: no place of OpenAI's, but places of the vendors. `reasoning_content` (or `reasoning`)
//! is the text; `reasoning_details`, OpenRouter's list, has the seals, each with the maker's format.

use super::OWN;
use crate::codec::read;
use crate::json_writer::JsonWriter;
use crate::members;
use crate::neutral::{Block, Dialect, Opaque, OpaqueKind, Part, Reasoning};

/// The formats in which makers seal, as OpenRouter names them. Bedrock's is ours.
const FORMATS: [(&str, Dialect); 4] = [
    ("anthropic-claude-v1", Dialect::AnthropicMessages),
    ("google-gemini-v1", Dialect::Gemini),
    ("openai-responses-v1", Dialect::OpenAiResponses),
    ("amazon-bedrock-v1", Dialect::BedrockConverse),
];

fn maker(format: &str) -> Option<Dialect> {
    FORMATS.into_iter().find(|(name, _)| *name == format).map(|(_, dialect)| dialect)
}

fn format_of(maker: Dialect) -> &'static str {
    FORMATS.into_iter().find(|(_, dialect)| *dialect == maker).map_or("unknown", |(name, _)| name)
}

/// The members of a message that are thoughts.
#[derive(Default)]
pub(super) struct Said<'a> {
    text: Option<String>,
    details: Option<&'a str>,
}

impl<'a> Said<'a> {
    /// Reads a member, and says whether it was one of them.
    pub(super) fn read(&mut self, key: &str, value: &'a str) -> bool {
        match key {
            "reasoning_content" | "reasoning" if !value.starts_with('{') => {
                let text = read::text_if(value).filter(|text| !text.is_empty());
                self.text = text.or(self.text.take());
            }
            "reasoning_details" if value.starts_with('[') => self.details = Some(value),
            "reasoning_details" => {}
            _ => return false,
        }
        true
    }

    /// The thoughts. The list says all that the text says; where it has seals only, the text is theirs.
    pub(super) fn parts(self) -> Vec<Part> {
        let mut thoughts = self.details.map(listed).unwrap_or_default();
        let has_text = thoughts.iter().any(|one| !one.text.is_empty() || !one.summary.is_empty());
        if let Some(text) = self.text.filter(|_| !has_text) {
            match thoughts.iter_mut().find(|one| !is_hidden(one)) {
                Some(first) => first.text = text,
                None => thoughts.insert(0, Reasoning { text, ..Reasoning::default() }),
            }
        }
        thoughts.into_iter().map(|one| Part::from(Block::Reasoning(one))).collect()
    }
}

fn is_hidden(thoughts: &Reasoning) -> bool {
    thoughts.opaque.iter().any(|opaque| opaque.kind == OpaqueKind::Redacted)
}

/// Reads the list: entries with the same index, or without one the same maker's text and seal, are one.
fn listed(raw: &str) -> Vec<Reasoning> {
    let mut thoughts: Vec<(Option<u64>, Reasoning)> = Vec::new();
    for entry in members::elements(raw) {
        let (index, one) = detail(entry);
        let same = |(other, _): &&mut (Option<u64>, Reasoning)| index.is_some() && *other == index;
        match thoughts.last_mut().filter(|last| same(last)) {
            Some((_, before)) => {
                before.text.push_str(&one.text);
                before.summary.extend(one.summary);
                before.opaque.extend(one.opaque);
                before.id = one.id.or(before.id.take());
            }
            None => thoughts.push((index, one)),
        }
    }
    thoughts.into_iter().map(|(_, one)| one).collect()
}

/// Reads one entry, and its index.
pub(super) fn detail(raw: &str) -> (Option<u64>, Reasoning) {
    let (mut one, mut index) = (Reasoning::default(), None);
    let (mut kind, mut format, mut data, mut signature) =
        (String::new(), String::new(), String::new(), String::new());
    let _ = members::each(raw, |key, value| match key {
        "type" => kind = read::text(value),
        "format" => format = read::text(value),
        "index" => index = read::count(value),
        "id" => one.id = read::text_if(value),
        "text" => one.text = read::text(value),
        "summary" => one.summary.extend(read::text_if(value)),
        "signature" => signature = read::text(value),
        "data" => data = read::text(value),
        _ => {}
    });
    let origin = maker(&format);
    let sealed = |kind, data: String| Opaque { origin: origin.unwrap_or(OWN), kind, data };
    match (&*kind, origin) {
        ("reasoning.encrypted", Some(Dialect::AnthropicMessages | Dialect::BedrockConverse)) => {
            one.opaque.push(sealed(OpaqueKind::Redacted, data));
        }
        ("reasoning.encrypted", Some(Dialect::Gemini)) => {
            one.opaque.push(sealed(OpaqueKind::Signature, data));
        }
        ("reasoning.encrypted", Some(_)) => one.opaque.push(sealed(OpaqueKind::Encrypted, data)),
        (_, Some(_)) if !signature.is_empty() => one.opaque.push(sealed(OpaqueKind::Signature, signature)),
        // Sealed in a way that only the vendor knows: it gets the entry back as it was.
        ("reasoning.encrypted", None) => one.opaque.push(sealed(OpaqueKind::Details, raw.to_owned())),
        (_, None) if !signature.is_empty() => one.opaque.push(sealed(OpaqueKind::Details, raw.to_owned())),
        _ => {}
    }
    (index, one)
}

/// Reads the parts that Mistral's thoughts are made of.
pub(super) fn of_parts(raw: &str) -> Reasoning {
    let text = match members::string(raw) {
        Some(text) => text.into_owned(),
        None => {
            members::elements(raw).into_iter().filter_map(|part| read::member_text(part, "text")).collect()
        }
    };
    Reasoning { text, ..Reasoning::default() }
}

/// The whole text of `thoughts`, summaries where nothing else is shown.
pub(super) fn text_of(thoughts: &Reasoning) -> String {
    if thoughts.text.is_empty() { thoughts.summary.join("\n\n") } else { thoughts.text.clone() }
}

/// Writes the entries that stand for `thoughts`, with `index`.
pub(super) fn write_details(json: &mut JsonWriter, thoughts: &Reasoning, index: usize) {
    let mut signature = None;
    let mut others = Vec::new();
    for opaque in &thoughts.opaque {
        match opaque.kind {
            OpaqueKind::Details => return json.raw(&opaque.data),
            OpaqueKind::Signature if signature.is_none() && opaque.origin != Dialect::Gemini => {
                signature = Some(opaque);
            }
            _ => others.push(opaque),
        }
    }
    let format = |maker: Option<&Opaque>| maker.map_or("unknown", |opaque| format_of(opaque.origin));
    let made_by = signature.or(others.first().copied());
    for summary in &thoughts.summary {
        json.object(|json| {
            json.text_member("type", "reasoning.summary");
            json.text_member_if("id", thoughts.id.as_deref());
            json.text_member("summary", summary);
            json.text_member("format", format(made_by));
            json.plain_member("index", index);
        });
    }
    if signature.is_some() || !thoughts.text.is_empty() {
        json.object(|json| {
            json.text_member("type", "reasoning.text");
            json.text_member_if("id", thoughts.id.as_deref());
            json.text_member("text", &thoughts.text);
            json.text_member_if("signature", signature.map(|opaque| &*opaque.data));
            json.text_member("format", format(made_by));
            json.plain_member("index", index);
        });
    }
    for opaque in others {
        write_sealed(json, opaque, thoughts.id.as_deref(), index);
    }
}

/// Writes the entry that stands for a piece of thoughts which `maker` will seal.
pub(super) fn write_piece(json: &mut JsonWriter, text: &str, maker: Dialect, index: usize) {
    json.object(|json| {
        json.text_member("type", "reasoning.text");
        json.text_member("text", text);
        json.text_member("format", format_of(maker));
        json.plain_member("index", index);
    });
}

/// Writes the entry that stands for a seal alone.
pub(super) fn write_sealed(json: &mut JsonWriter, opaque: &Opaque, id: Option<&str>, index: usize) {
    match opaque.kind {
        OpaqueKind::Details => json.raw(&opaque.data),
        OpaqueKind::Signature if opaque.origin != Dialect::Gemini => json.object(|json| {
            json.text_member("type", "reasoning.text");
            json.text_member("text", "");
            json.text_member("signature", &opaque.data);
            json.text_member("format", format_of(opaque.origin));
            json.plain_member("index", index);
        }),
        _ => json.object(|json| {
            json.text_member("type", "reasoning.encrypted");
            json.text_member_if("id", id);
            json.text_member("data", &opaque.data);
            json.text_member("format", format_of(opaque.origin));
            json.plain_member("index", index);
        }),
    }
}
