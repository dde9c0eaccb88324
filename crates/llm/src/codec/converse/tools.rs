//! The tools of a request, and which of them must be used.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{SELF, cache_point};
use crate::codec::offered::offered;
use crate::codec::{custom, schema};
use crate::json_writer::JsonWriter;
use crate::neutral::{Block, Field, Losses, Request, Tool, ToolChoice, ToolKind};

/// What a request says about tools.
pub(super) struct Tools<'a> {
    offered: Vec<&'a Tool>,
    /// Tools that the conversation calls while none is offered: Converse wants them known.
    called: BTreeSet<&'a str>,
    choice: Option<&'a ToolChoice>,
    /// Forbids what the caller forbids and Converse has no word for.
    pub(super) none: bool,
}

impl<'a> Tools<'a> {
    /// Reads what `request` says. Tools that another provider runs itself are lost.
    pub(super) fn of(request: &'a Request, losses: &mut Losses) -> Self {
        let allowed = |tool: &Tool| match &request.tool_choice {
            Some(ToolChoice::Among { names, .. }) => names.contains(&tool.name),
            _ => true,
        };
        let path = request.origin.field(Field::Tools);
        let mut offered = offered(request, SELF, losses);
        offered.retain(|tool| match &tool.kind {
            ToolKind::Foreign(..) => true,
            ToolKind::WebSearch => {
                losses.meaning(format_args!("{path}.{}", tool.name), "the provider has no such tool");
                false
            }
            ToolKind::Function | ToolKind::Custom(_) => allowed(tool),
        });
        if request.parallel_tools == Some(false) && !offered.is_empty() {
            let parallel = request.origin.field(Field::ParallelTools);
            losses.meaning(parallel, "the provider's dialect cannot forbid several calls at once");
        }
        let called = if offered.is_empty() { called_tools(request) } else { BTreeSet::new() };
        let none = request.tool_choice == Some(ToolChoice::None) && !offered.is_empty();
        let drop_all = none && called_tools(request).is_empty();
        let offered = if drop_all { Vec::new() } else { offered };
        Self { offered, called, choice: request.tool_choice.as_ref(), none: none && !drop_all }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.offered.is_empty() && self.called.is_empty()
    }

    /// Whether the caller insists on a call.
    pub(super) fn is_forced(&self) -> bool {
        matches!(
            self.choice,
            Some(ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Among { required: true, .. })
        )
    }

    /// Writes `toolConfig`. `forced` says whether a forced choice may be written.
    pub(super) fn write(&self, json: &mut JsonWriter, forced: bool, marks: &mut usize, losses: &mut Losses) {
        json.key("toolConfig").object(|json| {
            json.key("tools").array(|json| {
                for tool in &self.offered {
                    write_tool(tool, json, losses);
                    if let Some(cache) = tool.cache.filter(|_| *marks > 0) {
                        *marks -= 1;
                        json.raw(cache_point(cache));
                    }
                }
                for name in &self.called {
                    write_known(name, json);
                }
            });
            self.write_choice(json, forced);
        });
    }

    fn write_choice(&self, json: &mut JsonWriter, forced: bool) {
        let auto = r#"{"auto":{}}"#;
        match self.choice {
            _ if self.offered.is_empty() => {}
            Some(ToolChoice::Required | ToolChoice::Among { required: true, .. }) if forced => {
                json.raw_member("toolChoice", r#"{"any":{}}"#);
            }
            Some(ToolChoice::Named(name)) if forced => json.key("toolChoice").object(|json| {
                json.key("tool").object(|json| json.text_member("name", name));
            }),
            Some(ToolChoice::None) | None => {}
            Some(_) => json.raw_member("toolChoice", auto),
        }
    }
}

/// Whether a model takes marks for the cache; others refuse the whole request for one.
pub(super) fn takes_marks(model: &str) -> bool {
    model.contains("claude") || model.contains("nova")
}

fn called_tools(request: &Request) -> BTreeSet<&str> {
    let parts = request.turns.iter().flat_map(|turn| &turn.parts);
    let called = parts.filter_map(|part| match &part.block {
        Block::ToolCall(call) => Some(call.name.as_str()),
        _ => None,
    });
    called.filter(|name| !name.is_empty()).collect()
}

fn write_known(name: &str, json: &mut JsonWriter) {
    json.object(|json| {
        json.key("toolSpec").object(|json| {
            json.text_member("name", name);
            json.key("inputSchema").object(|json| json.raw_member("json", schema::EMPTY));
        });
    });
}

fn write_tool(tool: &Tool, json: &mut JsonWriter, losses: &mut Losses) {
    if let ToolKind::Foreign(_, raw) = &tool.kind {
        return json.raw(raw.text());
    }
    json.object(|json| {
        json.key("toolSpec").object(|json| {
            json.text_member("name", &tool.name);
            json.text_member_if("description", tool.description.as_deref().filter(|text| !text.is_empty()));
            json.key("inputSchema").object(|json| {
                json.raw_member("json", &schema_of(tool));
            });
            if let Some(strict) = tool.strict {
                json.plain_member("strict", strict);
            }
            tool.ext.write(SELF, json, "tools", losses);
        });
    });
}

/// The schema of a tool's arguments, an object in any case: Bedrock refuses others.
fn schema_of(tool: &Tool) -> Cow<'_, str> {
    match (&tool.kind, &tool.schema) {
        (ToolKind::Custom(_), _) => Cow::Borrowed(custom::SCHEMA),
        (_, Some(schema)) => schema::of_object(schema),
        (_, None) => Cow::Borrowed(schema::EMPTY),
    }
}
