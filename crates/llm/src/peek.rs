//! Reads of a request body what routing, limits and accounting need, in one borrowed pass.
//!
//! Nothing is copied but the model's name, no tree is built, and fields that are not read here are
//! only checked to be JSON: the upstream judges them.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use http::Uri;
use model::{Code, Rejection, ServiceTier};
use serde::de::IgnoredAny;

use crate::json::{self, Fault};
use crate::members;
use crate::neutral::Dialect;
use crate::session::Hints;
use crate::surface::{Family, Surface};

/// What a request asks for, as far as the gateway cares.
#[derive(Clone, Debug)]
pub struct Call {
    /// The endpoint.
    pub surface: Surface,
    /// The model asked for, unescaped.
    pub model: Box<str>,
    /// Whether the answer shall be a stream of events.
    pub stream: bool,
    /// How the pieces of a stream are told apart.
    pub framing: Framing,
    /// Whether the caller itself asked for usage in the stream.
    pub include_usage: bool,
    /// The most tokens the answer may have, when the request says so.
    pub max_output: Option<u64>,
    /// How many answers are asked for (`n`), at least 1.
    pub choices: u32,
    /// The service tier that is asked for, where the request names one.
    pub tier: Option<ServiceTier>,
    /// What the provider has kept or is to keep, of requests that say something about it.
    pub kept: Option<Box<Kept>>,
    /// The dialect that the body is written in, where that is not the endpoint's own.
    pub written: Option<Dialect>,
    /// Where the parts lie that may be rewritten.
    pub spans: Spans,
    /// Where the parts lie that say to which conversation it belongs.
    pub(crate) hints: Hints,
}

impl Call {
    /// A request about a response that the provider keeps, made once by `model`. It has no body.
    #[must_use]
    pub fn of_stored(model: &str, stream: bool) -> Self {
        Self {
            surface: Surface::StoredResponse,
            model: model.into(),
            stream,
            framing: Framing::Events,
            include_usage: false,
            max_output: None,
            choices: 1,
            tier: None,
            kept: None,
            written: None,
            spans: Spans {
                first_member: 0,
                empty: true,
                model: None,
                stream_options: StreamOptions::Absent,
                max_output: None,
                config: None,
            },
            hints: Hints::default(),
        }
    }
}

/// How the pieces of a stream are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    #[default]
    Events,
    /// The elements of one JSON array, as Gemini sends them to those who do not ask for events.
    Array,
}

/// What a request to OpenAI's Responses says about state that lives at the provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The response that it goes on from.
    pub previous_response: Option<Box<str>>,
    /// The conversation that it belongs to.
    pub conversation: Option<Box<str>>,
    /// Whether the caller does not wait for the answer.
    pub background: bool,
    /// Whether the response is not to be kept.
    pub unkept: bool,
}

/// Byte ranges of a request body that [`crate::splice`] may rewrite.
#[derive(Clone, Debug)]
pub struct Spans {
    /// Just behind the body's opening brace.
    pub(crate) first_member: usize,
    /// Whether the body is an object without members.
    pub(crate) empty: bool,
    /// The model's raw value, quotes included; nothing where the path names the model.
    pub(crate) model: Option<Range<usize>>,
    /// What `stream_options` is.
    pub(crate) stream_options: StreamOptions,
    /// The raw value of the longest answer that is asked for.
    pub(crate) max_output: Option<Range<usize>>,
    /// Gemini's object of settings, in which the longest answer stands.
    pub(crate) config: Option<Range<usize>>,
}

/// What a request's `stream_options` is, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StreamOptions {
    /// Not there.
    Absent,
    /// `null`, at this range.
    Null(Range<usize>),
    /// An object: where its members begin, whether it has any, and where the value of
    /// `include_usage` lies.
    Object { inside: usize, empty: bool, include_usage: Option<Range<usize>> },
}

/// Reads `body` as a request to `surface`.
///
/// # Errors
/// `INVALID_REQUEST` for an empty body, for bytes that are not one JSON object, for a duplicate of a
/// field that is read here, for nesting deeper than 64, and for a model or a `stream` of the wrong type.
pub fn peek(surface: Surface, body: &Bytes) -> Result<Call, Rejection> {
    look(surface, None, body)
}

/// Reads `body` as a request to `surface` at `uri`, which names the model where Gemini's paths do.
///
/// # Errors
/// As [`peek`].
pub fn peek_at(surface: Surface, uri: &Uri, body: &Bytes) -> Result<Call, Rejection> {
    if surface.family() != Family::Gemini {
        return look(surface, None, body);
    }
    let model = Surface::model_in_path(uri.path());
    let mut call = look(surface, Some(model.unwrap_or_default()), body)?;
    let events = uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "alt=sse"));
    if call.stream && !events {
        call.framing = Framing::Array;
    }
    Ok(call)
}

fn look(surface: Surface, model: Option<String>, body: &Bytes) -> Result<Call, Rejection> {
    // Most requests are ASCII, and that is cheaper to see.
    if !body.is_ascii() && std::str::from_utf8(body).is_err() {
        return Err(invalid("The request body is not valid UTF-8."));
    }
    match body.trim_ascii_start().first() {
        Some(b'{') => read(surface, body)?.into_call(surface, model, body),
        Some(_) => Err(invalid("The request body is not a JSON object.")),
        None => Err(invalid("The request body is empty.")),
    }
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Rejection {
    Rejection::because(Code::InvalidRequest, message)
}

fn read(surface: Surface, body: &[u8]) -> Result<Fields<'_>, Rejection> {
    let mut fields = Fields::default();
    let read = json::members(body, |member| {
        let name = &body[member.name.clone()];
        fields.hints.note(name, &member.value);
        let slot = if member.is_escaped {
            let quoted = text(&body[member.name.start - 1..member.name.end + 1]);
            fields.slot(surface, members::string(quoted).ok_or(Fault::Invalid)?.as_bytes())
        } else {
            fields.slot(surface, name)
        };
        if let Some((name, slot)) = slot
            && slot.replace(text(&body[member.value])).is_some()
        {
            fields.duplicate = Some(name);
        }
        Ok(())
    });
    match (read, fields.duplicate) {
        (Err(Fault::Invalid), _) => Err(invalid_json(body)),
        (Err(Fault::Deep), _) => Err(invalid("The request body nests deeper than 64 levels.")),
        (Ok(()), Some(name)) => Err(invalid(format!("The field `{name}` is given twice.")).at(name)),
        (Ok(()), None) => Ok(fields),
    }
}

/// A part of a body that has been checked to be UTF-8, cut where its syntax cuts it.
fn text(part: &[u8]) -> &str {
    std::str::from_utf8(part).expect("a part of checked text, cut at ASCII characters")
}

/// Says where the fault lies, which a second and slower reading finds.
fn invalid_json(body: &[u8]) -> Rejection {
    match serde_json::from_str::<IgnoredAny>(text(body)) {
        Err(error) => {
            let place = format!("line {} column {}", error.line(), error.column());
            invalid(format!("The request body is not valid JSON, at {place}.")).caused_by(error)
        }
        // A name with half of a surrogate pair; such values are passed on, such names cannot be compared.
        Ok(_) => invalid("The request body is not valid JSON: a member's name is no text."),
    }
}

/// The raw values of the fields that are read.
#[derive(Default)]
struct Fields<'a> {
    model: Option<&'a str>,
    stream: Option<&'a str>,
    stream_options: Option<&'a str>,
    max_tokens: Option<&'a str>,
    max_completion_tokens: Option<&'a str>,
    n: Option<&'a str>,
    config: Option<&'a str>,
    previous: Option<&'a str>,
    conversation: Option<&'a str>,
    background: Option<&'a str>,
    store: Option<&'a str>,
    tier: Option<&'a str>,
    duplicate: Option<&'static str>,
    hints: Hints,
}

impl<'a> Fields<'a> {
    /// The place for the member `key` when `surface` reads it.
    fn slot(&mut self, surface: Surface, key: &[u8]) -> Option<(&'static str, &mut Option<&'a str>)> {
        match surface {
            Surface::GenerateContent | Surface::StreamGenerateContent => return self.gemini_slot(key),
            _ if surface.family() == Family::Gemini => return None,
            _ if surface.is_responses() => return self.responses_slot(key),
            _ => {}
        }
        let chat = matches!(surface, Surface::ChatCompletions | Surface::Completions);
        match key {
            b"model" => Some(("model", &mut self.model)),
            b"stream" if surface.may_stream() => Some(("stream", &mut self.stream)),
            b"max_tokens" if surface.may_stream() => Some(("max_tokens", &mut self.max_tokens)),
            b"stream_options" if chat => Some(("stream_options", &mut self.stream_options)),
            b"max_completion_tokens" if chat => {
                Some(("max_completion_tokens", &mut self.max_completion_tokens))
            }
            b"n" if chat => Some(("n", &mut self.n)),
            b"service_tier" if chat => Some(("service_tier", &mut self.tier)),
            _ => None,
        }
    }

    fn responses_slot(&mut self, key: &[u8]) -> Option<(&'static str, &mut Option<&'a str>)> {
        Some(match key {
            b"model" => ("model", &mut self.model),
            b"stream" => ("stream", &mut self.stream),
            b"max_output_tokens" => ("max_output_tokens", &mut self.max_tokens),
            b"previous_response_id" => ("previous_response_id", &mut self.previous),
            b"conversation" => ("conversation", &mut self.conversation),
            b"background" => ("background", &mut self.background),
            b"store" => ("store", &mut self.store),
            b"service_tier" => ("service_tier", &mut self.tier),
            _ => return None,
        })
    }

    /// Gemini takes both spellings of every name, and clients mix them.
    fn gemini_slot(&mut self, key: &[u8]) -> Option<(&'static str, &mut Option<&'a str>)> {
        match key {
            b"generationConfig" | b"generation_config" => Some(("generationConfig", &mut self.config)),
            b"serviceTier" | b"service_tier" => Some(("serviceTier", &mut self.tier)),
            _ => None,
        }
    }

    fn into_call(
        mut self,
        surface: Surface,
        in_path: Option<String>,
        body: &Bytes,
    ) -> Result<Call, Rejection> {
        let named = if in_path.is_some() { None } else { self.model };
        let model: Box<str> = match in_path {
            Some(model) => model.into(),
            None => self.named_model()?,
        };
        let stream_options = read_stream_options(body, self.stream_options)?;
        let include_usage = match &stream_options {
            StreamOptions::Object { include_usage: Some(range), .. } => &body[range.clone()] == b"true",
            _ => false,
        };
        self.read_config();
        let first_member = body.len() - body.trim_ascii_start().len() + 1;
        let spans = Spans {
            first_member,
            empty: body[first_member..].trim_ascii_start().first() == Some(&b'}'),
            model: named.map(|raw| range_within(body, raw)),
            stream_options,
            max_output: self.max_completion_tokens.or(self.max_tokens).map(|raw| range_within(body, raw)),
            config: self.config.map(|raw| range_within(body, raw)),
        };
        Ok(Call {
            surface,
            model,
            stream: surface == Surface::StreamGenerateContent || read_stream(self.stream)?,
            framing: Framing::Events,
            include_usage,
            max_output: self
                .max_completion_tokens
                .and_then(count)
                .or_else(|| self.max_tokens.and_then(count)),
            choices: self.n.and_then(count).map_or(1, |n| u32::try_from(n).unwrap_or(u32::MAX).max(1)),
            tier: self.tier.and_then(members::string).and_then(|word| ServiceTier::named(&word)),
            kept: self.kept()?,
            written: None,
            spans,
            hints: self.hints,
        })
    }

    fn named_model(&self) -> Result<Box<str>, Rejection> {
        let raw = self.model.ok_or_else(|| invalid("The field `model` is missing.").at("model"))?;
        let model = string(raw)
            .filter(|name| !name.is_empty())
            .ok_or_else(|| invalid("The field `model` must be a non-empty string.").at("model"))?;
        Ok(model.into())
    }

    /// The settings that Gemini keeps in an object of their own. What is no object is the upstream's to
    /// refuse.
    fn read_config(&mut self) {
        let Some(raw) = self.config.filter(|raw| raw.starts_with('{')) else {
            self.config = None;
            return;
        };
        let _ = members::each(raw, |key, value| match key {
            "maxOutputTokens" | "max_output_tokens" => self.max_tokens = Some(value),
            "candidateCount" | "candidate_count" => self.n = Some(value),
            _ => {}
        });
    }

    fn kept(&self) -> Result<Option<Box<Kept>>, Rejection> {
        let kept = Kept {
            previous_response: read_id(self.previous, "previous_response_id")?,
            conversation: match self.conversation.filter(|raw| raw.starts_with('{')) {
                Some(raw) => read_id(member(raw, "id"), "conversation")?,
                None => read_id(self.conversation, "conversation")?,
            },
            background: self.background == Some("true"),
            unkept: self.store == Some("false"),
        };
        Ok((kept != Kept::default()).then(|| Box::new(kept)))
    }
}

/// The raw value of one member of an object.
fn member<'a>(raw: &'a str, name: &str) -> Option<&'a str> {
    let mut found = None;
    let _ = members::each(raw, |key, value| {
        if key == name {
            found = Some(value);
        }
    });
    found
}

/// An id, `null` being none.
fn read_id(raw: Option<&str>, name: &'static str) -> Result<Option<Box<str>>, Rejection> {
    let Some(raw) = raw.filter(|raw| *raw != "null") else {
        return Ok(None);
    };
    match string(raw).filter(|id| !id.is_empty()) {
        Some(id) => Ok(Some(id.into())),
        None => Err(invalid(format!("The field `{name}` must name an id.")).at(name)),
    }
}

/// A string's text; nearly always there is nothing to unescape.
fn string(raw: &str) -> Option<Cow<'_, str>> {
    match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(text) if memchr::memchr(b'\\', text.as_bytes()).is_none() => Some(Cow::Borrowed(text)),
        _ => members::string(raw),
    }
}

fn read_stream(raw: Option<&str>) -> Result<bool, Rejection> {
    match raw {
        None | Some("null" | "false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(invalid("The field `stream` must be a boolean.").at("stream")),
    }
}

/// A number of tokens or choices; what is not one is left to the upstream to refuse.
fn count(raw: &str) -> Option<u64> {
    raw.parse().ok()
}

fn read_stream_options(body: &[u8], raw: Option<&str>) -> Result<StreamOptions, Rejection> {
    let Some(raw) = raw else {
        return Ok(StreamOptions::Absent);
    };
    let range = range_within(body, raw);
    if raw == "null" {
        return Ok(StreamOptions::Null(range));
    }
    let (mut seen, mut empty, mut twice) = (None, true, false);
    members::each(raw, |key, value| {
        empty = false;
        if key == "include_usage" {
            twice |= seen.replace(range_within(body, value)).is_some();
        }
    })
    .map_err(|_| invalid("The field `stream_options` must be an object.").at("stream_options"))?;
    if twice {
        let name = "stream_options.include_usage";
        return Err(invalid(format!("The field `{name}` is given twice.")).at(name));
    }
    Ok(StreamOptions::Object { inside: range.start + 1, empty, include_usage: seen })
}

/// Where `part`, a slice of `body`, lies within it.
fn range_within(body: &[u8], part: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - body.as_ptr().addr();
    start..start + part.len()
}

#[cfg(test)]
mod tests;
