//! Custom tools, which take free text, where a dialect has only functions: a function with one argument
//! named `input`, and the way back.

use std::borrow::Cow;

use super::read;
use crate::json::members as walk;
use crate::json_writer::JsonWriter;
use crate::neutral::{ToolCall, ToolCallKind};

/// The schema of the function that stands for a custom tool.
pub(crate) const SCHEMA: &str =
    r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#;

/// The arguments of a call as the object that a function takes: `{}` where there are none. Text that is
/// no object, because the model wrote something else, is kept as a string.
pub(crate) fn args_object(call: &ToolCall) -> Cow<'_, str> {
    let args = call.args.trim_ascii();
    match call.kind {
        ToolCallKind::Custom => Cow::Owned(as_input(&call.args)),
        ToolCallKind::Function if args.is_empty() => Cow::Borrowed("{}"),
        ToolCallKind::Function if walk(args.as_bytes(), |_| Ok(())).is_ok() => Cow::Borrowed(args),
        ToolCallKind::Function => {
            let mut json = JsonWriter::new();
            json.text(&call.args);
            Cow::Owned(json.into_string())
        }
    }
}

/// Free text as the arguments of the function that stands for a custom tool.
pub(crate) fn as_input(text: &str) -> String {
    let mut json = JsonWriter::new();
    json.object(|json| json.text_member("input", text));
    json.into_string()
}

/// The free text in the arguments of the function that stood for a custom tool; arguments of another
/// form are the text themselves.
#[must_use]
pub fn from_input(args: &str) -> String {
    read::member_text(args, "input").unwrap_or_else(|| args.to_owned())
}
