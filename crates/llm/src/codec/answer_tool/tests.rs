//! The tool in the request, and its call in answers of both kinds.

use serde_json::{Value, json};

use super::*;
use crate::Quirks;
use crate::codec::{Addressed, Asked, Source, Target, Translation, codec, fit};
use crate::neutral::Dialect;

const OLD: &str = "claude-sonnet-4-20250514";
const SCHEMA: &str = r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}"#;

/// A caller's request in Chat, as it is written for Claude in `dialect`, with what its answer is read with.
fn written(dialect: Dialect, model: &str, body: &Value) -> (Value, Asked, Losses) {
    let addressed = Addressed { model: "m", stream: false };
    let chat = codec(Dialect::OpenAiChat).unwrap();
    let mut request = chat.decode_request(&body.to_string(), &addressed).unwrap();
    let target =
        Target { provider: "anthropic", model, quirks: &Quirks::NONE, clamp: None, max_output: 32_000 };
    let (mut asked, mut losses) = (Asked::of(&request), Losses::default());
    fit(&mut request, dialect, &target, &mut asked, &mut losses);
    let out = codec(dialect).unwrap().encode_request(&request, &target, &mut losses).unwrap();
    (serde_json::from_slice(&out).unwrap(), asked, losses)
}

fn ask(schema: &str, more: Value) -> Value {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "day", "schema": schema}}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn an_old_model_is_made_to_call_a_tool_in_both_of_its_dialects() {
    let (body, asked, losses) = written(Dialect::AnthropicMessages, OLD, &ask(SCHEMA, json!({})));
    assert!(body["output_config"].is_null(), "{body}");
    let tool = &body["tools"][0];
    assert_eq!((&tool["name"], &tool["input_schema"]["required"]), (&json!(NAME), &json!(["n"])));
    assert!(tool["description"].as_str().unwrap().ends_with("day"), "{tool}");
    assert_eq!(body["tool_choice"], json!({"type": "tool", "name": NAME}));
    assert_eq!(asked.answer_tool, Some(AnswerTool { name: NAME.into(), is_wrapped: false }));
    assert_eq!((losses.list().len(), losses.refused().count()), (1, 0));
    let (body, asked, _) = written(Dialect::BedrockConverse, OLD, &ask(SCHEMA, json!({})));
    assert_eq!(body["toolConfig"]["toolChoice"], json!({"tool": {"name": NAME}}));
    assert!(body["outputConfig"].is_null() && asked.answer_tool.is_some(), "{body}");
    let closed = json!({"additionalProperties": false});
    let mut schema: Value = serde_json::from_str(SCHEMA).unwrap();
    schema.as_object_mut().unwrap().extend(closed.as_object().unwrap().clone());
    let newer = ask(&schema.to_string(), json!({}));
    let (body, asked, losses) = written(Dialect::AnthropicMessages, "claude-sonnet-4-5", &newer);
    assert_eq!(body["output_config"]["format"]["schema"], schema);
    assert!(asked.answer_tool.is_none() && body["tools"].is_null() && losses.is_empty(), "{body}");
}

#[test]
fn a_schema_that_a_new_model_refuses_comes_by_a_tool_too() {
    let map = r#"{"type":"object","additionalProperties":{"type":"string"}}"#;
    let (body, asked, _) = written(Dialect::AnthropicMessages, "claude-opus-5-5", &ask(map, json!({})));
    assert_eq!(body["tools"][0]["input_schema"]["additionalProperties"]["type"], "string", "{body}");
    assert!(asked.answer_tool.is_some());
}

#[test]
fn the_callers_own_tools_are_not_taken_from_the_model() {
    let tools = json!([{"type": "function", "function": {"name": NAME, "parameters": {}}}]);
    for (choice, expected, is_offered) in [
        (json!(null), json!({"type": "any"}), true),
        (json!("auto"), json!({"type": "any"}), true),
        (json!("none"), json!({"type": "tool", "name": "structured_answer_"}), true),
        (json!("required"), json!({"type": "any"}), false),
        (
            json!({"type": "function", "function": {"name": NAME}}),
            json!({"type": "tool", "name": NAME}),
            false,
        ),
    ] {
        let body = ask(SCHEMA, json!({"tools": tools, "tool_choice": choice}));
        let (body, asked, losses) = written(Dialect::AnthropicMessages, OLD, &body);
        assert_eq!(body["tool_choice"], expected, "{choice}");
        assert_eq!(body["tools"].as_array().unwrap().len(), 1 + usize::from(is_offered), "{choice}");
        assert_eq!(asked.answer_tool.is_some(), is_offered, "{choice}");
        assert_eq!(losses.list().len(), 1, "{choice}: {:?}", losses.list());
    }
}

#[test]
fn a_model_that_thinks_is_told_in_words() {
    let body = ask(SCHEMA, json!({"reasoning_effort": "high", "max_completion_tokens": 9000}));
    let (body, asked, losses) = written(Dialect::AnthropicMessages, OLD, &body);
    assert_eq!(body["tool_choice"]["type"], "auto", "{body}");
    assert!(body["system"].to_string().contains(NAME) && asked.answer_tool.is_some(), "{body}");
    assert_eq!(losses.refused().collect::<Vec<_>>(), ["response_format"]);
}

#[test]
fn an_answer_that_is_no_object_is_the_one_argument() {
    let schema =
        r##"{"type":"array","items":{"$ref":"#/$defs/d"},"$defs":{"d":{"type":"object","properties":{}}}}"##;
    let (body, asked, _) = written(Dialect::AnthropicMessages, OLD, &ask(schema, json!({})));
    let given = &body["tools"][0]["input_schema"];
    assert_eq!(given["properties"][ARGUMENT], json!({"type": "array", "items": {"$ref": "#/$defs/d"}}));
    assert_eq!((&given["required"], &given["$defs"]["d"]["type"]), (&json!([ARGUMENT]), &json!("object")));
    let tool = asked.answer_tool.unwrap();
    assert_eq!((tool.is_wrapped, &*tool.answer(r#"{"answer": [1, 2]}"#)), (true, "[1, 2]"));
    assert_eq!(tool.answer(r#"[1]"#), "[1]");
}

fn asked(is_wrapped: bool) -> Asked {
    let answer_tool = Some(AnswerTool { name: NAME.into(), is_wrapped });
    Asked { model: "m".into(), choices: 1, id: "x".into(), answer_tool, ..Asked::default() }
}

/// What a caller of Chat gets of an answer in Messages, whole or cut into pieces of `size` bytes.
fn told(asked: Asked, answer: &str, size: Option<usize>) -> String {
    let (from, to) = (Dialect::AnthropicMessages, Dialect::OpenAiChat);
    let source = Source { quirks: &Quirks::NONE, choices: 1 };
    let translation = match size {
        Some(_) => Translation::of_stream(from, to, &source, asked),
        None => Translation::of_whole(from, to, &source, asked),
    };
    let mut translation = translation.unwrap();
    let mut out = Vec::new();
    for piece in answer.as_bytes().chunks(size.unwrap_or(usize::MAX)) {
        out.extend_from_slice(&translation.push(piece).unwrap());
    }
    out.extend_from_slice(&translation.flush());
    assert!(translation.is_whole(), "{answer}");
    String::from_utf8(out).unwrap()
}

/// The content of a stream of Chat, and why it ended.
fn content(stream: &str) -> (String, String, usize) {
    let (mut text, mut reason, mut calls) = (String::new(), String::new(), 0);
    for data in stream.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let Ok(chunk) = serde_json::from_str::<Value>(data) else { continue };
        let choice = &chunk["choices"][0];
        text += choice["delta"]["content"].as_str().unwrap_or_default();
        calls += choice["delta"]["tool_calls"].as_array().map_or(0, Vec::len);
        reason += choice["finish_reason"].as_str().unwrap_or_default();
    }
    (text, reason, calls)
}

fn whole(content: &Value) -> String {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content,
        "stop_reason": "tool_use", "usage": {"input_tokens": 1, "output_tokens": 1}})
    .to_string()
}

fn stream(blocks: &[Value]) -> String {
    let mut out = String::new();
    let mut event = |data: Value| {
        out.push_str(&format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap()));
    };
    event(json!({"type": "message_start", "message": {"id": "msg_1", "model": "m",
        "usage": {"input_tokens": 1, "output_tokens": 1}}}));
    for (index, block) in blocks.iter().enumerate() {
        let (start, deltas) = match block["type"].as_str() {
            Some("text") => {
                let text = block["text"].as_str().unwrap();
                (json!({"type": "text", "text": ""}), vec![json!({"type": "text_delta", "text": text})])
            }
            _ => {
                let args = block["input"].to_string();
                let (a, b) = args.split_at(args.len() / 2);
                let start =
                    json!({"type": "tool_use", "id": block["id"], "name": block["name"], "input": {}});
                (start, [a, b].map(|part| json!({"type": "input_json_delta", "partial_json": part})).to_vec())
            }
        };
        event(json!({"type": "content_block_start", "index": index, "content_block": start}));
        for delta in deltas {
            event(json!({"type": "content_block_delta", "index": index, "delta": delta}));
        }
        event(json!({"type": "content_block_stop", "index": index}));
    }
    event(json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"},
        "usage": {"output_tokens": 2}}));
    event(json!({"type": "message_stop"}));
    out
}

fn call(name: &str, input: &Value) -> Value {
    json!({"type": "tool_use", "id": format!("toolu_{name}"), "name": name, "input": input})
}

#[test]
fn the_call_is_the_text_that_was_asked_for() {
    let text = |text: &str| json!({"type": "text", "text": text});
    let answer = json!({"n": 1});
    for (blocks, is_wrapped, expected) in [
        (vec![call(NAME, &answer)], false, (r#"{"n":1}"#, "stop", 0)),
        (vec![text("Let me see."), call(NAME, &answer)], false, (r#"{"n":1}"#, "stop", 0)),
        (vec![call(NAME, &answer), text("So.")], false, (r#"{"n":1}"#, "stop", 0)),
        (vec![call(NAME, &answer), call(NAME, &json!({"n": 2}))], false, (r#"{"n":1}"#, "stop", 0)),
        (vec![call(NAME, &json!({"answer": [1, 2]}))], true, ("[1,2]", "stop", 0)),
        (vec![call(NAME, &json!({"answer": "x"}))], true, (r#""x""#, "stop", 0)),
        (vec![text("I cannot."), call("own", &answer)], false, ("I cannot.", "tool_calls", 1)),
        (vec![text("I cannot.")], false, ("I cannot.", "tool_calls", 0)),
        (vec![call(NAME, &answer), call("own", &answer)], false, (r#"{"n":1}"#, "tool_calls", 1)),
    ] {
        let said: Value =
            serde_json::from_str(&told(asked(is_wrapped), &whole(&json!(blocks)), None)).unwrap();
        let choice = &said["choices"][0];
        let calls = choice["message"]["tool_calls"].as_array().map_or(0, Vec::len);
        let got = (choice["message"]["content"].as_str().unwrap(), choice["finish_reason"].as_str().unwrap());
        assert_eq!((got.0, got.1, calls), expected, "{said}");
        let bytes = stream(&blocks);
        for size in [1, 7, 64, bytes.len()] {
            let out = told(asked(is_wrapped), &bytes, Some(size));
            let (text, reason, deltas) = content(&out);
            assert_eq!((&*text, &*reason, deltas > 0), (expected.0, expected.1, expected.2 > 0), "{out}");
        }
    }
}

#[test]
fn a_call_without_arguments_is_an_empty_object() {
    let said: Value =
        serde_json::from_str(&told(asked(false), &whole(&json!([call(NAME, &json!({}))])), None)).unwrap();
    assert_eq!(said["choices"][0]["message"]["content"], "{}");
    let silent = stream(&[]).replace(
        "event: message_delta",
        &format!(
            "data: {}\n\ndata: {}\n\nevent: message_delta",
            json!({"type": "content_block_start", "index": 0, "content_block":
                {"type": "tool_use", "id": "toolu_1", "name": NAME, "input": {}}}),
            json!({"type": "content_block_stop", "index": 0})
        ),
    );
    assert_eq!(content(&told(asked(false), &silent, Some(9))).0, "{}");
}
