//! Writes a request.

use model::Rejection;

use super::item_out::{self, Names};
use super::{LOGPROBS, OWN, SEALED, tools};
use crate::codec::conversation::{self, identified};
use crate::codec::ids::IdRule;
use crate::codec::{Target, own, read, unsupported};
use crate::json_writer::JsonWriter;
use crate::neutral::{
    Block, Effort, Field, Format, Losses, Part, Reasoning, Request, Role, ToolCallKind, ToolResult, Turn,
};

/// The shortest answer that OpenAI lets itself be asked for.
const LEAST_OUTPUT: u64 = 16;

/// Writes a request to Responses.
pub(super) fn encode(
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<Vec<u8>, Rejection> {
    if request.choices > 1 {
        let field = request.origin.field(Field::Choices);
        return Err(unsupported("The provider gives one answer to a request.", field));
    }
    let custom: Vec<String> = request
        .tools
        .iter()
        .filter(|tool| matches!(tool.kind, crate::neutral::ToolKind::Custom(_)))
        .map(|tool| tool.name.clone())
        .collect();
    let mut writer = Writer { request, target, custom, losses };
    let mut json = JsonWriter::with_capacity(request.room());
    json.object(|json| {
        json.text_member("model", target.model);
        json.key("input").array(|json| writer.input(json));
        tools::write(json, request, writer.losses);
        writer.settings(json);
    });
    Ok(json.into_bytes())
}

struct Writer<'a> {
    request: &'a Request,
    target: &'a Target<'a>,
    custom: Vec<String>,
    losses: &'a mut Losses,
}

impl Writer<'_> {
    fn path(&self, place: usize) -> String {
        format!("{}[{place}]", self.request.origin.field(Field::Turns))
    }

    fn input(&mut self, json: &mut JsonWriter) {
        let request = self.request;
        for turn in &request.instructions {
            let parts: Vec<&Part> = conversation::instructions(request, OWN)
                .filter(|(owner, _)| std::ptr::eq(*owner, turn))
                .map(|(_, part)| part)
                .collect();
            self.message(json, turn, &parts);
        }
        let turns = identified(&request.turns);
        let mut calls: Vec<&str> = Vec::new();
        for turn in turns.iter() {
            if turn.role == Role::Assistant {
                calls.extend(turn.parts.iter().filter_map(|part| match &part.block {
                    Block::ToolCall(call) => Some(&*call.id),
                    _ => None,
                }));
                self.assistant(json, turn);
            } else {
                self.user(json, turn, &calls);
            }
        }
    }

    /// Results are items of their own; what else the user says is a message behind them.
    fn user(&mut self, json: &mut JsonWriter, turn: &Turn, calls: &[&str]) {
        let mut rest = Vec::new();
        for part in &turn.parts {
            match &part.block {
                Block::ToolResult(result) if calls.contains(&&*result.call_id) => {
                    self.unmarked(part, turn.place);
                    own::with(json, part, OWN, |json| self.result(json, result, turn.place));
                }
                _ => rest.push(part),
            }
        }
        if !rest.is_empty() {
            self.message(json, turn, &rest);
        }
    }

    fn message(&mut self, json: &mut JsonWriter, turn: &Turn, parts: &[&Part]) {
        let role = match turn.role {
            Role::System => "system",
            Role::Developer => "developer",
            Role::User | Role::Assistant => "user",
        };
        let mut content = JsonWriter::new();
        content.array(|json| parts.iter().for_each(|part| self.part(json, part, turn.place)));
        if content.bytes().len() > 2 {
            json.object(|json| {
                json.text_member("type", "message");
                json.text_member("role", role);
                json.raw_member("content", &content.into_string());
            });
        }
    }

    fn part(&mut self, json: &mut JsonWriter, part: &Part, place: usize) {
        self.unmarked(part, place);
        match &part.block {
            Block::Text(text) => own::with(json, part, OWN, |json| input_text(json, &text.text)),
            Block::Refusal(text) => own::with(json, part, OWN, |json| input_text(json, text)),
            Block::Media(media) => own::with(json, part, OWN, |json| {
                if !item_out::media(json, media) {
                    self.losses.meaning(self.path(place), "the provider takes no such medium");
                }
            }),
            Block::ToolResult(result) => {
                let reason = "the result of a call that is not in the conversation is said by the user";
                self.losses.advisory(self.path(place), reason);
                input_text(json, &conversation::orphan_note(&result.call_id));
                result.parts.iter().for_each(|part| self.part(json, part, place));
            }
            Block::Foreign(foreign) if foreign.origin == OWN => json.raw(foreign.raw.text()),
            Block::Foreign(_) | Block::ToolCall(_) | Block::Reasoning(_) => {
                self.losses.meaning(self.path(place), "the provider's dialect has no such part");
            }
        }
    }

    fn unmarked(&mut self, part: &Part, place: usize) {
        let path = self.path(place);
        if part.cache.is_some() {
            self.losses.advisory(format_args!("{path}.cache_control"), "the provider caches by itself");
        }
    }

    fn result(&mut self, json: &mut JsonWriter, result: &ToolResult, place: usize) {
        let is_custom = result.kind == ToolCallKind::Custom;
        let only_text: Option<Vec<&str>> = result
            .parts
            .iter()
            .map(|part| match &part.block {
                Block::Text(text) => Some(&*text.text),
                _ => None,
            })
            .collect();
        let mut listed = JsonWriter::new();
        if only_text.is_none() {
            listed.array(|json| result.parts.iter().for_each(|part| self.part(json, part, place)));
        }
        json.object(|json| {
            json.text_member(
                "type",
                if is_custom { "custom_tool_call_output" } else { "function_call_output" },
            );
            json.text_member("call_id", &IdRule::Word64.fit(&result.call_id, "call_"));
            match &only_text {
                Some(texts) => json.text_member("output", &texts.join("\n")),
                None => json.raw_member("output", &listed.into_string()),
            }
        });
        if result.is_error {
            self.losses.advisory(format_args!("{}.is_error", self.path(place)), "the output says it itself");
        }
    }

    fn assistant(&mut self, json: &mut JsonWriter, turn: &Turn) {
        let names = Names { namespaces: &self.request.namespaces, custom: &self.custom };
        let mut said: Vec<&Part> = Vec::new();
        for part in &turn.parts {
            if matches!(part.block, Block::Text(_) | Block::Refusal(_)) {
                said.push(part);
                continue;
            }
            write_said(json, &mut said);
            match &part.block {
                Block::ToolCall(call) => {
                    own::with(json, part, OWN, |json| item_out::call(json, call, names, None));
                }
                Block::Reasoning(thoughts) if is_own(thoughts) => item_out::reasoning(json, thoughts, None),
                Block::Reasoning(_) => {
                    let reason = "thoughts go back only to who made them";
                    self.losses.advisory(format_args!("{}.thinking", self.path(turn.place)), reason);
                }
                Block::Foreign(foreign) if foreign.origin == OWN => json.raw(foreign.raw.text()),
                _ => self.losses.meaning(self.path(turn.place), "the provider's dialect has no such part"),
            }
        }
        write_said(json, &mut said);
        for part in &turn.parts {
            self.unmarked(part, turn.place);
        }
    }

    fn settings(&mut self, json: &mut JsonWriter) {
        let (request, origin) = (self.request, self.request.origin);
        if let Some(most) = self.target.most(request.max_output) {
            json.plain_member("max_output_tokens", most.max(LEAST_OUTPUT));
        }
        self.sampling(json);
        self.wish(json);
        self.form(json);
        json.text_member_if("prompt_cache_key", request.cache.key.as_deref());
        json.text_member_if("prompt_cache_retention", request.cache.retention.as_deref());
        json.text_member_if("user", request.caller.as_deref());
        match request.tier.as_deref() {
            Some("standard_only" | "default" | "standard") => json.text_member("service_tier", "default"),
            Some(tier @ ("auto" | "flex" | "priority" | "scale")) => json.text_member("service_tier", tier),
            Some(_) => self.losses.advisory(origin.field(Field::Tier), "the provider has no such tier"),
            None => {}
        }
        if request.cache.whole.is_some() {
            self.losses.advisory(origin.field(Field::Cache), "the provider caches by itself");
        }
        let mut own = request.ext.clone();
        own.forget(&["include"]);
        own.write(OWN, json, "", self.losses);
        self.include(json);
        if request.ext.get(OWN, "store").is_none() {
            // Nobody could name what would be kept.
            json.plain_member("store", false);
        }
        if request.stream {
            json.plain_member("stream", true);
        }
    }

    /// What is asked for besides the answer: what the caller names, sealed thoughts, and how likely tokens were.
    fn include(&mut self, json: &mut JsonWriter) {
        let (request, thinks) = (self.request, thinks(self.target.model));
        let own = request.ext.get(OWN, "include").map(|raw| read::texts(raw.text()));
        let mut names = own.unwrap_or_else(|| thinks.then(|| SEALED.to_owned()).into_iter().collect());
        match request.sampling.logprobs {
            // At home the provider says so itself.
            Some(_) if thinks && request.origin != OWN => {
                let path = request.origin.field(Field::Logprobs);
                self.losses.meaning(path, "the model does not say how likely tokens were");
            }
            Some(top) => {
                if !names.iter().any(|name| name == LOGPROBS) {
                    names.push(LOGPROBS.to_owned());
                }
                if top > 0 {
                    json.plain_member("top_logprobs", top);
                }
            }
            None => {}
        }
        if !names.is_empty() {
            json.key("include").array(|json| names.iter().for_each(|name| json.text(name)));
        }
    }

    fn sampling(&mut self, json: &mut JsonWriter) {
        let (sampling, origin) = (&self.request.sampling, self.request.origin);
        for (field, name, value) in [
            (Field::Temperature, "temperature", &sampling.temperature),
            (Field::TopP, "top_p", &sampling.top_p),
        ] {
            match value {
                Some(_) if thinks(self.target.model) => {
                    self.losses.meaning(origin.field(field), "the model chooses by itself");
                }
                Some(value) => json.raw_member(name, value.text()),
                None => {}
            }
        }
        for (field, said) in [
            (Field::TopK, sampling.top_k.is_some()),
            (Field::Seed, sampling.seed.is_some()),
            (Field::PresencePenalty, sampling.presence_penalty.is_some()),
            (Field::FrequencyPenalty, sampling.frequency_penalty.is_some()),
            (Field::StopSequences, !sampling.stop.is_empty()),
        ] {
            if said {
                self.losses.meaning(origin.field(field), "the provider's dialect has no such field");
            }
        }
    }

    fn wish(&mut self, json: &mut JsonWriter) {
        let wish = &self.request.reasoning;
        let effort = wish.effort().or(wish.is_wanted().then_some(Effort::Medium));
        let own = wish.ext.fields_of(OWN);
        if own.is_empty() {
            let path = self.request.origin.field(Field::Reasoning);
            wish.ext.write(OWN, &mut JsonWriter::new(), path, self.losses);
        }
        if effort.is_none() && wish.summary.is_none() && own.is_empty() {
            return;
        }
        if !thinks(self.target.model) && matches!(self.target.provider, "openai" | "azure") {
            if effort.is_some_and(|effort| effort > Effort::None) {
                self.losses.meaning(self.request.origin.field(Field::Reasoning), "the model does not think");
            }
            return;
        }
        json.key("reasoning").object(|json| {
            json.text_member_if("effort", effort.map(effort_name));
            let shown = (wish.shown != Some(false) && wish.is_wanted()).then_some("auto");
            json.text_member_if("summary", wish.summary.as_deref().or(shown));
            own.iter().for_each(|(name, value)| json.raw_member(name, value.text()));
        });
    }

    fn form(&mut self, json: &mut JsonWriter) {
        let request = self.request;
        if request.format == Format::Text && request.verbosity.is_none() {
            return;
        }
        json.key("text").object(|json| {
            write_format(json, &request.format);
            json.text_member_if("verbosity", request.verbosity.as_deref());
        });
    }
}

/// Writes the member `format` of `text`.
pub(super) fn write_format(json: &mut JsonWriter, format: &Format) {
    match format {
        Format::Text => {}
        Format::Json => json.raw_member("format", r#"{"type":"json_object"}"#),
        Format::Schema { name, description, schema, strict } => json.key("format").object(|json| {
            json.text_member("type", "json_schema");
            json.text_member("name", name.as_deref().unwrap_or("answer"));
            json.text_member_if("description", description.as_deref());
            json.raw_member("schema", schema.text());
            if let Some(strict) = strict {
                json.plain_member("strict", strict);
            }
        }),
    }
}

fn effort_name(effort: Effort) -> &'static str {
    match effort {
        Effort::Max => "xhigh",
        other => other.name(),
    }
}

fn is_own(thoughts: &Reasoning) -> bool {
    thoughts.opaque.iter().any(|opaque| opaque.origin == OWN)
}

/// Whether a model of OpenAI's thinks, and takes neither temperature nor top_p.
fn thinks(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let o_series = name.strip_prefix('o').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let numbered = name.strip_prefix("gpt-").and_then(|rest| rest.chars().next());
    o_series || numbered.is_some_and(|digit| ('5'..='9').contains(&digit)) && !name.contains("chat")
}

fn input_text(json: &mut JsonWriter, text: &str) {
    json.object(|json| {
        json.text_member("type", "input_text");
        json.text_member("text", text);
    });
}

/// What the model said in words, one message.
fn write_said(json: &mut JsonWriter, said: &mut Vec<&Part>) {
    if said.is_empty() {
        return;
    }
    json.object(|json| {
        json.text_member("type", "message");
        json.text_member("role", "assistant");
        json.key("content").array(|json| {
            for part in said.drain(..) {
                match &part.block {
                    Block::Text(text) => item_out::output_text(json, text, None),
                    Block::Refusal(text) => item_out::refusal(json, text),
                    _ => {}
                }
            }
        });
    });
}
