//! The deviations of compatible vendors, each under its vendor's name (dialects reference §1.6 and §1.7).

use serde_json::{Value, json};

use crate::codec::{Addressed, Source, Target, codec};
use crate::neutral::{Block, Delta, Dialect, Event, Losses, PartKind, Reply, Stop};
use crate::provider::{self, Quirks};
use crate::{Scanner, Surface};

/// What a preset says; of a vendor without one, what is assumed of any compatible server.
fn quirks(id: &str) -> &'static Quirks {
    let preset = provider::preset(id).or_else(|| provider::preset("openai-compatible"));
    &preset.expect("there is one for all").quirks
}

/// What becomes of a request in Messages at the vendor `id`, and the losses that matter.
fn asked(id: &str, more: &Value) -> (Value, Vec<String>) {
    let mut body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    written(id, Dialect::AnthropicMessages, &body)
}

fn written(id: &str, from: Dialect, body: &Value) -> (Value, Vec<String>) {
    let addressed = Addressed { model: "m", stream: false };
    let request = codec(from).unwrap().decode_request(&body.to_string(), &addressed).unwrap();
    let target = Target { provider: id, model: "m", quirks: quirks(id), clamp: None, max_output: 4096 };
    let mut losses = Losses::default();
    let written = codec(Dialect::OpenAiChat).unwrap().encode_request(&request, &target, &mut losses).unwrap();
    let lost = losses.refused().map(str::to_owned).collect();
    (serde_json::from_slice(&written).unwrap(), lost)
}

fn answered(id: &str, body: &Value) -> Reply {
    let source = Source { quirks: quirks(id), choices: 1 };
    codec(Dialect::OpenAiChat).unwrap().decode_reply(&body.to_string(), &source).unwrap()
}

fn streamed(id: &str, stream: &str) -> Vec<Event> {
    let source = Source { quirks: quirks(id), choices: 1 };
    let (mut decoder, mut events) = (codec(Dialect::OpenAiChat).unwrap().stream_decoder(&source), Vec::new());
    decoder.push(stream.as_bytes(), &mut events).unwrap();
    decoder.finish(&mut events);
    events
}

/// The chunks as events, without a marker behind them.
fn data(chunks: &[Value]) -> String {
    chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect()
}

/// The same as `data`, with the marker.
fn done(chunks: &[Value]) -> String {
    format!("{}data: [DONE]\n\n", data(chunks))
}

fn text_of(events: &[Event], of: fn(&Delta) -> Option<&str>) -> String {
    let delta = |event: &Event| match event {
        Event::Delta { delta, .. } => of(delta).map(str::to_owned),
        _ => None,
    };
    events.iter().filter_map(delta).collect()
}

fn text(events: &[Event]) -> String {
    text_of(events, |delta| if let Delta::Text(text) = delta { Some(text) } else { None })
}

fn thoughts(events: &[Event]) -> String {
    text_of(events, |delta| if let Delta::Thought(text) = delta { Some(text) } else { None })
}

fn stop(events: &[Event]) -> Option<&Stop> {
    events.iter().find_map(|event| match event {
        Event::Finish { stop, .. } => Some(stop),
        _ => None,
    })
}

fn called(reply: &Reply) -> Vec<(&str, &str)> {
    let call = |part: &'_ crate::neutral::Part| matches!(part.block, Block::ToolCall(_));
    let parts = reply.choices[0].parts.iter().filter(|part| call(part));
    parts
        .filter_map(|part| match &part.block {
            Block::ToolCall(call) => Some((&*call.name, &*call.args)),
            _ => None,
        })
        .collect()
}

/// A conversation with a call of a tool, of whose thoughts nothing is known.
fn call_without_thoughts() -> Value {
    json!({"messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "1"}]},
    ]})
}

#[test]
fn deepseek_and_moonshot_get_thoughts_with_every_call() {
    for (id, expected) in [
        ("deepseek", json!(" ")),
        ("moonshot", json!(" ")),
        ("zhipu", Value::Null),
        ("openai-compatible", Value::Null),
    ] {
        let mut conversation = call_without_thoughts();
        let (body, _) = asked(id, &conversation);
        assert_eq!(body["messages"][1]["reasoning_content"], expected, "{id}");
        conversation["thinking"] = json!({"type": "disabled"});
        let (body, _) = asked(id, &conversation);
        assert_eq!(body["messages"][1]["reasoning_content"], Value::Null, "{id}");
    }
    let mut conversation = call_without_thoughts();
    let said = json!({"type": "thinking", "thinking": "hm", "signature": "s"});
    conversation["messages"][1]["content"].as_array_mut().unwrap().insert(0, said);
    for id in ["deepseek", "moonshot", "zhipu", "qwen", "volcengine"] {
        let (body, _) = asked(id, &conversation);
        assert_eq!(body["messages"][1]["reasoning_content"], "hm", "{id}");
    }
}

#[test]
fn moonshot_is_not_told_that_a_tool_must_be_called() {
    let more = json!({"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "any"}});
    let (body, lost) = asked("moonshot", &more);
    assert_eq!((&body["tool_choice"], lost), (&json!("auto"), vec!["tool_choice".to_owned()]));
    let (body, lost) = asked("deepseek", &more);
    assert_eq!((&body["tool_choice"], lost), (&json!("required"), vec![]));
    let named =
        json!({"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "tool", "name": "f"}});
    let (body, lost) = asked("moonshot", &named);
    assert_eq!((&body["tool_choice"]["function"]["name"], lost), (&json!("f"), vec![]));
}

#[test]
fn moonshots_temperatures_are_narrow() {
    for (id, temperature, choices, expected) in [
        ("moonshot", json!(1.5), 1, json!(1)),
        ("moonshot", json!(0.1), 1, json!(0.1)),
        ("moonshot", json!(0.1), 2, json!(0.3)),
        ("moonshot", json!(0.6), 2, json!(0.6)),
        ("deepseek", json!(1.5), 2, json!(1.5)),
    ] {
        let request = json!({"model": "m", "temperature": temperature, "n": choices,
            "messages": [{"role": "user", "content": "hi"}]});
        let (body, lost) = written(id, Dialect::OpenAiChat, &request);
        assert_eq!(body["temperature"], expected, "{id} {temperature} {choices}");
        assert_eq!(lost.is_empty(), temperature == expected, "{id} {temperature} {choices}");
    }
}

#[test]
fn snowflakes_blank_calls_are_no_calls() {
    let blank = json!({"arguments": "", "name": ""});
    let mut body = json!({"id": "", "service_tier": "", "choices": [{"index": 0, "finish_reason": "",
        "message": {"role": "assistant", "content": "Hi", "function_call": blank, "refusal": "",
            "tool_calls": null}}]});
    let reply = answered("snowflake", &body);
    assert_eq!((called(&reply), &reply.choices[0].stop), (vec![], &Stop::End));
    let message = &mut body["choices"][0]["message"];
    message["tool_calls"] = json!([{"custom": {"input": "", "name": ""},
        "function": {"arguments": "{}", "name": "f"}, "id": "t", "type": "function"}]);
    message["reasoning_details"] = json!([{"type": "reasoning.text", "text": "hm", "signature": "s",
        "format": "anthropic-claude-v1", "index": 0}]);
    let reply = answered("snowflake", &body);
    assert_eq!((called(&reply), &reply.choices[0].stop), (vec![("f", "{}")], &Stop::ToolUse));
    assert!(matches!(&reply.choices[0].parts[0].block, Block::Reasoning(one) if one.opaque.len() == 1));
    let chunk = json!({"choices": [{"index": 0, "delta": {"content": "Hi", "function_call": blank},
        "finish_reason": ""}]});
    let events = streamed("snowflake", &done(&[chunk]));
    assert_eq!((text(&events).as_str(), stop(&events)), ("Hi", Some(&Stop::End)));
    let call = json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "t",
        "custom": {"input": "", "name": ""}, "function": {"name": "f", "arguments": "{}"}}]}}]});
    let events = streamed("snowflake", &done(&[call]));
    let is_function = |event: &Event| {
        matches!(event, Event::PartStart { kind: PartKind::ToolCall(call), .. }
            if call.kind == crate::neutral::ToolCallKind::Function && call.name == "f")
    };
    assert!(events.iter().any(is_function), "{events:?}");
}

#[test]
fn where_thoughts_stand_is_known_of_every_vendor() {
    for (id, delta) in [
        ("deepseek", json!({"reasoning_content": "hm"})),
        ("qwen", json!({"reasoning_content": "hm"})),
        ("moonshot", json!({"reasoning_content": "hm"})),
        ("zhipu", json!({"reasoning_content": "hm"})),
        ("volcengine", json!({"reasoning_content": "hm"})),
        ("xai", json!({"reasoning_content": "hm"})),
        ("minimax", json!({"content": "<think>hm</think>"})),
        ("minimax", json!({"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]})),
        (
            "openrouter",
            json!({"reasoning": "hm", "reasoning_details": [
            {"type": "reasoning.text", "text": "hm", "format": "unknown", "index": 0}]}),
        ),
        ("mistral", json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]})),
        ("groq", json!({"reasoning": "hm", "channel": "analysis"})),
        ("ollama", json!({"reasoning": "hm"})),
        ("huggingface", json!({"role": "assistant", "reasoning": "hm"})),
        ("vllm", json!({"reasoning": "hm"})),
        ("vllm", json!({"reasoning_content": "hm"})),
    ] {
        let rest = json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}}]});
        let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "p": "abc"});
        let first = json!({"id": "c", "choices": [{"index": 0, "delta": delta, "token_id": 7}]});
        let events = streamed(id, &done(&[first, rest, end]));
        assert_eq!((thoughts(&events).as_str(), text(&events).as_str()), ("hm", "Hi"), "{id} {delta}");
        assert_eq!(events.last(), Some(&Event::End), "{id}");
    }
}

#[test]
fn usage_in_streams_is_asked_for_where_it_must_be_and_read_where_it_stands() {
    let usage = json!({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13});
    let text = json!({"choices": [{"index": 0, "delta": {"content": "Hi"}}]});
    let end = |more: Value| {
        let mut chunk = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
        chunk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        chunk
    };
    let own = json!({"choices": [], "usage": usage});
    let on_choice = end(json!({"usage": usage}));
    for (id, asks, chunks) in [
        ("openai", true, vec![text.clone(), end(json!({})), own.clone()]),
        ("azure", true, vec![text.clone(), end(json!({})), own.clone()]),
        ("qwen", true, vec![text.clone(), end(json!({})), own.clone()]),
        ("volcengine", true, vec![text.clone(), end(json!({})), own.clone()]),
        ("xai", true, vec![text.clone(), end(json!({})), own.clone()]),
        ("ollama", true, vec![text.clone(), end(json!({})), own.clone()]),
        ("vllm", true, vec![text.clone(), end(json!({})), own.clone()]),
        ("snowflake", false, vec![text.clone(), end(json!({})), own]),
        ("deepseek", false, vec![text.clone(), on_choice.clone()]),
        ("zhipu", false, vec![text.clone(), on_choice.clone()]),
        ("mistral", false, vec![text.clone(), on_choice.clone()]),
        ("openrouter", true, vec![text.clone(), on_choice.clone()]),
        ("groq", false, vec![text.clone(), end(json!({"x_groq": {"id": "r", "usage": usage}}))]),
        ("groq", false, vec![text.clone(), on_choice]),
        (
            "moonshot",
            false,
            vec![
                text.clone(),
                json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}]}),
            ],
        ),
        (
            "perplexity",
            false,
            vec![
                json!({"usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
                "choices": [{"index": 0, "delta": {"content": "Hi"}}]}),
                end(
                    json!({"usage": usage, "object": "chat.completion.done", "citations": ["https://a.example"]}),
                ),
            ],
        ),
    ] {
        assert_eq!(quirks(id).takes_include_usage, asks, "{id}");
        let events = streamed(id, &done(&chunks));
        let stated = events.iter().rev().find_map(|event| match event {
            Event::Usage(used) => Some((used.counters.input, used.counters.output)),
            _ => None,
        });
        assert_eq!(stated, Some((9, 4)), "{id}");
    }
}

#[test]
fn who_sends_no_marker_is_whole_with_its_choices() {
    let end = json!({"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]});
    for (id, whole) in
        [("perplexity", true), ("groq", true), ("gemini", true), ("openai", false), ("azure", false)]
    {
        let events = streamed(id, &data(std::slice::from_ref(&end)));
        assert_eq!(events.last() == Some(&Event::End), whole, "{id}");
    }
}

#[test]
fn failures_within_streams_are_seen_in_every_vendors_form() {
    let begun = json!({"choices": [{"index": 0, "delta": {"content": "Half"}}]});
    let groq = json!({"error": {"message": "no call", "type": "invalid_request_error",
        "code": "tool_use_failed", "failed_generation": "", "status_code": 400}});
    let openrouter = json!({"error": {"code": 502, "message": "gone"},
        "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error",
            "native_finish_reason": "error"}]});
    let minimax = json!({"choices": [], "base_resp": {"status_code": 1002, "status_msg": "slow down"}});
    let zhipu =
        json!({"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "network_error"}]});
    for (id, stream, status, code) in [
        (
            "groq",
            format!("{}event: error\ndata: {groq}\n\n", data(std::slice::from_ref(&begun))),
            Some(400),
            "tool_use_failed",
        ),
        (
            "openrouter",
            format!(": OPENROUTER PROCESSING\n\n{}", data(&[begun.clone(), openrouter])),
            Some(502),
            "",
        ),
        ("minimax", data(&[begun.clone(), minimax]), None, "1002"),
        ("zhipu", data(&[begun, zhipu]), Some(502), "network_error"),
    ] {
        let events = streamed(id, &stream);
        let failure = events.iter().find_map(|event| match event {
            Event::Error(failure) => Some(failure),
            _ => None,
        });
        let failure = failure.unwrap_or_else(|| panic!("{id}: {events:?}"));
        assert_eq!((failure.status, failure.code.as_deref().unwrap_or_default()), (status, code), "{id}");
    }
}

#[test]
fn zhipus_network_error_is_no_answer() {
    let body = json!({"choices": [{"index": 0, "finish_reason": "network_error",
        "message": {"role": "assistant", "content": "Half"}}]});
    let source = Source { quirks: quirks("zhipu"), choices: 1 };
    assert!(codec(Dialect::OpenAiChat).unwrap().decode_reply(&body.to_string(), &source).is_err());
    // A stream that is relayed as it is.
    let end = json!({"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "network_error"}]});
    let mut scanner = Scanner::stream(Surface::ChatCompletions, quirks("zhipu"), false, 1);
    scanner.push(data(&[end]).into()).unwrap();
    let code = scanner.failure().and_then(|failure| failure.code.as_deref());
    assert_eq!((code, scanner.content_begun()), (Some("network_error"), false));
}

#[test]
fn vendors_own_reasons_to_finish_are_known() {
    for (id, reason, expected) in [
        ("together", "eos", Stop::End),
        ("snowflake", "", Stop::End),
        ("zhipu", "sensitive", Stop::Filter),
        ("azure", "content_filter", Stop::Filter),
        ("mistral", "model_length", Stop::Length),
    ] {
        let body = json!({"choices": [{"index": 0, "finish_reason": reason,
            "message": {"role": "assistant", "content": "Hi"}}]});
        assert_eq!(answered(id, &body).choices[0].stop, expected, "{id}");
    }
}

#[test]
fn azure_begins_without_a_choice() {
    let first = json!({"choices": [], "created": 0, "id": "", "model": "", "object": "",
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]});
    let second = json!({"id": "c", "model": "m", "choices": [{"index": 0, "content_filter_results": {},
        "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]});
    let events = streamed("azure", &done(&[first, second]));
    assert_eq!(events[0], Event::Start { id: "c".to_owned(), model: "m".to_owned() });
    assert_eq!(text(&events), "Hi");
}

#[test]
fn mistrals_ids_have_nine_letters_on_both_sides_of_a_call() {
    let (body, _) = asked("mistral", &call_without_thoughts());
    let id = body["messages"][1]["tool_calls"][0]["id"].as_str().unwrap();
    assert!(id.len() == 9 && id.chars().all(|c| c.is_ascii_alphanumeric()), "{id}");
    assert_eq!(body["messages"][2]["tool_call_id"], id);
}

#[test]
fn thinking_is_asked_for_in_every_vendors_words() {
    let budget = json!({"max_tokens": 4096, "thinking": {"type": "enabled", "budget_tokens": 2048}});
    for (id, expected) in [
        ("qwen", json!({"enable_thinking": true, "thinking_budget": 2048})),
        ("deepseek", json!({"thinking": {"type": "enabled"}})),
        ("moonshot", json!({"thinking": {"type": "enabled"}})),
        ("zhipu", json!({"thinking": {"type": "enabled"}})),
        ("volcengine", json!({"thinking": {"type": "enabled"}})),
        ("openrouter", json!({"reasoning": {"max_tokens": 2048}})),
        ("minimax", json!({"reasoning_split": true})),
    ] {
        let (body, _) = asked(id, &budget);
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&body[name], value, "{id}");
        }
        let said = |name: &&str| body.get(*name).is_some();
        let all = [
            "enable_thinking",
            "thinking_budget",
            "thinking",
            "reasoning",
            "reasoning_split",
            "reasoning_effort",
        ];
        assert_eq!(all.iter().filter(|name| said(name)).count(), expected.as_object().unwrap().len(), "{id}");
    }
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}],
        "thinking": {"type": "enabled", "clear_thinking": false}});
    let (body, _) = written("zhipu", Dialect::OpenAiChat, &body);
    assert_eq!(body["thinking"]["type"], "enabled");
}

#[test]
fn googles_compatible_endpoint_names_no_calls_and_seals_them() {
    let body = json!({"id": "c", "choices": [{"index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "tool_calls": [
            {"id": "", "type": "function", "function": {"name": "f", "arguments": "{}"},
                "extra_content": {"google": {"thought_signature": "seal"}}},
            {"id": "", "type": "function", "function": {"name": "g", "arguments": "{}"}}]}}],
        "usage": {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}});
    let reply = answered("gemini", &body);
    let calls: Vec<_> = reply.choices[0]
        .parts
        .iter()
        .filter_map(|part| match &part.block {
            Block::ToolCall(call) => Some(call),
            _ => None,
        })
        .collect();
    assert!(!calls[0].id.is_empty() && calls[0].id != calls[1].id);
    assert_eq!(calls[0].opaque[0].data, "seal");
    let used = reply.usage.unwrap().counters;
    assert_eq!((used.input, used.output, used.reasoning), (35, 74, 62));
}

#[test]
fn counts_that_only_some_vendors_have_are_read() {
    let usage = |id: &str, usage: Value| {
        let body = json!({"usage": usage, "choices": [{"index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": "Hi"}}]});
        let used = answered(id, &body).usage.unwrap().counters;
        [used.input, used.cache_read, used.cache_write_5m, used.output, used.reasoning]
    };
    let qwen = json!({"prompt_tokens": 20, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4,
        "cache_type": "ephemeral", "cache_creation_input_tokens": 6}});
    assert_eq!(usage("qwen", qwen), [10, 4, 6, 3, 0]);
    let moonshot = json!({"prompt_tokens": 20, "completion_tokens": 3, "cached_tokens": 10});
    assert_eq!(usage("moonshot", moonshot), [10, 10, 0, 3, 0]);
    let deepseek = json!({"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 4,
        "prompt_cache_miss_tokens": 6});
    assert_eq!(usage("deepseek", deepseek), [6, 4, 0, 5, 0]);
    let xai = json!({"prompt_tokens": 12, "completion_tokens": 9,
        "completion_tokens_details": {"reasoning_tokens": 5}});
    assert_eq!(usage("xai", xai), [12, 0, 0, 14, 5]);
    let groq = json!({"queue_time": 0.1, "prompt_tokens": 8, "completion_tokens": 2, "total_time": 0.5});
    assert_eq!(usage("groq", groq), [8, 0, 0, 2, 0]);
    let perplexity = json!({"prompt_tokens": 8, "completion_tokens": 1, "cost": {"total_cost": 0.006}});
    assert_eq!(usage("perplexity", perplexity), [8, 0, 0, 1, 0]);
}

#[test]
fn googles_calls_in_one_stream_are_several_although_none_has_an_id() {
    let call = |name: &str, args: &str| {
        json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "",
            "function": {"name": name, "arguments": args}}]}}]})
    };
    let events =
        streamed("gemini", &done(&[call("f", r#"{"a":"#), call("f", "1}"), call("f", r#"{"a":2}"#)]));
    let args = text_of(&events, |delta| if let Delta::Args(args) = delta { Some(args) } else { None });
    let begun = |event: &&Event| matches!(event, Event::PartStart { kind: PartKind::ToolCall(_), .. });
    assert_eq!((events.iter().filter(begun).count(), &*args), (2, r#"{"a":1}{"a":2}"#), "{events:?}");
}

#[test]
fn perplexitys_pages_are_cited() {
    let pages = json!([{"url": "https://a.example", "title": "A"}, {"url": "https://b.example"}]);
    let mut body = json!({"citations": ["https://a.example"], "search_results": pages,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"},
            "delta": {"role": "assistant", "content": ""}}]});
    let urls = |body: &Value| match &answered("perplexity", body).choices[0].parts[0].block {
        Block::Text(text) => text.citations.iter().filter_map(|page| page.url.clone()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(urls(&body), ["https://a.example", "https://b.example"]);
    let begun = json!({"search_results": pages, "choices": [{"index": 0, "delta": {"content": "Hi"}}]});
    let events = streamed("perplexity", &data(&[begun, body.clone()]));
    let cites = |event: &&Event| matches!(event, Event::Delta { delta: Delta::Citation(_), .. });
    assert_eq!((events.iter().filter(cites).count(), events.last()), (2, Some(&Event::End)));
    body.as_object_mut().unwrap().remove("search_results");
    assert_eq!(urls(&body), ["https://a.example"]);
}
