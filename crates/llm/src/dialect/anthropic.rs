//! Streams of Anthropic's Messages.

use super::Findings;
use super::said::{DELTA, ERROR, USAGE, text_bytes};
use crate::failure::UpstreamFailure;
use crate::members;

/// Reads event after event.
#[derive(Clone, Debug)]
pub(crate) struct Reader;

/// The members of an event that matter, as raw values.
#[derive(Default)]
struct Parts<'a> {
    kind: Option<&'a str>,
    usage: Option<&'a str>,
    message: Option<&'a str>,
    block: Option<&'a str>,
    error: Option<&'a str>,
}

impl Reader {
    /// Reads one event. Vendors' SDKs go by its name; where that is missing, `data.type` counts.
    #[allow(clippy::unused_self, reason = "the same form as the other reader")]
    pub(super) fn event(&mut self, name: &[u8], data: &[u8], findings: &mut Findings) {
        if data.is_empty() || findings.terminal {
            return;
        }
        if name == b"content_block_delta" {
            findings.content_begun = true;
            findings.content.add(DELTA.values(data).next().map_or(0, text_bytes));
            return;
        }
        let quiet = matches!(name, b"ping" | b"content_block_stop");
        if quiet && !USAGE.is_said(data) && !ERROR.is_said(data) {
            return;
        }
        if let Ok(text) = std::str::from_utf8(data) {
            read(name, text, findings);
        }
    }
}

fn read(name: &[u8], text: &str, findings: &mut Findings) {
    let mut parts = Parts::default();
    let whole = members::each(text, |key, value| match key {
        "type" => parts.kind = Some(value),
        "usage" => parts.usage = Some(value),
        "message" => parts.message = Some(value),
        "content_block" => parts.block = Some(value),
        "error" => parts.error = Some(value),
        _ => {}
    });
    let kind = parts.kind.and_then(members::string).unwrap_or_default();
    let kind = if name.is_empty() { kind.as_bytes() } else { name };
    let error = parts.error.filter(|error| members::is_said(error));
    if kind == b"error" || error.is_some() {
        let failure = UpstreamFailure::of_error(error.unwrap_or(text));
        findings.failure.get_or_insert(failure);
        return;
    }
    if whole.is_err() {
        return;
    }
    match kind {
        b"message_start" => read_message(parts.message, findings),
        b"content_block_start" => findings.content_begun |= parts.block.is_some_and(is_content),
        b"content_block_delta" => {
            findings.content_begun = true;
            findings.content.add(DELTA.values(text.as_bytes()).next().map_or(0, text_bytes));
        }
        b"message_delta" => findings.content_begun = true,
        b"message_stop" => findings.terminal = true,
        _ => {}
    }
    if let Some(usage) = parts.usage {
        findings.read_usage(usage);
    }
}

fn read_message(message: Option<&str>, findings: &mut Findings) {
    let _ = members::each(message.unwrap_or("{}"), |key, value| {
        if key == "usage" {
            findings.read_usage(value);
        }
    });
}

/// Whether a block says something as it begins: tool calls and whole blocks do; text and thinking
/// begin empty and are filled by deltas.
fn is_content(block: &str) -> bool {
    let (mut fillable, mut filled) = (false, false);
    let _ = members::each(block, |key, value| match key {
        "type" => fillable = matches!(value, "\"text\"" | "\"thinking\""),
        "text" | "thinking" | "signature" => filled |= members::is_said(value),
        _ => {}
    });
    filled || !fillable
}
