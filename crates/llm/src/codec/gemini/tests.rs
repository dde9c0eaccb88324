//! The rules of requests and answers, on examples of our own.

use serde_json::{Value, json};

use crate::codec::{Addressed, Asked, Source, Target, codec};
use crate::neutral::{
    Block, Delta, Dialect, Event, Format, Losses, Opaque, OpaqueKind, Part, PartKind, Reasoning, Request,
    Role, Stop, Thinking, ToolCall, ToolChoice, ToolKind, Turn,
};
use crate::provider::Quirks;

fn decoded(body: &Value) -> Result<Request, model::Rejection> {
    let addressed = Addressed { model: "m", stream: true };
    codec(Dialect::Gemini).expect("a codec").decode_request(&body.to_string(), &addressed)
}

fn written(request: &Request, model: &str) -> (Value, Vec<String>) {
    let quirks = Quirks::default();
    let target = Target { provider: "gemini", model, quirks: &quirks, clamp: None, max_output: 8192 };
    let mut losses = Losses::default();
    let body =
        codec(Dialect::Gemini).expect("a codec").encode_request(request, &target, &mut losses).unwrap();
    (serde_json::from_slice(&body).unwrap(), losses.list().iter().map(|l| l.path.to_string()).collect())
}

fn asked(turns: Vec<(Role, Vec<Part>)>) -> Request {
    let mut request = Request::new(Dialect::OpenAiChat, "m");
    let numbered = turns.into_iter().enumerate();
    request.turns = numbered.map(|(place, (role, parts))| Turn::new(role, parts, place)).collect();
    request
}

fn call(id: &str, args: &str, seal: Option<&str>) -> Part {
    let opaque = seal.map(|data| Opaque {
        origin: Dialect::Gemini,
        kind: OpaqueKind::Signature,
        data: data.to_owned(),
    });
    Block::ToolCall(ToolCall {
        id: id.into(),
        name: "look".into(),
        args: args.into(),
        opaque: opaque.into_iter().collect(),
        ..ToolCall::default()
    })
    .into()
}

fn result(id: &str, text: &str, is_error: bool) -> Part {
    Block::ToolResult(crate::neutral::ToolResult {
        call_id: id.into(),
        name: None,
        kind: crate::neutral::ToolCallKind::Function,
        parts: vec![Part::text(text)],
        is_error,
    })
    .into()
}

#[test]
fn both_spellings_of_every_name_are_read() {
    let request = decoded(&json!({
        "system_instruction": {"parts": [{"text": "be brief"}]},
        "contents": [{"role": "user", "parts": [{"inlineData": {"mime_type": "image/png", "data": "Q-_="}}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}, {"google_search": {}}],
        "toolConfig": {"function_calling_config": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        "generation_config": {"max_output_tokens": 9, "topK": 3, "stop_sequences": ["x"], "candidateCount": 2,
            "responseMimeType": "application/json", "responseSchema": {"type": "STRING"},
            "thinkingConfig": {"thinking_budget": -1, "include_thoughts": true}, "mediaResolution": "LOW"},
        "safetySettings": [],
    }))
    .unwrap();
    assert_eq!((request.model.as_str(), request.stream, request.max_output), ("m", true, Some(9)));
    assert_eq!(request.tool_choice, Some(ToolChoice::Named("f".into())));
    assert_eq!(request.tools[0].schema.as_ref().unwrap().text(), r#"{"type":"object"}"#);
    assert_eq!((&request.tools[1].kind, request.choices), (&ToolKind::WebSearch, 2));
    assert!(
        matches!(&request.format, Format::Schema { schema, .. } if schema.text() == r#"{"type":"string"}"#)
    );
    assert_eq!(request.reasoning.thinking, Some(Thinking::Adaptive));
    let Block::Media(media) = &request.turns[0].parts[0].block else { panic!() };
    assert_eq!(media.source, crate::neutral::MediaSource::Base64("Q+/=".into()));
    let (own, losses) = written(&request, "gemini-2.5-pro");
    assert_eq!(own["generationConfig"]["mediaResolution"], "LOW");
    assert_eq!((&own["safetySettings"], losses.len()), (&json!([]), 0));
    let cached = json!({"contents": [], "cachedContent": "cachedContents/1"});
    assert_eq!(decoded(&cached).unwrap_err().param.as_deref(), Some("cachedContent"));
}

#[test]
fn turns_alternate_and_results_follow_their_calls() {
    let request = asked(vec![
        (Role::Assistant, vec![Part::text("before")]),
        (Role::User, vec![Part::text("a"), Part::text("")]),
        (Role::Assistant, vec![call("c1", r#"{"x":1e40}"#, Some("seal")), call("c2", "no json", None)]),
        (Role::User, vec![result("c1", r#"{"deg":1}"#, false)]),
        (Role::User, vec![result("c2", "broken", true)]),
        (Role::System, vec![Part::text("now")]),
    ]);
    let (body, _) = written(&request, "gemini-2.5-pro");
    let roles: Vec<&str> =
        body["contents"].as_array().unwrap().iter().map(|turn| turn["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "model", "user", "model", "user"]);
    let calls = &body["contents"][3]["parts"];
    assert_eq!(calls[0]["thoughtSignature"], "seal");
    assert_eq!(calls[1]["functionCall"]["args"], json!({"input": "no json"}));
    let results = &body["contents"][4]["parts"];
    assert_eq!(results[0]["functionResponse"], json!({"id": "c1", "name": "look", "response": {"deg": 1}}));
    assert_eq!(results[1]["functionResponse"]["response"], json!({"error": "broken"}));
    assert_eq!(results[2]["text"], "<system>\nnow\n</system>");
}

#[test]
fn newer_models_are_given_a_signature_that_nobody_has() {
    let request = asked(vec![
        (Role::User, vec![Part::text("a")]),
        (Role::Assistant, vec![call("c1", "{}", None), call("c2", "{}", None)]),
    ]);
    let (newer, _) = written(&request, "gemini-3-pro-preview");
    let parts = &newer["contents"][1]["parts"];
    assert_eq!(parts[0]["thoughtSignature"], "skip_thought_signature_validator");
    assert!(parts[1].get("thoughtSignature").is_none());
    let (older, _) = written(&request, "gemini-2.5-flash");
    assert!(older["contents"][1]["parts"][0].get("thoughtSignature").is_none());
}

#[test]
fn effort_is_a_level_or_a_budget() {
    let mut request = asked(vec![(Role::User, vec![Part::text("a")])]);
    request.reasoning.effort = Some(crate::neutral::Effort::Low);
    let thinking =
        |request: &Request, model| written(request, model).0["generationConfig"]["thinkingConfig"].clone();
    assert_eq!(thinking(&request, "gemini-3-pro"), json!({"thinkingLevel": "low", "includeThoughts": true}));
    assert_eq!(
        thinking(&request, "gemini-2.5-pro"),
        json!({"thinkingBudget": 2048, "includeThoughts": true})
    );
    request.reasoning.thinking = Some(Thinking::Off);
    assert_eq!(thinking(&request, "gemini-2.5-flash"), json!({"thinkingBudget": 0}));
}

fn read(chunks: &[Value]) -> Vec<Event> {
    let text: String = chunks.iter().map(|data| format!("data: {data}\r\n\r\n")).collect();
    let quirks = Quirks::default();
    let source = Source { quirks: &quirks, choices: 1 };
    let mut decoder = codec(Dialect::Gemini).expect("a codec").stream_decoder(&source);
    let mut events = Vec::new();
    decoder.push(text.as_bytes(), &mut events).unwrap();
    decoder.finish(&mut events);
    events
}

#[test]
fn stop_behind_a_call_is_a_call_and_no_reason_is_no_end() {
    let part = |part: Value| json!({"candidates": [{"content": {"parts": [part]}}], "responseId": "r"});
    let end = json!({"candidates": [{"content": {"parts": []}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 3, "thoughtsTokenCount": 2, "totalTokenCount": 5}});
    let called =
        part(json!({"functionCall": {"name": "look", "args": {"b": 1, "a": 2}}, "thoughtSignature": "s"}));
    let events = read(&[called.clone(), end]);
    let Event::PartStart { kind: PartKind::ToolCall(call), .. } = &events[1] else { panic!("{events:?}") };
    assert!(call.id.starts_with("call_") && call.opaque[0].data == "s", "{call:?}");
    assert!(events.contains(&Event::Delta { part: 0, delta: Delta::Args(r#"{"a":2,"b":1}"#.into()) }));
    assert!(events.iter().any(|event| matches!(event, Event::Finish { stop: Stop::ToolUse, .. })));
    let output = events.iter().find_map(|event| match event {
        Event::Usage(used) => Some(used.counters.output),
        _ => None,
    });
    assert_eq!((output, events.last()), (Some(2), Some(&Event::End)));
    assert!(!read(&[called]).contains(&Event::End));
    let blocked = read(&[json!({"promptFeedback": {"blockReason": "SAFETY"}})]);
    assert!(blocked.iter().any(|event| matches!(event, Event::Finish { stop: Stop::Filter, .. })));
}

fn told(as_array: bool, events: Vec<Event>) -> String {
    let asked = Asked { id: "x".into(), model: "m".into(), as_array, ..Asked::default() };
    let mut encoder = codec(Dialect::Gemini).expect("a codec").stream_encoder(&asked);
    let mut out = Vec::new();
    events.into_iter().for_each(|event| encoder.encode(event, &mut out));
    String::from_utf8(out).unwrap()
}

#[test]
fn a_stream_is_events_or_one_array_and_calls_come_whole() {
    let events = || {
        let call = ToolCall { id: "c1".into(), name: "look".into(), ..ToolCall::default() };
        vec![
            Event::Start { id: "a".into(), model: "real".into() },
            Event::PartStart { part: 0, choice: 0, kind: PartKind::Text },
            Event::Delta { part: 0, delta: Delta::Text("ü".into()) },
            Event::PartStop { part: 0 },
            Event::PartStart { part: 1, choice: 0, kind: PartKind::ToolCall(call) },
            Event::Delta { part: 1, delta: Delta::Args("{\"a\"".into()) },
            Event::Delta { part: 1, delta: Delta::Args(":1}".into()) },
            Event::PartStop { part: 1 },
            Event::Finish { choice: 0, stop: Stop::ToolUse, native: None },
            Event::End,
        ]
    };
    let array: Value = serde_json::from_str(&told(true, events())).unwrap();
    let stream = told(false, events());
    let listed: Vec<Value> = stream
        .split("\r\n\r\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    assert_eq!(array, json!(listed));
    assert_eq!(array[1]["candidates"][0]["content"]["parts"][0]["functionCall"]["args"], json!({"a": 1}));
    assert_eq!(array[2]["candidates"][0]["finishReason"], "STOP");
}

#[test]
fn thoughts_of_other_makers_are_carried_as_bytes() {
    let seal = Opaque { origin: Dialect::AnthropicMessages, kind: OpaqueKind::Signature, data: "sig".into() };
    let stream = told(
        true,
        vec![
            Event::PartStart { part: 0, choice: 0, kind: PartKind::Reasoning },
            Event::Delta { part: 0, delta: Delta::Thought("h".into()) },
            Event::Delta { part: 0, delta: Delta::Thought("m".into()) },
            Event::Delta { part: 0, delta: Delta::Opaque(seal.clone()) },
            Event::PartStop { part: 0 },
            Event::Finish { choice: 0, stop: Stop::End, native: None },
            Event::End,
        ],
    );
    let chunks: Vec<Value> = serde_json::from_str(&stream).unwrap();
    let parts: Vec<&Value> =
        chunks.iter().map(|chunk| &chunk["candidates"][0]["content"]["parts"][0]).collect();
    let again = decoded(&json!({"contents": [{"role": "model", "parts": parts}]})).unwrap();
    let Block::Reasoning(thoughts) = &again.turns[0].parts[0].block else { panic!("{again:?}") };
    assert_eq!(thoughts, &Reasoning { text: "hm".into(), opaque: vec![seal], ..Reasoning::default() });
}

/// Vertex, asked to stream arguments, tells a call's name first, then pieces of its arguments, then nothing.
#[test]
fn arguments_in_pieces_become_those_of_their_call() {
    let chunk = |call: Value| json!({"candidates": [{"content": {"role": "model", "parts": [{"functionCall": call}]}}]});
    let piece = |path: &str, text: &str| {
        chunk(json!({"partialArgs": [{"jsonPath": path, "stringValue": text}], "willContinue": true}))
    };
    let events = read(&[
        chunk(json!({"name": "theme"})),
        chunk(json!({"name": "screen", "willContinue": true})),
        piece("$.id", "A"),
        piece("$.id", "B"),
        chunk(json!({})),
        chunk(json!({"name": "screen", "willContinue": true})),
        piece("$.at.x", "C"),
        json!({"candidates": [{"finishReason": "STOP"}]}),
    ]);
    let called: Vec<String> = events
        .iter()
        .filter_map(|event| match event {
            Event::PartStart { kind: PartKind::ToolCall(call), .. } => Some(call.name.clone()),
            Event::Delta { delta: Delta::Args(args), .. } => Some(args.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(called, ["theme", "{}", "screen", r#"{"id":"AB"}"#, "screen", r#"{"at":{"x":"C"}}"#]);
    let stops = events.iter().filter(|event| matches!(event, Event::PartStop { .. })).count();
    assert_eq!(stops, 3);
    assert!(matches!(&events[..], [.., Event::Finish { stop: Stop::ToolUse, .. }, Event::End]), "{events:?}");
}

#[test]
fn what_an_answer_repeats_is_cited_where_it_stands_whole_and_in_streams() {
    for list in ["citationSources", "citations"] {
        let told = json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "é by A"}]}, "finishReason": "STOP",
            "citationMetadata": {list: [{"startIndex": 6, "endIndex": 7, "uri": "https://a"}, {"license": "mit"}]}}]});
        let source = Source { quirks: &Quirks::default(), choices: 1 };
        let reply = codec(Dialect::Gemini).unwrap().decode_reply(&told.to_string(), &source).unwrap();
        let Block::Text(text) = &reply.choices[0].parts[0].block else { panic!("{reply:?}") };
        let found = (text.citations[0].url.as_deref(), text.citations[0].span, text.citations.len());
        assert_eq!(found, (Some("https://a"), Some((5, 6)), 1));
        let events = read(&[told]);
        let cited = events.iter().find_map(|event| match event {
            Event::Delta { delta: Delta::Citation(citation), .. } => Some(citation.span),
            _ => None,
        });
        assert_eq!(cited, Some(Some((5, 6))), "{events:?}");
    }
}
