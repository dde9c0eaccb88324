//! Tools, the choice among them, and calls of them.

use super::OWN;
use crate::codec::offered::offered;
use crate::codec::{read, search};
use crate::cursor::Cursor;
use crate::json::Fault;
use crate::json_writer::JsonWriter;
use crate::members;
use crate::neutral::{
    Block, Dialect, Ext, Field, Losses, Opaque, OpaqueKind, Part, Raw, Request, Tool, ToolCall, ToolCallKind,
    ToolChoice, ToolKind,
};

/// Reads a tool.
pub(super) fn decode(raw: &str) -> Tool {
    let (mut kind, mut function, mut custom, mut cache) = (String::new(), None, None, None);
    let mut others = Vec::new();
    let _ = members::each(raw, |key, value| match key {
        "type" => kind = read::text(value),
        "function" => function = Some(value),
        "custom" => custom = Some(value),
        "cache_control" => cache = read::cache_mark(value),
        _ => others.push((key.to_owned(), value)),
    });
    let mut tool = match (&*kind, function, custom) {
        ("custom", _, Some(custom)) => custom_tool(custom),
        ("function" | "", Some(function), _) => self::function(function),
        _ => foreign(raw),
    };
    tool.cache = tool.cache.or(cache);
    if !matches!(tool.kind, ToolKind::Foreign(..)) {
        others.iter().for_each(|(name, value)| tool.ext.keep(OWN, name, value));
    }
    tool
}

fn foreign(raw: &str) -> Tool {
    let name = read::member_text(raw, "name").unwrap_or_default();
    Tool { kind: ToolKind::Foreign(OWN, Raw::new(raw)), ..blank(name) }
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

/// Reads what describes a function.
pub(super) fn function(raw: &str) -> Tool {
    let mut tool = blank(String::new());
    let _ = members::each(raw, |key, value| match key {
        "name" => tool.name = read::text(value),
        "description" => tool.description = read::text_if(value),
        "parameters" => tool.schema = read::said(value),
        "strict" => tool.strict = read::flag(value),
        "cache_control" => tool.cache = read::cache_mark(value),
        _ => tool.ext.keep(OWN, key, value),
    });
    tool
}

fn custom_tool(raw: &str) -> Tool {
    let mut tool = Tool { kind: ToolKind::Custom(None), ..blank(String::new()) };
    let _ = members::each(raw, |key, value| match key {
        "name" => tool.name = read::text(value),
        "description" => tool.description = read::text_if(value),
        "format" => tool.kind = ToolKind::Custom(read::said(value).map(|raw| flat_format(&raw))),
        _ => tool.ext.keep(OWN, key, value),
    });
    tool
}

/// The format of a custom tool as Responses has it: the grammar's members stand in the format itself.
fn flat_format(raw: &Raw) -> Raw {
    let Some(grammar) = read::member(raw.text(), "grammar") else {
        return raw.clone();
    };
    let mut json = JsonWriter::new();
    json.object(|json| {
        json.text_member("type", "grammar");
        let _ = members::each(grammar, |key, value| json.raw_member(key, value));
    });
    Raw::new(json.into_string())
}

/// The same the other way.
fn nested_format(raw: &Raw) -> String {
    if read::member_text(raw.text(), "type").as_deref() != Some("grammar") {
        return raw.text().to_owned();
    }
    let mut json = JsonWriter::new();
    json.object(|json| {
        json.text_member("type", "grammar");
        json.key("grammar").object(|json| {
            let _ = members::each(raw.text(), |key, value| {
                if key != "type" {
                    json.raw_member(key, value);
                }
            });
        });
    });
    json.into_string()
}

/// Reads the choice of tools.
pub(super) fn choice(raw: &str) -> Option<ToolChoice> {
    if let Some(word) = members::string(raw) {
        return match &*word {
            "auto" => Some(ToolChoice::Auto),
            "required" | "any" => Some(ToolChoice::Required),
            "none" => Some(ToolChoice::None),
            _ => None,
        };
    }
    if let Some(allowed) = read::member(raw, "allowed_tools") {
        let tools = members::elements(read::member(allowed, "tools").unwrap_or("[]"));
        let names = tools.into_iter().filter_map(named).collect();
        let required = read::member_text(allowed, "mode").as_deref() == Some("required");
        return Some(ToolChoice::Among { names, required });
    }
    named(raw).map(ToolChoice::Named)
}

fn named(raw: &str) -> Option<String> {
    let inner = read::member(raw, "function").or_else(|| read::member(raw, "custom"));
    read::member_text(inner.unwrap_or(raw), "name")
}

/// Reads the choice in its older form.
pub(super) fn older_choice(raw: &str) -> Option<ToolChoice> {
    choice(raw).or_else(|| read::member_text(raw, "name").map(ToolChoice::Named))
}

/// Reads a call of a tool, in a message, as a part of it.
pub(super) fn call_at(value: &mut Cursor<'_>) -> Result<Part, Fault> {
    let (mut call, mut ext) = (ToolCall::default(), Ext::default());
    if value.first() != b'{' {
        return value.raw().map(|_| Block::ToolCall(call).into());
    }
    value.object(|key, value| {
        match key {
            "id" => call.id = value.owned()?,
            "function" => called_at(&mut call, value)?,
            "custom" => custom(&mut call, value.raw()?),
            "extra_content" => call.opaque.extend(google_seal(value.raw()?)),
            "type" | "index" => value.raw().map(|_| ())?,
            _ => ext.keep(OWN, key, value.raw()?),
        }
        Ok(())
    })?;
    Ok(Part { block: Block::ToolCall(call), cache: None, ext })
}

/// Reads name and arguments of the call `raw`.
pub(super) fn called(call: &mut ToolCall, raw: &str) {
    let _ = called_at(call, &mut Cursor::new(raw));
}

/// Reads name and arguments: text as a rule, but some vendors send the object itself.
fn called_at(call: &mut ToolCall, value: &mut Cursor<'_>) -> Result<(), Fault> {
    if value.first() != b'{' {
        return value.raw().map(|_| ());
    }
    value.object(|key, value| {
        match key {
            "name" => call.name = value.owned()?,
            "arguments" | "input" if value.first() == b'"' => call.args = value.owned()?,
            "arguments" | "input" => call.args = arguments(value.raw()?),
            _ => value.raw().map(|_| ())?,
        }
        Ok(())
    })
}

/// Whether nothing is called, as Snowflake writes it in every place where a call could stand.
pub(super) fn is_blank_call(raw: &str) -> bool {
    let mut is_blank = true;
    let _ = members::each(raw, |_, value| is_blank &= !members::is_said(value));
    is_blank
}

/// Reads the call of a custom tool, if there is one.
pub(super) fn custom(call: &mut ToolCall, raw: &str) {
    if !is_blank_call(raw) {
        call.kind = ToolCallKind::Custom;
        called(call, raw);
    }
}

/// Arguments as text.
pub(super) fn arguments(raw: &str) -> String {
    match members::string(raw) {
        Some(text) => text.into_owned(),
        None if raw == "null" => String::new(),
        None => raw.to_owned(),
    }
}

/// Google's seal on a call, as its compatible endpoint carries it.
pub(super) fn google_seal(extra: &str) -> Option<Opaque> {
    let google = read::member(extra, "google")?;
    let data = read::member_text(google, "thought_signature").filter(|data| !data.is_empty())?;
    Some(Opaque { origin: Dialect::Gemini, kind: OpaqueKind::Signature, data })
}

/// Writes Google's seal on a call, where it has one.
pub(super) fn write_seal(json: &mut JsonWriter, call: &ToolCall) {
    let sealed = |opaque: &&Opaque| opaque.origin == Dialect::Gemini && opaque.kind == OpaqueKind::Signature;
    if let Some(seal) = call.opaque.iter().find(sealed) {
        json.key("extra_content").object(|json| {
            json.key("google").object(|json| json.text_member("thought_signature", &seal.data));
        });
    }
}

/// Writes a call of a tool, with `id`.
pub(super) fn write_call(json: &mut JsonWriter, call: &ToolCall, id: &str) {
    json.object(|json| {
        json.text_member("id", id);
        match call.kind {
            ToolCallKind::Function => {
                json.text_member("type", "function");
                json.key("function").object(|json| {
                    json.text_member("name", &call.name);
                    json.text_member("arguments", if call.args.is_empty() { "{}" } else { &call.args });
                });
            }
            ToolCallKind::Custom => {
                json.text_member("type", "custom");
                json.key("custom").object(|json| {
                    json.text_member("name", &call.name);
                    json.text_member("input", &call.args);
                });
            }
        }
        write_seal(json, call);
    });
}

/// What the provider's tools may have.
#[derive(Clone, Copy)]
pub(super) struct Takes {
    /// Tools that take free text.
    pub custom: bool,
    /// Marks for the prompt cache.
    pub marks: bool,
    /// The demand that one of them is called.
    pub required: bool,
}

/// Writes the tools and what is said about them; nothing where there are none.
pub(super) fn write(json: &mut JsonWriter, request: &Request, takes: Takes, losses: &mut Losses) {
    let mut offered = offered(request, OWN, losses);
    offered.retain(|tool| tool.kind != ToolKind::WebSearch);
    if let Some(tool) = request.tools.iter().find(|tool| tool.kind == ToolKind::WebSearch) {
        json.key("web_search_options")
            .object(|json| search::write(json, tool, (request.origin, OWN), losses));
    }
    if offered.is_empty() {
        return;
    }
    json.key("tools").array(|json| {
        for tool in &offered {
            write_tool(json, tool, takes, losses);
        }
    });
    if let Some(choice) = &request.tool_choice {
        let demanded = matches!(choice, ToolChoice::Required | ToolChoice::Among { required: true, .. })
            && !takes.required;
        if demanded {
            losses.meaning(
                request.origin.field(Field::ToolChoice),
                "the provider cannot be told to call a tool",
            );
        }
        let choice = if demanded { &ToolChoice::Auto } else { choice };
        write_choice(json.key("tool_choice"), choice, request, takes.custom);
    }
    if let Some(parallel) = request.parallel_tools {
        json.plain_member("parallel_tool_calls", parallel);
    }
}

fn write_tool(json: &mut JsonWriter, tool: &Tool, takes: Takes, losses: &mut Losses) {
    let mark = tool.cache.filter(|_| takes.marks);
    if tool.cache.is_some() && mark.is_none() {
        losses.advisory("tools.cache_control", "the provider caches by itself");
    }
    match &tool.kind {
        ToolKind::Foreign(_, raw) => json.raw(raw.text()),
        ToolKind::Custom(format) if takes.custom => json.object(|json| {
            json.text_member("type", "custom");
            json.key("custom").object(|json| {
                json.text_member("name", &tool.name);
                json.text_member_if("description", tool.description.as_deref());
                if let Some(format) = format {
                    json.raw_member("format", &nested_format(format));
                }
                tool.ext.write(OWN, json, "tools", losses);
            });
        }),
        _ => json.object(|json| {
            json.text_member("type", "function");
            json.key("function").object(|json| write_function(json, tool, losses));
            if let Some(mark) = mark {
                crate::codec::messages::write_mark(json, mark);
            }
        }),
    }
}

fn write_function(json: &mut JsonWriter, tool: &Tool, losses: &mut Losses) {
    json.text_member("name", &tool.name);
    json.text_member_if("description", tool.description.as_deref());
    match (&tool.kind, &tool.schema) {
        (ToolKind::Custom(_), _) => json.raw_member("parameters", crate::codec::custom::SCHEMA),
        (_, Some(schema)) => json.raw_member("parameters", &crate::codec::schema::of_object(schema)),
        (_, None) => {}
    }
    if let Some(strict) = tool.strict {
        json.plain_member("strict", strict);
    }
    tool.ext.write(OWN, json, "tools", losses);
}

fn write_choice(json: &mut JsonWriter, choice: &ToolChoice, request: &Request, takes_custom: bool) {
    let named = |json: &mut JsonWriter, name: &str| {
        let custom = |tool: &Tool| tool.name == name && matches!(tool.kind, ToolKind::Custom(_));
        let kind = if takes_custom && request.tools.iter().any(custom) { "custom" } else { "function" };
        json.object(|json| {
            json.text_member("type", kind);
            json.key(kind).object(|json| json.text_member("name", name));
        });
    };
    match choice {
        ToolChoice::Auto => json.text("auto"),
        ToolChoice::Required => json.text("required"),
        ToolChoice::None => json.text("none"),
        ToolChoice::Named(name) => named(json, name),
        ToolChoice::Among { names, required } => json.object(|json| {
            json.text_member("type", "allowed_tools");
            json.key("allowed_tools").object(|json| {
                json.text_member("mode", if *required { "required" } else { "auto" });
                json.key("tools").array(|json| names.iter().for_each(|name| named(json, name)));
            });
        }),
    }
}
