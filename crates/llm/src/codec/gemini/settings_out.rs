//! Writes what a request says besides its conversation and its tools.

use super::OWN;
use super::request_out::is_newer;
use crate::codec::Target;
use crate::json_writer::JsonWriter;
use crate::neutral::{CacheWish, Effort, Field, Format, Losses, Raw, Request, Thinking};

/// Texts to stop at, at most.
const STOPS: usize = 5;
/// The highest temperature.
const HOTTEST: f64 = 2.0;
/// Members of the request that stand in its object of settings.
const NESTED: &str = "generationConfig.";

/// Writes everything but the conversation and the tools.
pub(super) fn write(json: &mut JsonWriter, request: &Request, target: &Target<'_>, losses: &mut Losses) {
    let mut inner = JsonWriter::new();
    inner.object(|json| {
        if let Some(most) = target.most(request.max_output) {
            json.plain_member("maxOutputTokens", most);
        }
        sampling(json, request, losses);
        format(json, request);
        thinking(json, request, target.model, losses);
        for (name, value) in request.ext.fields_of(OWN) {
            if let Some(name) = name.strip_prefix(NESTED) {
                json.raw_member(name, value.text());
            }
        }
    });
    if inner.bytes().len() > 2 {
        json.raw_member("generationConfig", &inner.into_string());
    }
    for (name, value) in request.ext.fields_of(OWN) {
        if !name.starts_with(NESTED) {
            json.raw_member(name, value.text());
        }
    }
    if request.ext.fields_of(OWN).is_empty() {
        request.ext.write(OWN, json, "", losses);
    }
    json.text_member_if("serviceTier", tier(request).filter(|tier| !tier.is_empty()));
    note_losses(request, losses);
}

fn sampling(json: &mut JsonWriter, request: &Request, losses: &mut Losses) {
    let (sampling, origin) = (&request.sampling, request.origin);
    if let Some(temperature) = &sampling.temperature {
        if temperature.text().parse::<f64>().is_ok_and(|number| number > HOTTEST) {
            json.raw_member("temperature", "2");
            losses.meaning(origin.field(Field::Temperature), "the provider's highest is 2");
        } else {
            json.raw_member("temperature", temperature.text());
        }
    }
    for (name, value) in [
        ("topP", &sampling.top_p),
        ("topK", &sampling.top_k),
        ("seed", &sampling.seed),
        ("presencePenalty", &sampling.presence_penalty),
        ("frequencyPenalty", &sampling.frequency_penalty),
    ] {
        if let Some(value) = value {
            json.raw_member(name, value.text());
        }
    }
    if sampling.stop.len() > STOPS {
        losses.meaning(origin.field(Field::StopSequences), "the provider stops at five texts at most");
    }
    if !sampling.stop.is_empty() {
        json.key("stopSequences")
            .array(|json| sampling.stop.iter().take(STOPS).for_each(|text| json.text(text)));
    }
    if request.choices > 1 {
        json.plain_member("candidateCount", request.choices);
    }
    if let Some(top) = sampling.logprobs {
        json.plain_member("responseLogprobs", true);
        if top > 0 {
            json.plain_member("logprobs", top);
        }
    }
}

fn format(json: &mut JsonWriter, request: &Request) {
    let schema: Option<&Raw> = match &request.format {
        Format::Text => return,
        Format::Json => None,
        Format::Schema { schema, .. } => Some(schema),
    };
    json.text_member("responseMimeType", "application/json");
    if let Some(schema) = schema {
        json.raw_member("responseJsonSchema", schema.text());
    }
}

/// Newer models think by levels, older ones by tokens.
fn thinking(json: &mut JsonWriter, request: &Request, model: &str, losses: &mut Losses) {
    let wish = &request.reasoning;
    let own = wish.ext.fields_of(OWN);
    if own.is_empty() {
        wish.ext.write(OWN, &mut JsonWriter::new(), request.origin.field(Field::Reasoning), losses);
    }
    let effort = wish.effort();
    let said = effort.is_some() || wish.thinking.is_some() || wish.shown.is_some();
    if !said && own.is_empty() {
        return;
    }
    json.key("thinkingConfig").object(|json| {
        match (is_newer(model), effort) {
            (true, Some(effort)) => json.text_member("thinkingLevel", level(effort, model)),
            (false, Some(Effort::None)) => {
                // The largest of the older models cannot but think.
                json.plain_member("thinkingBudget", if model.contains("pro") { 128 } else { 0 });
            }
            (false, Some(effort)) => {
                let most = if model.contains("pro") { 32_768 } else { 24_576 };
                let budget = wish.budget.unwrap_or_else(|| effort.budget(most)).min(most);
                json.plain_member("thinkingBudget", budget);
            }
            (false, None) if wish.thinking == Some(Thinking::Adaptive) => {
                json.plain_member("thinkingBudget", -1);
            }
            (_, None) => {}
        }
        let wanted = wish.is_wanted().then_some(true);
        if let Some(shown) = wish.shown.or(wanted) {
            json.plain_member("includeThoughts", shown);
        }
        own.iter().for_each(|(name, value)| json.raw_member(name, value.text()));
    });
}

fn level(effort: Effort, model: &str) -> &'static str {
    match effort {
        // Only the small models think as little as that.
        Effort::None | Effort::Minimal if model.contains("flash") => "minimal",
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High | Effort::XHigh | Effort::Max => "high",
    }
}

/// The tier in Google's words; empty for whichever it chooses, `None` where it has none like it.
fn tier(request: &Request) -> Option<&str> {
    match request.tier.as_deref()? {
        "auto" => Some(""),
        "default" | "standard" | "standard_only" => Some("standard"),
        tier @ ("flex" | "priority") => Some(tier),
        _ => None,
    }
}

/// What Gemini has no place for, in any form.
fn note_losses(request: &Request, losses: &mut Losses) {
    let origin = request.origin;
    for (said, field) in [
        (request.verbosity.is_some(), Field::Verbosity),
        (request.caller.is_some(), Field::Caller),
        (request.cache != CacheWish::default(), Field::Cache),
        (request.tier.is_some() && tier(request).is_none(), Field::Tier),
    ] {
        if said {
            losses.advisory(origin.field(field), "the provider's dialect has no such field");
        }
    }
}
