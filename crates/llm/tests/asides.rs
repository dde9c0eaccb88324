//! What only the provider's dialect says of an answer is a loss by name for callers of every other, whole and in
//! streams, and what repeats the request or names a build is not.

#[cfg(test)]
mod asides {
    use bytes::Bytes;
    use llm::codec::{Asked, Source, Translation};
    use llm::neutral::{Dialect, Losses, Severity};
    use llm::{Quirks, Scanner, aws_stream, codec};
    use serde_json::{Value, json};

    /// A whole answer and what of it is lost, in order of the alphabet.
    fn whole(provider: Dialect) -> (Value, &'static [&'static str]) {
        match provider {
            Dialect::OpenAiChat => (
                json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": "a", "audio": {"id": "x"}},
                        "finish_reason": "stop", "content_filter_results": {"hate": {}}}],
                    "system_fingerprint": "fp", "prompt_filter_results": [1], "moderation": {"flagged": true}}),
                &[
                    "choices.content_filter_results",
                    "choices.message.audio",
                    "moderation",
                    "prompt_filter_results",
                ],
            ),
            Dialect::OpenAiResponses => (
                json!({"id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed",
                    "temperature": 1, "tools": [{"type": "function"}], "moderation": {"flagged": true},
                    "output": [{"type": "message", "role": "assistant",
                        "content": [{"type": "output_text", "text": "a"}]}]}),
                &["moderation"],
            ),
            Dialect::AnthropicMessages => (
                json!({"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
                    "content": [{"type": "text", "text": "a"}], "container": {"id": "k"},
                    "context_management": {"applied_edits": []}, "stop_details": null}),
                &["container", "context_management"],
            ),
            Dialect::Gemini => (
                json!({"responseId": "g", "modelVersion": "m", "modelStatus": {"stage": "LEGACY"}, "createTime": "t",
                    "candidates": [{"content": {"role": "model", "parts": [{"text": "a"}]}, "finishReason": "STOP",
                        "safetyRatings": [1], "avgLogprobs": -1.0}]}),
                &["candidates.avgLogprobs", "candidates.safetyRatings", "modelStatus"],
            ),
            Dialect::BedrockConverse => (
                json!({"output": {"message": {"role": "assistant", "content": [{"text": "a"}]}},
                    "stopReason": "end_turn", "metrics": {"latencyMs": 1}, "trace": {"guardrail": {}},
                    "additionalModelResponseFields": {"stop_sequence": "x", "kept": 1}}),
                &["additionalModelResponseFields.kept", "trace"],
            ),
        }
    }

    /// A stream of the same, and what of it is lost.
    fn stream(provider: Dialect) -> (Vec<u8>, &'static [&'static str]) {
        let sse = |events: &[Value]| -> Vec<u8> {
            events.iter().flat_map(|event| format!("data: {event}\n\n").into_bytes()).collect()
        };
        match provider {
            Dialect::OpenAiChat => {
                let chunk = |text: &str, end: Value| {
                    json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                        "system_fingerprint": "fp", "obfuscation": "xx", "moderation": {"flagged": true}, "choices":
                        [{"index": 0, "delta": {"role": "assistant", "content": text, "audio": {"id": "x"}},
                        "finish_reason": end, "content_filter_results": {"hate": {}}}]})
                };
                let mut bytes = sse(&[chunk("a", Value::Null), chunk("b", json!("stop"))]);
                bytes.extend_from_slice(b"data: [DONE]\n\n");
                (bytes, &["choices.content_filter_results", "choices.delta.audio", "moderation"])
            }
            Dialect::OpenAiResponses => {
                let (answer, lost) = whole(provider);
                let begun = json!({"type": "response.created", "response": {"id": "r", "model": "m"}});
                (sse(&[begun, json!({"type": "response.completed", "response": answer})]), lost)
            }
            Dialect::AnthropicMessages => (
                sse(&[
                    json!({"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant",
                        "model": "m", "content": [], "stop_reason": null, "container": {"id": "k"}}}),
                    json!({"type": "content_block_start", "index": 0, "content_block":
                        {"type": "text", "text": "a", "mark": 1}}),
                    json!({"type": "content_block_stop", "index": 0}),
                    json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null,
                        "stop_details": {"type": "x"}}, "context_management": {"applied_edits": []}}),
                    json!({"type": "message_stop"}),
                ]),
                &["container", "content.mark", "context_management", "stop_details"],
            ),
            Dialect::Gemini => {
                let (answer, lost) = whole(provider);
                (sse(&[answer]), lost)
            }
            Dialect::BedrockConverse => (frames(), &["additionalModelResponseFields.kept", "trace"]),
        }
    }

    /// A stream of Converse.
    fn frames() -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, payload) in [
            ("messageStart", json!({"role": "assistant", "p": "ab"})),
            ("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"text": "a"}, "p": "abc"})),
            ("contentBlockStop", json!({"contentBlockIndex": 0})),
            (
                "messageStop",
                json!({"stopReason": "end_turn", "additionalModelResponseFields":
                {"delta": {"stop_sequence": null, "kept": 1}}}),
            ),
            ("metadata", json!({"metrics": {"latencyMs": 1}, "trace": {"guardrail": {}}, "usage": {}})),
        ] {
            aws_stream::write_frame(kind, &payload.to_string(), &mut bytes);
        }
        bytes
    }

    /// What the translation of an answer for `caller` names as lost.
    fn lost(provider: Dialect, caller: Dialect, body: Vec<u8>, is_stream: bool) -> Vec<String> {
        let source = Source { quirks: &Quirks::NONE, choices: 1 };
        let begin = if is_stream { Translation::of_stream } else { Translation::of_whole };
        let mut scanner = Scanner::translated(begin(provider, caller, &source, Asked::default()).unwrap());
        scanner.push(Bytes::from(body)).unwrap();
        let _ = scanner.flush();
        assert!(scanner.is_complete(), "{provider:?} for {caller:?}");
        let losses = scanner.take_losses();
        assert!(losses.list().iter().all(|loss| loss.severity == Severity::Advisory), "{losses:?}");
        let mut paths: Vec<_> = losses.list().iter().map(|loss| loss.path.to_string()).collect();
        paths.sort();
        paths
    }

    #[test]
    fn what_only_the_provider_says_is_named_for_every_other_caller() {
        for provider in Dialect::ALL {
            for caller in Dialect::ALL.into_iter().filter(|caller| *caller != provider) {
                let (body, named) = whole(provider);
                let told = lost(provider, caller, body.to_string().into_bytes(), false);
                assert_eq!(told, named, "{provider:?} for {caller:?}");
                let (body, named) = stream(provider);
                let told = lost(provider, caller, body, true);
                assert_eq!(told, named, "a stream of {provider:?} for {caller:?}");
            }
        }
    }

    #[test]
    fn at_home_it_is_written_as_it_came() {
        let source = Source { quirks: &Quirks::NONE, choices: 1 };
        for dialect in Dialect::ALL {
            let (body, named) = whole(dialect);
            let codec = codec(dialect).unwrap();
            let reply = codec.decode_reply(&body.to_string(), &source).unwrap();
            let written = codec.encode_reply(&reply, &Asked::default(), &mut Losses::default());
            let written: Value = serde_json::from_slice(&written).unwrap();
            for path in named.iter().filter(|path| !path.contains('.') && dialect != Dialect::OpenAiResponses)
            {
                assert_eq!(written[path], body[path], "{dialect:?} {path}");
            }
        }
    }
}
