//! What becomes of a caller's schemas at each provider.

use serde_json::{Value, json};

use super::*;
use crate::Quirks;
use crate::codec::{Addressed, codec};

/// Every provider whose refusals are known, and one of whom nothing is known.
const TARGETS: [(Dialect, &str, &str); 8] = [
    (Dialect::OpenAiChat, "openai", "gpt-6-sol"),
    (Dialect::OpenAiResponses, "azure", "deployment"),
    (Dialect::AnthropicMessages, "anthropic", "claude-sonnet-5"),
    (Dialect::BedrockConverse, "bedrock", "us.anthropic.claude-haiku-5-5"),
    (Dialect::BedrockConverse, "bedrock", "us.amazon.nova-pro-v1:0"),
    (Dialect::Gemini, "gemini", "gemini-3.8-flash"),
    (Dialect::OpenAiChat, "vllm", "m"),
    (Dialect::AnthropicMessages, "anthropic-compatible", "kimi-k3"),
];

/// Fits a caller's request in Messages.
fn fitted(body: &Value, (dialect, provider, model): (Dialect, &str, &str)) -> (Request, Losses) {
    let messages = codec(Dialect::AnthropicMessages).unwrap();
    let addressed = Addressed { model: "m", stream: false };
    let mut request = messages.decode_request(&body.to_string(), &addressed).unwrap();
    let quirks = &Quirks::NONE;
    let target = Target { provider, model, quirks, clamp: None, max_output: 9 };
    let (mut asked, mut losses) = (Asked::of(&request), Losses::default());
    fit(&mut request, dialect, &target, &mut asked, &mut losses);
    (request, losses)
}

fn ask(more: Value) -> Value {
    let mut body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// A schema that every provider has something against, in words that only narrow it.
fn odd() -> Value {
    json!({"type": "object", "properties": {"x": {"type": "string", "minLength": 2, "default": "a"},
        "y": {"$ref": "#/$defs/d", "description": "d"}}, "required": ["x", "y"],
        "additionalProperties": false, "$defs": {"d": {"const": 1}}})
}

/// The paths that are noted, each with whether it matters.
fn told(losses: &Losses) -> Vec<(String, bool)> {
    let told = |loss: &crate::neutral::Loss| (loss.path.to_string(), loss.severity == Severity::Meaning);
    let mut all: Vec<_> = losses.list().iter().map(told).collect();
    all.sort();
    all
}

fn paths(words: &[(&str, bool)], before: &str) -> Vec<(String, bool)> {
    let path = |(word, matters): &(&str, bool)| (format!("{before}.properties.{word}"), *matters);
    let mut all: Vec<_> = words.iter().map(path).collect();
    all.sort();
    all
}

#[test]
fn the_schema_of_an_answer_is_made_what_its_provider_takes() {
    let body = ask(json!({"output_config": {"format": {"type": "json_schema", "schema": odd()}}}));
    for target in TARGETS {
        let words: &[(&str, bool)] = match Taker::of(
            target.0,
            &Target {
                provider: target.1,
                model: target.2,
                quirks: &Quirks::NONE,
                clamp: None,
                max_output: 9,
            },
        ) {
            Taker::OpenAi => &[("x.minLength", true), ("x.default", false), ("y.description", false)],
            Taker::Claude => &[("x.minLength", true)],
            Taker::Gemini => &[("y.description", false)],
            Taker::Nova | Taker::Other => &[],
        };
        let (request, losses) = fitted(&body, target);
        let Format::Schema { schema, strict, .. } = &request.format else { panic!("{target:?}") };
        assert_eq!(told(&losses), paths(words, "output_config.format"), "{target:?}");
        assert_eq!(*strict, Some(true), "{target:?}");
        let schema: Value = serde_json::from_str(schema.text()).unwrap();
        let mut expected = odd();
        for (word, _) in words {
            let (member, word) = word.split_once('.').unwrap();
            expected["properties"][member].as_object_mut().unwrap().remove(word);
        }
        if target.0 == Dialect::Gemini {
            expected["$defs"]["d"] = json!({"enum": [1]});
        }
        assert_eq!(schema, expected, "{target:?}");
    }
}

#[test]
fn the_schemas_of_tools_are_held_to_where_that_was_asked_for() {
    for strict in [true, false] {
        let tool = json!({"name": "f", "input_schema": odd(), "strict": strict});
        for target in TARGETS {
            let (request, losses) = fitted(&ask(json!({"tools": [tool]})), target);
            let words: &[(&str, bool)] = match (target.1, strict) {
                ("openai" | "azure", true) => {
                    &[("x.minLength", true), ("x.default", false), ("y.description", false)]
                }
                ("anthropic", true) => &[("x.minLength", true)],
                ("bedrock", true) if target.2.contains("claude") => &[("x.minLength", true)],
                ("gemini", _) => &[("y.description", false)],
                _ => &[],
            };
            let mut expected = paths(words, "tools[0].input_schema");
            if target.2.contains("nova") {
                expected = ["$defs", "additionalProperties"]
                    .map(|word| (format!("tools[0].input_schema.{word}"), word == "$defs"))
                    .to_vec();
            }
            assert_eq!(told(&losses), expected, "{target:?} {strict}");
            assert_eq!(request.tools[0].strict, Some(strict), "{target:?}");
        }
    }
}

#[test]
fn who_cannot_be_held_to_a_schema_is_not_asked_to_be() {
    let map = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let tool = json!({"name": "f", "input_schema": map, "strict": true});
    let body = ask(json!({"tools": [tool],
        "output_config": {"format": {"type": "json_schema", "schema": map}}}));
    let (request, losses) = fitted(&body, TARGETS[0]);
    assert_eq!(request.tools[0].strict, Some(false));
    assert!(matches!(&request.format, Format::Schema { strict: Some(false), schema, .. }
        if serde_json::from_str::<Value>(schema.text()).unwrap() == map));
    let refused: Vec<&str> = losses.refused().collect();
    assert_eq!(refused, ["tools[0].strict", "output_config.format.strict"]);
    let (request, losses) = fitted(&body, TARGETS[2]);
    // The answer comes by a tool, see `answer_tool`.
    assert_eq!((request.tools.len(), &request.format), (2, &Format::Text));
    assert_eq!(losses.refused().collect::<Vec<_>>(), ["tools[0].strict"]);
}

#[test]
fn claude_gets_no_union_as_the_whole_of_a_tools_arguments() {
    let object =
        |name: &str| json!({"type": "object", "properties": {name: {"type": "string"}}, "required": [name]});
    for (union, required) in [("anyOf", json!(null)), ("oneOf", json!(null)), ("allOf", json!(["a", "b"]))] {
        let schema = json!({"type": "object", union: [object("a"), {"$ref": "#/$defs/b"}],
            "$defs": {"b": object("b")}});
        let body = ask(json!({"tools": [{"name": "f", "input_schema": schema}]}));
        for target in [TARGETS[2], TARGETS[3]] {
            let (request, losses) = fitted(&body, target);
            let schema = request.tools[0].schema.as_ref().unwrap();
            let given: Value = serde_json::from_str(schema.text()).unwrap();
            assert_eq!(given["properties"], json!({"a": {"type": "string"}, "b": {"type": "string"}}));
            assert_eq!((&given["required"], &given[union]), (&required, &json!(null)), "{given}");
            assert_eq!(told(&losses), [(format!("tools[0].input_schema.{union}"), true)]);
        }
        let (request, losses) = fitted(&body, TARGETS[0]);
        assert!(losses.is_empty() && request.tools[0].schema.as_ref().unwrap().text().contains(union));
    }
}
