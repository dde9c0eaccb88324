//! Reads a request.

use std::borrow::Cow;

use model::Rejection;

use super::{OWN, block, tools};
use crate::codec::{invalid, read};
use crate::cursor::Cursor;
use crate::json::Fault;
use crate::members;
use crate::neutral::{Format, ReasoningWish, Request, Role, Thinking, Turn};

/// Reads a request to Messages.
pub(super) fn decode(body: &str) -> Result<Request, Rejection> {
    let mut request = Request::new(OWN, "");
    // Streams of this dialect always state usage.
    request.include_usage = true;
    let mut turns = Err(invalid("The field `messages` must be an array.", "messages"));
    let mut cursor = Cursor::new(body);
    let read = cursor.object(|key, value| {
        match key {
            "messages" if value.first() == b'[' => turns = converse(value)?,
            "messages" => {
                value.raw()?;
                turns = Err(invalid("The field `messages` must be an array.", "messages"));
            }
            "system" => {
                let parts = block::decode_all_at(value)?;
                if !parts.is_empty() {
                    request.instructions = vec![Turn::new(Role::System, parts, 0)];
                }
            }
            _ => field(&mut request, key, value.raw()?),
        }
        Ok(())
    });
    read.and_then(|()| cursor.end()).map_err(|_| invalid("The request body is not a JSON object.", ""))?;
    if request.model.is_empty() {
        return Err(invalid("The field `model` must be a non-empty string.", "model"));
    }
    request.turns = turns?;
    Ok(request)
}

fn field(request: &mut Request, key: &str, value: &str) {
    match key {
        "model" => request.model = read::text(value),
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

/// Reads the messages. The first that is none says what is wrong with them.
fn converse(messages: &mut Cursor<'_>) -> Result<Result<Vec<Turn>, Rejection>, Fault> {
    let (mut turns, mut refused) = (Vec::new(), None);
    messages.array(|value| {
        match turn(value, turns.len())? {
            Ok(turn) => turns.push(turn),
            Err(rejection) => refused = refused.take().or(Some(rejection)),
        }
        Ok(())
    })?;
    Ok(refused.map_or(Ok(turns), Err))
}

fn turn(value: &mut Cursor<'_>, place: usize) -> Result<Result<Turn, Rejection>, Fault> {
    if value.first() != b'{' {
        value.raw()?;
        return Ok(Err(invalid(format!("`messages[{place}]` is not an object."), "messages")));
    }
    let mut turn = Turn::new(Role::User, Vec::new(), place);
    let mut role = Cow::Borrowed("");
    value.object(|key, value| {
        match key {
            "role" => role = value.string()?.unwrap_or_default(),
            "content" => turn.parts = block::decode_all_at(value)?,
            _ => turn.ext.keep(OWN, key, value.raw()?),
        }
        Ok(())
    })?;
    turn.role = match &*role {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        // Claude Code instructs within the conversation.
        "system" => Role::System,
        "developer" => Role::Developer,
        other => {
            let message = format!("The role `{}` is not known.", other.escape_debug());
            return Ok(Err(invalid(message, &format!("messages[{place}].role"))));
        }
    };
    Ok(Ok(turn))
}
