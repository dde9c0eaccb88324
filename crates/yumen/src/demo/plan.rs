//! What a request asks the simulator to do: its field `x_demo`.
//!
//! `tokens` (at most 4096): the length of the answer. `delay_ms` (at most 60,000): the pause between
//! two pieces, or before an answer that is not streamed. `chunk`: tokens in a piece. `tool`: the name
//! of the tool to call. `fail`: `"cut"`, `"error"`, a status, or an object of `kind`, `status`,
//! `after` (pieces of content that come before) and `retry_after` (seconds).

use std::time::Duration;

use serde_json::Value;

use super::fields::{Fields, whole_number};
use super::refusal::Refusal;

/// The longest answer.
const MOST_TOKENS: u64 = 4096;
/// The longest pause.
const LONGEST_DELAY_MS: u64 = 60_000;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How many tokens the answer has; `None` leaves it to the question.
    pub tokens: Option<usize>,
    /// The pause between two pieces.
    pub delay: Duration,
    /// Tokens in a piece, at least 1.
    pub chunk: usize,
    /// The tool to call.
    pub tool: Option<String>,
    /// How to fail.
    pub failure: Option<Failure>,
}

/// A failure on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A status before any content.
    Refuse {
        /// The HTTP status, 400 to 599.
        status: u16,
        /// `Retry-After`.
        retry_after: Option<u64>,
    },
    /// An error event inside the stream, which then ends without its terminal marker.
    Error {
        /// Pieces of content before it.
        after: usize,
        /// The status whose error it is.
        status: u16,
    },
    /// The connection breaks.
    Cut {
        /// Pieces of content before it.
        after: usize,
    },
}

impl Plan {
    /// Reads `x_demo`, and refuses right away when it asks for a refusal, or for an error in an
    /// answer that has no stream to carry it.
    pub fn read(fields: &Fields, streamed: bool) -> Result<Self, Refusal> {
        let plan = match fields.get("x_demo") {
            None => Self::default(),
            Some(Value::Object(_)) => Self::parse(&fields.whole()["x_demo"])?,
            Some(_) => {
                return Err(Refusal::field("x_demo", "Invalid type for 'x_demo': expected an object."));
            }
        };
        match plan.failure {
            Some(Failure::Refuse { status, retry_after }) => {
                Err(Refusal { retry_after, ..Refusal::new(status, "The demo provider was asked to fail.") })
            }
            Some(Failure::Error { status, .. }) if !streamed => {
                Err(Refusal::new(status, "The demo provider was asked to fail."))
            }
            _ => Ok(plan),
        }
    }

    fn parse(demo: &Value) -> Result<Self, Refusal> {
        let number = |name: &str, least, most| {
            let field = demo.get(name).filter(|value| !value.is_null());
            whole_number(&format!("x_demo.{name}"), field, least, most)
        };
        let tool = match &demo["tool"] {
            Value::Null => None,
            Value::String(name) => Some(name.clone()),
            _ => {
                return Err(Refusal::field(
                    "x_demo.tool",
                    "Invalid type for 'x_demo.tool': expected a string.",
                ));
            }
        };
        Ok(Self {
            tokens: number("tokens", 0, MOST_TOKENS)?.map(to_size),
            delay: Duration::from_millis(number("delay_ms", 0, LONGEST_DELAY_MS)?.unwrap_or(0)),
            chunk: number("chunk", 1, MOST_TOKENS)?.map_or(1, to_size),
            tool,
            failure: failure(&demo["fail"])?,
        })
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self { tokens: None, delay: Duration::ZERO, chunk: 1, tool: None, failure: None }
    }
}

fn failure(fail: &Value) -> Result<Option<Failure>, Refusal> {
    let wrong = || {
        Refusal::field(
            "x_demo.fail",
            "Invalid 'x_demo.fail': expected \"cut\", \"error\", a status or an object.",
        )
    };
    let number =
        |name: &str, least, most| whole_number(&format!("x_demo.fail.{name}"), fail.get(name), least, most);
    Ok(Some(match fail {
        Value::Null => return Ok(None),
        Value::String(kind) => of_kind(kind, 1, 500).ok_or_else(wrong)?,
        Value::Number(_) => Failure::Refuse {
            status: whole_number("x_demo.fail", Some(fail), 400, 599)?.map_or(500, to_status),
            retry_after: None,
        },
        Value::Object(_) => {
            let status = number("status", 400, 599)?.map_or(500, to_status);
            let after = number("after", 0, MOST_TOKENS)?.map(to_size);
            let retry_after = number("retry_after", 0, 86_400)?;
            match (fail.get("kind").map(Value::as_str), after) {
                (Some(Some("status")), _) | (None, None) => Failure::Refuse { status, retry_after },
                (Some(Some(kind)), after) => of_kind(kind, after.unwrap_or(1), status).ok_or_else(wrong)?,
                (None, Some(after)) => Failure::Error { after, status },
                (Some(None), _) => return Err(wrong()),
            }
        }
        _ => return Err(wrong()),
    }))
}

fn of_kind(kind: &str, after: usize, status: u16) -> Option<Failure> {
    match kind {
        "cut" => Some(Failure::Cut { after }),
        "error" => Some(Failure::Error { after, status }),
        _ => None,
    }
}

fn to_size(n: u64) -> usize {
    usize::try_from(n).expect("checked to be at most 4096")
}

fn to_status(n: u64) -> u16 {
    u16::try_from(n).expect("checked to be at most 599")
}
