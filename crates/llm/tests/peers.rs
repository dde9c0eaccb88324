//! Defects that other gateways had in translating Chat and Messages (dialects reference §2.8), each by the
//! name or number that it has there.

#[cfg(test)]
mod defects {
    use llm::codec::{Addressed, Asked, Source, Target};
    use llm::neutral::{Dialect, Event, Losses};
    use llm::{Quirks, codec};
    use serde_json::{Value, json};

    const CHAT: Dialect = Dialect::OpenAiChat;
    const MESSAGES: Dialect = Dialect::AnthropicMessages;

    fn asked() -> Asked {
        Asked { model: "m".into(), choices: 1, include_usage: true, id: "x".into(), ..Asked::default() }
    }

    fn source() -> Source<'static> {
        const QUIRKS: Quirks = Quirks::NONE;
        Source { quirks: &QUIRKS, choices: 1 }
    }

    fn request_with(
        from: Dialect,
        to: Dialect,
        body: &Value,
        provider: &str,
        quirks: &Quirks,
    ) -> (Value, Losses) {
        let addressed = Addressed { model: "m", stream: false };
        let request = codec(from).unwrap().decode_request(&body.to_string(), &addressed).unwrap();
        let target = Target { provider, model: "claude-sonnet-4-5", quirks, clamp: None, max_output: 8192 };
        let mut losses = Losses::default();
        let out = codec(to).unwrap().encode_request(&request, &target, &mut losses).unwrap();
        (serde_json::from_slice(&out).unwrap(), losses)
    }

    fn to_messages(body: &Value) -> Value {
        request_with(CHAT, MESSAGES, body, "anthropic", &Quirks::NONE).0
    }

    fn to_chat(body: &Value) -> Value {
        request_with(MESSAGES, CHAT, body, "openai", &Quirks::NONE).0
    }

    /// A stream of data objects in `from`, as the data objects that a caller of `to` gets.
    fn stream(from: Dialect, to: Dialect, chunks: &[Value]) -> Vec<Value> {
        let mut text = String::new();
        for chunk in chunks {
            text.push_str(&format!("data: {chunk}\n\n"));
        }
        if from == CHAT {
            text.push_str("data: [DONE]\n\n");
        }
        let mut decoder = codec(from).unwrap().stream_decoder(&source());
        let mut events: Vec<Event> = Vec::new();
        decoder.push(text.as_bytes(), &mut events).unwrap();
        decoder.finish(&mut events);
        let mut encoder = codec(to).unwrap().stream_encoder(&asked());
        let mut out = Vec::new();
        events.into_iter().for_each(|event| encoder.encode(event, &mut out));
        let out = String::from_utf8(out).unwrap();
        let data = out.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter_map(|data| serde_json::from_str(data).ok()).collect()
    }

    fn delta(delta: Value) -> Value {
        json!({"id": "c1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
    }

    fn finish(reason: &str) -> Value {
        json!({"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    }

    fn call(index: i64, id: &str, name: &str, args: &str) -> Value {
        delta(json!({"tool_calls": [{"index": index, "id": id, "type": "function",
            "function": {"name": name, "arguments": args}}]}))
    }

    fn more(index: i64, args: &str) -> Value {
        delta(json!({"tool_calls": [{"index": index, "function": {"arguments": args}}]}))
    }

    /// The blocks of a stream of messages, with all that their deltas add.
    fn blocks(events: &[Value]) -> Vec<Value> {
        let mut blocks: Vec<Value> = Vec::new();
        let mut open = false;
        for event in events {
            match event["type"].as_str().unwrap() {
                "content_block_start" => {
                    assert!(!open, "a block within a block: {events:?}");
                    assert_eq!(event["index"], blocks.len());
                    blocks.push(event["content_block"].clone());
                    blocks.last_mut().unwrap()["json"] = json!("");
                    open = true;
                }
                "content_block_delta" => {
                    let block = blocks.last_mut().unwrap();
                    for (from, to) in [
                        ("text", "text"),
                        ("thinking", "thinking"),
                        ("signature", "signature"),
                        ("partial_json", "json"),
                    ] {
                        if let Some(added) = event["delta"][from].as_str() {
                            block[to] = json!(format!("{}{added}", block[to].as_str().unwrap_or_default()));
                        }
                    }
                }
                "content_block_stop" => open = false,
                _ => {}
            }
        }
        assert!(!open);
        blocks
    }

    #[test]
    fn litellm_32357_one_message_start_and_no_thinking_within_text() {
        let events = stream(
            CHAT,
            MESSAGES,
            &[
                delta(json!({"role": "assistant", "content": "", "reasoning_content": null})),
                delta(json!({"reasoning_content": "hm"})),
                delta(json!({"role": "assistant", "content": "a"})),
                delta(json!({"reasoning_content": "more"})),
                delta(json!({"content": "b"})),
                finish("stop"),
            ],
        );
        assert_eq!(events.iter().filter(|event| event["type"] == "message_start").count(), 1);
        let kinds: Vec<Value> = blocks(&events).into_iter().map(|block| block["type"].clone()).collect();
        assert_eq!(kinds, ["thinking", "text", "thinking", "text"]);
    }

    #[test]
    fn litellm_29518_reasoning_content_reaches_callers_of_messages() {
        let events = stream(CHAT, MESSAGES, &[delta(json!({"reasoning_content": "hm"})), finish("stop")]);
        assert_eq!(blocks(&events)[0]["thinking"], "hm");
        let body = json!({"id": "c", "choices": [{"index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": "a", "reasoning_content": "hm"}}]});
        let reply = codec(CHAT).unwrap().decode_reply(&body.to_string(), &source()).unwrap();
        let out = codec(MESSAGES).unwrap().encode_reply(&reply, &asked(), &mut Losses::default());
        let out: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(out["content"][0]["thinking"], "hm");
        assert_eq!(out["content"][1]["text"], "a");
    }

    #[test]
    fn litellm_15884_calls_without_id_or_with_a_negative_index_are_told_apart() {
        let events = stream(
            CHAT,
            MESSAGES,
            &[
                call(-1, "", "first", "{}"),
                call(-1, "", "second", "{\"a\":"),
                more(-1, "1}"),
                finish("tool_calls"),
            ],
        );
        let blocks = blocks(&events);
        assert_eq!(blocks.len(), 2, "{blocks:?}");
        assert_eq!((&blocks[0]["name"], &blocks[1]["name"]), (&json!("first"), &json!("second")));
        assert_eq!(blocks[1]["json"], "{\"a\":1}");
        let ids: Vec<&str> = blocks.iter().map(|block| block["id"].as_str().unwrap()).collect();
        assert!(!ids[0].is_empty() && ids[0] != ids[1], "{ids:?}");
    }

    #[test]
    fn litellm_16893_thought_signatures_survive_a_stream() {
        let seal = json!({"google": {"thought_signature": "SEAL"}});
        let mut first = call(0, "c", "f", "{}");
        first["choices"][0]["delta"]["tool_calls"][0]["extra_content"] = seal.clone();
        let chunks = stream(CHAT, CHAT, &[first, finish("tool_calls")]);
        let carried =
            chunks.iter().any(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0]["extra_content"] == seal);
        assert!(carried, "{chunks:?}");
    }

    #[test]
    fn litellm_8964_a_signature_is_never_null() {
        let events = stream(CHAT, MESSAGES, &[delta(json!({"reasoning": "hm"})), finish("stop")]);
        let seals: Vec<&Value> =
            events.iter().filter(|event| event["delta"]["type"] == "signature_delta").collect();
        assert_eq!(seals.len(), 1);
        assert!(seals[0]["delta"]["signature"].is_string());
    }

    #[test]
    fn bifrost_interleaved_calls_become_one_block_after_the_other() {
        let events = stream(
            CHAT,
            MESSAGES,
            &[
                call(0, "a", "f", ""),
                call(1, "b", "g", ""),
                more(0, "{\"x\":"),
                more(1, "{\"y\":2}"),
                more(0, "1}"),
                finish("tool_calls"),
            ],
        );
        let blocks = blocks(&events);
        assert_eq!((&blocks[0]["json"], &blocks[1]["json"]), (&json!("{\"x\":1}"), &json!("{\"y\":2}")));
    }

    #[test]
    fn bifrost_orphantoolresult_is_said_by_the_user() {
        let sent = to_messages(&json!({"model": "m", "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "yes?"},
            {"role": "tool", "tool_call_id": "gone", "content": "42"}]}));
        let last = &sent["messages"][2];
        assert_eq!(last["role"], "user");
        assert!(last["content"].as_array().unwrap().iter().all(|block| block["type"] == "text"), "{last}");
        assert!(last.to_string().contains("42"));
        let sent = to_chat(&json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "gone", "content": "42"}]}]}));
        assert_eq!(sent["messages"][0]["role"], "user", "{sent}");
    }

    #[test]
    fn bifrost_emptytoolresult_keeps_its_place() {
        let sent = to_messages(&json!({"model": "m", "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "c", "content": ""}]}));
        assert_eq!(sent["messages"][1]["content"][0]["input"], json!({}));
        assert_eq!(sent["messages"][2]["content"][0]["type"], "tool_result");
    }

    #[test]
    fn bifrost_emptytools_paramlesstool_typelesstoolschema() {
        let base = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        let mut body = base.clone();
        body["tools"] = json!([]);
        body["tool_choice"] = json!("auto");
        let sent = to_messages(&body);
        assert!(sent.get("tools").is_none() && sent.get("tool_choice").is_none(), "{sent}");
        body["tools"] = json!([{"type": "function", "function": {"name": "bare"}},
            {"type": "function", "function": {"name": "typeless", "parameters": {"properties": {"z": {}, "a": {}}}}}]);
        let sent = to_messages(&body);
        assert_eq!(sent["tools"][0]["input_schema"], json!({"type": "object", "properties": {}}));
        assert_eq!(sent["tools"][1]["input_schema"]["type"], "object");
        assert!(sent["tools"][1]["input_schema"]["properties"]["z"].is_object());
    }

    #[test]
    fn bifrost_duplicate_tool_names_are_offered_once() {
        let tool = json!({"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}});
        let body =
            json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": [tool, tool]});
        for to in Dialect::ALL {
            let (sent, losses) = request_with(CHAT, to, &body, "x", &Quirks::NONE);
            let list = match to {
                Dialect::Gemini => &sent["tools"][0]["functionDeclarations"],
                Dialect::BedrockConverse => &sent["toolConfig"]["tools"],
                _ => &sent["tools"],
            };
            assert_eq!(list.as_array().unwrap().len(), 1, "{to:?}: {sent}");
            assert_eq!(losses.refused().collect::<Vec<_>>(), ["tools[1]"], "{to:?}");
        }
    }

    #[test]
    fn bifrost_redactedthinkingenvelope_goes_both_ways() {
        let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "RED"}, {"type": "text", "text": "a"}]},
            {"role": "user", "content": "go on"}]});
        let details = Quirks { reasoning_replay: llm::provider::ReasoningReplay::Details, ..Quirks::NONE };
        let (sent, _) = request_with(MESSAGES, CHAT, &body, "openrouter", &details);
        assert_eq!(sent["messages"][1]["reasoning_details"][0]["data"], "RED");
        let mut back = sent.clone();
        back["model"] = json!("m");
        let sent = to_messages(&back);
        assert_eq!(sent["messages"][1]["content"][0], json!({"type": "redacted_thinking", "data": "RED"}));
    }

    #[test]
    fn bifrost_streamtruncation_never_ends_well() {
        let chunks = [delta(json!({"content": "a"}))];
        let text: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
        let mut decoder = codec(CHAT).unwrap().stream_decoder(&source());
        let mut events = Vec::new();
        decoder.push(text.as_bytes(), &mut events).unwrap();
        decoder.finish(&mut events);
        assert!(!events.iter().any(|event| matches!(event, Event::End | Event::Finish { .. })), "{events:?}");
    }

    #[test]
    fn bifrost_stopreasontooluse_though_the_provider_says_stop() {
        let events = stream(CHAT, MESSAGES, &[call(0, "c", "f", "{}"), finish("stop")]);
        let end = events.iter().find(|event| event["type"] == "message_delta").unwrap();
        assert_eq!(end["delta"]["stop_reason"], "tool_use");
    }

    #[test]
    fn bifrost_streamcacheusage_and_deltausagepresence() {
        let usage = json!({"id": "c1", "model": "m", "choices": [], "usage": {"prompt_tokens": 10,
            "completion_tokens": 2, "total_tokens": 12, "prompt_tokens_details": {"cached_tokens": 4}}});
        let events = stream(CHAT, MESSAGES, &[delta(json!({"content": "a"})), finish("stop"), usage]);
        let end = events.iter().find(|event| event["type"] == "message_delta").unwrap();
        assert_eq!(end["usage"]["input_tokens"], 6);
        assert_eq!(end["usage"]["cache_read_input_tokens"], 4);
        assert_eq!(end["usage"]["output_tokens"], 2);
        let start = &events[0]["message"]["usage"];
        assert!(start["input_tokens"].is_u64() && start["output_tokens"].is_u64());
    }

    #[test]
    fn bifrost_toolchoiceany_is_required() {
        let tools = json!([{"name": "f", "input_schema": {"type": "object"}}]);
        let ask = |choice: Value| {
            to_chat(&json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}],
                "tools": tools, "tool_choice": choice}))
        };
        assert_eq!(ask(json!({"type": "any"}))["tool_choice"], "required");
        let sent = ask(json!({"type": "auto", "disable_parallel_tool_use": true}));
        assert_eq!((&sent["tool_choice"], &sent["parallel_tool_calls"]), (&json!("auto"), &json!(false)));
        let sent = ask(json!({"type": "tool", "name": "f"}));
        assert_eq!(sent["tool_choice"], json!({"type": "function", "function": {"name": "f"}}));
    }

    #[test]
    fn bifrost_systemflatten_keeps_the_order_and_drops_the_billing_note() {
        let sent = to_chat(&json!({"model": "m", "max_tokens": 9, "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2"},
            {"type": "text", "text": "one"}, {"type": "text", "text": "two"}],
            "messages": [{"role": "user", "content": "hi"}, {"role": "system", "content": "later"},
                {"role": "user", "content": "go"}]}));
        let said: Vec<&str> =
            sent["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
        assert_eq!(said, ["system", "user", "system", "user"]);
        assert_eq!(sent["messages"][0]["content"], "one\n\ntwo");
    }

    #[test]
    fn bifrost_refusal_is_a_refusal_in_both() {
        let body = json!({"id": "c", "choices": [{"index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": null, "refusal": "no"}}]});
        let reply = codec(CHAT).unwrap().decode_reply(&body.to_string(), &source()).unwrap();
        let out = codec(MESSAGES).unwrap().encode_reply(&reply, &asked(), &mut Losses::default());
        let out: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&out["stop_reason"], &out["content"][0]["text"]), (&json!("refusal"), &json!("no")));
    }

    #[test]
    fn new_api_4240_marks_for_the_cache_go_from_chat_to_messages() {
        let sent = to_messages(&json!({"model": "m", "messages": [
            {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
            {"role": "user", "content": "hi"}]}));
        assert_eq!(sent["system"][0]["cache_control"], json!({"type": "ephemeral", "ttl": "1h"}));
    }

    #[test]
    fn a_foreign_seal_is_never_sent_to_anthropic() {
        let sent = to_messages(&json!({"model": "m", "messages": [{"role": "user", "content": "hi"},
            {"role": "assistant", "content": "a", "reasoning_content": "hm", "reasoning_details": [
                {"type": "reasoning.text", "text": "hm", "signature": "G", "format": "google-gemini-v1", "index": 0}]},
            {"role": "user", "content": "go on"}]}));
        assert_eq!(sent["messages"][1]["content"], json!([{"type": "text", "text": "a"}]));
        // The same, carried by a caller of Messages.
        let events = stream(
            CHAT,
            MESSAGES,
            &[delta(json!({"reasoning_content": "hm"})), delta(json!({"content": "a"})), finish("stop")],
        );
        let said = blocks(&events);
        let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": said[0]["signature"]},
                {"type": "text", "text": "a"}]},
            {"role": "user", "content": "go on"}]});
        let (sent, _) = request_with(MESSAGES, MESSAGES, &body, "anthropic", &Quirks::NONE);
        assert_eq!(sent["messages"][1]["content"], json!([{"type": "text", "text": "a"}]));
    }

    #[test]
    fn images_of_tool_results_follow_them() {
        let image =
            json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}});
        let sent =
            to_chat(&json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "look"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "shot", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [
                {"type": "text", "text": "here"}, image]}, {"type": "text", "text": "well?"}]}]}));
        assert_eq!(sent["messages"][2], json!({"role": "tool", "tool_call_id": "t", "content": "here"}));
        let content = &sent["messages"][3]["content"];
        assert_eq!(content[0]["text"], "image for tool result t");
        assert_eq!(content[1]["image_url"]["url"], "data:image/png;base64,QQ==");
        assert_eq!(content[2]["text"], "well?");
    }
}
