//! Writes a request: user and model in turn, the results of a round of calls together behind it.

use std::collections::HashMap;

use model::Rejection;

use super::{OWN, part_out, settings_out};
use crate::codec::conversation::{self, Item, alternating, identified};
use crate::codec::offered::offered;
use crate::codec::{Target, custom, own, schema, search, unsupported};
use crate::json_writer::JsonWriter;
use crate::neutral::{
    Block, Field, Losses, Opaque, OpaqueKind, Part, Request, Tool, ToolCall, ToolChoice, ToolKind, ToolResult,
};

/// What newer models take in place of a signature that nobody has: Google's own word for "do not check".
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// Writes a request to Gemini.
pub(super) fn encode(
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<Vec<u8>, Rejection> {
    let turns = identified(&request.turns);
    let joined = alternating(&turns, losses, request.origin);
    let mut writer = Writer {
        request,
        losses,
        names: names(&turns),
        seal: None,
        refused: None,
        newer: is_newer(target.model),
    };
    let mut json = JsonWriter::with_capacity(request.room());
    json.object(|json| {
        writer.system(json);
        json.key("contents").array(|json| {
            if joined.first().is_none_or(|first| first.assistant) {
                json.raw(r#"{"role":"user","parts":[{"text":"."}]}"#);
            }
            for turn in &joined {
                json.object(|json| {
                    json.text_member("role", if turn.assistant { "model" } else { "user" });
                    json.key("parts").array(|json| writer.turn(json, &turn.items, turn.assistant));
                });
            }
        });
        writer.tools(json);
        settings_out::write(json, request, target, writer.losses);
    });
    match writer.refused {
        Some(path) => Err(unsupported("The provider takes no such medium.", &path)),
        None => Ok(json.into_bytes()),
    }
}

/// Whether a model checks the signatures of calls, takes media within results, and thinks by levels.
pub(in crate::codec) fn is_newer(model: &str) -> bool {
    let version = model.split("gemini-").nth(1).and_then(|rest| rest.chars().next());
    version.is_some_and(|digit| ('3'..='9').contains(&digit))
}

/// The names of tools by the ids of their calls: results must say them.
fn names(turns: &[crate::neutral::Turn]) -> HashMap<String, String> {
    let parts = turns.iter().flat_map(|turn| &turn.parts);
    let calls = parts.filter_map(|part| match &part.block {
        Block::ToolCall(call) => Some((call.id.clone(), call.name.clone())),
        _ => None,
    });
    calls.collect()
}

struct Writer<'a> {
    request: &'a Request,
    losses: &'a mut Losses,
    names: HashMap<String, String>,
    /// A seal that stands on the next part.
    seal: Option<String>,
    /// Where a medium stands that cannot be sent.
    refused: Option<String>,
    newer: bool,
}

impl Writer<'_> {
    fn path(&self, place: usize) -> String {
        format!("{}[{place}]", self.request.origin.field(Field::Turns))
    }

    fn system(&mut self, json: &mut JsonWriter) {
        let parts: Vec<&Part> = conversation::instructions(self.request, OWN).map(|(_, part)| part).collect();
        if parts.is_empty() {
            return;
        }
        json.key("systemInstruction").object(|json| {
            json.key("parts").array(|json| parts.iter().for_each(|part| self.part(json, part, 0)));
        });
    }

    fn turn(&mut self, json: &mut JsonWriter, items: &[Item<'_>], assistant: bool) {
        let before = json.bytes().len();
        let mut first_call = true;
        for item in items {
            match &item.part.block {
                Block::ToolCall(call) if assistant => {
                    self.call(json, call, std::mem::take(&mut first_call));
                    self.unmarked(item.part, item.place);
                }
                Block::ToolResult(result) if item.orphan => {
                    part_out::text(json, &conversation::orphan_note(&result.call_id), None);
                    result.parts.iter().for_each(|part| self.part(json, part, item.place));
                }
                Block::ToolResult(result) => {
                    self.result(json, result, item.part, item.place);
                    self.unmarked(item.part, item.place);
                }
                Block::Text(text) if item.instructs => {
                    part_out::text(json, &conversation::instruction_text(&text.text), None);
                }
                _ => self.part(json, item.part, item.place),
            }
        }
        if let Some(seal) = self.seal.take() {
            part_out::text(json, "", Some(&seal));
        }
        if json.bytes().len() == before {
            part_out::text(json, ".", None);
        }
    }

    fn part(&mut self, json: &mut JsonWriter, part: &Part, place: usize) {
        self.unmarked(part, place);
        let own =
            part.ext.get(OWN, "thoughtSignature").and_then(|raw| crate::codec::read::text_if(raw.text()));
        let is_own = own.is_some();
        let seal = own.or_else(|| self.seal.take());
        // Its own is among what only this dialect knows of the part.
        let carried = seal.as_deref().filter(|_| !is_own);
        match &part.block {
            Block::Text(text) if text.text.is_empty() => self.seal = seal,
            Block::Text(text) => {
                own::with(json, part, OWN, |json| part_out::text(json, &text.text, carried));
            }
            Block::Refusal(text) if text.is_empty() => self.seal = seal,
            Block::Refusal(text) => part_out::text(json, text, carried),
            Block::Media(media) => own::with(json, part, OWN, |json| {
                if !part_out::media(json, media, carried) {
                    self.refused.get_or_insert(self.path(place));
                }
            }),
            Block::Reasoning(thoughts) => {
                self.seal = seal;
                self.thoughts(json, thoughts, place);
            }
            Block::Foreign(foreign) if foreign.origin == OWN => json.raw(foreign.raw.text()),
            Block::Foreign(_) | Block::ToolCall(_) | Block::ToolResult(_) => {
                self.losses.meaning(self.path(place), "the provider's dialect has no such part");
            }
        }
    }

    /// Thoughts that Google sealed go back as they came; a seal without thoughts stands on the next part.
    fn thoughts(&mut self, json: &mut JsonWriter, thoughts: &crate::neutral::Reasoning, place: usize) {
        let seal = thoughts.opaque.iter().find(|opaque| is_own(opaque));
        match seal {
            Some(seal) if thoughts.text.is_empty() => self.seal = Some(seal.data.clone()),
            Some(_) => part_out::thoughts(json, thoughts),
            // What Google's caller said without a seal.
            None if self.request.origin == OWN && thoughts.opaque.is_empty() => {
                part_out::thoughts(json, thoughts);
            }
            None => {
                let reason = "thoughts go back only to who made them";
                self.losses.advisory(format_args!("{}.thinking", self.path(place)), reason);
            }
        }
    }

    fn call(&mut self, json: &mut JsonWriter, call: &ToolCall, first: bool) {
        let own = call.opaque.iter().find(|opaque| is_own(opaque)).map(|opaque| opaque.data.clone());
        let carried = self.seal.take();
        // Only the first call of a round must be sealed.
        let none = (first && self.newer).then(|| NO_SIGNATURE.to_owned());
        part_out::call(json, call, &call.name, own.or(carried).or(none).as_deref());
    }

    fn result(&mut self, json: &mut JsonWriter, result: &ToolResult, part: &Part, place: usize) {
        let known = self.names.get(&result.call_id).cloned();
        let name = result.name.clone().or(known).unwrap_or_else(|| "tool".to_owned());
        let texts: Vec<&str> = result
            .parts
            .iter()
            .filter_map(|part| match &part.block {
                Block::Text(text) => Some(&*text.text),
                _ => None,
            })
            .collect();
        let is_media = |part: &&Part| matches!(part.block, Block::Media(_));
        let media: Vec<&Part> = result.parts.iter().filter(is_media).collect();
        if result.parts.len() > media.len() + texts.len() {
            self.losses.meaning(self.path(place), "the provider's dialect has no such part");
        }
        json.object(|json| {
            json.key("functionResponse").object(|json| {
                json.text_member("id", &result.call_id);
                json.text_member("name", &name);
                own::members(json, part, OWN, "functionResponse.");
                write_response(json.key("response"), &texts.join("\n"), result.is_error);
                if self.newer && !media.is_empty() {
                    json.key("parts")
                        .array(|json| media.iter().for_each(|part| self.part(json, part, place)));
                }
            });
        });
        if !self.newer && !media.is_empty() {
            part_out::text(json, &conversation::media_note(&result.call_id), None);
            media.iter().for_each(|part| self.part(json, part, place));
        }
    }

    fn unmarked(&mut self, part: &Part, place: usize) {
        let path = self.path(place);
        if part.cache.is_some() {
            self.losses.advisory(format_args!("{path}.cache_control"), "the provider caches by itself");
        }
    }

    fn tools(&mut self, json: &mut JsonWriter) {
        let request = self.request;
        let field = request.origin.field(Field::Tools);
        let offered = offered(request, OWN, self.losses);
        let is_function = |tool: &&Tool| matches!(tool.kind, ToolKind::Function | ToolKind::Custom(_));
        let functions: Vec<&Tool> = offered.iter().copied().filter(is_function).collect();
        // Older models either search or call functions.
        let alone = functions.is_empty() || self.newer || request.origin == OWN;
        let mut own = JsonWriter::new();
        own.array(|json| {
            if !functions.is_empty() {
                json.object(|json| {
                    json.key("functionDeclarations").array(|json| {
                        functions.iter().for_each(|tool| write_function(json, tool, self.losses));
                    });
                });
            }
            for tool in &offered {
                match &tool.kind {
                    ToolKind::WebSearch if alone => json.object(|json| {
                        json.key("googleSearch")
                            .object(|json| search::write(json, tool, (request.origin, OWN), self.losses));
                    }),
                    ToolKind::Foreign(_, raw) => json.raw(raw.text()),
                    ToolKind::WebSearch => {
                        self.losses.meaning(format_args!("{field}.{}", tool.name), "not beside functions");
                    }
                    ToolKind::Function | ToolKind::Custom(_) => {}
                }
            }
        });
        if own.bytes().len() == 2 {
            return;
        }
        json.raw_member("tools", &own.into_string());
        if let Some(choice) = request.tool_choice.as_ref().filter(|_| !functions.is_empty()) {
            json.key("toolConfig").object(|json| {
                json.key("functionCallingConfig").object(|json| self.choice(json, choice));
            });
        }
        if request.parallel_tools == Some(false) {
            let reason = "the provider may call several tools at once";
            self.losses.meaning(request.origin.field(Field::ParallelTools), reason);
        }
    }

    fn choice(&mut self, json: &mut JsonWriter, choice: &ToolChoice) {
        let mut write = |mode: &str, names: &[&String]| {
            json.text_member("mode", mode);
            if !names.is_empty() {
                json.key("allowedFunctionNames").array(|json| names.iter().for_each(|name| json.text(name)));
            }
        };
        match choice {
            ToolChoice::Auto => write("AUTO", &[]),
            ToolChoice::Required => write("ANY", &[]),
            ToolChoice::None => write("NONE", &[]),
            ToolChoice::Named(name) => write("ANY", &[name]),
            ToolChoice::Among { names, required: true } => write("ANY", &names.iter().collect::<Vec<_>>()),
            ToolChoice::Among { names, required: false } => {
                write("VALIDATED", &names.iter().collect::<Vec<_>>());
            }
        }
    }
}

fn is_own(opaque: &Opaque) -> bool {
    opaque.origin == OWN && opaque.kind == OpaqueKind::Signature
}

/// What a tool said, as the object that Google wants: its own where it is one.
fn write_response(json: &mut JsonWriter, text: &str, is_error: bool) {
    let is_object = text.trim_start().starts_with('{') && crate::members::each(text, |_, _| {}).is_ok();
    match (is_error, is_object) {
        (false, true) => json.raw(text.trim()),
        (is_error, _) => {
            json.object(|json| json.text_member(if is_error { "error" } else { "output" }, text));
        }
    }
}

fn write_function(json: &mut JsonWriter, tool: &Tool, losses: &mut Losses) {
    if tool.cache.is_some() {
        losses.advisory("tools.cache_control", "the provider caches by itself");
    }
    if tool.strict == Some(true) {
        losses.meaning("tools.strict", "the provider does not promise to follow a schema");
    }
    json.object(|json| {
        json.text_member("name", &tool.name);
        json.text_member_if("description", tool.description.as_deref());
        match (&tool.kind, &tool.schema) {
            (ToolKind::Custom(_), _) => json.raw_member("parametersJsonSchema", custom::SCHEMA),
            (_, Some(given)) => json.raw_member("parametersJsonSchema", &schema::of_object(given)),
            (_, None) => {}
        }
        tool.ext.write(OWN, json, "tools", losses);
    });
}
