//! The usage that a recorded answer states, worked out here without the gateway's own reader.

use anyhow::{Result, ensure};
use serde_json::Value;
use testkit::corpus::Exchange;
use testkit::sse;
use testkit::surface::Dialect;

/// Tokens as the gateway counts them: kinds of prompt tokens do not overlap, reasoning is part of output.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stated {
    prompt: u64,
    cache_read: u64,
    output: u64,
}

/// Compares a record's usage with what the recording states. `false` when it states none.
pub(crate) fn ensure_stated(exchange: &Exchange, recorded: &Value) -> Result<bool> {
    let Some(stated) = stated(exchange) else {
        ensure!(recorded["source"] != "measured", "measured, though nothing is stated: {recorded}");
        return Ok(false);
    };
    let number = |name: &str| recorded[name].as_u64().unwrap_or_default();
    let got = Stated {
        prompt: number("input") + number("cache_read") + number("cache_write"),
        cache_read: number("cache_read"),
        output: number("output"),
    };
    ensure!(recorded["source"] == "measured", "not measured, though stated {stated:?}: {recorded}");
    ensure!(got == stated, "{stated:?} stated, {recorded} recorded");
    Ok(true)
}

fn stated(exchange: &Exchange) -> Option<Stated> {
    let objects: Vec<Value> = if exchange.stream {
        sse::events(&exchange.body).iter().map(sse::Event::json).collect()
    } else {
        vec![serde_json::from_slice(&exchange.body).ok()?]
    };
    match (exchange.surface.dialect, exchange.surface.name) {
        (_, "anthropic_count_tokens") => None,
        (Dialect::Anthropic, _) => anthropic(&objects),
        (Dialect::OpenAi | Dialect::Gemini, _) => {
            objects.iter().filter_map(openai_usage).next_back().map(|usage| openai(&exchange.vendor, &usage))
        }
    }
}

/// The last value of each counter wins: the later events repeat the earlier ones' totals.
fn anthropic(objects: &[Value]) -> Option<Stated> {
    let mut merged = serde_json::Map::new();
    for object in objects {
        for usage in [&object["message"]["usage"], &object["usage"]] {
            let counters = usage.as_object().into_iter().flatten();
            merged.extend(counters.filter(|(_, v)| v.is_u64()).map(|(k, v)| (k.clone(), v.clone())));
        }
    }
    let number = |name: &str| merged.get(name).and_then(Value::as_u64).unwrap_or_default();
    let cache_read = number("cache_read_input_tokens");
    (!merged.is_empty()).then(|| Stated {
        prompt: number("input_tokens") + cache_read + number("cache_creation_input_tokens"),
        cache_read,
        output: number("output_tokens"),
    })
}

fn openai_usage(object: &Value) -> Option<Value> {
    let places = [&object["usage"], &object["x_groq"]["usage"], &object["choices"][0]["usage"]];
    places.into_iter().find(|usage| usage["prompt_tokens"].is_u64()).cloned()
}

fn openai(vendor: &str, usage: &Value) -> Stated {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let (prompt, completion) = (number(&usage["prompt_tokens"]), number(&usage["completion_tokens"]));
    let total = number(&usage["total_tokens"]);
    let reasoning = number(&usage["completion_tokens_details"]["reasoning_tokens"]);
    let cached = [
        &usage["prompt_tokens_details"]["cached_tokens"],
        &usage["prompt_cache_hit_tokens"],
        &usage["cached_tokens"],
        &usage["num_cached_tokens"],
    ];
    let cache_read = cached.into_iter().map(number).max().unwrap_or_default();
    // Some hosts leave the cached part out of the prompt, some leave reasoning out of the completion,
    // and Google's compatible surface shows its thoughts in the total only.
    let prompt = if cache_read > prompt { prompt + cache_read } else { prompt };
    let apart = reasoning > 0 && total == prompt + completion + reasoning;
    let output = match vendor {
        "google" => total.saturating_sub(prompt).max(completion),
        _ if apart => completion + reasoning,
        _ => completion,
    };
    Stated { prompt, cache_read, output }
}
