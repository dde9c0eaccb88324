//! Requests to a provider.

use model::Rejection;

use super::block::{self, Names};
use super::tools::{Tools, takes_marks};
use super::{SELF, cache_point, conversation};
use crate::codec::conversation::{self as turns, Joined};
use crate::codec::{Target, messages, unsupported};
use crate::json_writer::JsonWriter;
use crate::neutral::{Block, Effort, Field, Format, Losses, Raw, Request, Thinking};

/// Marks for the cache in one request at most.
const MARKS: usize = 4;
/// The fewest tokens that Claude thinks with.
const LEAST_BUDGET: u64 = 1024;

/// What is decided about a request before it is written.
struct Plan<'a> {
    request: &'a Request,
    target: &'a Target<'a>,
    turns: &'a [Joined<'a>],
    tools: Tools<'a>,
    most: Option<u64>,
    thinking: Option<String>,
    effort: Option<&'static str>,
}

/// Writes `request` for `target`.
pub(super) fn request(
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<Vec<u8>, Rejection> {
    if request.choices > 1 {
        let field = request.origin.field(Field::Choices);
        return Err(unsupported("The provider gives one answer to a request.", field));
    }
    let identified = turns::identified(&request.turns);
    let joined = turns::alternating(&identified, losses, request.origin);
    conversation::check(request, &joined)?;
    let mut plan = Plan {
        request,
        target,
        turns: &joined,
        tools: Tools::of(request, losses),
        most: target.most(request.max_output),
        thinking: None,
        effort: None,
    };
    plan.think(losses);
    let mut json = JsonWriter::with_capacity(request.room());
    json.object(|json| plan.write(json, losses));
    Ok(json.into_bytes())
}

impl Plan<'_> {
    /// Decides how the wish to think is put: Bedrock hands it on to each maker's models in their own words.
    fn think(&mut self, losses: &mut Losses) {
        let wish = &self.request.reasoning;
        let Some(effort) = wish.effort().or(wish.is_wanted().then_some(Effort::Medium)) else {
            return;
        };
        let model = self.target.model;
        let three = match effort {
            Effort::None => return,
            Effort::Minimal | Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High | Effort::XHigh | Effort::Max => "high",
        };
        if model.contains("gpt-oss") {
            self.thinking = Some(format!(r#""reasoning_effort":"{three}""#));
        } else if model.contains("nova") {
            self.thinking =
                Some(format!(r#""reasoningConfig":{{"type":"enabled","maxReasoningEffort":"{three}"}}"#));
        } else if !model.contains("claude") {
            let reason = "the provider has no word for it at this model";
            losses.meaning(self.request.origin.field(Field::Reasoning), reason);
        } else if turns::has_unsealed_round(self.turns, SELF) {
            let reason = "the thoughts of the round of tools that is open are gone, so it goes on without";
            losses.meaning(self.request.origin.field(Field::Reasoning), reason);
        } else if wish.thinking == Some(Thinking::Adaptive)
            || wish.budget.is_none() && messages::thinks_adaptively(model)
        {
            self.thinking = Some(r#""thinking":{"type":"adaptive"}"#.to_owned());
            self.effort = wish.effort.map(Effort::name);
        } else {
            let most = self.most.unwrap_or(self.target.max_output);
            if most <= LEAST_BUDGET {
                let path = self.request.origin.field(Field::Reasoning);
                return losses.meaning(path, "the answer is too short to think for");
            }
            let wished = wish.budget.unwrap_or_else(|| effort.budget(most - 1));
            let budget = wished.clamp(LEAST_BUDGET, most - 1);
            self.most = Some(most);
            self.thinking = Some(format!(r#""thinking":{{"type":"enabled","budget_tokens":{budget}}}"#));
        }
    }

    fn thinks_as_claude(&self) -> bool {
        self.thinking.as_deref().is_some_and(|thinking| thinking.starts_with("\"thinking\""))
    }

    fn write(&self, json: &mut JsonWriter, losses: &mut Losses) {
        let mut marks = if takes_marks(self.target.model) { MARKS } else { 0 };
        let mut tool_config = JsonWriter::new();
        if !self.tools.is_empty() {
            self.write_tools(&mut tool_config, &mut marks, losses);
        }
        let mut system = JsonWriter::new();
        system.array(|json| self.write_system(json, &mut marks, losses));
        json.key("messages").array(|json| self.write_messages(json, &mut marks, losses));
        if system.bytes().len() > 2 {
            json.raw_member("system", &system.into_string());
        }
        self.write_inference(json, losses);
        if !tool_config.bytes().is_empty() {
            json.raw_member("toolConfig", &tool_config.into_string());
        }
        self.write_additional(json);
        self.write_output(json);
        self.write_tier(json, losses);
        self.request.ext.write(SELF, json, "", losses);
        self.note_losses(losses);
    }

    fn write_tools(&self, json: &mut JsonWriter, marks: &mut usize, losses: &mut Losses) {
        let forced = !(self.tools.is_forced() && self.thinks_as_claude());
        if !forced {
            let field = self.request.origin.field(Field::ToolChoice);
            losses.meaning(field, "the model does not think and be forced to call at once");
        }
        let mut whole = JsonWriter::new();
        whole.object(|json| self.tools.write(json, forced, marks, losses));
        // The value of the one member.
        let text = whole.into_string();
        let value = text.strip_prefix(r#"{"toolConfig":"#).and_then(|rest| rest.strip_suffix('}'));
        json.raw(value.unwrap_or("{}"));
    }

    fn write_system(&self, json: &mut JsonWriter, marks: &mut usize, losses: &mut Losses) {
        let field = self.request.origin.field(Field::Instructions);
        for (_, part) in turns::instructions(self.request, SELF) {
            match &part.block {
                Block::Text(_) | Block::Foreign(_) => {
                    block::write(part, &mut Names::default(), field, json, losses);
                    mark(part.cache, json, marks, losses, self.request);
                }
                _ => losses.meaning(field, "the provider's instructions are text"),
            }
        }
        if self.tools.none {
            json.object(|json| json.text_member("text", "Answer without calling any tool."));
        }
        if self.request.format == Format::Json {
            let words = "Answer with one JSON object and nothing else.";
            json.object(|json| json.text_member("text", words));
        }
    }

    fn write_messages(&self, json: &mut JsonWriter, marks: &mut usize, losses: &mut Losses) {
        let mut names = Names::default();
        let mut written: Vec<(bool, String)> = Vec::with_capacity(self.turns.len());
        for (place, turn) in self.turns.iter().enumerate() {
            let mut content = JsonWriter::new();
            for item in &turn.items {
                conversation::write(item, self.request, &mut names, &mut content, losses);
                mark(item.part.cache, &mut content, marks, losses, self.request);
            }
            if conversation::lacks_words(turn) {
                content.raw(r#"{"text":"."}"#);
            }
            if place + 1 == self.turns.len() {
                mark(self.request.cache.whole, &mut content, marks, losses, self.request);
            }
            // A turn of which nothing could be carried over leaves its neighbours side by side.
            match written.last_mut() {
                _ if content.bytes().is_empty() => {}
                Some((before, list)) if *before == turn.assistant => {
                    list.push(',');
                    list.push_str(&content.into_string());
                }
                _ => written.push((turn.assistant, content.into_string())),
            }
        }
        if written.first().is_none_or(|(assistant, _)| *assistant) {
            json.raw(r#"{"role":"user","content":[{"text":"."}]}"#);
        }
        for (assistant, content) in &written {
            json.object(|json| {
                json.text_member("role", if *assistant { "assistant" } else { "user" });
                json.raw_member("content", &format!("[{content}]"));
            });
        }
    }

    fn write_inference(&self, json: &mut JsonWriter, losses: &mut Losses) {
        let sampling = &self.request.sampling;
        let origin = self.request.origin;
        let mut inner = JsonWriter::new();
        inner.object(|json| {
            if let Some(most) = self.most {
                json.plain_member("maxTokens", most);
            }
            if let Some(temperature) = &sampling.temperature {
                if self.thinks_as_claude() {
                    let reason = "the model takes no temperature while it thinks";
                    losses.meaning(origin.field(Field::Temperature), reason);
                } else if temperature.text().parse::<f64>().is_ok_and(|number| number > 1.0) {
                    json.raw_member("temperature", "1");
                    losses.meaning(origin.field(Field::Temperature), "the provider's highest is 1");
                } else {
                    json.raw_member("temperature", temperature.text());
                }
            }
            if let Some(top_p) = sampling.top_p.as_ref().filter(|_| self.takes_top_p()) {
                json.raw_member("topP", top_p.text());
            }
            let stops: Vec<&String> = sampling.stop.iter().filter(|text| !text.trim().is_empty()).collect();
            if stops.len() < sampling.stop.len() {
                let reason = "the provider takes no blank text to stop at";
                losses.meaning(origin.field(Field::StopSequences), reason);
            }
            if !stops.is_empty() {
                json.key("stopSequences").array(|json| stops.iter().for_each(|text| json.text(text)));
            }
        });
        if inner.bytes().len() > 2 {
            json.raw_member("inferenceConfig", &inner.into_string());
        }
    }

    /// Newer models of Claude's take one of temperature and top_p, and none while they think.
    fn takes_top_p(&self) -> bool {
        let beside = self.request.sampling.temperature.is_some();
        let refused = beside && messages::takes_one_of_both(self.target.model);
        !self.thinks_as_claude() && !refused
    }

    /// What Bedrock hands on to the model unread.
    fn write_additional(&self, json: &mut JsonWriter) {
        let mut fields = Vec::new();
        if let Some(top_k) = self.request.sampling.top_k.as_ref().filter(|_| !self.thinks_as_claude()) {
            fields.push(if self.target.model.contains("nova") {
                format!(r#""inferenceConfig":{{"topK":{}}}"#, top_k.text())
            } else {
                format!(r#""top_k":{}"#, top_k.text())
            });
        }
        fields.extend(self.thinking.clone());
        if !fields.is_empty() {
            json.raw_member("additionalModelRequestFields", &format!("{{{}}}", fields.join(",")));
        }
    }

    fn write_output(&self, json: &mut JsonWriter) {
        let schema = match &self.request.format {
            Format::Schema { name, description, schema, .. } => Some((name, description, schema)),
            Format::Text | Format::Json => None,
        };
        if schema.is_none() && self.effort.is_none() {
            return;
        }
        json.key("outputConfig").object(|json| {
            if let Some((name, description, schema)) = schema {
                write_schema(name.as_deref(), description.as_deref(), schema, json);
            }
            json.text_member_if("effort", self.effort);
        });
    }

    fn write_tier(&self, json: &mut JsonWriter, losses: &mut Losses) {
        let Some(tier) = self.request.tier.as_deref() else {
            return;
        };
        let own = match tier {
            "auto" => return,
            "standard_only" | "default" | "standard" => "default",
            "priority" | "flex" | "reserved" => tier,
            _ => return losses.advisory(self.request.origin.field(Field::Tier), "no such tier here"),
        };
        json.key("serviceTier").object(|json| json.text_member("type", own));
    }

    /// What Converse has no place for, in any form.
    fn note_losses(&self, losses: &mut Losses) {
        let (request, origin) = (self.request, self.request.origin);
        let sampling = &request.sampling;
        for (said, field) in [
            (sampling.seed.is_some(), Field::Seed),
            (sampling.logprobs.is_some(), Field::Logprobs),
            (sampling.presence_penalty.is_some(), Field::PresencePenalty),
            (sampling.frequency_penalty.is_some(), Field::FrequencyPenalty),
            (request.verbosity.is_some(), Field::Verbosity),
            (sampling.top_p.is_some() && !self.takes_top_p(), Field::TopP),
            (sampling.top_k.is_some() && self.thinks_as_claude(), Field::TopK),
        ] {
            if said {
                losses.meaning(origin.field(field), "the provider's dialect has no such field");
            }
        }
        if request.caller.is_some() {
            losses.advisory(origin.field(Field::Caller), "the provider is not told whom a request is for");
        }
        if request.cache.retention.is_some() {
            losses.advisory("prompt_cache_retention", "the provider's cache is told by marks");
        }
        if request.cache.key.is_some() {
            losses.advisory("prompt_cache_key", "the provider's dialect has no such field");
        }
        request.reasoning.ext.write(SELF, &mut JsonWriter::new(), origin.field(Field::Reasoning), losses);
    }
}

/// Writes a mark for the cache behind what it marks, while there are any left.
fn mark(
    cache: Option<crate::neutral::Cache>,
    json: &mut JsonWriter,
    marks: &mut usize,
    losses: &mut Losses,
    request: &Request,
) {
    let Some(cache) = cache else {
        return;
    };
    // A mark behind nothing is refused.
    let behind = json.bytes().last() == Some(&b'}');
    if *marks == 0 || !behind {
        return losses.advisory(request.origin.field(Field::Cache), "the model takes no further mark");
    }
    *marks -= 1;
    json.raw(cache_point(cache));
}

fn write_schema(name: Option<&str>, description: Option<&str>, schema: &Raw, json: &mut JsonWriter) {
    json.key("textFormat").object(|json| {
        json.text_member("type", "json_schema");
        json.key("structure").object(|json| {
            json.key("jsonSchema").object(|json| {
                json.text_member("schema", schema.text());
                json.text_member_if("name", name);
                json.text_member_if("description", description);
            });
        });
    });
}
