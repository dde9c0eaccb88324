//! Writes what a request says besides its conversation and its tools.

use super::{OWN, write_mark};
use crate::codec::Target;
use crate::codec::conversation::{self, Joined};
use crate::json_writer::JsonWriter;
use crate::neutral::{Effort, Field, Format, Losses, Request, Thinking};

/// The least that a model may be given to think with.
const LEAST_BUDGET: u64 = 1024;

/// What must be decided before anything is written.
pub(super) struct Settings {
    pub max_tokens: u64,
    thinking: Plan,
}

/// Whether and how the model thinks.
enum Plan {
    /// Nothing is said.
    Unsaid,
    /// It does not.
    Off,
    /// With so many tokens.
    Budget(u64),
    /// As it sees fit, with this effort where one was named.
    Adaptive(Option<Effort>),
}

impl Settings {
    pub(super) fn of(
        request: &Request,
        target: &Target<'_>,
        joined: &[Joined<'_>],
        losses: &mut Losses,
    ) -> Self {
        let max_tokens = target.most(request.max_output).unwrap_or(target.max_output).max(1);
        Self { max_tokens, thinking: plan(request, target, max_tokens, joined, losses) }
    }

    /// Whether the model thinks.
    pub(super) fn thinks(&self) -> bool {
        matches!(self.thinking, Plan::Budget(_) | Plan::Adaptive(_))
    }

    pub(super) fn write(
        &self,
        json: &mut JsonWriter,
        request: &Request,
        target: &Target<'_>,
        losses: &mut Losses,
    ) {
        let field = |field| request.origin.field(field);
        self.thinking(json, request, losses);
        self.sampling(json, request, target, losses);
        for (name, value) in [
            (Field::Seed, &request.sampling.seed),
            (Field::PresencePenalty, &request.sampling.presence_penalty),
            (Field::FrequencyPenalty, &request.sampling.frequency_penalty),
        ] {
            // A penalty of nothing is none.
            let says = value.as_ref().is_some_and(|raw| raw.text().parse::<f64>() != Ok(0.0));
            if says || name == Field::Seed && value.is_some() {
                losses.meaning(field(name), "the provider has no such setting");
            }
        }
        if let Some(caller) = &request.caller {
            json.key("metadata").object(|json| json.text_member("user_id", caller));
        }
        match request.tier.as_deref() {
            None => {}
            Some("auto") => json.text_member("service_tier", "auto"),
            Some("default" | "standard_only" | "standard") => {
                json.text_member("service_tier", "standard_only");
            }
            Some(_) => losses.advisory(field(Field::Tier), "the provider has no such tier"),
        }
        if request.verbosity.is_some() {
            losses.meaning(field(Field::Verbosity), "the provider has no such setting");
        }
        if let Some(mark) = request.cache.whole {
            write_mark(json, mark);
        }
        if request.cache.key.is_some() {
            losses.advisory("prompt_cache_key", "the provider's cache has no keys");
        }
        if request.cache.retention.is_some() {
            losses.advisory("prompt_cache_retention", "the provider's cache is told by marks");
        }
        let own = request.ext.fields_of(OWN);
        if own.is_empty() {
            return request.ext.write(OWN, json, "", losses);
        }
        // Names with a dot are members of members, written with those.
        let top = own.iter().filter(|(name, _)| !name.contains('.'));
        top.for_each(|(name, raw)| json.raw_member(name, raw.text()));
    }

    fn thinking(&self, json: &mut JsonWriter, request: &Request, losses: &mut Losses) {
        let shown = |json: &mut JsonWriter| {
            if request.reasoning.shown == Some(false) {
                json.text_member("display", "omitted");
            }
        };
        match self.thinking {
            Plan::Unsaid => {}
            Plan::Off => json.raw_member("thinking", r#"{"type":"disabled"}"#),
            Plan::Budget(tokens) => json.key("thinking").object(|json| {
                json.text_member("type", "enabled");
                json.plain_member("budget_tokens", tokens);
                shown(json);
            }),
            Plan::Adaptive(_) => json.key("thinking").object(|json| {
                json.text_member("type", "adaptive");
                shown(json);
            }),
        }
        let effort = match self.thinking {
            Plan::Adaptive(effort) => effort,
            // It is about more than thoughts.
            _ if request.origin == OWN => request.reasoning.effort,
            _ => None,
        };
        let schema = match &request.format {
            Format::Schema { schema, .. } => Some(schema),
            Format::Text | Format::Json => None,
        };
        let others = || {
            let own = request.ext.fields_of(OWN).iter();
            own.filter_map(|(name, raw)| Some((name.strip_prefix("output_config.")?, raw)))
        };
        if effort.is_some() || schema.is_some() || others().next().is_some() {
            json.key("output_config").object(|json| {
                others().for_each(|(name, raw)| json.raw_member(name, raw.text()));
                json.text_member_if("effort", effort.map(effort_name));
                if let Some(schema) = schema {
                    json.key("format").object(|json| {
                        json.text_member("type", "json_schema");
                        json.raw_member("schema", schema.text());
                    });
                }
            });
        }
        let path = request.origin.field(Field::Reasoning);
        request.reasoning.ext.write(OWN, &mut JsonWriter::new(), path, losses);
    }

    /// Temperature ends at one here; a model that thinks takes neither that nor the others.
    fn sampling(&self, json: &mut JsonWriter, request: &Request, target: &Target<'_>, losses: &mut Losses) {
        let (sampling, field) = (&request.sampling, |field| request.origin.field(field));
        let thinks = self.thinks();
        let both = sampling.temperature.is_some() && sampling.top_p.is_some();
        if let Some(temperature) = &sampling.temperature {
            let number = temperature.text().parse::<f64>().unwrap_or(1.0);
            if thinks {
                if (number - 1.0).abs() > f64::EPSILON {
                    losses.meaning(field(Field::Temperature), "a model that thinks has temperature 1");
                }
            } else if number > 1.0 {
                losses.meaning(field(Field::Temperature), "the provider's temperatures end at 1");
                json.plain_member("temperature", 1);
            } else {
                json.raw_member("temperature", temperature.text());
            }
        }
        if let Some(top_p) = &sampling.top_p {
            let number = top_p.text().parse::<f64>().unwrap_or(1.0);
            if (thinks && number < 0.95) || (both && !thinks && takes_one_of_both(target.model)) {
                losses.meaning(field(Field::TopP), "the provider does not take this beside the others");
            } else {
                json.raw_member("top_p", top_p.text());
            }
        }
        if sampling.logprobs.is_some() {
            losses.meaning(field(Field::Logprobs), "the provider does not say how likely tokens were");
        }
        if let Some(top_k) = &sampling.top_k {
            if thinks {
                losses.meaning(field(Field::TopK), "a model that thinks does not take this");
            } else {
                json.raw_member("top_k", top_k.text());
            }
        }
        let (stops, blank): (Vec<_>, Vec<_>) = sampling.stop.iter().partition(|stop| !stop.trim().is_empty());
        if !blank.is_empty() {
            losses.meaning(field(Field::StopSequences), "the provider refuses space alone");
        }
        if !stops.is_empty() {
            json.key("stop_sequences").array(|json| stops.iter().for_each(|stop| json.text(stop)));
        }
    }
}

fn plan(
    request: &Request,
    target: &Target<'_>,
    max_tokens: u64,
    joined: &[Joined<'_>],
    losses: &mut Losses,
) -> Plan {
    let wish = &request.reasoning;
    let path = request.origin.field(Field::Reasoning);
    if wish.effort() == Some(Effort::None) {
        return if wish.thinking == Some(Thinking::Off) { Plan::Off } else { Plan::Unsaid };
    }
    if !wish.is_wanted() {
        return Plan::Unsaid;
    }
    if conversation::has_unsealed_round(joined, OWN) {
        losses
            .meaning(path, "the thoughts of the round of tools that is open are gone, so it goes on without");
        return Plan::Unsaid;
    }
    let effort = wish.effort();
    if wish.budget.is_none() && thinks_adaptively(target.model) {
        return Plan::Adaptive(effort);
    }
    let most = max_tokens.saturating_sub(1);
    if most < LEAST_BUDGET {
        losses.meaning(path, "the answer is too short to think for");
        return Plan::Unsaid;
    }
    let wished = wish.budget.unwrap_or_else(|| effort.unwrap_or(Effort::Medium).budget(most));
    Plan::Budget(wished.clamp(LEAST_BUDGET, most))
}

/// Anthropic's words end at `max`, and begin at `low`.
fn effort_name(effort: Effort) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::XHigh | Effort::Max => "max",
    }
}

/// Whether a model decides by itself how much to think: Claude from 4.6 on.
pub(in crate::codec) fn thinks_adaptively(model: &str) -> bool {
    claude_version(model).is_some_and(|version| version >= (4, 6))
}

/// Whether a model can be held to a schema for its answer: Claude from 4.5 on, and Opus from 4.1; of others it
/// is taken to be so.
pub(in crate::codec) fn answers_in_form(model: &str) -> bool {
    let is_new = |version| version >= (4, 5) || version == (4, 1) && model.contains("opus");
    claude_version(model).is_none_or(is_new)
}

/// Whether a model refuses temperature beside top_p: Claude from 4.1 on.
pub(in crate::codec) fn takes_one_of_both(model: &str) -> bool {
    claude_version(model).is_some_and(|version| version >= (4, 1))
}

/// The version in names such as `claude-opus-4-6` and `anthropic.claude-sonnet-5-20260101-v1:0`.
fn claude_version(model: &str) -> Option<(u32, u32)> {
    let name = &model[model.find("claude")?..];
    let mut numbers = name
        .split(['-', '.', ':', '@', '_'])
        // A number of more than two digits is a date.
        .filter_map(|word| word.parse::<u32>().ok().filter(|_| word.len() <= 2));
    let major = numbers.next()?;
    Some((major, numbers.next().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_names() {
        for (model, version) in [
            ("claude-opus-4-6", Some((4, 6))),
            ("claude-sonnet-5-20260101", Some((5, 0))),
            ("anthropic.claude-haiku-4-5-20251001-v1:0", Some((4, 5))),
            ("claude-3-5-sonnet-20241022", Some((3, 5))),
            ("deepseek-chat", None),
        ] {
            assert_eq!(claude_version(model), version, "{model}");
        }
    }

    #[test]
    fn older_models_cannot_be_held_to_a_schema() {
        for (model, can) in [
            ("claude-3-5-sonnet-20241022", false),
            ("claude-sonnet-4-20250514", false),
            ("claude-opus-4-1-20250805", true),
            ("us.anthropic.claude-haiku-4-5-20251001-v1:0", true),
            ("claude-opus-5-5", true),
            ("kimi-k3", true),
        ] {
            assert_eq!(answers_in_form(model), can, "{model}");
        }
    }
}
