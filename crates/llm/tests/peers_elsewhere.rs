//! Defects that other gateways had in translating Responses, Gemini and Converse, or in more than one pair
//! (dialects reference §2.8), each by the name or number that it has there.

#[cfg(test)]
mod defects {
    use llm::aws_stream::write_frame;
    use llm::codec::{Addressed, Asked, Source, Target};
    use llm::neutral::{Block, Dialect, Event, Losses, Request};
    use llm::{Quirks, codec};
    use serde_json::{Value, json};

    const CHAT: Dialect = Dialect::OpenAiChat;
    const RESPONSES: Dialect = Dialect::OpenAiResponses;
    const MESSAGES: Dialect = Dialect::AnthropicMessages;
    const CONVERSE: Dialect = Dialect::BedrockConverse;
    const CALLERS: [Dialect; 4] = [CHAT, RESPONSES, MESSAGES, Dialect::Gemini];

    fn source() -> Source<'static> {
        const QUIRKS: Quirks = Quirks::NONE;
        Source { quirks: &QUIRKS, choices: 1 }
    }

    fn asked() -> Asked {
        Asked { model: "m".into(), choices: 1, include_usage: true, id: "x".into(), ..Asked::default() }
    }

    /// A caller's request as a provider gets it, and what its answer is read with.
    fn request(from: Dialect, to: Dialect, body: &Value) -> (Value, Asked) {
        let addressed = Addressed { model: "m", stream: false };
        let request = codec(from).unwrap().decode_request(&body.to_string(), &addressed).unwrap();
        let quirks = &Quirks::NONE;
        let target = Target { provider: "x", model: "m", quirks, clamp: None, max_output: 8192 };
        let out = codec(to).unwrap().encode_request(&request, &target, &mut Losses::default()).unwrap();
        (serde_json::from_slice(&out).unwrap(), Asked::of(&request))
    }

    fn reply(from: Dialect, to: Dialect, body: &Value, asked: &Asked) -> Value {
        let reply = codec(from).unwrap().decode_reply(&body.to_string(), &source()).unwrap();
        let out = codec(to).unwrap().encode_reply(&reply, asked, &mut Losses::default());
        serde_json::from_slice(&out).unwrap()
    }

    fn events(from: Dialect, bytes: &[u8]) -> Vec<Event> {
        let (mut decoder, mut events) = (codec(from).unwrap().stream_decoder(&source()), Vec::new());
        decoder.push(bytes, &mut events).unwrap();
        decoder.finish(&mut events);
        events
    }

    fn framed(chunks: &[Value]) -> Vec<u8> {
        chunks.iter().flat_map(|chunk| format!("data: {chunk}\n\n").into_bytes()).collect()
    }

    /// The data objects that a caller of `to` gets of a stream.
    fn stream(from: Dialect, to: Dialect, bytes: &[u8]) -> Vec<Value> {
        let asked = Asked { sealer: Some(from).filter(|from| *from == MESSAGES), ..asked() };
        let mut encoder = codec(to).unwrap().stream_encoder(&asked);
        let mut out = Vec::new();
        events(from, bytes).into_iter().for_each(|event| encoder.encode(event, &mut out));
        let out = String::from_utf8(out).unwrap();
        let data = out.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter_map(|data| serde_json::from_str(data).ok()).collect()
    }

    #[test]
    fn litellm_25321_arguments_of_which_only_the_end_comes() {
        let item = json!({"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": ""});
        let bytes = framed(&[
            json!({"type": "response.created", "response": {"id": "r", "model": "m"}}),
            json!({"type": "response.output_item.added", "output_index": 0, "item": item}),
            json!({"type": "response.function_call_arguments.done", "output_index": 0, "arguments": "{\"a\":1}"}),
            json!({"type": "response.completed", "response": {"id": "r", "output": []}}),
        ]);
        let args = stream(RESPONSES, MESSAGES, &bytes);
        let args: String = args.iter().filter_map(|event| event["delta"]["partial_json"].as_str()).collect();
        assert_eq!(args, r#"{"a":1}"#);
    }

    #[test]
    fn litellm_20433_thinking_reaches_callers_of_chat() {
        let thinking = json!({"type": "thinking", "thinking": "hm", "signature": "S"});
        let whole = json!({"id": "m", "type": "message", "role": "assistant", "model": "m",
            "content": [thinking, {"type": "text", "text": "a"}], "stop_reason": "end_turn"});
        let message = &reply(MESSAGES, CHAT, &whole, &asked())["choices"][0]["message"];
        assert_eq!((&message["reasoning_content"], &message["content"]), (&json!("hm"), &json!("a")));
        assert_eq!(message["reasoning_details"][0]["signature"], "S");
        let start = json!({"type": "thinking", "thinking": "", "signature": ""});
        let bytes = framed(&[
            json!({"type": "message_start", "message": {"id": "m", "model": "m"}}),
            json!({"type": "content_block_start", "index": 0, "content_block": start}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}),
            json!({"type": "message_stop"}),
        ]);
        let chunks = stream(MESSAGES, CHAT, &bytes);
        let said = |chunk: &Value| chunk["choices"][0]["delta"]["reasoning_content"] == "hm";
        assert!(chunks.iter().any(said), "{chunks:?}");
    }

    /// The seal of thoughts comes in an event of its own; without it the thoughts cannot go back beside the
    /// tool's result, and the model stops thinking.
    #[test]
    fn adk_python_5437_seals_of_streamed_thoughts_go_back_with_the_result_of_a_tool() {
        let start = |index, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
        let more =
            |index, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
        let stop = |index| json!({"type": "content_block_stop", "index": index});
        let bytes = framed(&[
            json!({"type": "message_start", "message": {"id": "m", "model": "m"}}),
            start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
            more(0, json!({"type": "thinking_delta", "thinking": "hm"})),
            more(0, json!({"type": "signature_delta", "signature": "SEAL"})),
            stop(0),
            start(1, json!({"type": "tool_use", "id": "t1", "name": "f", "input": {}})),
            stop(1),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}),
            json!({"type": "message_stop"}),
        ]);
        let chunks = stream(MESSAGES, CHAT, &bytes);
        let deltas = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]);
        let details = deltas.filter_map(|delta| delta["reasoning_details"].as_array()).flatten();
        let details: Vec<&Value> = details.collect();
        assert!(details.iter().any(|detail| detail["signature"] == "SEAL"), "{details:?}");
        let call = json!({"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
        let body = json!({"model": "m", "reasoning_effort": "high", "messages": [{"role": "user", "content": "hi"},
            {"role": "assistant", "content": null, "reasoning_details": details, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "t1", "content": "ok"}]});
        let (sent, _) = request(CHAT, MESSAGES, &body);
        let said = &sent["messages"][1]["content"];
        assert_eq!(said[0], json!({"type": "thinking", "thinking": "hm", "signature": "SEAL"}), "{sent}");
        assert_eq!(said[1]["type"], "tool_use");
    }

    #[test]
    fn envoy_1936_and_agentgateway_no_pair_is_missing() {
        for from in CALLERS {
            for to in Dialect::ALL.into_iter().filter(|to| *to != from) {
                assert!(llm::codec::translates(from, to), "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn envoy_1911_calls_as_vllm_streams_them() {
        let delta =
            |delta: Value| json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta}]});
        let mut chunks = vec![
            delta(json!({"role": "assistant", "content": ""})),
            delta(json!({"role": "assistant", "content": null, "reasoning": "hm"})),
            delta(json!({"tool_calls": [{"index": 0, "id": "chatcmpl-tool-1", "type": "function",
                "function": {"name": "f"}}]})),
            delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"a\""}}]})),
            delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]})),
        ];
        chunks.push(json!({"id": "c", "model": "m", "choices": [{"index": 0,
            "delta": {"content": ""}, "finish_reason": "stop", "stop_reason": null}]}));
        let mut bytes = framed(&chunks);
        bytes.extend_from_slice(b"data: [DONE]\n\n");
        let told = stream(CHAT, MESSAGES, &bytes);
        let args: String = told.iter().filter_map(|event| event["delta"]["partial_json"].as_str()).collect();
        assert_eq!(serde_json::from_str::<Value>(&args).unwrap(), json!({"a": 1}));
        let end = told.iter().find(|event| event["type"] == "message_delta").unwrap();
        assert_eq!(end["delta"]["stop_reason"], "tool_use");
        let kinds = told.iter().filter_map(|event| event["content_block"]["type"].as_str());
        assert_eq!(kinds.collect::<Vec<_>>(), ["thinking", "tool_use"]);
    }

    /// A caller's request in Chat as each provider reads it.
    fn everywhere(body: &Value) -> Vec<(Dialect, Value, Request)> {
        let read = |to| {
            let (sent, _) = request(CHAT, to, body);
            let addressed = Addressed { model: "m", stream: false };
            let again = codec(to).unwrap().decode_request(&sent.to_string(), &addressed).unwrap();
            (to, sent, again)
        };
        Dialect::ALL.into_iter().map(read).collect()
    }

    fn results(request: &Request) -> usize {
        let parts = request.turns.iter().flat_map(|turn| &turn.parts);
        parts.filter(|part| matches!(part.block, Block::ToolResult(_))).count()
    }

    #[test]
    fn bifrost_orphantoolresult_in_every_dialect() {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"},
            {"role": "assistant", "content": "yes?"}, {"role": "tool", "tool_call_id": "gone", "content": "42"}]});
        for (to, sent, again) in everywhere(&body) {
            assert_eq!(results(&again), 0, "{to:?}: {sent}");
            assert!(sent.to_string().contains("42"), "{to:?}: {sent}");
        }
    }

    #[test]
    fn bifrost_emptytoolresult_in_every_dialect() {
        let call = json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}});
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"},
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": ""}]});
        for (to, sent, again) in everywhere(&body) {
            assert_eq!(results(&again), 1, "{to:?}: {sent}");
            // Converse refuses a text without a word in it.
            assert!(to != CONVERSE || !sent.to_string().contains(r#""text":"""#), "{sent}");
        }
    }

    #[test]
    fn bifrost_emptytools_paramlesstool_typelesstoolschema_in_every_dialect() {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": []});
        for (to, sent, _) in everywhere(&body) {
            assert!(sent.get("tools").is_none() && sent.get("toolConfig").is_none(), "{to:?}: {sent}");
        }
        let tool = |function: Value| json!({"type": "function", "function": function});
        body["tools"] = json!([
            tool(json!({"name": "bare"})),
            tool(json!({"name": "empty", "parameters": {}})),
            tool(json!({"name": "typeless", "parameters": {"properties": {"z": {}}}}))
        ]);
        for (to, sent, again) in everywhere(&body) {
            assert_eq!(again.tools.len(), 3, "{to:?}: {sent}");
            for tool in again.tools.iter().filter_map(|tool| tool.schema.as_ref()) {
                let schema: Value = serde_json::from_str(tool.text()).unwrap();
                assert_eq!(schema["type"], "object", "{to:?}: {sent}");
            }
        }
    }

    /// Numbers beyond every range, text with escapes, and their order survive every pair.
    #[test]
    fn bifrost_3511_arguments_survive_in_every_dialect() {
        let args =
            r#"{"z":123456789012345678901234567890,"a":1e400,"t":"é \" \\ \n潮","n":{"k":[null,true]}}"#;
        let call = json!({"role": "assistant", "tool_calls": [{"id": "c1", "type": "function",
            "function": {"name": "f", "arguments": args}}]});
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}, call,
            {"role": "tool", "tool_call_id": "c1", "content": "ok"}],
            "tools": [{"type": "function", "function": {"name": "f"}}]});
        let addressed = Addressed { model: "m", stream: false };
        let read = codec(CHAT).unwrap().decode_request(&body.to_string(), &addressed).unwrap();
        for to in Dialect::ALL {
            let quirks = &Quirks::NONE;
            let target = Target { provider: "x", model: "m", quirks, clamp: None, max_output: 8192 };
            let out = codec(to).unwrap().encode_request(&read, &target, &mut Losses::default()).unwrap();
            let out = String::from_utf8(out).unwrap();
            // As an object, or as text within a text.
            let quoted = serde_json::to_string(args).unwrap();
            assert!(out.contains(args) || out.contains(&quoted), "{to:?}: {out}");
        }
    }

    #[test]
    fn bifrost_streamfailbilling_what_was_stated_before_a_failure_counts() {
        let bytes = framed(&[
            json!({"type": "message_start", "message": {"id": "m", "model": "m",
                "usage": {"input_tokens": 20, "cache_read_input_tokens": 5, "output_tokens": 1}}}),
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "no"}}),
        ]);
        let events = events(MESSAGES, &bytes);
        let used = events.iter().find_map(|event| match event {
            Event::Usage(used) => Some(used.counters),
            _ => None,
        });
        let used = used.unwrap();
        assert_eq!((used.input, used.cache_read, used.output), (20, 5, 1));
        assert!(matches!(events.last(), Some(Event::Error(_))), "{events:?}");
    }

    #[test]
    fn bifrost_guardrailstream_is_told_in_every_dialect() {
        let mut bytes = Vec::new();
        for (kind, payload) in [
            ("messageStart", r#"{"role":"assistant"}"#),
            ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"Sorry."}}"#),
            ("messageStop", r#"{"stopReason":"guardrail_intervened"}"#),
            ("metadata", r#"{"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3}}"#),
        ] {
            write_frame(kind, payload, &mut bytes);
        }
        let found = |to, pointer: &str| {
            let told = stream(CONVERSE, to, &bytes);
            told.iter()
                .rev()
                .find_map(|event| event.pointer(pointer).filter(|value| !value.is_null()).cloned())
        };
        assert_eq!(found(CHAT, "/choices/0/finish_reason"), Some(json!("content_filter")));
        assert_eq!(found(MESSAGES, "/delta/stop_reason"), Some(json!("refusal")));
        assert_eq!(found(RESPONSES, "/response/incomplete_details/reason"), Some(json!("content_filter")));
        assert_eq!(found(Dialect::Gemini, "/candidates/0/finishReason"), Some(json!("SAFETY")));
    }

    #[test]
    fn bifrost_namespace_bridge_goes_there_and_back() {
        let body = json!({"model": "m", "input": "hi", "tools": [{"type": "namespace", "name": "fs",
            "tools": [{"type": "function", "name": "read", "parameters": {"type": "object"}}]}]});
        let (sent, asked) = request(RESPONSES, MESSAGES, &body);
        assert_eq!(sent["tools"][0]["name"], "fs__read");
        let answer = json!({"id": "m", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "tool_use", "id": "t", "name": "fs__read", "input": {}}],
            "stop_reason": "tool_use"});
        let told = reply(MESSAGES, RESPONSES, &answer, &asked);
        let call = &told["output"][0];
        assert_eq!((&call["namespace"], &call["name"]), (&json!("fs"), &json!("read")), "{told}");
    }

    #[test]
    fn new_api_cache_tokens_go_both_ways() {
        let usage = json!({"input_tokens": 6, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3,
            "output_tokens": 2});
        let answer = json!({"id": "m", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "text", "text": "a"}], "stop_reason": "end_turn", "usage": usage});
        let told = &reply(MESSAGES, CHAT, &answer, &asked())["usage"];
        assert_eq!((&told["prompt_tokens"], &told["total_tokens"]), (&json!(13), &json!(15)), "{told}");
        assert_eq!(told["prompt_tokens_details"]["cached_tokens"], 4);
        let usage = json!({"prompt_tokens": 13, "completion_tokens": 2, "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}});
        let answer = json!({"id": "c", "choices": [{"index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": "a"}}], "usage": usage});
        let told = &reply(CHAT, MESSAGES, &answer, &asked())["usage"];
        let counts = ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];
        assert_eq!(counts.map(|name| told[name].as_u64().unwrap_or(0)), [6, 4, 3], "{told}");
    }
}
