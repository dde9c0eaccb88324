//! The deviations of compatible vendors, each under its vendor's name (dialects reference §1.6 and §1.7).

use serde_json::{Value, json};

use crate::codec::{Addressed, Source, Target, codec};
use crate::neutral::{Block, Delta, Dialect, Event, Losses, PartKind, Reply, Stop};
use crate::provider::{self, Quirks};

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
