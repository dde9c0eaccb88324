//! Tools, and which of them must be used. Namespaces hold further tools; elsewhere there are none, so their
//! tools are named `namespace__tool` and named back on the way out.

use super::OWN;
use crate::codec::offered::offered;
use crate::codec::{custom, read, schema, search};
use crate::json_writer::JsonWriter;
use crate::members;
use crate::neutral::{Ext, Losses, Namespaced, Raw, Request, Tool, ToolChoice, ToolKind};

/// Longest name of a function that every provider takes.
const LONGEST_NAME: usize = 64;

/// Reads one entry of `tools` into `request`.
pub(super) fn read(raw: &str, request: &mut Request) {
    let kind = read::member_text(raw, "type").unwrap_or_default();
    match kind.as_str() {
        "function" | "custom" => add(own_tool(raw, &kind), request),
        "namespace" => namespace(raw, request),
        _ if kind.starts_with("web_search") => request.tools.push(web_search(raw)),
        _ => {
            let mut tool = blank(kind);
            tool.kind = ToolKind::Foreign(OWN, Raw::new(raw));
            request.tools.push(tool);
        }
    }
}

/// Offers a tool; one that was offered before is offered anew.
fn add(tool: Tool, request: &mut Request) {
    match request.tools.iter_mut().find(|known| known.name == tool.name) {
        Some(known) => *known = tool,
        None => request.tools.push(tool),
    }
}

fn blank(name: String) -> Tool {
    Tool {
        kind: ToolKind::Function,
        name,
        description: None,
        schema: None,
        strict: None,
        cache: None,
        ext: Ext::default(),
    }
}

fn own_tool(raw: &str, kind: &str) -> Tool {
    let mut tool = blank(String::new());
    let mut format = None;
    let _ = members::each(raw, |key, value| match key {
        "type" => {}
        "name" => tool.name = read::text(value),
        "description" => tool.description = read::text_if(value),
        "parameters" => tool.schema = read::said(value),
        "strict" => tool.strict = read::flag(value),
        "format" => format = read::said(value),
        _ if value == "null" => {}
        _ => tool.ext.keep(OWN, key, value),
    });
    if kind == "custom" {
        tool.kind = ToolKind::Custom(format);
    }
    tool
}

fn web_search(raw: &str) -> Tool {
    let mut tool = blank("web_search".to_owned());
    tool.kind = ToolKind::WebSearch;
    let _ = members::each(raw, |key, value| {
        if value != "null" {
            tool.ext.keep(OWN, key, value);
        }
    });
    tool
}

fn namespace(raw: &str, request: &mut Request) {
    let name = read::member_text(raw, "name").unwrap_or_default();
    for inner in members::elements(read::member(raw, "tools").unwrap_or("[]")) {
        let kind = read::member_text(inner, "type").unwrap_or_default();
        let mut tool = own_tool(inner, &kind);
        let namespaced = Namespaced {
            flat: flat_name(&name, &tool.name),
            namespace: name.clone(),
            name: tool.name.clone(),
        };
        tool.name.clone_from(&namespaced.flat);
        request.namespaces.push(namespaced);
        add(tool, request);
    }
}

/// The one name of a tool in a namespace, cut where it would be too long for others.
pub(super) fn flat_name(namespace: &str, tool: &str) -> String {
    let mut name = format!("{namespace}__{tool}");
    if name.len() > LONGEST_NAME && name.is_ascii() {
        // The tool's own name says more than what it stands in.
        name = name[name.len() - LONGEST_NAME..].to_owned();
    }
    name
}

/// Reads `tool_choice`; what is not read is kept in `ext`.
pub(super) fn choice(raw: &str, ext: &mut Ext) -> Option<ToolChoice> {
    match read::text_if(raw).as_deref() {
        Some("auto") => return Some(ToolChoice::Auto),
        Some("none") => return Some(ToolChoice::None),
        Some("required") => return Some(ToolChoice::Required),
        _ => {}
    }
    match read::member_text(raw, "type").as_deref() {
        Some("function" | "custom") => read::member_text(raw, "name").map(ToolChoice::Named),
        Some("allowed_tools") => {
            let list = members::elements(read::member(raw, "tools").unwrap_or("[]"));
            let names = list.into_iter().filter_map(|tool| read::member_text(tool, "name")).collect();
            let required = read::member_text(raw, "mode").as_deref() == Some("required");
            Some(ToolChoice::Among { names, required })
        }
        Some(kind) if kind.starts_with("web_search") => Some(ToolChoice::Named("web_search".to_owned())),
        Some(_) => {
            ext.keep(OWN, "tool_choice", raw);
            None
        }
        None => None,
    }
}

/// Writes `tools`, `tool_choice` and `parallel_tool_calls`.
pub(super) fn write(json: &mut JsonWriter, request: &Request, losses: &mut Losses) {
    let offered = offered(request, OWN, losses);
    if offered.is_empty() {
        return;
    }
    json.key("tools").array(|json| offered.iter().for_each(|tool| write_tool(json, tool, request, losses)));
    if let Some(choice) = &request.tool_choice {
        write_choice(json.key("tool_choice"), choice, request);
    }
    if let Some(parallel) = request.parallel_tools {
        json.plain_member("parallel_tool_calls", parallel);
    }
}

pub(super) fn write_tool(json: &mut JsonWriter, tool: &Tool, request: &Request, losses: &mut Losses) {
    if tool.cache.is_some() {
        losses.advisory("tools.cache_control", "the provider caches by itself");
    }
    match &tool.kind {
        ToolKind::Foreign(_, raw) => json.raw(raw.text()),
        ToolKind::WebSearch => json.object(|json| {
            if tool.ext.get(OWN, "type").is_none() {
                json.text_member("type", "web_search");
            }
            search::write(json, tool, (request.origin, OWN), losses);
        }),
        ToolKind::Custom(format) => json.object(|json| {
            json.text_member("type", "custom");
            json.text_member("name", &tool.name);
            json.text_member_if("description", tool.description.as_deref());
            if let Some(format) = format {
                json.raw_member("format", format.text());
            }
            tool.ext.write(OWN, json, "tools", losses);
        }),
        ToolKind::Function => json.object(|json| {
            json.text_member("type", "function");
            json.text_member("name", &tool.name);
            json.text_member_if("description", tool.description.as_deref());
            match &tool.schema {
                Some(given) => json.raw_member("parameters", &schema::of_object(given)),
                None => json.raw_member("parameters", schema::EMPTY),
            }
            // Where nothing is said OpenAI would take it as true, and refuse most schemas.
            json.plain_member("strict", tool.strict.unwrap_or(false));
            tool.ext.write(OWN, json, "tools", losses);
        }),
    }
}

pub(super) fn write_choice(json: &mut JsonWriter, choice: &ToolChoice, request: &Request) {
    let named = |json: &mut JsonWriter, name: &str| {
        let custom = |tool: &Tool| tool.name == name && matches!(tool.kind, ToolKind::Custom(_));
        if let Some(search) =
            request.tools.iter().find(|tool| tool.name == name && tool.kind == ToolKind::WebSearch)
        {
            let kind = search.ext.get(OWN, "type").map_or("\"web_search\"", Raw::text);
            return json.object(|json| json.raw_member("type", kind));
        }
        json.object(|json| {
            json.text_member("type", if request.tools.iter().any(custom) { "custom" } else { "function" });
            json.text_member("name", name);
        });
    };
    match choice {
        ToolChoice::Auto => json.text("auto"),
        ToolChoice::Required => json.text("required"),
        ToolChoice::None => json.text("none"),
        ToolChoice::Named(name) => named(json, name),
        ToolChoice::Among { names, required } => json.object(|json| {
            json.text_member("type", "allowed_tools");
            json.text_member("mode", if *required { "required" } else { "auto" });
            json.key("tools").array(|json| names.iter().for_each(|name| named(json, name)));
        }),
    }
}

/// The free text for a custom tool, from whatever the provider made of its call.
pub(super) fn free_text(call: &crate::neutral::ToolCall) -> String {
    match call.kind {
        crate::neutral::ToolCallKind::Custom => call.args.clone(),
        crate::neutral::ToolCallKind::Function => custom::from_input(&call.args),
    }
}
