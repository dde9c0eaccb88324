//! Reads of a request body what routing, limits and accounting need, in one borrowed pass.
//!
//! Nothing is copied but the model's name, no tree is built, and fields that are not read here are
//! only checked to be JSON: the upstream judges them.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use model::{Code, Rejection};
use serde::de::IgnoredAny;

use crate::json::{self, Fault};
use crate::members;
use crate::surface::Surface;

/// What a request asks for, as far as the gateway cares.
#[derive(Clone, Debug)]
pub struct Call {
    /// The endpoint.
    pub surface: Surface,
    /// The model asked for, unescaped.
    pub model: Box<str>,
    /// Whether the answer shall be a stream of events.
    pub stream: bool,
    /// Whether the caller itself asked for usage in the stream.
    pub include_usage: bool,
    /// The most tokens the answer may have, when the request says so.
    pub max_output: Option<u64>,
    /// How many answers are asked for (`n`), at least 1.
    pub choices: u32,
    /// Where the parts lie that may be rewritten.
    pub spans: Spans,
}

/// Byte ranges of a request body that [`crate::splice`] may rewrite.
#[derive(Clone, Debug)]
pub struct Spans {
    /// Just behind the body's opening brace.
    pub(crate) first_member: usize,
    /// The model's raw value, quotes included.
    pub(crate) model: Range<usize>,
    /// What `stream_options` is.
    pub(crate) stream_options: StreamOptions,
    /// The raw value of the longest answer that is asked for.
    pub(crate) max_output: Option<Range<usize>>,
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
    // Most requests are ASCII, and that is cheaper to see.
    if !body.is_ascii() && std::str::from_utf8(body).is_err() {
        return Err(invalid("The request body is not valid UTF-8."));
    }
    match body.trim_ascii_start().first() {
        Some(b'{') => read(surface, body)?.into_call(surface, body),
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
    duplicate: Option<&'static str>,
}

impl<'a> Fields<'a> {
    /// The place for the member `key` when `surface` reads it.
    fn slot(&mut self, surface: Surface, key: &[u8]) -> Option<(&'static str, &mut Option<&'a str>)> {
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
            _ => None,
        }
    }

    fn into_call(self, surface: Surface, body: &[u8]) -> Result<Call, Rejection> {
        let raw_model = self.model.ok_or_else(|| invalid("The field `model` is missing.").at("model"))?;
        let model = string(raw_model)
            .filter(|name| !name.is_empty())
            .ok_or_else(|| invalid("The field `model` must be a non-empty string.").at("model"))?;
        let stream_options = read_stream_options(body, self.stream_options)?;
        let include_usage = match &stream_options {
            StreamOptions::Object { include_usage: Some(range), .. } => &body[range.clone()] == b"true",
            _ => false,
        };
        let spans = Spans {
            first_member: body.len() - body.trim_ascii_start().len() + 1,
            model: range_within(body, raw_model),
            stream_options,
            max_output: self.max_completion_tokens.or(self.max_tokens).map(|raw| range_within(body, raw)),
        };
        Ok(Call {
            surface,
            model: model.into(),
            stream: read_stream(self.stream)?,
            include_usage,
            max_output: self
                .max_completion_tokens
                .and_then(count)
                .or_else(|| self.max_tokens.and_then(count)),
            choices: self.n.and_then(count).map_or(1, |n| u32::try_from(n).unwrap_or(u32::MAX).max(1)),
            spans,
        })
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
mod tests {
    use super::*;

    fn peeked(surface: Surface, body: &str) -> Result<Call, Rejection> {
        peek(surface, &Bytes::copy_from_slice(body.as_bytes()))
    }

    fn refusal(surface: Surface, body: &str) -> (Option<String>, String) {
        let rejection = peeked(surface, body).expect_err(body);
        assert_eq!(rejection.code, Code::InvalidRequest);
        (rejection.param, rejection.message.into_owned())
    }

    #[test]
    fn reads_what_a_chat_request_asks_for() {
        let call = peeked(
            Surface::ChatCompletions,
            r#" {"messages":[{"role":"user","content":"{\"model\":1}"}], "model": "a\u002fb",
               "stream":true,"stream_options":{"include_usage":true},"max_tokens":5,
               "max_completion_tokens":7,"n":2,"unknown":{"model":"x"}} "#,
        )
        .unwrap();
        assert_eq!(&*call.model, "a/b");
        assert!(call.stream && call.include_usage);
        assert_eq!((call.max_output, call.choices), (Some(7), 2));
    }

    #[test]
    fn every_surface_needs_a_model_by_name() {
        for surface in Surface::ALL {
            assert_eq!(&*peeked(surface, r#"{"model":"m"}"#).unwrap().model, "m");
            for body in ["{}", r#"{"model":1}"#, r#"{"model":null}"#, r#"{"model":""}"#, r#"{"model":["m"]}"#]
            {
                assert_eq!(refusal(surface, body).0.as_deref(), Some("model"), "{body}");
            }
        }
    }

    #[test]
    fn refuses_bodies_that_are_not_one_object() {
        for body in [
            "",
            "  \n",
            "null",
            "[]",
            "\"x\"",
            "{",
            "{\"model\":\"m\"",
            "{\"model\":\"m\"}x",
            "{\"model\":\"m\",}",
            "{\"model\":\"m\",\"x\":01}",
            "{\"model\":\"m\",\"x\":\"\\q\"}",
            "\u{feff}{\"model\":\"m\"}",
        ] {
            assert_eq!(refusal(Surface::ChatCompletions, body).0, None, "{body}");
        }
        let not_text = Bytes::from_static(b"{\"model\":\"\xff\"}");
        assert!(peek(Surface::Messages, &not_text).is_err());
    }

    #[test]
    fn refuses_a_duplicate_of_what_it_reads_and_no_other() {
        for (body, param) in [
            (r#"{"model":"m","model":"m"}"#, "model"),
            (r#"{"model":"m","mod\u0065l":"n"}"#, "model"),
            (r#"{"model":"m","stream":true,"stream":false}"#, "stream"),
            (r#"{"model":"m","n":1,"n":1}"#, "n"),
            (
                r#"{"model":"m","stream_options":{"include_usage":false,"include_usage":true}}"#,
                "stream_options.include_usage",
            ),
        ] {
            assert_eq!(refusal(Surface::ChatCompletions, body).0.as_deref(), Some(param), "{body}");
        }
        let twice = r#"{"model":"m","stream":1,"stream":2,"user":"a","user":"b"}"#;
        assert!(peeked(Surface::Embeddings, twice).is_ok());
    }

    #[test]
    fn stream_is_a_boolean_or_nothing() {
        for (body, stream) in [
            (r#"{"model":"m"}"#, false),
            (r#"{"model":"m","stream":null}"#, false),
            (r#"{"model":"m","stream":false}"#, false),
            (r#"{"model":"m","stream":true}"#, true),
        ] {
            assert_eq!(peeked(Surface::Messages, body).unwrap().stream, stream);
        }
        for value in ["1", "\"true\"", "[]", "{}"] {
            let body = format!(r#"{{"model":"m","stream":{value}}}"#);
            assert_eq!(refusal(Surface::Completions, &body).0.as_deref(), Some("stream"));
        }
        let odd = refusal(Surface::ChatCompletions, r#"{"model":"m","stream_options":3}"#);
        assert_eq!(odd.0.as_deref(), Some("stream_options"));
    }

    #[test]
    fn nesting_is_allowed_to_the_limit_and_refused_beyond() {
        let nested = |levels: usize| {
            let (open, close) = ("[".repeat(levels), "]".repeat(levels));
            format!(r#"{{"model":"m","s":"\"[[","x":{open}{close}}}"#)
        };
        assert!(peeked(Surface::Messages, &nested(63)).is_ok());
        assert!(peeked(Surface::Messages, &nested(64)).is_err());
        assert!(peeked(Surface::Messages, &nested(200_000)).is_err());
        let brackets = format!(r#"{{"model":"m","s":"{}"}}"#, "[".repeat(500));
        assert!(peeked(Surface::Messages, &brackets).is_ok());
    }
}
