//! Why an answer ended, from every provider to every caller (dialects reference §2.5).

#[cfg(test)]
mod stops {
    use llm::codec::{Asked, Source};
    use llm::neutral::{Dialect, Losses};
    use llm::{Quirks, codec};
    use serde_json::{Value, json};

    const CHAT: Dialect = Dialect::OpenAiChat;
    const RESPONSES: Dialect = Dialect::OpenAiResponses;
    const MESSAGES: Dialect = Dialect::AnthropicMessages;
    const GEMINI: Dialect = Dialect::Gemini;
    const CONVERSE: Dialect = Dialect::BedrockConverse;

    /// What a provider says, by dialect, and what callers of Chat, Responses, Messages and Gemini are told.
    type Row = (&'static [(Dialect, &'static str)], [&'static str; 4]);

    /// A table of one-line entries.
    #[rustfmt::skip]
    const ROWS: [Row; 9] = [
        (&[(CHAT, "stop"), (MESSAGES, "end_turn"), (GEMINI, "STOP"), (CONVERSE, "end_turn")], ["stop", "completed", "end_turn", "STOP"]),
        (&[(CHAT, "length"), (RESPONSES, "max_output_tokens"), (MESSAGES, "max_tokens"), (GEMINI, "MAX_TOKENS"), (CONVERSE, "max_tokens")], ["length", "max_output_tokens", "max_tokens", "MAX_TOKENS"]),
        (&[(MESSAGES, "model_context_window_exceeded"), (CONVERSE, "model_context_window_exceeded")], ["length", "max_output_tokens", "model_context_window_exceeded", "MAX_TOKENS"]),
        (&[(CHAT, "tool_calls"), (MESSAGES, "tool_use"), (GEMINI, "STOP"), (CONVERSE, "tool_use")], ["tool_calls", "completed", "tool_use", "STOP"]),
        (&[(MESSAGES, "stop_sequence"), (CONVERSE, "stop_sequence")], ["stop", "completed", "stop_sequence", "STOP"]),
        (&[(MESSAGES, "refusal"), (CONVERSE, "content_filtered")], ["stop", "completed", "refusal", "SAFETY"]),
        (&[(MESSAGES, "pause_turn"), (GEMINI, "CONTINUATION")], ["stop", "in_progress", "pause_turn", "CONTINUATION"]),
        (&[(CHAT, "content_filter"), (RESPONSES, "content_filter"), (CONVERSE, "guardrail_intervened")], ["content_filter", "content_filter", "refusal", "SAFETY"]),
        (&[(GEMINI, "SAFETY"), (GEMINI, "RECITATION"), (GEMINI, "BLOCKLIST"), (GEMINI, "PROHIBITED_CONTENT"), (GEMINI, "SPII"), (GEMINI, "MODEL_ARMOR")], ["content_filter", "content_filter", "refusal", ""]),
    ];

    /// An answer of `dialect` that ended so, with a call where that is why.
    fn answer(dialect: Dialect, reason: &str, calls: bool) -> Value {
        match dialect {
            Dialect::OpenAiChat => {
                let call =
                    json!([{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
                let message = match calls {
                    true => json!({"role": "assistant", "content": null, "tool_calls": call}),
                    false => json!({"role": "assistant", "content": "a"}),
                };
                json!({"id": "c", "choices": [{"index": 0, "finish_reason": reason, "message": message}]})
            }
            Dialect::OpenAiResponses => json!({"id": "r", "object": "response", "status": "incomplete",
                "incomplete_details": {"reason": reason}, "output": [{"type": "message", "role": "assistant",
                    "content": [{"type": "output_text", "text": "a"}]}]}),
            Dialect::AnthropicMessages => {
                let block = match calls {
                    true => json!({"type": "tool_use", "id": "c", "name": "f", "input": {}}),
                    false => json!({"type": "text", "text": "a"}),
                };
                json!({"id": "m", "type": "message", "role": "assistant", "content": [block],
                    "stop_reason": reason, "stop_sequence": (reason == "stop_sequence").then_some("END")})
            }
            Dialect::Gemini => {
                let part = match calls {
                    true => json!({"functionCall": {"name": "f", "args": {}}}),
                    false => json!({"text": "a"}),
                };
                json!({"candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": reason}]})
            }
            Dialect::BedrockConverse => {
                let block = match calls {
                    true => json!({"toolUse": {"toolUseId": "c", "name": "f", "input": {}}}),
                    false => json!({"text": "a"}),
                };
                json!({"output": {"message": {"role": "assistant", "content": [block]}}, "stopReason": reason})
            }
        }
    }

    /// Why an answer ended, as a caller is told.
    fn told(caller: Dialect, answer: &Value) -> String {
        let text = |pointer| answer.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let found = match caller {
            Dialect::OpenAiChat => text("/choices/0/finish_reason"),
            Dialect::OpenAiResponses => text("/incomplete_details/reason").or_else(|| text("/status")),
            Dialect::AnthropicMessages => text("/stop_reason"),
            Dialect::Gemini => text("/candidates/0/finishReason"),
            Dialect::BedrockConverse => text("/stopReason"),
        };
        found.unwrap_or_default()
    }

    #[test]
    fn every_reason_is_told_in_every_dialect() {
        let source = Source { quirks: &Quirks::NONE, choices: 1 };
        let asked = Asked { model: "m".into(), choices: 1, id: "x".into(), ..Asked::default() };
        for (said, expected) in ROWS {
            for (provider, reason) in said {
                let calls = expected[0] == "tool_calls";
                let body = answer(*provider, reason, calls).to_string();
                let reply = codec(*provider).unwrap().decode_reply(&body, &source).unwrap();
                for (caller, expected) in [CHAT, RESPONSES, MESSAGES, GEMINI].into_iter().zip(expected) {
                    let out = codec(caller).unwrap().encode_reply(&reply, &asked, &mut Losses::default());
                    let out: Value = serde_json::from_slice(&out).unwrap();
                    // In its own dialect a provider's word stays.
                    let expected =
                        if caller == *provider && expected.is_empty() { *reason } else { expected };
                    assert_eq!(told(caller, &out), expected, "{reason} of {provider:?} to {caller:?}: {out}");
                }
            }
        }
    }
}
