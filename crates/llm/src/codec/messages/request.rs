//! Reads a request.

use model::Rejection;

use super::{OWN, block, tools};
use crate::codec::{invalid, read};
use crate::members;
use crate::neutral::{Format, ReasoningWish, Request, Role, Thinking, Turn};

/// Reads a request to Messages.
pub(super) fn decode(body: &str) -> Result<Request, Rejection> {
    let mut request = Request::new(OWN, "");
    // Streams of this dialect always state usage.
    request.include_usage = true;
    let mut messages = None;
    members::each(body, |key, value| match key {
        "messages" => messages = Some(value),
        _ => field(&mut request, key, value),
    })
    .map_err(|_| invalid("The request body is not a JSON object.", ""))?;
    if request.model.is_empty() {
        return Err(invalid("The field `model` must be a non-empty string.", "model"));
    }
    let messages = messages.filter(|raw| raw.starts_with('['));
    let messages = messages.ok_or_else(|| invalid("The field `messages` must be an array.", "messages"))?;
    for (place, raw) in members::elements(messages).into_iter().enumerate() {
        request.turns.push(turn(raw, place)?);
    }
    Ok(request)
}

fn field(request: &mut Request, key: &str, value: &str) {
    match key {
        "model" => request.model = read::text(value),
        "system" => {
            let parts = block::decode_all(value);
            if !parts.is_empty() {
                request.instructions = vec![Turn::new(Role::System, parts, 0)];
            }
        }
        "max_tokens" => request.max_output = read::count(value),
        "stream" => request.stream = value == "true",
        "temperature" => request.sampling.temperature = read::said(value),
        "top_p" => request.sampling.top_p = read::said(value),
        "top_k" => request.sampling.top_k = read::said(value),
        "stop_sequences" => request.sampling.stop = read::texts(value),
        "tools" => request.tools = members::elements(value).into_iter().map(tools::decode).collect(),
        "tool_choice" => {
            let (choice, parallel) = tools::choice(value);
            request.tool_choice = choice;
            request.parallel_tools = parallel;
        }
        "thinking" => thinking(&mut request.reasoning, value),
        "output_config" => output_config(request, value),
        // The older name of the beta.
        "output_format" => request.format = format(value),
        "metadata" => metadata(request, value),
        "cache_control" => request.cache.whole = read::cache_mark(value),
        "service_tier" => request.tier = read::text_if(value),
        _ => request.ext.keep(OWN, key, value),
    }
}

fn thinking(wish: &mut ReasoningWish, raw: &str) {
    let _ = members::each(raw, |key, value| match key {
        "type" => {
            wish.thinking = match &*read::text(value) {
                "enabled" => Some(Thinking::On),
                "disabled" => Some(Thinking::Off),
                "adaptive" => Some(Thinking::Adaptive),
                _ => None,
            }
        }
        "budget_tokens" => wish.budget = read::count(value),
        "display" => wish.shown = Some(read::text(value) != "omitted"),
        _ => wish.ext.keep(OWN, key, value),
    });
}

fn output_config(request: &mut Request, raw: &str) {
    let _ = members::each(raw, |key, value| match key {
        "effort" => request.reasoning.effort = read::effort(value),
        "format" => request.format = format(value),
        _ => request.ext.keep(OWN, &format!("output_config.{key}"), value),
    });
}

fn format(raw: &str) -> Format {
    match read::member(raw, "schema") {
        Some(schema) if schema.starts_with('{') => Format::Schema {
            name: read::member_text(raw, "name"),
            description: None,
            schema: crate::neutral::Raw::new(schema),
            strict: Some(true),
        },
        _ => Format::Text,
    }
}

fn metadata(request: &mut Request, raw: &str) {
    let mut others = false;
    let _ = members::each(raw, |key, value| match key {
        "user_id" => request.caller = read::text_if(value),
        _ => others = true,
    });
    if others {
        request.ext.keep(OWN, "metadata", raw);
    }
}

fn turn(raw: &str, place: usize) -> Result<Turn, Rejection> {
    let mut turn = Turn::new(Role::User, Vec::new(), place);
    let mut role = String::new();
    members::each(raw, |key, value| match key {
        "role" => role = read::text(value),
        "content" => turn.parts = block::decode_all(value),
        _ => turn.ext.keep(OWN, key, value),
    })
    .map_err(|_| invalid(format!("`messages[{place}]` is not an object."), "messages"))?;
    turn.role = match &*role {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        // Claude Code instructs within the conversation.
        "system" => Role::System,
        "developer" => Role::Developer,
        other => {
            let message = format!("The role `{}` is not known.", other.escape_debug());
            return Err(invalid(message, &format!("messages[{place}].role")));
        }
    };
    Ok(turn)
}
