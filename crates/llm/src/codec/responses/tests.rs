//! The rules of requests and answers, on examples of our own.

use serde_json::{Value, json};

use crate::codec::{Addressed, Asked, Source, Target, codec};
use crate::neutral::{
    Block, Delta, Dialect, Event, Losses, Opaque, OpaqueKind, Part, PartKind, Reasoning, Reply, Request,
    Role, Stop, ToolCall, ToolCallKind, ToolKind,
};
use crate::provider::Quirks;

fn decoded(body: &Value) -> Result<Request, model::Rejection> {
    codec(Dialect::OpenAiResponses).expect("a codec").decode_request(&body.to_string(), &Addressed::default())
}

fn written_for(dialect: Dialect, request: &Request, model: &str) -> (Value, Vec<String>) {
    let quirks = Quirks::default();
    let target = Target { provider: "openai", model, quirks: &quirks, clamp: None, max_output: 8192 };
    let mut losses = Losses::default();
    let body = codec(dialect).expect("a codec").encode_request(request, &target, &mut losses).unwrap();
    (serde_json::from_slice(&body).unwrap(), losses.list().iter().map(|l| l.path.to_string()).collect())
}

fn played(asked: &Asked, events: Vec<Event>) -> Vec<Value> {
    let mut encoder = codec(Dialect::OpenAiResponses).expect("a codec").stream_encoder(asked);
    let mut out = Vec::new();
    events.into_iter().for_each(|event| encoder.encode(event, &mut out));
    let text = String::from_utf8(out).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn finished(parts: Vec<Event>, stop: Stop) -> Vec<Event> {
    let mut events = vec![Event::Start { id: "msg_1".into(), model: "m".into() }];
    events.extend(parts);
    events.push(Event::Finish { choice: 0, stop, native: None });
    events.push(Event::End);
    events
}

fn part(number: u32, kind: PartKind, deltas: Vec<Delta>) -> Vec<Event> {
    let mut events = vec![Event::PartStart { part: number, choice: 0, kind }];
    events.extend(deltas.into_iter().map(|delta| Event::Delta { part: number, delta }));
    events.push(Event::PartStop { part: number });
    events
}

#[test]
fn state_that_a_provider_keeps_is_refused_by_name() {
    for (field, value) in [
        ("previous_response_id", json!("resp_1")),
        ("conversation", json!("conv_1")),
        ("prompt", json!({"id": "pmpt_1"})),
        ("background", json!(true)),
    ] {
        let mut body = json!({"model": "m", "input": "x"});
        body[field] = value;
        assert_eq!(decoded(&body).unwrap_err().param.as_deref(), Some(field));
    }
    let reference = json!({"model": "m", "input": [{"type": "item_reference", "id": "msg_1"}]});
    assert_eq!(decoded(&reference).unwrap_err().param.as_deref(), Some("input[0]"));
    assert!(decoded(&json!({"model": "m", "input": "x", "previous_response_id": null})).is_ok());
}

#[test]
fn the_items_of_one_go_are_one_turn_and_what_leads_are_instructions() {
    let request = decoded(&json!({"model": "m", "instructions": "be brief", "input": [
        {"role": "developer", "content": "and kind"},
        {"role": "user", "content": [{"type": "input_text", "text": "hi"},
            {"type": "input_image", "image_url": "data:image/png;base64,QQ=="}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "gAAA"},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{\"x\":1e40}"},
        {"type": "function_call", "call_id": "c2", "name": "look", "arguments": ""},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "two"}]},
        {"role": "developer", "content": "now"},
    ]}))
    .unwrap();
    let roles: Vec<Role> = request.turns.iter().map(|turn| turn.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::User, Role::Developer]);
    assert_eq!(request.instructions.len(), 2);
    assert_eq!((request.turns[1].parts.len(), request.turns[2].parts.len()), (3, 2));
    let (chat, _) = written_for(Dialect::OpenAiChat, &request, "m");
    let calls = &chat["messages"][3]["tool_calls"];
    assert_eq!(calls[0]["function"]["arguments"], "{\"x\":1e40}");
    assert_eq!(chat["messages"][4]["tool_call_id"], "c1");
}

#[test]
fn tools_in_namespaces_and_of_free_text_have_one_name_and_come_back_by_their_own() {
    let request = decoded(&json!({"model": "m", "input": [
        {"type": "additional_tools", "role": "developer", "tools": [{"type": "namespace", "name": "fs", "tools": [
            {"type": "function", "name": "read", "parameters": {"type": "object"}},
            {"type": "custom", "name": "patch", "format": {"type": "text"}}]}]},
        {"role": "user", "content": "hi"},
        {"type": "custom_tool_call", "call_id": "c1", "namespace": "fs", "name": "patch", "input": "a\nb"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "ok"},
        {"type": "configuration_update", "reasoning": {"effort": "low"}},
    ]}))
    .unwrap();
    let names: Vec<&str> = request.tools.iter().map(|tool| &*tool.name).collect();
    assert_eq!(names, ["fs__read", "fs__patch"]);
    assert_eq!(request.reasoning.effort().map(crate::neutral::Effort::name), Some("low"));
    let (messages, _) = written_for(Dialect::AnthropicMessages, &request, "m");
    assert_eq!(messages["messages"][1]["content"][0]["input"], json!({"input": "a\nb"}));
    let asked = Asked { id: "x".into(), ..Asked::of(&request) };
    let call = |name: &str, args: &str| {
        let call = ToolCall { id: "toolu_1".into(), name: name.into(), ..ToolCall::default() };
        part(0, PartKind::ToolCall(call), vec![Delta::Args(args.into())])
    };
    let events = played(&asked, finished(call("fs__patch", r#"{"input":"x\ny"}"#), Stop::ToolUse));
    let done = &events[events.len() - 2]["item"];
    assert_eq!(done["type"], "custom_tool_call");
    assert_eq!(
        (&done["name"], &done["namespace"], &done["input"]),
        (&json!("patch"), &json!("fs"), &json!("x\ny"))
    );
    let events = played(&asked, finished(call("fs__read", ""), Stop::ToolUse));
    let done = &events[events.len() - 2]["item"];
    assert_eq!(
        (&done["type"], &done["name"], &done["arguments"]),
        (&json!("function_call"), &json!("read"), &json!("{}"))
    );
}

#[test]
fn a_stream_opens_and_closes_everything_and_ends_with_the_whole() {
    let asked = Asked { id: "x".into(), model: "asked".into(), ..Asked::default() };
    let mut parts = part(0, PartKind::Reasoning, vec![Delta::Thought("hm".into())]);
    parts.extend(part(1, PartKind::Text, vec![Delta::Text("a".into()), Delta::Text("b".into())]));
    let events = played(&asked, finished(parts, Stop::Length));
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.reasoning_summary_part.added",
            "response.reasoning_summary_text.delta",
            "response.reasoning_summary_text.done",
            "response.reasoning_summary_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.incomplete",
        ]
    );
    let numbers: Vec<u64> = events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
    assert!(numbers.iter().copied().eq(0..16), "{numbers:?}");
    let response = &events[15]["response"];
    assert_eq!(response["output"][1]["content"][0]["text"], "ab");
    assert_eq!(response["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!((&response["id"], &events[8]["output_index"]), (&json!("resp_1"), &json!(1)));
}

#[test]
fn what_another_maker_sealed_comes_back_as_its_own() {
    let seal =
        Opaque { origin: Dialect::AnthropicMessages, kind: OpaqueKind::Signature, data: "sig==".into() };
    let thoughts = Reasoning { text: "hm".into(), opaque: vec![seal.clone()], ..Reasoning::default() };
    let call = ToolCall {
        id: "c1".into(),
        name: "look".into(),
        args: "{}".into(),
        opaque: vec![Opaque { origin: Dialect::Gemini, kind: OpaqueKind::Signature, data: "gem".into() }],
        kind: ToolCallKind::Function,
    };
    let choice = crate::neutral::Choice {
        index: 0,
        parts: vec![Block::Reasoning(thoughts).into(), Block::ToolCall(call).into()],
        stop: Stop::ToolUse,
        native: None,
        logprobs: None,
        ext: crate::neutral::Ext::default(),
    };
    let reply = Reply { id: "msg_1".into(), choices: vec![choice], ..Reply::default() };
    let own = codec(Dialect::OpenAiResponses).expect("a codec");
    let out = own.encode_reply(&reply, &Asked::default(), &mut Losses::default());
    let answer: Value = serde_json::from_slice(&out).unwrap();
    let again = decoded(&json!({"model": "m", "input": answer["output"]})).unwrap();
    let seals: Vec<&Opaque> = again.turns[0]
        .parts
        .iter()
        .filter_map(|part| match &part.block {
            Block::Reasoning(thoughts) => thoughts.opaque.first(),
            _ => None,
        })
        .collect();
    assert_eq!((seals[0], seals[1].origin), (&seal, Dialect::Gemini));
    let Part { block: Block::Reasoning(first), .. } = &again.turns[0].parts[0] else { panic!() };
    assert_eq!(first.text, "hm");
    // Google's seal goes back onto the call behind it, and Anthropic's not at all.
    let (gemini, losses) = written_for(Dialect::Gemini, &again, "gemini-3-pro");
    assert_eq!(gemini["contents"][1]["parts"][0]["thoughtSignature"], "gem");
    assert!(losses.iter().any(|path| path.ends_with(".thinking")), "{losses:?}");
}

#[test]
fn what_comes_only_at_the_end_is_not_lost() {
    // LiteLLM #25321: a call of which only the end comes.
    let item = json!({"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": "{\"a\":1}"});
    let stream = [
        json!({"type": "response.created", "response": {"id": "resp_1", "model": "m"}}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        json!({"type": "response.completed", "response": {"id": "resp_1", "output": [item, {"type": "message",
            "role": "assistant", "content": [{"type": "output_text", "text": "late"}]}],
            "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}}}),
    ];
    let text: String = stream.iter().map(|data| format!("data: {data}\n\n")).collect();
    let quirks = Quirks::default();
    let source = Source { quirks: &quirks, choices: 1 };
    let mut decoder = codec(Dialect::OpenAiResponses).expect("a codec").stream_decoder(&source);
    let mut events = Vec::new();
    decoder.push(text.as_bytes(), &mut events).unwrap();
    decoder.finish(&mut events);
    let said = |wanted: &Delta| {
        events.iter().any(|event| matches!(event, Event::Delta { delta, .. } if delta == wanted))
    };
    assert!(said(&Delta::Args("{\"a\":1}".into())) && said(&Delta::Text("late".into())), "{events:?}");
    let calls = events.iter().filter(|e| matches!(e, Event::PartStart { kind: PartKind::ToolCall(_), .. }));
    assert_eq!(calls.count(), 1);
    assert!(events.contains(&Event::Finish { choice: 0, stop: Stop::ToolUse, native: None }));
    assert_eq!(events.last(), Some(&Event::End));
}

#[test]
fn a_request_for_openai_says_only_what_the_model_takes() {
    let mut request = Request::new(Dialect::AnthropicMessages, "m");
    request.turns.push(crate::neutral::Turn::new(Role::User, vec![Part::text("hi")], 0));
    request.sampling.temperature = Some(crate::neutral::Raw::new("0.5"));
    request.sampling.stop = vec!["x".into()];
    request.max_output = Some(5);
    request.reasoning.budget = Some(9_000);
    let (body, losses) = written_for(Dialect::OpenAiResponses, &request, "gpt-5.5");
    assert_eq!((&body["max_output_tokens"], &body["store"]), (&json!(16), &json!(false)));
    assert_eq!(body["reasoning"], json!({"effort": "high", "summary": "auto"}));
    assert_eq!(body["include"], json!(["reasoning.encrypted_content"]));
    assert_eq!(losses, ["temperature", "stop_sequences"]);
    let (body, losses) = written_for(Dialect::OpenAiResponses, &request, "gpt-4.1");
    assert_eq!((&body["temperature"], body.get("reasoning")), (&json!(0.5), None));
    assert_eq!(losses, ["stop_sequences", "thinking"]);
    assert!(request.tools.iter().all(|tool| tool.kind == ToolKind::Function));
}
