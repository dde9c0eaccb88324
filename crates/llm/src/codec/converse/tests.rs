//! The rules of requests, answers and failures, on examples of our own.

use serde_json::{Value, json};

use crate::aws_stream::write_frame;
use crate::codec::{Source, Target, codec};
use crate::neutral::{
    Block, Cache, Delta, Dialect, Effort, Event, Format, Losses, Media, MediaKind, MediaSource, Opaque,
    OpaqueKind, Part, PartKind, Raw, Reasoning, Request, Role, Stop, Thinking, Tool, ToolCall, ToolCallKind,
    ToolChoice, ToolKind, ToolResult, Turn,
};
use crate::provider::Quirks;

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5";

fn asked(turns: Vec<(Role, Vec<Part>)>) -> Request {
    let mut request = Request::new(Dialect::OpenAiChat, "m");
    let numbered = turns.into_iter().enumerate();
    request.turns = numbered.map(|(place, (role, parts))| Turn::new(role, parts, place)).collect();
    request
}

fn hello() -> Request {
    asked(vec![(Role::User, vec![Part::text("hi")])])
}

fn write_for(request: &Request, model: &str) -> (Value, Vec<String>) {
    let quirks = Quirks::default();
    let target = Target { provider: "bedrock", model, quirks: &quirks, clamp: None, max_output: 8192 };
    let mut losses = Losses::default();
    let body = codec(Dialect::BedrockConverse).unwrap().encode_request(request, &target, &mut losses);
    let lost = losses.list().iter().map(|loss| loss.path.to_string()).collect();
    (serde_json::from_slice(&body.unwrap()).unwrap(), lost)
}

fn write(request: &Request) -> Value {
    write_for(request, CLAUDE).0
}

fn tool(name: &str) -> Tool {
    Tool {
        kind: ToolKind::Function,
        name: name.to_owned(),
        description: Some("does".to_owned()),
        schema: Some(Raw::new(r#"{"properties":{"a":{"type":"string"}}}"#)),
        strict: None,
        cache: None,
        ext: crate::neutral::Ext::default(),
    }
}

fn call(id: &str, args: &str) -> Part {
    let call = ToolCall { id: id.into(), name: "look".into(), args: args.into(), ..ToolCall::default() };
    Block::ToolCall(call).into()
}

fn result(id: &str, parts: Vec<Part>, is_error: bool) -> Part {
    let call_id = id.to_owned();
    Block::ToolResult(ToolResult { call_id, name: None, kind: ToolCallKind::Function, parts, is_error })
        .into()
}

fn media(kind: MediaKind, mime: &str, source: MediaSource) -> Part {
    let name = (kind == MediaKind::Document).then(|| "Année: report_v2.final.pdf".to_owned());
    Block::Media(Media { kind, mime: Some(mime.to_owned()), source, name, detail: None }).into()
}

#[test]
fn neighbours_are_joined_and_results_come_first() {
    let request = asked(vec![
        (Role::Assistant, vec![Part::text("before")]),
        (Role::User, vec![Part::text("a"), Part::text(" ")]),
        (Role::Assistant, vec![call("c1", r#"{"x":1e40}"#), call("c:2", "")]),
        (Role::User, vec![result("c1", vec![Part::text("one")], false)]),
        (Role::User, vec![Part::text("and"), result("c:2", vec![], true)]),
        (Role::System, vec![Part::text("be brief")]),
    ]);
    let body = write(&request);
    let roles: Vec<&str> =
        body["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "user", "assistant", "user"]);
    assert_eq!(body["messages"][2]["content"], json!([{"text": "a"}]));
    let calls = &body["messages"][3]["content"];
    assert_eq!(calls[1]["toolUse"]["input"], json!({}));
    let id = calls[1]["toolUse"]["toolUseId"].as_str().unwrap();
    assert!(id.starts_with("tooluse_") && !id.contains(':'), "{id}");
    let last = &body["messages"][4]["content"];
    assert_eq!(last[0]["toolResult"], json!({"toolUseId": "c1", "content": [{"text": "one"}]}));
    assert_eq!(
        (&last[1]["toolResult"]["toolUseId"], &last[1]["toolResult"]["status"]),
        (&json!(id), &json!("error"))
    );
    assert_eq!(last[2], json!({"text": "and"}));
    assert!(last[3]["text"].as_str().unwrap().contains("be brief"), "{last}");
    // Tools that the history calls are known although none is offered.
    assert_eq!(body["toolConfig"]["tools"][0]["toolSpec"]["name"], "look");
    assert!(body["toolConfig"].get("toolChoice").is_none());
}

#[test]
fn numbers_keep_their_spelling() {
    let mut request = asked(vec![(Role::Assistant, vec![call("c", r#"{"n":12345678901234567890.10}"#)])]);
    request.sampling.temperature = Some(Raw::new("0.70"));
    let quirks = Quirks::default();
    let target = Target { provider: "bedrock", model: CLAUDE, quirks: &quirks, clamp: None, max_output: 1 };
    let body = codec(Dialect::BedrockConverse).unwrap();
    let body = body.encode_request(&request, &target, &mut Losses::default()).unwrap();
    let text = String::from_utf8(body).unwrap();
    assert!(text.contains("12345678901234567890.10") && text.contains(r#""temperature":0.70"#), "{text}");
}

#[test]
fn media_have_formats_and_documents_fitting_names() {
    let data = || MediaSource::Base64("AAAA".to_owned());
    let request = asked(vec![(
        Role::User,
        vec![
            media(MediaKind::Image, "image/jpg", data()),
            media(MediaKind::Document, "application/pdf", data()),
            media(MediaKind::Document, "text/plain", MediaSource::Text("t".to_owned())),
            media(MediaKind::Video, "video/mp4", MediaSource::Url("s3://b/k".to_owned())),
        ],
    )]);
    let content = write(&request)["messages"][0]["content"].clone();
    assert_eq!(content[0], json!({"image": {"format": "jpeg", "source": {"bytes": "AAAA"}}}));
    assert_eq!(content[1]["document"]["name"], "Ann e report v2 final");
    assert_eq!(content[2]["document"]["name"], "Ann e report v2 final 2");
    assert_eq!(content[2]["document"]["source"], json!({"text": "t"}));
    assert_eq!(content[3]["video"]["source"], json!({"s3Location": {"uri": "s3://b/k"}}));
    assert!(content[4]["text"].is_string(), "documents need words beside them: {content}");
    let url = MediaSource::Url("https://a.example/x.png".to_owned());
    let request = asked(vec![(Role::User, vec![media(MediaKind::Image, "image/png", url)])]);
    let quirks = Quirks::default();
    let target = Target { provider: "bedrock", model: CLAUDE, quirks: &quirks, clamp: None, max_output: 1 };
    let refused =
        codec(Dialect::BedrockConverse).unwrap().encode_request(&request, &target, &mut Losses::default());
    assert_eq!(refused.unwrap_err().code, model::Code::UnsupportedFeature);
}

#[test]
fn tools_have_schemas_of_objects_and_are_offered_once() {
    let mut request = hello();
    request.tools = vec![tool("read"), tool("plain"), tool("plain")];
    request.tools[1].kind = ToolKind::Custom(None);
    request.tool_choice = Some(ToolChoice::Named("read".to_owned()));
    request.parallel_tools = Some(false);
    let (body, lost) = write_for(&request, CLAUDE);
    let specs = body["toolConfig"]["tools"].as_array().unwrap();
    assert_eq!(specs.len(), 2);
    assert_eq!(specs[0]["toolSpec"]["inputSchema"]["json"]["type"], "object");
    assert_eq!(specs[1]["toolSpec"]["inputSchema"]["json"]["required"], json!(["input"]));
    assert_eq!(body["toolConfig"]["toolChoice"], json!({"tool": {"name": "read"}}));
    assert_eq!(lost, ["tools[2]", "parallel_tool_calls"]);
}

#[test]
fn a_choice_of_no_tool_drops_them_or_says_so() {
    let mut request = hello();
    request.tools = vec![tool("look")];
    request.tool_choice = Some(ToolChoice::None);
    assert!(write(&request).get("toolConfig").is_none());
    request.turns = asked(vec![
        (Role::User, vec![Part::text("a")]),
        (Role::Assistant, vec![call("c", "{}")]),
        (Role::User, vec![result("c", vec![], false)]),
    ])
    .turns;
    let body = write(&request);
    assert!(body["toolConfig"].get("toolChoice").is_none());
    assert!(body["system"][0]["text"].as_str().unwrap().contains("without calling any tool"));
}

#[test]
fn thinking_is_put_in_each_makers_words() {
    let mut request = hello();
    request.reasoning.effort = Some(Effort::High);
    request.sampling.temperature = Some(Raw::new("0.5"));
    request.tools = vec![tool("look")];
    request.tool_choice = Some(ToolChoice::Required);
    let (body, lost) = write_for(&request, CLAUDE);
    let fields = &body["additionalModelRequestFields"];
    assert_eq!(fields["thinking"], json!({"type": "enabled", "budget_tokens": 8191}));
    assert_eq!(body["inferenceConfig"], json!({"maxTokens": 8192}));
    assert_eq!(body["toolConfig"]["toolChoice"], json!({"auto": {}}));
    assert_eq!(lost, ["tool_choice", "temperature"]);
    let (body, _) = write_for(&request, "openai.gpt-oss-120b-1:0");
    assert_eq!(body["additionalModelRequestFields"], json!({"reasoning_effort": "high"}));
    let (body, _) = write_for(&request, "us.amazon.nova-2-lite-v1:0");
    assert_eq!(body["additionalModelRequestFields"]["reasoningConfig"]["maxReasoningEffort"], "high");
    let (_, lost) = write_for(&request, "meta.llama4");
    assert!(lost.contains(&"reasoning_effort".to_owned()), "{lost:?}");
    request.reasoning.thinking = Some(Thinking::Adaptive);
    let body = write(&request);
    assert_eq!(body["additionalModelRequestFields"]["thinking"], json!({"type": "adaptive"}));
    assert_eq!(body["outputConfig"]["effort"], "high");
    request.reasoning.thinking = Some(Thinking::Off);
    assert!(write(&request).get("additionalModelRequestFields").is_none());
}

#[test]
fn thoughts_go_back_to_their_maker_only() {
    let thoughts = |origin, kind| {
        let opaque = vec![Opaque { origin, kind, data: "seal".to_owned() }];
        Part::from(Block::Reasoning(Reasoning { text: "hm".into(), opaque, ..Reasoning::default() }))
    };
    let request = asked(vec![
        (Role::User, vec![Part::text("a")]),
        (
            Role::Assistant,
            vec![
                thoughts(Dialect::BedrockConverse, OpaqueKind::Signature),
                thoughts(Dialect::BedrockConverse, OpaqueKind::Redacted),
                thoughts(Dialect::AnthropicMessages, OpaqueKind::Signature),
                Part::text("b"),
            ],
        ),
        (Role::User, vec![Part::text("c")]),
    ]);
    let (body, lost) = write_for(&request, CLAUDE);
    let content = body["messages"][1]["content"].as_array().unwrap();
    assert_eq!(content.len(), 3);
    assert_eq!(content[0]["reasoningContent"]["reasoningText"], json!({"text": "hm", "signature": "seal"}));
    assert_eq!(content[1]["reasoningContent"], json!({"redactedContent": "seal"}));
    assert_eq!(lost, ["messages[1].content"]);
}

#[test]
fn marks_stand_behind_what_they_mark_and_are_four_at_most() {
    let marked = |cache| Part { cache: Some(cache), ..Part::text("x") };
    let mut request = asked(vec![(Role::User, (0..5).map(|_| marked(Cache::Usual)).collect())]);
    request.instructions = vec![Turn::new(
        Role::System,
        vec![Part::text("x-anthropic-billing-header: cc_version=1"), marked(Cache::Hour)],
        0,
    )];
    let (body, lost) = write_for(&request, CLAUDE);
    assert_eq!(body["system"], json!([{"text": "x"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]));
    assert_eq!(body["messages"][0]["content"].as_array().unwrap().len(), 5 + 3);
    assert_eq!(lost, ["cache_control"]);
    let (body, _) = write_for(&request, "meta.llama4");
    assert_eq!(body["messages"][0]["content"].as_array().unwrap().len(), 5);
}

#[test]
fn output_and_sampling_are_put_in_its_words() {
    let mut request = hello();
    request.max_output = Some(50);
    request.sampling.temperature = Some(Raw::new("1.7"));
    request.sampling.top_k = Some(Raw::new("5"));
    request.sampling.seed = Some(Raw::new("7"));
    request.sampling.stop = vec!["END".to_owned(), "\n".to_owned()];
    request.tier = Some("flex".to_owned());
    request.format = Format::Schema {
        name: Some("City".to_owned()),
        description: None,
        schema: Raw::new(r#"{"type":"object"}"#),
        strict: Some(true),
    };
    let (body, lost) = write_for(&request, CLAUDE);
    let inference = json!({"maxTokens": 50, "temperature": 1, "stopSequences": ["END"]});
    assert_eq!(body["inferenceConfig"], inference);
    assert_eq!(body["additionalModelRequestFields"], json!({"top_k": 5}));
    assert_eq!(body["serviceTier"], json!({"type": "flex"}));
    let schema = json!({"schema": r#"{"type":"object"}"#, "name": "City"});
    let format = json!({"type": "json_schema", "structure": {"jsonSchema": schema}});
    assert_eq!(body["outputConfig"]["textFormat"], format);
    assert_eq!(lost, ["temperature", "stop", "seed"]);
    request.format = Format::Json;
    assert!(write(&request)["system"][0]["text"].as_str().unwrap().contains("JSON object"));
}

fn events_of(frames: &[(&str, &str)]) -> Vec<Event> {
    let mut bytes = Vec::new();
    frames.iter().for_each(|(kind, payload)| write_frame(kind, payload, &mut bytes));
    let quirks = Quirks::default();
    let source = Source { quirks: &quirks, choices: 1 };
    let mut decoder = codec(Dialect::BedrockConverse).unwrap().stream_decoder(&source);
    let mut events = Vec::new();
    decoder.push(&bytes, &mut events).unwrap();
    decoder.finish(&mut events);
    events
}

#[test]
fn a_stream_is_whole_with_its_stop_and_its_metadata() {
    let stop = ("messageStop", r#"{"stopReason":"tool_use"}"#);
    let metadata = ("metadata", r#"{"usage":{"inputTokens":3,"outputTokens":2,"totalTokens":5}}"#);
    let begin = [
        ("messageStart", r#"{"role":"assistant","p":"abc"}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"Hi"}}"#),
        ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"t","name":"look"}}}"#,
        ),
        ("contentBlockStop", r#"{"contentBlockIndex":1}"#),
    ];
    for (end, whole) in [
        (vec![stop, metadata], true),
        (vec![metadata, stop], true),
        (vec![stop], false),
        (vec![metadata], false),
        (vec![], false),
    ] {
        let events = events_of(&[&begin[..], &end].concat());
        assert_eq!(events.last() == Some(&Event::End), whole, "{end:?}");
    }
    let events = events_of(&[&begin[..], &[stop, metadata]].concat());
    assert_eq!(events[1], Event::PartStart { part: 0, choice: 0, kind: PartKind::Text });
    assert_eq!(events[2], Event::Delta { part: 0, delta: Delta::Text("Hi".to_owned()) });
    let finish = Event::Finish { choice: 0, stop: Stop::ToolUse, native: Some("tool_use".to_owned()) };
    assert!(events.contains(&finish), "{events:?}");
}

#[test]
fn exceptions_within_a_stream_are_failures_with_a_status() {
    for (kind, status) in [
        ("throttlingException", 429),
        ("serviceUnavailableException", 503),
        ("modelStreamErrorException", 502),
        ("validationException", 400),
        ("somethingNewException", 502),
    ] {
        let events = events_of(&[
            ("messageStart", r#"{"role":"assistant"}"#),
            (kind, r#"{"message":"Too many requests"}"#),
            ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"late"}}"#),
        ]);
        let Some(Event::Error(failure)) = events.last() else { panic!("{events:?}") };
        assert_eq!((failure.status, failure.message.as_str()), (Some(status), "Too many requests"), "{kind}");
        assert_eq!(failure.code.as_deref(), Some(kind));
    }
}

#[test]
fn stop_reasons_are_those_of_the_reference() {
    let quirks = Quirks::default();
    let source = Source { quirks: &quirks, choices: 1 };
    for (native, stop) in [
        ("end_turn", Stop::End),
        ("max_tokens", Stop::Length),
        ("model_context_window_exceeded", Stop::ContextFull),
        ("tool_use", Stop::ToolUse),
        ("stop_sequence", Stop::Sequence(Some("END".to_owned()))),
        ("content_filtered", Stop::Refusal),
        ("guardrail_intervened", Stop::Filter),
        ("malformed_tool_use", Stop::MalformedTool),
        ("malformed_model_output", Stop::MalformedTool),
        ("something_new", Stop::End),
    ] {
        let body = json!({
            "output": {"message": {"role": "assistant", "content": [{"text": "a"}]}},
            "stopReason": native,
            "additionalModelResponseFields": {"stop_sequence": "END"},
        });
        let reply =
            codec(Dialect::BedrockConverse).unwrap().decode_reply(&body.to_string(), &source).unwrap();
        assert_eq!(reply.choices[0].stop, stop, "{native}");
        assert_eq!(reply.choices[0].native.as_deref(), Some(native));
    }
    let codec = codec(Dialect::BedrockConverse).unwrap();
    assert!(codec.decode_reply(r#"{"message":"no"}"#, &source).is_err());
}

#[test]
fn what_claude_refuses_beside_other_settings_is_left_out() {
    let mut request = hello();
    request.sampling.temperature = Some(Raw::new("0.5"));
    request.sampling.top_p = Some(Raw::new("0.9"));
    let (body, lost) = write_for(&request, CLAUDE);
    assert_eq!((&body["inferenceConfig"], lost), (&json!({"temperature": 0.5}), vec!["top_p".to_owned()]));
    let (body, lost) = write_for(&request, "us.amazon.nova-pro-v1:0");
    assert_eq!((&body["inferenceConfig"]["topP"], lost), (&json!(0.9), vec![]));
    // No answer is made longer than it was asked for.
    let mut request = hello();
    request.reasoning.budget = Some(2_000);
    request.max_output = Some(500);
    let (body, lost) = write_for(&request, "us.anthropic.claude-sonnet-4-v1:0");
    assert_eq!(
        (&body["inferenceConfig"], &body["additionalModelRequestFields"]),
        (&json!({"maxTokens": 500}), &Value::Null)
    );
    assert_eq!(lost, ["reasoning_effort"]);
}
