//! Tools and the choice among them.

use super::{OWN, write_mark};
use crate::codec::offered::offered;
use crate::codec::{custom, read, schema, search};
use crate::json_writer::JsonWriter;
use crate::members;
use crate::neutral::{Ext, Field, Losses, Raw, Request, Tool, ToolChoice, ToolKind};

/// The web search that callers of other dialects mean.
const WEB_SEARCH: &str = "web_search_20250305";

/// Reads a tool. Anthropic's own tools have a type with a date.
pub(super) fn decode(raw: &str) -> Tool {
    let mut kind = String::new();
    let mut tool = Tool {
        kind: ToolKind::Function,
        name: String::new(),
        description: None,
        schema: None,
        strict: None,
        cache: None,
        ext: Ext::default(),
    };
    let _ = members::each(raw, |key, value| match key {
        "type" => kind = read::text(value),
        "name" => tool.name = read::text(value),
        "description" => tool.description = read::text_if(value),
        "input_schema" => tool.schema = read::said(value),
        "strict" => tool.strict = read::flag(value),
        "cache_control" => tool.cache = read::cache_mark(value),
        _ if value == "null" => {}
        _ => tool.ext.keep(OWN, key, value),
    });
    if kind.starts_with("web_search_") {
        tool.kind = ToolKind::WebSearch;
        tool.ext.keep(OWN, "type", &format!("\"{kind}\""));
    } else if !matches!(&*kind, "" | "custom") {
        tool.kind = ToolKind::Foreign(OWN, Raw::new(raw));
        tool.ext = Ext::default();
    }
    tool
}

/// Reads the choice, and whether several calls may come at once.
pub(super) fn choice(raw: &str) -> (Option<ToolChoice>, Option<bool>) {
    let parallel = read::member(raw, "disable_parallel_tool_use").and_then(read::flag).map(|off| !off);
    let choice = match read::member_text(raw, "type").as_deref() {
        Some("auto") => Some(ToolChoice::Auto),
        Some("any") => Some(ToolChoice::Required),
        Some("none") => Some(ToolChoice::None),
        Some("tool") => read::member_text(raw, "name").map(ToolChoice::Named),
        _ => None,
    };
    (choice, parallel)
}

/// Writes the tools and the choice among them; nothing where there are none. `thinks` says that the
/// model will think, and then no choice can be forced on it.
pub(super) fn write(json: &mut JsonWriter, request: &Request, thinks: bool, losses: &mut Losses) {
    let offered = offered(request, OWN, losses);
    if offered.is_empty() {
        return;
    }
    json.key("tools").array(|json| offered.iter().for_each(|tool| write_tool(json, tool, request, losses)));
    write_choice(json, request, thinks, losses);
}

fn write_tool(json: &mut JsonWriter, tool: &Tool, request: &Request, losses: &mut Losses) {
    if let ToolKind::Foreign(_, raw) = &tool.kind {
        return json.raw(raw.text());
    }
    json.object(|json| {
        if tool.kind == ToolKind::WebSearch {
            if tool.ext.get(OWN, "type").is_none() {
                json.text_member("type", WEB_SEARCH);
            }
            json.text_member("name", "web_search");
        } else {
            json.text_member("name", &tool.name);
            json.text_member_if("description", tool.description.as_deref());
            match (&tool.kind, &tool.schema) {
                (ToolKind::Custom(_), _) => json.raw_member("input_schema", custom::SCHEMA),
                (_, Some(own)) => json.raw_member("input_schema", &schema::of_object(own)),
                (_, None) => json.raw_member("input_schema", schema::EMPTY),
            }
            if tool.strict == Some(true) {
                json.plain_member("strict", true);
            }
        }
        if let Some(mark) = tool.cache {
            write_mark(json, mark);
        }
        if tool.kind == ToolKind::WebSearch {
            search::write(json, tool, (request.origin, OWN), losses);
        } else {
            tool.ext.write(OWN, json, "tools", losses);
        }
    });
}

fn write_choice(json: &mut JsonWriter, request: &Request, thinks: bool, losses: &mut Losses) {
    let path = request.origin.field(Field::ToolChoice);
    let chosen = match &request.tool_choice {
        Some(ToolChoice::Among { names, required }) => {
            if let ([only], true) = (&**names, *required) {
                Some(ToolChoice::Named(only.clone()))
            } else {
                losses.meaning(path, "the provider cannot be held to some of the tools");
                Some(if *required { ToolChoice::Required } else { ToolChoice::Auto })
            }
        }
        other => other.clone(),
    };
    let forced = matches!(chosen, Some(ToolChoice::Required | ToolChoice::Named(_)));
    let chosen = match chosen {
        Some(_) if forced && thinks => {
            losses.meaning(path, "a model that thinks cannot be made to call a tool");
            Some(ToolChoice::Auto)
        }
        None if request.parallel_tools == Some(false) => Some(ToolChoice::Auto),
        other => other,
    };
    let Some(chosen) = chosen else { return };
    json.key("tool_choice").object(|json| {
        match &chosen {
            ToolChoice::Auto | ToolChoice::Among { .. } => json.text_member("type", "auto"),
            ToolChoice::Required => json.text_member("type", "any"),
            ToolChoice::None => json.text_member("type", "none"),
            ToolChoice::Named(name) => {
                json.text_member("type", "tool");
                json.text_member("name", name);
            }
        }
        if let Some(parallel) = request.parallel_tools.filter(|_| chosen != ToolChoice::None) {
            json.plain_member("disable_parallel_tool_use", !parallel);
        }
    });
}
