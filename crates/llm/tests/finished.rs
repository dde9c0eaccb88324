//! Behind the end of an answer nothing belongs to it, in whatever dialect it comes: not what a provider says of
//! it later, and not its reason to end a second time.

#[cfg(test)]
mod finished {
    use llm::aws_stream::write_frame;
    use llm::codec::Source;
    use llm::neutral::{Delta, Dialect, Event};
    use llm::{Quirks, codec};

    /// The answer `A`, its end, then more: text, a call and another end; where a marker ends it, that.
    fn stream(dialect: Dialect) -> Vec<u8> {
        let data = |lines: &[&str]| -> Vec<u8> {
            lines.iter().flat_map(|line| format!("data: {line}\n\n").into_bytes()).collect()
        };
        match dialect {
            Dialect::OpenAiChat => data(&[
                r#"{"id":"c","choices":[{"index":0,"delta":{"content":"A"}}]}"#,
                r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
                r#"{"id":"c","choices":[{"index":0,"delta":{"content":"B"},"finish_reason":"length"}]}"#,
                r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"{}"}}]}}]}"#,
                "[DONE]",
            ]),
            Dialect::OpenAiResponses => data(&[
                r#"{"type":"response.created","response":{"id":"r"}}"#,
                r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"A"}"#,
                r#"{"type":"response.completed","response":{"id":"r","output":[]}}"#,
                r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"B"}"#,
            ]),
            Dialect::AnthropicMessages => data(&[
                r#"{"type":"message_start","message":{"id":"m"}}"#,
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"A"}}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"B"}}"#,
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":"B"}}"#,
                r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"max_tokens"}}"#,
                r#"{"type":"message_stop"}"#,
            ]),
            Dialect::Gemini => data(&[
                r#"{"candidates":[{"content":{"parts":[{"text":"A"}]}}]}"#,
                r#"{"candidates":[{"content":{"parts":[]},"finishReason":"STOP"}]}"#,
                r#"{"candidates":[{"content":{"parts":[{"text":"B"},{"functionCall":{"name":"f"}}]},"finishReason":"MAX_TOKENS"}]}"#,
            ]),
            Dialect::BedrockConverse => {
                let mut bytes = Vec::new();
                for (kind, payload) in [
                    ("messageStart", r#"{"role":"assistant"}"#),
                    ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"A"}}"#),
                    ("messageStop", r#"{"stopReason":"end_turn"}"#),
                    ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"B"}}"#),
                    (
                        "contentBlockStart",
                        r#"{"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"t","name":"f"}}}"#,
                    ),
                    ("messageStop", r#"{"stopReason":"max_tokens"}"#),
                    ("metadata", r#"{"usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2}}"#),
                ] {
                    write_frame(kind, payload, &mut bytes);
                }
                bytes
            }
        }
    }

    #[test]
    fn nothing_belongs_to_an_answer_that_has_ended() {
        for dialect in Dialect::ALL {
            let source = Source { quirks: &Quirks::NONE, choices: 1 };
            let (mut decoder, mut events) = (codec(dialect).unwrap().stream_decoder(&source), Vec::new());
            decoder.push(&stream(dialect), &mut events).unwrap();
            decoder.finish(&mut events);
            let end = events.iter().position(|event| matches!(event, Event::Finish { .. })).unwrap();
            let text = |event: &Event| match event {
                Event::Delta { delta: Delta::Text(text), .. } => Some(text.clone()),
                _ => None,
            };
            let said: Vec<String> = events[..end].iter().filter_map(text).collect();
            assert_eq!(said, ["A"], "{dialect:?}");
            let is_allowed = |event: &Event| matches!(event, Event::Usage(_) | Event::Tier(_) | Event::End);
            let behind = &events[end + 1..];
            assert!(behind.iter().all(is_allowed), "{dialect:?}: {behind:?}");
            assert_eq!(events.last(), Some(&Event::End), "{dialect:?}");
        }
    }
}
