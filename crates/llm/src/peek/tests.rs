//! Reading a request far enough to route it: every surface, any order of members, and what is refused.

use super::*;

fn peeked(surface: Surface, body: &str) -> Result<Call, Rejection> {
    peek(surface, &Bytes::copy_from_slice(body.as_bytes()))
}

fn refusal(surface: Surface, body: &str) -> (Option<String>, String) {
    let rejection = peeked(surface, body).expect_err(body);
    assert_eq!(rejection.code, Code::InvalidRequest);
    (rejection.param, rejection.message.into_owned())
}

#[test]
fn reads_what_a_chat_request_asks_for() {
    let call = peeked(
        Surface::ChatCompletions,
        r#" {"messages":[{"role":"user","content":"{\"model\":1}"}], "model": "a\u002fb",
           "stream":true,"stream_options":{"include_usage":true},"max_tokens":5,
           "max_completion_tokens":7,"n":2,"unknown":{"model":"x"}} "#,
    )
    .unwrap();
    assert_eq!(&*call.model, "a/b");
    assert!(call.stream && call.include_usage);
    assert_eq!((call.max_output, call.choices), (Some(7), 2));
}

#[test]
fn every_surface_needs_a_model_by_name() {
    for surface in Surface::ALL.into_iter().filter(|surface| surface.family() != Family::Gemini) {
        assert_eq!(&*peeked(surface, r#"{"model":"m"}"#).unwrap().model, "m");
        for body in ["{}", r#"{"model":1}"#, r#"{"model":null}"#, r#"{"model":""}"#, r#"{"model":["m"]}"#] {
            assert_eq!(refusal(surface, body).0.as_deref(), Some("model"), "{body}");
        }
    }
}

#[test]
fn gemini_names_the_model_in_the_path_and_its_settings_in_either_spelling() {
    let at = |uri: &str, body: &'static str| {
        let uri: Uri = uri.parse().unwrap();
        let surface = Surface::from_path(uri.path()).unwrap();
        peek_at(surface, &uri, &Bytes::from_static(body.as_bytes())).unwrap()
    };
    let call = at(
        "/v1beta/models/a%2Fb:generateContent?key=k",
        r#"{"model":7,"contents":[],"generationConfig":{"maxOutputTokens":9,"candidateCount":2}}"#,
    );
    assert_eq!((&*call.model, call.stream, call.max_output, call.choices), ("a/b", false, Some(9), 2));
    let call = at("/models/a:streamGenerateContent", r#"{"generation_config":{"max_output_tokens":9}}"#);
    assert_eq!((call.stream, call.framing, call.max_output), (true, Framing::Array, Some(9)));
    let call = at("/v1/models/a:streamGenerateContent?alt=sse", "{}");
    assert_eq!((call.stream, call.framing), (true, Framing::Events));
}

#[test]
fn responses_say_what_they_go_on_from() {
    let kept = |body| peeked(Surface::Responses, body).unwrap().kept;
    assert_eq!(kept(r#"{"model":"m","previous_response_id":null,"store":true}"#), None);
    let call = peeked(
        Surface::Responses,
        r#"{"model":"m","stream":true,"max_output_tokens":16,"previous_response_id":"resp_1"}"#,
    )
    .unwrap();
    assert_eq!((call.stream, call.max_output), (true, Some(16)));
    assert_eq!(call.kept.unwrap().previous_response.as_deref(), Some("resp_1"));
    let named = kept(r#"{"model":"m","conversation":{"id":"conv_1"},"background":true,"store":false}"#);
    let expected =
        Kept { previous_response: None, conversation: Some("conv_1".into()), background: true, unkept: true };
    assert_eq!(named.as_deref(), Some(&expected));
    for body in [
        r#"{"model":"m","previous_response_id":7}"#,
        r#"{"model":"m","previous_response_id":""}"#,
        r#"{"model":"m","conversation":[]}"#,
    ] {
        assert!(refusal(Surface::Responses, body).0.is_some(), "{body}");
    }
}

#[test]
fn refuses_bodies_that_are_not_one_object() {
    for body in [
        "",
        "  \n",
        "null",
        "[]",
        "\"x\"",
        "{",
        "{\"model\":\"m\"",
        "{\"model\":\"m\"}x",
        "{\"model\":\"m\",}",
        "{\"model\":\"m\",\"x\":01}",
        "{\"model\":\"m\",\"x\":\"\\q\"}",
        "\u{feff}{\"model\":\"m\"}",
    ] {
        assert_eq!(refusal(Surface::ChatCompletions, body).0, None, "{body}");
    }
    let not_text = Bytes::from_static(b"{\"model\":\"\xff\"}");
    assert!(peek(Surface::Messages, &not_text).is_err());
}

#[test]
fn refuses_a_duplicate_of_what_it_reads_and_no_other() {
    for (body, param) in [
        (r#"{"model":"m","model":"m"}"#, "model"),
        (r#"{"model":"m","mod\u0065l":"n"}"#, "model"),
        (r#"{"model":"m","stream":true,"stream":false}"#, "stream"),
        (r#"{"model":"m","n":1,"n":1}"#, "n"),
        (
            r#"{"model":"m","stream_options":{"include_usage":false,"include_usage":true}}"#,
            "stream_options.include_usage",
        ),
    ] {
        assert_eq!(refusal(Surface::ChatCompletions, body).0.as_deref(), Some(param), "{body}");
    }
    let twice = r#"{"model":"m","stream":1,"stream":2,"user":"a","user":"b"}"#;
    assert!(peeked(Surface::Embeddings, twice).is_ok());
}

#[test]
fn stream_is_a_boolean_or_nothing() {
    for (body, stream) in [
        (r#"{"model":"m"}"#, false),
        (r#"{"model":"m","stream":null}"#, false),
        (r#"{"model":"m","stream":false}"#, false),
        (r#"{"model":"m","stream":true}"#, true),
    ] {
        assert_eq!(peeked(Surface::Messages, body).unwrap().stream, stream);
    }
    for value in ["1", "\"true\"", "[]", "{}"] {
        let body = format!(r#"{{"model":"m","stream":{value}}}"#);
        assert_eq!(refusal(Surface::Completions, &body).0.as_deref(), Some("stream"));
    }
    let odd = refusal(Surface::ChatCompletions, r#"{"model":"m","stream_options":3}"#);
    assert_eq!(odd.0.as_deref(), Some("stream_options"));
}

#[test]
fn nesting_is_allowed_to_the_limit_and_refused_beyond() {
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"model":"m","s":"\"[[","x":{open}{close}}}"#)
    };
    assert!(peeked(Surface::Messages, &nested(63)).is_ok());
    assert!(peeked(Surface::Messages, &nested(64)).is_err());
    assert!(peeked(Surface::Messages, &nested(200_000)).is_err());
    let brackets = format!(r#"{{"model":"m","s":"{}"}}"#, "[".repeat(500));
    assert!(peeked(Surface::Messages, &brackets).is_ok());
}
