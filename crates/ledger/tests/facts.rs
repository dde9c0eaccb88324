//! The shipped catalogue against the table of facts that it was made from, read at run time.

use ledger::Catalogue;
use model::NanoUsd;

/// Beside the corpus, outside the repository.
const FACTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/prices.json");

#[test]
fn the_shipped_prices_are_those_of_the_table_of_facts() {
    let Ok(text) = std::fs::read_to_string(FACTS) else {
        println!("skipped: there is no {FACTS}");
        return;
    };
    let facts: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let facts = facts["models"].as_array().expect("a list");
    let price = |value: &serde_json::Value| value.as_str().map(|text| NanoUsd::parse(text).expect(text));
    for (provider, named, model) in [
        ("openai", "openai", "gpt-5"),
        ("openai", "openai", "gpt-4o-mini"),
        ("openai", "openai", "gpt-5.6"),
        ("openai", "openai", "text-embedding-3-small"),
        ("anthropic", "anthropic", "claude-opus-4-8"),
        ("anthropic", "anthropic", "claude-haiku-4-5-20251001"),
        ("gemini", "gemini", "gemini-2.5-pro"),
        ("deepseek", "deepseek", "deepseek-v4-pro"),
        ("qwen", "dashscope", "qwen-plus"),
        ("qwen", "dashscope", "qwen-flash"),
        ("moonshot", "moonshot", "kimi-k3"),
        ("zhipu", "zai", "glm-5.3"),
        ("xai", "xai", "grok-4.3"),
        ("mistral", "mistral", "mistral-large-latest"),
        ("groq", "groq", "openai/gpt-oss-120b"),
    ] {
        let fact = facts.iter().find(|fact| fact["provider"] == named && fact["model"] == model);
        let fact = fact.unwrap_or_else(|| panic!("{named} {model} is no fact"));
        let entry = Catalogue::builtin().find(provider, model).expect(model);
        assert_eq!((&*entry.provider, &*entry.model), (provider, model));
        // A model with bands has no price of its own: the first band stands for it.
        let first = if fact["price"]["in"].is_null() { &fact["bands"][0] } else { &fact["price"] };
        let lines = &entry.prices.base;
        assert_eq!(Some(lines.input), price(&first["in"]), "{model}");
        assert_eq!(Some(lines.output), price(&first["out"]).or(Some(NanoUsd::ZERO)), "{model}");
        assert_eq!(lines.cache_read, price(&first["cache_read"]), "{model}");
        assert_eq!(lines.cache_write_5m, price(&first["cache_write_5m"]), "{model}");
        for above in fact["above_input"].as_array().into_iter().flatten() {
            let tokens = above["tokens"].as_u64().expect("a number");
            let lines = entry.prices.lines_for(tokens + 1);
            assert_eq!(Some(lines.input), price(&above["in"]), "{model} above {tokens}");
            assert_eq!(Some(lines.output), price(&above["out"]), "{model} above {tokens}");
        }
    }
}
