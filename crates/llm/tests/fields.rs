//! Every field that a caller's dialect has (dialects reference §1), at providers of every other: it changes what
//! the provider is asked, or it is named as a loss, or the request is refused. Nothing is dropped in silence.

#[cfg(test)]
mod fields {
    use llm::codec::{Addressed, Asked, Target, fit, server_tools};
    use llm::neutral::{Dialect, Losses};
    use llm::{Program, Quirks, codec};
    use serde_json::{Value, json};

    const CHAT: Dialect = Dialect::OpenAiChat;
    const RESPONSES: Dialect = Dialect::OpenAiResponses;
    const MESSAGES: Dialect = Dialect::AnthropicMessages;
    const GEMINI: Dialect = Dialect::Gemini;

    /// A model of each provider.
    const TARGETS: [(Dialect, &str, &str); 6] = [
        (CHAT, "openai", "gpt-4.1"),
        (CHAT, "vllm", "m"),
        (RESPONSES, "openai", "gpt-6-sol"),
        (MESSAGES, "anthropic", "claude-sonnet-5"),
        (GEMINI, "gemini", "gemini-3.8-flash"),
        (Dialect::BedrockConverse, "bedrock", "us.anthropic.claude-haiku-5-5"),
    ];

    fn base(dialect: Dialect) -> Value {
        let tool = json!({"type": "object", "properties": {}});
        match dialect {
            CHAT => json!({"model": "m", "messages": [{"role": "system", "content": "s"},
                {"role": "user", "content": "hi"}, {"role": "assistant", "content": "a", "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "c1", "content": "ok"}, {"role": "user", "content": [
                    {"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}}]}],
                "tools": [{"type": "function", "function": {"name": "f", "parameters": tool}}]}),
            RESPONSES => json!({"model": "m", "instructions": "s", "input": [
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
                {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "ok"},
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "look"},
                    {"type": "input_image", "image_url": "data:image/png;base64,QQ=="}]}],
                "tools": [{"type": "function", "name": "f", "parameters": tool}]}),
            MESSAGES => {
                json!({"model": "m", "max_tokens": 8000, "system": [{"type": "text", "text": "s"}], "messages": [
                {"role": "user", "content": [{"type": "text", "text": "hi"}]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "ok"},
                    {"type": "text", "text": "look"}, {"type": "image", "source": {"type": "base64",
                        "media_type": "image/png", "data": "QQ=="}}]}],
                "tools": [{"name": "f", "input_schema": tool}]})
            }
            _ => json!({"systemInstruction": {"parts": [{"text": "s"}]}, "contents": [
                {"role": "user", "parts": [{"text": "hi"}]},
                {"role": "model", "parts": [{"functionCall": {"id": "c1", "name": "f", "args": {}}}]},
                {"role": "user", "parts": [{"functionResponse": {"id": "c1", "name": "f", "response": {"output": "ok"}}},
                    {"text": "look"}, {"inlineData": {"mimeType": "image/png", "data": "QQ=="}}]}],
                "tools": [{"functionDeclarations": [{"name": "f", "parameters": tool}]}], "generationConfig": {}}),
        }
    }

    /// Fields by where they stand: a JSON pointer to the object, the member, a value.
    type Fields = Vec<(&'static str, &'static str, Value)>;

    fn fields(dialect: Dialect) -> Fields {
        match dialect {
            CHAT => chat(),
            RESPONSES => responses(),
            MESSAGES => messages(),
            _ => gemini(),
        }
    }

    /// A table of one-line entries.
    #[rustfmt::skip]
    fn chat() -> Fields {
        vec![
            ("", "metadata", json!({"a": "b"})), ("", "top_logprobs", json!(3)), ("", "temperature", json!(0.5)),
            ("", "top_p", json!(0.5)), ("", "user", json!("u")), ("", "safety_identifier", json!("u")),
            ("", "prompt_cache_key", json!("k")), ("", "prompt_cache_retention", json!("24h")),
            ("", "prompt_cache_options", json!({"a": 1})), ("", "service_tier", json!("priority")),
            ("", "modalities", json!(["text", "audio"])), ("", "verbosity", json!("low")),
            ("", "reasoning_effort", json!("high")), ("", "max_completion_tokens", json!(77)),
            ("", "max_tokens", json!(77)), ("", "frequency_penalty", json!(0.5)), ("", "presence_penalty", json!(0.5)),
            ("", "web_search_options", json!({"search_context_size": "low"})),
            ("", "response_format", json!({"type": "json_object"})),
            ("", "response_format", json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}})),
            ("", "audio", json!({"voice": "x", "format": "wav"})), ("", "store", json!(true)),
            ("", "moderation", json!({"a": 1})), ("", "stop", json!(["x"])),
            ("", "logit_bias", json!({"1": 2})), ("", "logprobs", json!(true)), ("", "n", json!(2)),
            ("", "prediction", json!({"type": "content", "content": "x"})), ("", "seed", json!(7)),
            ("", "tool_choice", json!("required")), ("", "parallel_tool_calls", json!(false)),
            ("", "made_up", json!(1)), ("", "top_k", json!(5)),
            ("/messages/0", "name", json!("n")), ("/messages/1", "name", json!("n")), ("/messages/1", "made_up", json!(1)),
            ("/messages/2", "refusal", json!("no")), ("/messages/2", "audio", json!({"id": "x"})),
            ("/messages/2", "made_up", json!(1)), ("/messages/2/tool_calls/0", "made_up", json!(1)),
            ("/messages/3", "made_up", json!(1)), ("/messages/4/content/0", "cache_control", json!({"type": "ephemeral"})),
            ("/messages/4/content/0", "made_up", json!(1)), ("/messages/4/content/1/image_url", "detail", json!("low")),
            ("/tools/0/function", "description", json!("d")), ("/tools/0/function", "strict", json!(true)),
            ("/tools/0/function", "made_up", json!(1)), ("/tools/0", "made_up", json!(1)),
        ]
    }

    /// A table of one-line entries.
    #[rustfmt::skip]
    fn responses() -> Fields {
        vec![
            ("", "metadata", json!({"a": "b"})), ("", "top_logprobs", json!(3)), ("", "temperature", json!(0.5)),
            ("", "top_p", json!(0.5)), ("", "user", json!("u")), ("", "safety_identifier", json!("u")),
            ("", "prompt_cache_key", json!("k")), ("", "prompt_cache_retention", json!("24h")),
            ("", "prompt_cache_options", json!({"a": 1})), ("", "previous_response_id", json!("resp_1")),
            ("", "background", json!(true)), ("", "max_tool_calls", json!(3)), ("", "text", json!({"verbosity": "low"})),
            ("", "text", json!({"format": {"type": "json_object"}})),
            ("", "text", json!({"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}})),
            ("", "tool_choice", json!("required")), ("", "prompt", json!({"id": "p"})), ("", "service_tier", json!("priority")),
            ("", "truncation", json!("auto")), ("", "reasoning", json!({"effort": "high"})),
            ("", "reasoning", json!({"summary": "auto"})), ("", "reasoning", json!({"context": "all"})),
            ("", "include", json!(["message.output_text.logprobs"])), ("", "parallel_tool_calls", json!(false)),
            ("", "store", json!(true)), ("", "moderation", json!({"a": 1})),
            ("", "conversation", json!("c")), ("", "context_management", json!([{"type": "compaction"}])),
            ("", "max_output_tokens", json!(77)), ("", "client_metadata", json!({"a": "b"})), ("", "made_up", json!(1)),
            ("/input/0", "made_up", json!(1)), ("/input/1", "made_up", json!(1)), ("/input/2", "made_up", json!(1)),
            ("/input/3/content/0", "made_up", json!(1)), ("/input/3/content/1", "detail", json!("low")),
            ("/input/3/content/1", "made_up", json!(1)),
            ("/tools/0", "description", json!("d")), ("/tools/0", "strict", json!(true)), ("/tools/0", "made_up", json!(1)),
        ]
    }

    /// A table of one-line entries.
    #[rustfmt::skip]
    fn messages() -> Fields {
        vec![
            ("", "cache_control", json!({"type": "ephemeral"})), ("", "container", json!("c")), ("", "diagnostics", json!({"a": 1})),
            ("", "inference_geo", json!("eu")), ("", "metadata", json!({"user_id": "u"})), ("", "output_config", json!({"effort": "high"})),
            ("", "output_config", json!({"format": {"type": "json_schema", "schema": {"type": "object"}}})),
            ("", "output_config", json!({"task_budget": {"type": "tokens", "total": 9}})), ("", "service_tier", json!("standard_only")),
            ("", "speed", json!("fast")), ("", "stop_sequences", json!(["x"])), ("", "temperature", json!(0.5)),
            ("", "thinking", json!({"type": "enabled", "budget_tokens": 2000})), ("", "thinking", json!({"type": "adaptive"})),
            ("", "tool_choice", json!({"type": "any"})), ("", "tool_choice", json!({"type": "auto", "disable_parallel_tool_use": true})),
            ("", "top_k", json!(5)), ("", "top_p", json!(0.5)), ("", "user_profile_id", json!("u")), ("", "workspace_id", json!("w")),
            ("", "billing_policy", json!({"a": 1})), ("", "compaction", json!({"a": 1})), ("", "context_management", json!({"edits": [{"type": "x"}]})),
            ("", "fallback_credit_token", json!("x")), ("", "fallbacks", json!([{"model": "x"}])), ("", "mcp_servers", json!([{"type": "url", "url": "https://s"}])),
            ("", "thread", json!({"a": 1})), ("", "made_up", json!(1)), ("", "safeguards", json!([{"type": "x"}])),
            ("/system/0", "cache_control", json!({"type": "ephemeral", "ttl": "1h"})), ("/system/0", "citations", json!([{"type": "char_location", "cited_text": "x"}])),
            ("/system/0", "made_up", json!(1)), ("/messages/0", "made_up", json!(1)), ("/messages/0/content/0", "cache_control", json!({"type": "ephemeral"})),
            ("/messages/0/content/0", "made_up", json!(1)), ("/messages/1/content/0", "caller", json!({"type": "direct"})), ("/messages/1/content/0", "made_up", json!(1)),
            ("/messages/2/content/0", "is_error", json!(true)), ("/messages/2/content/0", "cache_control", json!({"type": "ephemeral"})),
            ("/messages/2/content/0", "made_up", json!(1)), ("/messages/2/content/2", "cache_control", json!({"type": "ephemeral"})),
            ("/messages/2/content/2", "made_up", json!(1)), ("/tools/0", "description", json!("d")), ("/tools/0", "strict", json!(true)),
            ("/tools/0", "cache_control", json!({"type": "ephemeral"})), ("/tools/0", "defer_loading", json!(true)),
            ("/tools/0", "input_examples", json!([{"a": 1}])), ("/tools/0", "allowed_callers", json!(["direct"])), ("/tools/0", "made_up", json!(1)),
        ]
    }

    /// A table of one-line entries.
    #[rustfmt::skip]
    fn gemini() -> Fields {
        vec![
            ("", "safetySettings", json!([{"category": "x"}])), ("", "cachedContent", json!("cachedContents/1")), ("", "labels", json!({"a": "b"})),
            ("", "toolConfig", json!({"functionCallingConfig": {"mode": "ANY"}})), ("", "toolConfig", json!({"retrievalConfig": {"languageCode": "zh"}})),
            ("", "serviceTier", json!("priority")), ("", "store", json!(true)), ("", "made_up", json!(1)),
            ("/generationConfig", "temperature", json!(0.5)), ("/generationConfig", "topP", json!(0.5)), ("/generationConfig", "topK", json!(5)),
            ("/generationConfig", "candidateCount", json!(2)), ("/generationConfig", "maxOutputTokens", json!(77)),
            ("/generationConfig", "stopSequences", json!(["x"])), ("/generationConfig", "seed", json!(7)),
            ("/generationConfig", "presencePenalty", json!(0.5)), ("/generationConfig", "frequencyPenalty", json!(0.5)),
            ("/generationConfig", "responseMimeType", json!("application/json")), ("/generationConfig", "responseJsonSchema", json!({"type": "object"})),
            ("/generationConfig", "responseSchema", json!({"type": "OBJECT"})), ("/generationConfig", "responseLogprobs", json!(true)),
            ("/generationConfig", "logprobs", json!(3)), ("/generationConfig", "responseModalities", json!(["IMAGE"])),
            ("/generationConfig", "speechConfig", json!({"a": 1})), ("/generationConfig", "thinkingConfig", json!({"thinkingBudget": 2000})),
            ("/generationConfig", "thinkingConfig", json!({"thinkingLevel": "low"})),
            ("/generationConfig", "mediaResolution", json!("MEDIA_RESOLUTION_LOW")), ("/generationConfig", "imageConfig", json!({"a": 1})),
            ("/generationConfig", "made_up", json!(1)), ("/contents/0/parts/0", "made_up", json!(1)), ("/contents/2/parts/2", "mediaResolution", json!({"level": "x"})),
            ("/contents/1/parts/0/functionCall", "made_up", json!(1)), ("/contents/2/parts/0/functionResponse", "scheduling", json!("SILENT")),
            ("/contents/2/parts/0/functionResponse", "parts", json!([{"inlineData": {"mimeType": "image/png", "data": "QUE="}}])),
            ("/tools/0/functionDeclarations/0", "description", json!("d")), ("/tools/0/functionDeclarations/0", "behavior", json!("BLOCKING")),
            ("/tools/0/functionDeclarations/0", "response", json!({"type": "OBJECT"})), ("/tools/0/functionDeclarations/0", "made_up", json!(1)),
        ]
    }

    /// What a provider is asked, and the losses; or why not.
    fn sent(from: Dialect, (to, provider, model): (Dialect, &str, &str), body: &Value) -> String {
        let addressed = Addressed { model: "m", stream: false };
        let written =
            codec(from).unwrap().decode_request(&body.to_string(), &addressed).and_then(|mut request| {
                let target = Target { provider, model, quirks: &Quirks::NONE, clamp: None, max_output: 8192 };
                let (mut asked, mut losses) = (Asked::of(&request), Losses::default());
                server_tools(&mut request, (to, &target), Program::Other, &mut losses)?;
                fit(&mut request, to, &target, &mut asked, &mut losses);
                let out = codec(to).unwrap().encode_request(&request, &target, &mut losses)?;
                Ok(format!("{} {:?}", String::from_utf8(out).unwrap(), losses.list()))
            });
        written.unwrap_or_else(|refused| format!("refused: {}", refused.message))
    }

    #[test]
    fn no_field_is_dropped_in_silence() {
        let mut silent = Vec::new();
        for from in [CHAT, RESPONSES, MESSAGES, GEMINI] {
            let plain = base(from);
            for target in TARGETS.into_iter().filter(|(to, ..)| *to != from) {
                let without = sent(from, target, &plain);
                assert!(!without.starts_with("refused"), "{from:?} {target:?} {without}");
                for (place, name, value) in fields(from) {
                    let mut body = plain.clone();
                    body.pointer_mut(place).unwrap()[name] = value.clone();
                    if sent(from, target, &body) == without {
                        silent.push(format!(
                            "{from:?} {place}/{name} = {value} at {:?} {}",
                            target.0, target.1
                        ));
                    }
                }
            }
        }
        assert!(silent.is_empty(), "{}\n{}", silent.len(), silent.join("\n"));
    }

    /// Which of them are left out on the way into their own dialect, and why. A table of one-line entries.
    #[rustfmt::skip]
    const LEFT_OUT: [(Dialect, &str, &str); 9] = [
        (CHAT, "/messages/4/content/0", "cache_control"), // OpenAI has no such marks.
        (RESPONSES, "", "temperature"), (RESPONSES, "", "top_p"), // The model takes neither.
        (MESSAGES, "", "thinking"), // It may not think on in a round whose thoughts are gone.
        (MESSAGES, "/system/0", "citations"), // Only answers have them.
        (MESSAGES, "/messages/0", "made_up"), // Neighbours become one message.
        (GEMINI, "/contents/1/parts/0/functionCall", "made_up"), // A call is written as every provider has it.
        (CHAT, "", "reasoning_effort"), (CHAT, "", "top_k"), // The model takes neither.
    ];

    /// A request is written anew for its own dialect where another provider has sealed something in it.
    #[test]
    fn no_field_is_lost_on_the_way_into_its_own_dialect() {
        let written = |from: Dialect, body: &Value| {
            let (_, provider, model) = TARGETS.into_iter().find(|(to, ..)| *to == from).unwrap();
            let addressed = Addressed { model: "m", stream: false };
            let target = Target { provider, model, quirks: &Quirks::NONE, clamp: None, max_output: 8192 };
            let request = codec(from).unwrap().decode_request(&body.to_string(), &addressed);
            // What is kept at an account is never written anew.
            let request = request.ok()?;
            let out = codec(from).unwrap().encode_request(&request, &target, &mut Losses::default());
            Some(String::from_utf8(out.unwrap()).unwrap())
        };
        let mut silent = Vec::new();
        for from in [CHAT, RESPONSES, MESSAGES, GEMINI] {
            let plain = base(from);
            for (place, name, value) in fields(from) {
                let mut body = plain.clone();
                body.pointer_mut(place).unwrap()[name] = value.clone();
                let is_lost = written(from, &body) == written(from, &plain);
                if is_lost != LEFT_OUT.contains(&(from, place, name)) {
                    silent.push(format!("{from:?} {place}/{name} = {value}"));
                }
            }
        }
        assert!(silent.is_empty(), "{}\n{}", silent.len(), silent.join("\n"));
    }
}
