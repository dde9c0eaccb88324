//! Defects that other gateways had in translating Responses, Gemini and Converse, or in more than one pair
//! (dialects reference §2.8), each by the name or number that it has there.

#[cfg(test)]
mod defects {
    use llm::aws_stream::write_frame;
    use llm::codec::{Addressed, Asked, Source, Target};
    use llm::neutral::{Dialect, Event, Losses};
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
        let mut encoder = codec(to).unwrap().stream_encoder(&asked());
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
