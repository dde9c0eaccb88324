//! A schema for the answer is the same wish in every dialect, by whatever name it goes.

#[cfg(test)]
mod formats {
    use llm::codec::{Addressed, Target};
    use llm::neutral::{Dialect, Losses};
    use llm::{Quirks, codec};
    use serde_json::{Value, json};

    const CALLERS: [Dialect; 4] =
        [Dialect::OpenAiChat, Dialect::OpenAiResponses, Dialect::AnthropicMessages, Dialect::Gemini];

    fn schema() -> Value {
        json!({"type": "object", "properties": {"city": {"type": "string"}, "high": {"type": ["number", "null"]}},
            "required": ["city", "high"], "additionalProperties": false})
    }

    /// What dialects can say of a schema besides it.
    fn is_named(dialect: Dialect) -> bool {
        matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiResponses)
    }

    /// A request in `dialect` for an answer that follows the schema.
    fn request(dialect: Dialect) -> Value {
        let ask = json!([{"role": "user", "content": "hi"}]);
        let schema = schema();
        match dialect {
            Dialect::OpenAiChat => {
                json!({"model": "m", "messages": ask, "response_format": {"type": "json_schema",
                "json_schema": {"name": "day", "schema": schema, "strict": true}}})
            }
            Dialect::OpenAiResponses => json!({"model": "m", "input": "hi", "text": {"format":
                {"type": "json_schema", "name": "day", "schema": schema, "strict": true}}}),
            Dialect::AnthropicMessages => json!({"model": "m", "max_tokens": 9, "messages": ask,
                "output_config": {"format": {"type": "json_schema", "schema": schema}}}),
            Dialect::Gemini => json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}],
                "generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": schema}}),
            Dialect::BedrockConverse => unreachable!("nobody calls in it"),
        }
    }

    /// The schema in a request that was written in `dialect`, and what stands around it.
    fn found(dialect: Dialect, body: &Value) -> (Value, Value) {
        let (pointer, around) = match dialect {
            Dialect::OpenAiChat => ("/response_format/json_schema/schema", "/response_format"),
            Dialect::OpenAiResponses => ("/text/format/schema", "/text/format"),
            Dialect::AnthropicMessages => ("/output_config/format/schema", "/output_config/format"),
            Dialect::Gemini => ("/generationConfig/responseJsonSchema", "/generationConfig"),
            Dialect::BedrockConverse => {
                ("/outputConfig/textFormat/structure/jsonSchema/schema", "/outputConfig/textFormat")
            }
        };
        let found = |pointer| body.pointer(pointer).cloned().unwrap_or_default();
        match found(pointer) {
            // Converse takes it as text.
            Value::String(text) => (serde_json::from_str(&text).unwrap(), found(around)),
            schema => (schema, found(around)),
        }
    }

    fn translated(from: Dialect, to: Dialect, body: &Value) -> (Value, Losses) {
        let addressed = Addressed { model: "m", stream: false };
        let request = codec(from).unwrap().decode_request(&body.to_string(), &addressed).unwrap();
        let target = Target {
            provider: "vendor",
            model: "a-model",
            quirks: &Quirks::default(),
            clamp: None,
            max_output: 4096,
        };
        let mut losses = Losses::default();
        let written = codec(to).unwrap().encode_request(&request, &target, &mut losses).unwrap();
        (serde_json::from_slice(&written).unwrap(), losses)
    }

    #[test]
    fn a_schema_reaches_every_dialect_from_every_other() {
        for from in CALLERS {
            for to in Dialect::ALL {
                let (body, losses) = translated(from, to, &request(from));
                let (given, around) = found(to, &body);
                assert_eq!(given, schema(), "{from:?} to {to:?}: {body}");
                assert_eq!(losses.refused().count(), 0, "{from:?} to {to:?}: {:?}", losses.list());
                match to {
                    Dialect::Gemini => assert_eq!(around["responseMimeType"], "application/json", "{from:?}"),
                    _ => assert_eq!(around["type"], "json_schema", "{from:?} to {to:?}: {body}"),
                }
                if is_named(to) {
                    let inner = around.get("json_schema").unwrap_or(&around);
                    // A name is demanded.
                    assert!(inner["name"].as_str().is_some_and(|name| !name.is_empty()), "{body}");
                    assert_eq!(inner["name"] == "day", is_named(from), "{from:?} to {to:?}: {body}");
                    // Gemini's need not be such that a strict one would be taken.
                    let strict = from != Dialect::Gemini;
                    assert_eq!(inner["strict"] == true, strict, "{from:?} to {to:?}: {body}");
                }
            }
        }
    }

    #[test]
    fn what_was_translated_reads_as_the_same_schema_again() {
        for from in CALLERS {
            for to in CALLERS {
                let (there, _) = translated(from, to, &request(from));
                let (back, _) = translated(to, from, &there);
                assert_eq!(found(from, &back).0, schema(), "{from:?} by {to:?}: {back}");
            }
        }
    }

    #[test]
    fn a_wish_for_some_object_is_kept_and_put_in_words_where_there_is_no_field() {
        let wishes = [
            (Dialect::OpenAiChat, "/response_format/type", "json_object"),
            (Dialect::OpenAiResponses, "/text/format/type", "json_object"),
            (Dialect::Gemini, "/generationConfig/responseMimeType", "application/json"),
        ];
        let ask = json!([{"role": "user", "content": "hi"}]);
        let requests = [
            (
                Dialect::OpenAiChat,
                json!({"model": "m", "messages": ask, "response_format": {"type": "json_object"}}),
            ),
            (
                Dialect::OpenAiResponses,
                json!({"model": "m", "input": "hi", "text": {"format": {"type": "json_object"}}}),
            ),
            (
                Dialect::Gemini,
                json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}],
                    "generationConfig": {"responseMimeType": "application/json"}}),
            ),
        ];
        for (from, body) in &requests {
            for (to, pointer, value) in wishes {
                let (written, _) = translated(*from, to, body);
                assert_eq!(written.pointer(pointer), Some(&json!(value)), "{from:?} to {to:?}: {written}");
            }
            for to in [Dialect::AnthropicMessages, Dialect::BedrockConverse] {
                let (written, _) = translated(*from, to, body);
                let system = written["system"].to_string();
                assert!(system.contains("JSON object"), "{from:?} to {to:?}: {written}");
            }
        }
    }
}
