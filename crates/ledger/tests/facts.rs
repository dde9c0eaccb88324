//! The shipped catalogue against the table of facts that it was made from, read at run time.

use std::collections::HashMap;

use ledger::price::Step;
use ledger::{Catalogue, PriceEntry};
use model::resource::PriceLines;
use model::{NanoUsd, ServiceTier};
use serde_json::Value;

/// Beside the corpus, outside the repository.
const FACTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/prices.json");
/// The date of the table: what ends before it is over.
const AS_OF: &str = "2026-11-20";
/// Providers whose presets are called otherwise than in the table.
const NAMES: [(&str, &str); 2] = [("qwen", "dashscope"), ("zhipu", "zai")];
/// Providers of which every current model must be priced.
const WHOLE: [&str; 10] =
    ["openai", "anthropic", "gemini", "deepseek", "qwen", "moonshot", "zhipu", "xai", "mistral", "groq"];

/// The table, by provider as presets are called, and by model.
fn facts() -> Option<HashMap<(String, String), Value>> {
    let text = std::fs::read_to_string(FACTS).ok()?;
    let facts: Value = serde_json::from_str(&text).expect("JSON");
    let named = |fact: &Value| {
        let provider = fact["provider"].as_str().expect("a provider");
        let preset =
            NAMES.iter().find(|(_, named)| *named == provider).map_or(provider, |(preset, _)| preset);
        (preset.to_owned(), fact["model"].as_str().expect("a model").to_owned())
    };
    Some(facts["models"].as_array().expect("a list").iter().map(|fact| (named(fact), fact.clone())).collect())
}

fn amount(value: &Value) -> Option<NanoUsd> {
    value.as_str().map(|text| NanoUsd::parse(text).expect(text))
}

/// The prices that `stated` names; those of `usual` for what it does not.
fn lines(stated: &Value, usual: PriceLines) -> PriceLines {
    let or = |kind: &str, usual: Option<NanoUsd>| amount(&stated[kind]).or(usual);
    PriceLines {
        input: or("in", None).unwrap_or(usual.input),
        output: or("out", None).unwrap_or(usual.output),
        cache_read: or("cache_read", usual.cache_read),
        cache_write_5m: or("cache_write_5m", usual.cache_write_5m),
        cache_write_1h: or("cache_write_1h", usual.cache_write_1h),
        audio_in: or("audio_in", usual.audio_in),
        audio_out: or("audio_out", usual.audio_out),
        reasoning: or("reasoning_out", usual.reasoning),
    }
}

fn steps(stated: &Value, usual: PriceLines) -> Vec<Step> {
    let all = stated["above_input"].as_array().into_iter().flatten();
    let mut steps: Vec<Step> = all
        .map(|step| Step { above: step["tokens"].as_u64().expect("a number"), lines: lines(step, usual) })
        .collect();
    steps.sort_by_key(|step| step.above);
    steps
}

/// The bands behind the first, each as a step above the one before.
fn bands(stated: &Value, usual: PriceLines) -> Vec<Step> {
    let further = stated["bands"].as_array().into_iter().flatten().skip(1);
    further
        .map(|band| Step { above: band["range"][0].as_u64().expect("a number"), lines: lines(band, usual) })
        .collect()
}

fn check(entry: &PriceEntry, fact: &Value) {
    let name = format!("{} {}", entry.provider, entry.model);
    assert_eq!(fact["mode"], *entry.mode, "{name}");
    assert_eq!(entry.context, fact["context"].as_u64(), "{name}");
    let prices = &entry.prices;
    // A model with bands has no price of its own: the first band stands for it.
    let first = if fact["price"]["in"].is_null() { &fact["bands"][0] } else { &fact["price"] };
    assert!(first["in"].is_string(), "{name} has no price");
    let base = lines(first, PriceLines::default());
    assert_eq!(prices.base, base, "{name}");
    let expected = if fact["price"]["in"].is_null() { bands(fact, base) } else { steps(fact, base) };
    assert_eq!(prices.steps.to_vec(), expected, "{name}");
    assert_eq!(prices.web_search, amount(&fact["unit"]["per_web_search"]), "{name}");
    assert_eq!(prices.request, amount(&fact["unit"]["per_request"]), "{name}");
    for tier in ServiceTier::ALL {
        let own = prices.tiers.iter().find(|own| own.tier == tier);
        let fact = fact["tiers"].get(tier.name());
        let stated = fact.map(|fact| lines(fact, base)).filter(|lines| *lines != base);
        assert_eq!(own.map(|own| own.base).filter(|lines| *lines != base), stated, "{name} in {tier:?}");
        if let (Some(own), Some(fact)) = (own, fact) {
            assert_eq!(own.steps.to_vec(), steps(fact, own.base), "{name} in {tier:?}");
        }
    }
}

/// Accounts contract, §5: every price that ships is the table's, tiers and steps included.
#[test]
fn the_shipped_prices_are_those_of_the_table_of_facts() {
    let Some(facts) = facts() else {
        return println!("skipped: there is no {FACTS}");
    };
    let mut checked = 0;
    for entry in Catalogue::builtin().entries().iter().filter(|entry| *entry.model != *"*") {
        let fact = facts.get(&(entry.provider.to_string(), entry.model.to_string()));
        check(entry, fact.unwrap_or_else(|| panic!("{} {} is no fact", entry.provider, entry.model)));
        checked += 1;
    }
    println!("{checked} prices compared");
    assert!(checked > 500);
}

#[test]
fn every_current_model_of_the_great_providers_has_a_price() {
    let Some(facts) = facts() else {
        return println!("skipped: there is no {FACTS}");
    };
    let modes = ["chat", "completion", "responses", "embedding", "moderation", "rerank"];
    let is_current = |fact: &Value| fact["ends"].as_str().is_none_or(|end| end >= AS_OF);
    // What is trained for one customer has a name of its own, and what is free for a time is not sold.
    let is_sold = |model: &str, fact: &Value| {
        let price = amount(&fact["price"]["in"]);
        !model.starts_with("ft:") && price.is_some_and(|price| price > NanoUsd::ZERO)
    };
    let mut missing: Vec<String> = facts
        .iter()
        .filter(|((provider, _), fact)| {
            WHOLE.contains(&provider.as_str())
                && modes.iter().any(|mode| fact["mode"] == *mode)
                && is_current(fact)
        })
        .filter(|((_, model), fact)| is_sold(model, fact))
        .filter(|((provider, model), _)| {
            let found = Catalogue::builtin().find(provider, model);
            found.is_none_or(|entry| *entry.provider != **provider)
        })
        .map(|((provider, model), _)| format!("{provider} {model}"))
        .collect();
    missing.sort();
    assert!(missing.is_empty(), "{missing:#?}");
}
