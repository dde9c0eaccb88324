//! What a provider has sealed goes back to its maker and to nobody else, whoever carries it meanwhile.

#[cfg(test)]
mod seals {
    use llm::codec::{Addressed, Asked, Source, Target, has_foreign_seal};
    use llm::neutral::{Dialect, Losses};
    use llm::{Quirks, Surface, codec};
    use serde_json::{Value, json};

    const MESSAGES: Dialect = Dialect::AnthropicMessages;
    const RESPONSES: Dialect = Dialect::OpenAiResponses;

    /// An answer with sealed thoughts, in the dialect of who made it.
    fn answer(maker: Dialect) -> Value {
        match maker {
            MESSAGES => json!({"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "SEALED"}, {"type": "text", "text": "a"}],
                "stop_reason": "end_turn"}),
            RESPONSES => json!({"id": "r", "model": "m", "status": "completed", "output": [
                {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}],
                    "encrypted_content": "SEALED"},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]}]}),
            _ => json!({"candidates": [{"content": {"role": "model", "parts": [
                {"text": "hm", "thought": true}, {"text": "a", "thoughtSignature": "U0VBTEVE"}]}, "finishReason": "STOP"}]}),
        }
    }

    /// The next turn of a caller who got `told`, in its own dialect.
    fn next_turn(caller: Dialect, told: &Value) -> (Surface, Value) {
        match caller {
            MESSAGES => (
                Surface::Messages,
                json!({"model": "m", "max_tokens": 9, "messages": [
                {"role": "user", "content": "hi"}, {"role": "assistant", "content": told["content"]},
                {"role": "user", "content": "go on"}]}),
            ),
            RESPONSES => {
                let mut input = vec![json!({"type": "message", "role": "user", "content": "hi"})];
                input.extend(told["output"].as_array().unwrap().clone());
                input.push(json!({"type": "message", "role": "user", "content": "go on"}));
                (Surface::Responses, json!({"model": "m", "input": input}))
            }
            _ => (
                Surface::GenerateContent,
                json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]},
                told["candidates"][0]["content"], {"role": "user", "parts": [{"text": "go on"}]}]}),
            ),
        }
    }

    /// What the account of the caller's own dialect gets where the turn before came from `maker`.
    fn at_home(maker: Dialect, caller: Dialect) -> (bool, Value) {
        let source = Source { quirks: &Quirks::NONE, choices: 1 };
        let reply = codec(maker).unwrap().decode_reply(&answer(maker).to_string(), &source).unwrap();
        let own = codec(caller).unwrap();
        let told = own.encode_reply(&reply, &Asked::default(), &mut Losses::default());
        let (surface, body) = next_turn(caller, &serde_json::from_slice(&told).unwrap());
        let body = body.to_string();
        let mut request = own.decode_request(&body, &Addressed { model: "m", stream: false }).unwrap();
        llm::codec::say_defaults(&mut request);
        let target = Target { provider: "x", model: "m", quirks: &Quirks::NONE, clamp: None, max_output: 9 };
        let out = own.encode_request(&request, &target, &mut Losses::default()).unwrap();
        (has_foreign_seal(surface, body.as_bytes()), serde_json::from_slice(&out).unwrap())
    }

    #[test]
    fn a_foreign_seal_is_seen_and_left_out_in_every_dialect_that_carries_it() {
        for caller in [MESSAGES, RESPONSES, Dialect::Gemini] {
            for maker in [MESSAGES, RESPONSES, Dialect::Gemini] {
                let (is_foreign, sent) = at_home(maker, caller);
                assert_eq!(is_foreign, maker != caller, "{maker:?} for {caller:?}: {sent}");
                let text = sent.to_string();
                let has_seal =
                    ["SEALED", "U0VBTEVE", "yumen.", "eXVtZW4u"].iter().any(|seal| text.contains(seal));
                assert_eq!(has_seal, maker == caller, "{maker:?} for {caller:?}: {sent}");
                assert!(caller != RESPONSES || sent["store"] == true, "{sent}");
            }
        }
    }

    /// Claude Code gives instructions within the conversation; what is written anew has them where they were.
    #[test]
    fn instructions_within_the_conversation_stay_at_home() {
        let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "ok"}]}]});
        let read = codec(MESSAGES).unwrap().decode_request(&body.to_string(), &Addressed::default()).unwrap();
        let target = Target { provider: "x", model: "m", quirks: &Quirks::NONE, clamp: None, max_output: 9 };
        let mut losses = Losses::default();
        let sent = codec(MESSAGES).unwrap().encode_request(&read, &target, &mut losses).unwrap();
        let sent: Value = serde_json::from_slice(&sent).unwrap();
        let roles: Vec<&Value> =
            sent["messages"].as_array().unwrap().iter().map(|one| &one["role"]).collect();
        assert_eq!(roles, ["user", "assistant", "system", "user"], "{sent}");
        assert_eq!(sent["messages"][3]["content"][0]["type"], "tool_result", "{sent}");
        assert!(losses.is_empty(), "{losses:?}");
    }
}
