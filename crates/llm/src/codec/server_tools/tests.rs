//! Each vendor's tools at each provider.

use serde_json::{Value, json};

use super::*;
use crate::Quirks;
use crate::codec::{Addressed, codec};

const CHAT: Dialect = Dialect::OpenAiChat;
const RESPONSES: Dialect = Dialect::OpenAiResponses;
const MESSAGES: Dialect = Dialect::AnthropicMessages;
const GEMINI: Dialect = Dialect::Gemini;
const CONVERSE: Dialect = Dialect::BedrockConverse;

/// A model of each provider.
fn model(dialect: Dialect) -> &'static str {
    match dialect {
        CHAT | RESPONSES => "gpt-6-sol",
        MESSAGES => "claude-sonnet-5",
        GEMINI => "gemini-3.8-flash",
        CONVERSE => "us.anthropic.claude-haiku-5-5",
    }
}

/// What a program's request becomes, with the losses that matter.
fn sent(
    from: Dialect,
    more: &Value,
    program: Program,
    to: Dialect,
) -> Result<(Value, Vec<String>), Rejection> {
    let mut body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}],
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}], "input": "hi"});
    let foreign: &[&str] = match from {
        RESPONSES => &["messages", "contents", "max_tokens"],
        GEMINI => &["messages", "input", "max_tokens"],
        _ => &["contents", "input"],
    };
    let members = body.as_object_mut().unwrap();
    members.retain(|name, _| !foreign.contains(&&**name));
    members.extend(more.as_object().unwrap().clone());
    let addressed = Addressed { model: "m", stream: false };
    let mut request = codec(from).unwrap().decode_request(&body.to_string(), &addressed)?;
    let target =
        Target { provider: "x", model: model(to), quirks: &Quirks::NONE, clamp: None, max_output: 99 };
    let mut losses = Losses::default();
    server_tools(&mut request, (to, &target), program, &mut losses)?;
    let out = codec(to).unwrap().encode_request(&request, &target, &mut losses)?;
    let lost = losses.refused().map(str::to_owned).collect();
    Ok((serde_json::from_slice(&out).unwrap(), lost))
}

fn tools(list: Value) -> Value {
    json!({"tools": list})
}

#[test]
fn another_vendors_tool_is_refused_by_name() {
    let offered = [
        (
            MESSAGES,
            json!([{"type": "code_execution_20260120", "name": "code_execution"}]),
            "code_execution_20260120",
        ),
        (MESSAGES, json!([{"type": "web_fetch_20250910", "name": "web_fetch"}]), "web_fetch_20250910"),
        (
            MESSAGES,
            json!([{"type": "advisor_20260301", "name": "advisor", "model": "x"}]),
            "advisor_20260301",
        ),
        (MESSAGES, json!([{"type": "bash_20250124", "name": "bash"}]), "bash_20250124"),
        (RESPONSES, json!([{"type": "code_interpreter", "container": {"type": "auto"}}]), "code_interpreter"),
        (RESPONSES, json!([{"type": "file_search", "vector_store_ids": ["v"]}]), "file_search"),
        (RESPONSES, json!([{"type": "mcp", "server_label": "s", "server_url": "https://s"}]), "mcp"),
        (RESPONSES, json!([{"type": "image_generation"}]), "image_generation"),
        (GEMINI, json!([{"codeExecution": {}}]), "codeExecution"),
        (GEMINI, json!([{"urlContext": {}}]), "urlContext"),
        (CHAT, json!([{"type": "openrouter:web_search", "parameters": {}}]), "openrouter:web_search"),
    ];
    for (from, list, name) in offered {
        for to in Dialect::ALL.into_iter().filter(|to| *to != from) {
            let refused = sent(from, &tools(list.clone()), Program::Other, to).unwrap_err();
            assert_eq!(refused.code, model::Code::UnsupportedFeature, "{name} at {to:?}");
            assert!(
                refused
                    .message
                    .contains(&format!("unsupported_tool: the provider of this model does not run `{name}`"))
            );
            assert!(refused.param.as_deref().unwrap().starts_with("tools."), "{refused:?}");
        }
        // Its own vendor gets it as it is.
        let (own, _) = sent(from, &tools(list.clone()), Program::Other, from).unwrap();
        assert_eq!(own["tools"], list);
    }
    let servers = json!({"mcp_servers": [{"type": "url", "url": "https://s", "name": "s"}]});
    let refused = sent(MESSAGES, &servers, Program::ClaudeCode, CHAT).unwrap_err();
    assert_eq!(refused.param.as_deref(), Some("mcp_servers"));
}

#[test]
fn a_web_search_is_one_wherever_there_is_one() {
    let searches = [
        (CHAT, json!({"web_search_options": {}})),
        (RESPONSES, tools(json!([{"type": "web_search"}]))),
        (RESPONSES, tools(json!([{"type": "web_search_preview"}]))),
        (MESSAGES, tools(json!([{"type": "web_search_20250305", "name": "web_search"}]))),
        (GEMINI, tools(json!([{"googleSearch": {}}]))),
    ];
    for (from, more) in searches {
        for to in Dialect::ALL.into_iter().filter(|to| *to != from) {
            let found = sent(from, &more, Program::Other, to);
            if to == CONVERSE {
                assert!(found.unwrap_err().message.starts_with("unsupported_tool"), "{from:?}");
                continue;
            }
            let (body, lost) = found.unwrap();
            let (put, expected) = match to {
                CHAT => (&body["web_search_options"], json!({})),
                RESPONSES => (&body["tools"], json!([{"type": "web_search"}])),
                MESSAGES => (&body["tools"], json!([{"type": "web_search_20250305", "name": "web_search"}])),
                _ => (&body["tools"], json!([{"googleSearch": {}}])),
            };
            assert_eq!((put, lost), (&expected, vec![]), "{from:?} at {to:?}");
        }
    }
}

#[test]
fn what_is_said_of_a_search_is_said_in_the_providers_words() {
    let place = json!({"type": "approximate", "city": "Dunhuang", "country": "CN"});
    let nested = json!({"type": "approximate", "approximate": {"city": "Dunhuang", "country": "CN"}});
    let asked =
        tools(json!([{"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.com"],
        "blocked_domains": null, "user_location": place, "max_uses": 8}]));
    let (body, lost) = sent(MESSAGES, &asked, Program::Other, RESPONSES).unwrap();
    let expected =
        json!([{"type": "web_search", "filters": {"allowed_domains": ["a.com"]}, "user_location": place}]);
    assert_eq!((&body["tools"], lost), (&expected, vec!["tools.web_search.max_uses".to_owned()]));
    let (body, lost) = sent(MESSAGES, &asked, Program::Other, CHAT).unwrap();
    assert_eq!(body["web_search_options"], json!({"user_location": nested}));
    assert_eq!(lost, ["tools.web_search.allowed_domains", "tools.web_search.max_uses"]);
    let asked = json!({"web_search_options": {"user_location": nested, "search_context_size": "low"}});
    let (body, lost) = sent(CHAT, &asked, Program::Other, MESSAGES).unwrap();
    assert_eq!(body["tools"][0]["user_location"], place);
    assert_eq!(lost, ["tools.web_search.search_context_size"]);
}

#[test]
fn a_search_that_must_be_made_is_made_or_the_loss_is_told() {
    let forced = json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}],
        "tool_choice": {"type": "tool", "name": "web_search"}});
    let (body, lost) = sent(MESSAGES, &forced, Program::ClaudeCode, RESPONSES).unwrap();
    assert_eq!((&body["tool_choice"], lost), (&json!({"type": "web_search"}), vec![]));
    for to in [CHAT, GEMINI] {
        let (body, lost) = sent(MESSAGES, &forced, Program::ClaudeCode, to).unwrap();
        assert!(body.get("tool_choice").is_none() && body.get("toolConfig").is_none(), "{body}");
        assert_eq!(lost, ["tool_choice"]);
    }
    let forced = json!({"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}});
    let (body, _) = sent(RESPONSES, &forced, Program::Other, MESSAGES).unwrap();
    assert_eq!(body["tool_choice"], json!({"type": "tool", "name": "web_search"}));
}

/// Codex says of every model that it may search, in what OpenAI has found before.
#[test]
fn codex_works_where_its_tools_are_not() {
    let list = json!([{"type": "web_search", "external_web_access": false}, {"type": "image_generation"},
        {"type": "function", "name": "exec_command", "parameters": {"type": "object"}}]);
    for to in [CHAT, MESSAGES, GEMINI, CONVERSE] {
        let (body, lost) = sent(RESPONSES, &tools(list.clone()), Program::Codex, to).unwrap();
        assert_eq!(lost, ["tools.web_search", "tools.image_generation"], "{to:?}: {body}");
        assert!(body.get("web_search_options").is_none());
        assert!(body.to_string().contains("exec_command"));
        assert!(sent(RESPONSES, &tools(list.clone()), Program::Other, to).is_err());
    }
    let (body, lost) =
        sent(RESPONSES, &tools(json!([{"type": "web_search"}])), Program::Codex, MESSAGES).unwrap();
    assert_eq!((&body["tools"][0]["name"], lost), (&json!("web_search"), vec![]));
}

#[test]
fn tools_that_are_found_later_are_offered_at_once() {
    let list = json!([{"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"},
        {"name": "f", "input_schema": {"type": "object"}, "defer_loading": true}]);
    for to in [CHAT, RESPONSES, GEMINI, CONVERSE] {
        let (body, lost) = sent(MESSAGES, &tools(list.clone()), Program::ClaudeCode, to).unwrap();
        assert_eq!(lost, Vec::<String>::new(), "{body}");
        assert!(!body.to_string().contains("bm25"), "{body}");
    }
}
