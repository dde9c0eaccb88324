//! What an answer amounts to for the caller: whole, refused, broken off with an explicit error, or cut.

use serde::Deserialize;
use serde_json::Value;

use crate::http::{Answer, Ended};
use crate::sse::{self, Event};
use crate::surface::Dialect;

/// What a caller got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A whole answer by the rules of its dialect.
    Complete,
    /// An error status.
    Refused {
        /// The status.
        status: u16,
        /// The gateway's code.
        code: Option<String>,
    },
    /// A stream that ends with the dialect's error event and without its terminal marker.
    ErrorEvent {
        /// `error.code`, or `error.type` where the dialect has no code.
        code: Option<String>,
    },
    /// An answer whose HTTP framing shows that it was cut.
    Cut,
    /// An answer that looks whole to HTTP and is not: what must never happen.
    SilentlyShort,
}

impl Outcome {
    /// Judges an answer to a request of that kind.
    #[must_use]
    pub fn of(dialect: Dialect, stream: bool, answer: &Answer) -> Self {
        if answer.status() != 200 {
            return Self::Refused { status: answer.status(), code: answer.code().map(str::to_owned) };
        }
        let whole = if stream { Self::of_stream(dialect, &answer.body) } else { Self::of_body(&answer.body) };
        match (whole, answer.ended) {
            (Self::SilentlyShort | Self::Complete, Ended::Truncated) => Self::Cut,
            (outcome, _) => outcome,
        }
    }

    fn of_stream(dialect: Dialect, body: &[u8]) -> Self {
        let events = sse::events(body);
        let terminal = events.iter().any(|event| is_terminal(dialect, event));
        let error = events.iter().rev().find_map(error_of);
        match (terminal, error) {
            (true, None) => Self::Complete,
            (false, Some(code)) => Self::ErrorEvent { code },
            _ => Self::SilentlyShort,
        }
    }

    /// A whole first value is a whole answer: what follows it is the relay's to pass on.
    fn of_body(body: &[u8]) -> Self {
        let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        let first = serde_json::Deserializer::from_slice(body).into_iter::<Value>().next();
        match first {
            Some(Ok(Value::Object(fields))) if fields.get("error").is_none_or(Value::is_null) => {
                Self::Complete
            }
            _ => Self::SilentlyShort,
        }
    }
}

/// What matters of an event's data; the rest may be anything, numbers beyond any float included.
#[derive(Deserialize)]
struct Data {
    r#type: Option<String>,
    error: Option<Value>,
    /// Of an error event of Responses.
    code: Option<Value>,
    /// Of a failed response.
    response: Option<Value>,
    candidates: Option<Value>,
}

fn data_of(event: &Event) -> Option<Data> {
    serde_json::from_str(&event.data).ok()
}

fn is_terminal(dialect: Dialect, event: &Event) -> bool {
    let is_of_type = |types: &[&str]| {
        data_of(event).and_then(|data| data.r#type).is_some_and(|kind| types.contains(&kind.as_str()))
    };
    match dialect {
        Dialect::OpenAi => {
            event.data == "[DONE]" || is_of_type(&["response.completed", "response.incomplete"])
        }
        Dialect::Anthropic => is_of_type(&["message_stop"]),
        Dialect::Gemini => {
            let candidates = data_of(event).and_then(|data| data.candidates).unwrap_or_default();
            candidates[0]["finishReason"].is_string()
        }
    }
}

/// The code of an error event; `None` when the event is none.
fn error_of(event: &Event) -> Option<Option<String>> {
    let data = data_of(event)?;
    if data.r#type.as_deref() == Some("error") && data.error.is_none() {
        return Some(data.code.as_ref().and_then(Value::as_str).map(str::to_owned));
    }
    let failed = || data.response.as_ref().map(|response| response["error"].clone());
    let error = data.error.clone().or_else(failed).filter(Value::is_object)?;
    let named = |name: &str| error.get(name).filter(|field| field.is_string());
    let field = named("code").or_else(|| named("type")).or_else(|| named("status"));
    Some(field.and_then(Value::as_str).map(str::to_owned))
}
