//! Requests as they would come from a caller.

use model::Rejection;

use super::super::{Addressed, invalid};
use super::{SELF, block};
use crate::codec::read::{self, member, member_text, text as text_of};
use crate::members;
use crate::neutral::{Format, Raw, Request, Role, Tool, ToolChoice, ToolKind, Turn};

/// Reads a request.
pub(super) fn request(body: &str, addressed: &Addressed<'_>) -> Result<Request, Rejection> {
    let mut request = Request::new(SELF, addressed.model);
    request.stream = addressed.stream;
    let mut other = Vec::new();
    members::each(body, |name, value| match name {
        "messages" => request.turns = read_turns(value),
        "system" => {
            let parts = block::read_all(value);
            if !parts.is_empty() {
                request.instructions.push(Turn::new(Role::System, parts, 0));
            }
        }
        "inferenceConfig" => read_inference(value, &mut request),
        "toolConfig" => read_tools(value, &mut request),
        "outputConfig" => read_output(value, &mut request),
        "serviceTier" => request.tier = member_text(value, "type"),
        _ => other.push((name.to_owned(), value.to_owned())),
    })
    .map_err(|_| invalid("The body is not a JSON object.", ""))?;
    for (name, value) in &other {
        request.ext.keep(SELF, name, value);
    }
    Ok(request)
}

fn read_turns(raw: &str) -> Vec<Turn> {
    let read = |(place, message): (usize, &str)| {
        let assistant = member(message, "role") == Some("\"assistant\"");
        let role = if assistant { Role::Assistant } else { Role::User };
        Turn::new(role, block::read_all(member(message, "content").unwrap_or("[]")), place)
    };
    members::elements(raw).into_iter().enumerate().map(read).collect()
}

fn read_inference(raw: &str, request: &mut Request) {
    let _ = members::each(raw, |name, value| match name {
        "maxTokens" => request.max_output = value.parse().ok(),
        "temperature" => request.sampling.temperature = Some(Raw::new(value)),
        "topP" => request.sampling.top_p = Some(Raw::new(value)),
        "stopSequences" => {
            request.sampling.stop = members::elements(value).into_iter().map(text_of).collect();
        }
        _ => {}
    });
}

fn read_tools(raw: &str, request: &mut Request) {
    let _ = members::each(raw, |name, value| match name {
        "tools" => members::elements(value).into_iter().for_each(|tool| read_tool(tool, request)),
        "toolChoice" => {
            let _ = members::each(value, |name, value| {
                request.tool_choice = match name {
                    "auto" => Some(ToolChoice::Auto),
                    "any" => Some(ToolChoice::Required),
                    "tool" => member_text(value, "name").map(ToolChoice::Named),
                    _ => None,
                };
            });
        }
        _ => {}
    });
}

fn read_tool(raw: &str, request: &mut Request) {
    if let Some(mark) = member(raw, "cachePoint") {
        if let Some(last) = request.tools.last_mut() {
            last.cache = block::read_mark(mark);
        }
        return;
    }
    let mut tool = Tool {
        kind: ToolKind::Function,
        name: String::new(),
        description: None,
        schema: None,
        strict: None,
        cache: None,
        ext: crate::neutral::Ext::default(),
    };
    match member(raw, "toolSpec") {
        None => tool.kind = ToolKind::Foreign(SELF, Raw::new(raw)),
        Some(spec) => {
            let _ = members::each(spec, |name, value| match name {
                "name" => tool.name = text_of(value),
                "description" => tool.description = Some(text_of(value)),
                "inputSchema" => tool.schema = member(value, "json").map(Raw::new),
                "strict" => tool.strict = Some(value == "true"),
                _ => tool.ext.keep(SELF, name, value),
            });
        }
    }
    request.tools.push(tool);
}

fn read_output(raw: &str, request: &mut Request) {
    let _ = members::each(raw, |name, value| match name {
        "textFormat" => {
            let schema = member(value, "structure").and_then(|structure| member(structure, "jsonSchema"));
            let Some(schema) = schema else {
                return;
            };
            // Here the schema is a text, which may be anything.
            let text = member_text(schema, "schema").unwrap_or_default();
            request.format = match members::each(&text, |_, _| {}) {
                Ok(()) => Format::Schema {
                    name: member_text(schema, "name"),
                    description: member_text(schema, "description"),
                    schema: Raw::new(text),
                    strict: None,
                },
                Err(_) => Format::Json,
            };
        }
        "effort" => {
            request.reasoning.effort = read::effort(value);
        }
        _ => {}
    });
}
