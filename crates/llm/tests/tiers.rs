//! The service tier in which an answer was made, where each dialect says it: it decides the price.

use bytes::Bytes;
use llm::{Quirks, Scanner, Surface};
use model::ServiceTier::{Flex, Priority, Standard};
use model::{ServiceTier, Usage};

fn stream(surface: Surface, text: &str) -> Option<Usage> {
    let mut scanner = Scanner::stream(surface, &Quirks::default(), false, 1);
    let _ = scanner.push(Bytes::copy_from_slice(text.as_bytes())).expect("short");
    let _ = scanner.flush();
    scanner.usage()
}

fn unary(surface: Surface, text: &str) -> Option<Usage> {
    let mut scanner = Scanner::unary(surface, &Quirks::default());
    let _ = scanner.push(Bytes::copy_from_slice(text.as_bytes())).expect("short");
    scanner.usage()
}

fn tier(usage: Option<Usage>) -> Option<ServiceTier> {
    usage.expect("usage is stated").tier
}

#[test]
fn whole_answers_say_their_tier() {
    for (surface, text, expected) in [
        (
            Surface::ChatCompletions,
            r#"{"choices":[],"service_tier":"priority","usage":{"prompt_tokens":1}}"#,
            Some(Priority),
        ),
        (
            Surface::ChatCompletions,
            r#"{"usage":{"prompt_tokens":1},"service_tier":"default"}"#,
            Some(Standard),
        ),
        (Surface::ChatCompletions, r#"{"usage":{"prompt_tokens":1},"service_tier":null}"#, None),
        (Surface::ChatCompletions, r#"{"usage":{"prompt_tokens":1}}"#, None),
        (Surface::Responses, r#"{"usage":{"input_tokens":1},"service_tier":"flex"}"#, Some(Flex)),
        (Surface::Messages, r#"{"usage":{"input_tokens":1,"service_tier":"priority"}}"#, Some(Priority)),
        (
            Surface::GenerateContent,
            r#"{"usageMetadata":{"promptTokenCount":1,"serviceTier":"flex"}}"#,
            Some(Flex),
        ),
    ] {
        assert_eq!(tier(unary(surface, text)), expected, "{text}");
    }
}

#[test]
fn streams_say_their_tier() {
    let chat = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"service_tier\":\"priority\",\"usage\":null}\n\n\
        data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\ndata: [DONE]\n\n";
    assert_eq!(tier(stream(Surface::ChatCompletions, chat)), Some(Priority));
    let responses = "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\
        \"service_tier\":\"flex\",\"usage\":{\"input_tokens\":1}}}\n\n";
    assert_eq!(tier(stream(Surface::Responses, responses)), Some(Flex));
    let messages = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":\
        {\"input_tokens\":1,\"service_tier\":\"priority\"}}}\n\n\
        event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":2}}\n\n";
    assert_eq!(tier(stream(Surface::Messages, messages)), Some(Priority));
    let gemini =
        "data: {\"usageMetadata\":{\"promptTokenCount\":1,\"trafficType\":\"ON_DEMAND_PRIORITY\"}}\n\n";
    assert_eq!(tier(stream(Surface::StreamGenerateContent, gemini)), Some(Priority));
}

#[test]
fn requests_say_which_tier_they_want() {
    for (surface, body, expected) in [
        (Surface::ChatCompletions, r#"{"model":"m","service_tier":"flex"}"#, Some(Flex)),
        (Surface::ChatCompletions, r#"{"model":"m","service_tier":"auto"}"#, None),
        (Surface::Responses, r#"{"model":"m","service_tier":"priority"}"#, Some(Priority)),
        (Surface::Messages, r#"{"model":"m","service_tier":"standard_only"}"#, None),
    ] {
        let call = llm::peek(surface, &Bytes::copy_from_slice(body.as_bytes())).expect(body);
        assert_eq!(call.tier, expected, "{body}");
    }
}
