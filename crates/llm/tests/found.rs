//! What fuzzing has found: input that once broke a reader or a translator, as small as it could be made.

#[cfg(test)]
mod found {
    use llm::codec::{Addressed, Target};
    use llm::neutral::{Dialect, Format, Losses};
    use llm::{Quirks, codec};

    #[test]
    fn a_schema_of_converse_that_is_no_json_does_not_break_the_request() {
        let body = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}],"outputConfig":{"textFormat":
            {"type":"json_schema","structure":{"jsonSchema":{"name":"n","schema":"{\"required\"8 [}"}}}}}"#;
        let addressed = Addressed { model: "m", stream: false };
        let request = codec(Dialect::BedrockConverse).unwrap().decode_request(body, &addressed).unwrap();
        assert_eq!(request.format, Format::Json);
        let target =
            Target { provider: "x", model: "m", quirks: &Quirks::NONE, clamp: None, max_output: 4096 };
        for dialect in Dialect::ALL {
            let written = codec(dialect).unwrap().encode_request(&request, &target, &mut Losses::default());
            assert!(serde_json::from_slice::<serde_json::Value>(&written.unwrap()).is_ok(), "{dialect:?}");
        }
    }
}
