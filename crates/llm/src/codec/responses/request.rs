//! Reads a request.

use model::Rejection;

use super::item::{self, Item};
use super::{LOGPROBS, OWN, SEALED, tools};
use crate::codec::{invalid, read, unsupported};
use crate::members;
use crate::neutral::{Block, Format, Part, Raw, Request, Role, Turn};

/// Reads a request to Responses.
pub(super) fn decode(body: &str) -> Result<Request, Rejection> {
    let mut request = Request::new(OWN, "");
    request.include_usage = true;
    let (mut input, mut instructions, mut state, mut safety) = (None, None, None::<String>, None);
    members::each(body, |key, value| match key {
        _ if value == "null" => {}
        "input" => input = Some(value),
        "instructions" => instructions = Some(value),
        "previous_response_id" | "conversation" | "prompt" => state = Some(key.to_owned()),
        "background" if value == "true" => state = Some(key.to_owned()),
        "background" => {}
        "safety_identifier" => safety = read::text_if(value),
        _ => field(&mut request, key, value),
    })
    .map_err(|_| invalid("The request body is not a JSON object.", ""))?;
    if let Some(field) = state {
        let message =
            format!("`{field}` needs an account that speaks OpenAI's Responses and keeps its state.");
        return Err(unsupported(message, &field));
    }
    if request.model.is_empty() {
        return Err(invalid("The field `model` must be a non-empty string.", "model"));
    }
    request.caller = request.caller.or(safety);
    if let Some(raw) = instructions {
        let parts = item::content(raw);
        request.instructions.push(Turn::new(Role::System, parts, 0));
    }
    if let Some(top) = request.ext.get(OWN, "top_logprobs").and_then(|raw| read::count(raw.text()))
        && request.sampling.logprobs.is_some()
    {
        request.sampling.logprobs = Some(top);
        request.ext.forget(&["top_logprobs"]);
    }
    converse(&mut request, input.unwrap_or("\"\""))?;
    Ok(request)
}

fn field(request: &mut Request, key: &str, value: &str) {
    match key {
        "model" => request.model = read::text(value),
        "stream" => request.stream = value == "true",
        "max_output_tokens" => request.max_output = read::count(value),
        "temperature" => request.sampling.temperature = read::said(value),
        "top_p" => request.sampling.top_p = read::said(value),
        "tools" => members::elements(value).into_iter().for_each(|raw| tools::read(raw, request)),
        "tool_choice" => request.tool_choice = tools::choice(value, &mut request.ext),
        "parallel_tool_calls" => request.parallel_tools = read::flag(value),
        "reasoning" => reasoning(value, request),
        "text" => text(value, request),
        "prompt_cache_key" => request.cache.key = read::text_if(value),
        "prompt_cache_retention" => request.cache.retention = read::text_if(value),
        "service_tier" => request.tier = read::text_if(value),
        "user" => request.caller = read::text_if(value),
        // What is asked for anyhow, and what says nothing.
        "include" => include(value, request),
        "truncation" if value == "\"disabled\"" => {}
        "top_logprobs" if value == "0" => {}
        _ => request.ext.keep(OWN, key, value),
    }
}

/// What is asked for besides the answer. Sealed thoughts are always given where there are any.
fn include(raw: &str, request: &mut Request) {
    let names = read::texts(raw);
    if names.iter().any(|name| name == LOGPROBS) {
        request.sampling.logprobs = Some(0);
    }
    if !names.iter().all(|name| [SEALED, LOGPROBS].contains(&&**name)) {
        request.ext.keep(OWN, "include", raw);
    }
}

fn reasoning(raw: &str, request: &mut Request) {
    let wish = &mut request.reasoning;
    let _ = members::each(raw, |key, value| match key {
        _ if value == "null" => {}
        "effort" => wish.effort = read::effort(value).or(wish.effort),
        "summary" | "generate_summary" => {
            wish.summary = read::text_if(value);
            wish.shown = Some(value != "\"none\"");
        }
        // Whose thoughts the model sees again: all that the caller sends are passed, as far as they can be.
        _ => wish.ext.keep(OWN, key, value),
    });
}

fn text(raw: &str, request: &mut Request) {
    let _ = members::each(raw, |key, value| match key {
        "verbosity" => request.verbosity = read::text_if(value),
        "format" => request.format = format(value),
        _ => {}
    });
}

fn format(raw: &str) -> Format {
    match read::member_text(raw, "type").as_deref() {
        Some("json_object") => Format::Json,
        Some("json_schema") => Format::Schema {
            name: read::member_text(raw, "name"),
            description: read::member_text(raw, "description"),
            schema: Raw::new(read::member(raw, "schema").unwrap_or("{}")),
            strict: read::member(raw, "strict").and_then(read::flag),
        },
        _ => Format::Text,
    }
}

/// Reads the input: what leads are instructions, the rest are turns.
fn converse(request: &mut Request, raw: &str) -> Result<(), Rejection> {
    if let Some(text) = read::text_if(raw) {
        request.turns.push(Turn::new(Role::User, vec![Part::text(text)], 0));
        return Ok(());
    }
    if !raw.starts_with('[') {
        return Err(invalid("The field `input` must be a string or an array.", "input"));
    }
    for (place, raw) in members::elements(raw).into_iter().enumerate() {
        match item::read(raw) {
            Item::Message(role @ (Role::System | Role::Developer), parts) if request.turns.is_empty() => {
                request.instructions.push(Turn::new(role, parts, place));
            }
            Item::Message(Role::Assistant, parts) => said(request, parts, place),
            Item::Message(role, parts) => request.turns.push(Turn::new(role, parts, place)),
            Item::Said(part) => said(request, vec![part], place),
            Item::Result(part) => result(request, part, place),
            Item::Tools(list) => list.iter().for_each(|raw| tools::read(raw.text(), request)),
            Item::Reasoning(raw) => reasoning(raw.text(), request),
            Item::Reference => {
                let field = format!("input[{place}]");
                return Err(unsupported(
                    "References to stored items need an account that speaks OpenAI's Responses.",
                    &field,
                ));
            }
        }
    }
    Ok(())
}

/// What the model said in one go is one turn.
fn said(request: &mut Request, parts: Vec<Part>, place: usize) {
    match request.turns.last_mut() {
        Some(last) if last.role == Role::Assistant => last.parts.extend(parts),
        _ => request.turns.push(Turn::new(Role::Assistant, parts, place)),
    }
}

/// The results of one round of tools are one turn.
fn result(request: &mut Request, part: Part, place: usize) {
    let is_result = |part: &Part| matches!(part.block, Block::ToolResult(_) | Block::Foreign(_));
    match request.turns.last_mut() {
        Some(last) if last.role == Role::User && last.parts.iter().all(is_result) => last.parts.push(part),
        _ => request.turns.push(Turn::new(Role::User, vec![part], place)),
    }
}
