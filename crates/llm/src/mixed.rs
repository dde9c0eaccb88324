//! Bodies of one endpoint in any dialect: Cursor writes to its `/chat/completions` whatever the model's
//! name makes it think of, and wants Chat back (clients reference, §1.5).
//!
//! The body is not rewritten into Chat once: it stays as it came, and each attempt reads it in its own
//! dialect and writes it in the account's. So an account of the body's dialect gets nearly what was sent,
//! marks for caching and sealed thoughts included, and a Chat account what its own vendor takes.

use bytes::Bytes;
use model::Rejection;

use crate::codec::{Addressed, codec, invalid, read};
use crate::members;
use crate::neutral::{Dialect, Request};
use crate::peek::{Call, peek};
use crate::surface::Surface;

/// Whether bodies sent to `path` are of any dialect.
#[must_use]
pub fn takes_mixed(path: &str) -> bool {
    path == "/cursor/v1/chat/completions"
}

/// Reads a body of any dialect as a call of Chat.
///
/// # Errors
/// As [`peek`]. A body of Gemini's shape too has to name its model: the path does not.
pub fn peek_mixed(body: &Bytes) -> Result<Call, Rejection> {
    let mut call = peek(Surface::ChatCompletions, body)?;
    let text = std::str::from_utf8(body).unwrap_or_default();
    let shape = shape(text);
    if shape == Dialect::OpenAiChat {
        return Ok(call);
    }
    let most = |call: &mut Call, value| call.max_output = read::count(value).or(call.max_output);
    let _ = members::each(text, |key, value| match (shape, key) {
        (Dialect::OpenAiResponses, "max_output_tokens") => most(&mut call, value),
        (Dialect::Gemini, "generationConfig" | "generation_config") => {
            let _ = members::each(value, |key, value| match key {
                "maxOutputTokens" | "max_output_tokens" => most(&mut call, value),
                "candidateCount" | "candidate_count" => {
                    let choices = read::count(value).unwrap_or(1).max(1);
                    call.choices = u32::try_from(choices).unwrap_or(u32::MAX);
                }
                _ => {}
            });
        }
        _ => {}
    });
    if let Some(bare) = call.model.strip_prefix("models/").filter(|_| shape == Dialect::Gemini) {
        call.model = bare.into();
    }
    call.written = Some(shape);
    Ok(call)
}

/// Reads the whole of a request that [`peek_mixed`] has looked at.
///
/// # Errors
/// As [`crate::codec::Codec::decode_request`].
pub fn read_mixed(call: &Call, shape: Dialect, body: &str) -> Result<Request, Rejection> {
    let from = codec(shape).ok_or_else(|| invalid("The body's dialect cannot be read.", ""))?;
    let mut request = from.decode_request(body, &Addressed { model: &call.model, stream: call.stream })?;
    // Members of Chat that Cursor adds to every shape: they are for whoever answers it, and that is us.
    request.ext.forget(&["stream", "stream_options"]);
    request.include_usage = call.include_usage;
    if shape != Dialect::OpenAiChat {
        take_chat_tools(&mut request, body);
    }
    Ok(request)
}

/// Tools in Chat's shape, which come with every other.
fn take_chat_tools(request: &mut Request, body: &str) {
    let is_chat = |tool: &&str| read::member(tool, "function").is_some_and(|raw| raw.starts_with('{'));
    let Some(tools) = read::member(body, "tools").filter(|raw| members::elements(raw).iter().any(is_chat))
    else {
        return;
    };
    let choice = read::member(body, "tool_choice").unwrap_or("null");
    let chat = format!(r#"{{"model":"m","messages":[],"tools":{tools},"tool_choice":{choice}}}"#);
    let read =
        codec(Dialect::OpenAiChat).map(|chat_codec| chat_codec.decode_request(&chat, &Addressed::default()));
    if let Some(Ok(chat)) = read {
        request.tools = chat.tools;
        request.tool_choice = chat.tool_choice.or(request.tool_choice.take());
    }
}

/// The dialect whose shape `body` has. What could be several is Chat: that is what the path says.
fn shape(body: &str) -> Dialect {
    let (mut messages, mut tools, mut choice) = (None, None, None);
    let (mut input, mut contents, mut anthropic) = (false, false, false);
    let _ = members::each(body, |key, value| match key {
        "messages" if value.starts_with('[') => messages = Some(value),
        "input" => input = value != "null",
        "contents" => contents = value.starts_with(['[', '{']),
        "tools" => tools = Some(value),
        "tool_choice" => choice = Some(value),
        // In no other dialect, at the top.
        "system" | "stop_sequences" | "anthropic_version" => anthropic |= value != "null",
        _ => {}
    });
    match messages {
        None if contents => Dialect::Gemini,
        None if input => Dialect::OpenAiResponses,
        None => Dialect::OpenAiChat,
        Some(_) if anthropic || tools.is_some_and(has_anthropic_tool) => Dialect::AnthropicMessages,
        Some(_) if choice.is_some_and(is_anthropic_choice) => Dialect::AnthropicMessages,
        Some(list) if members::elements(list).into_iter().any(has_anthropic_block) => {
            Dialect::AnthropicMessages
        }
        Some(_) => Dialect::OpenAiChat,
    }
}

fn has_anthropic_tool(tools: &str) -> bool {
    members::elements(tools).into_iter().any(|tool| read::member(tool, "input_schema").is_some())
}

fn is_anthropic_choice(choice: &str) -> bool {
    matches!(read::member_text(choice, "type").as_deref(), Some("auto" | "any" | "tool" | "none"))
}

/// Whether a message has a part of a kind that only Anthropic has.
fn has_anthropic_block(message: &str) -> bool {
    let content = read::member(message, "content").filter(|raw| raw.starts_with('['));
    content.map(members::elements).unwrap_or_default().into_iter().any(|block| {
        let kind = read::member_text(block, "type");
        let kinds = ["tool_use", "tool_result", "redacted_thinking", "document", "search_result"];
        match kind.as_deref() {
            Some("image") => read::member(block, "source").is_some(),
            // Mistral has parts of this name, with a list in them.
            Some("thinking") => read::member(block, "signature").is_some(),
            Some(kind) => kinds.contains(&kind),
            None => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_told_by_its_members() {
        use Dialect::{AnthropicMessages, Gemini, OpenAiChat, OpenAiResponses};
        for (members, expected) in [
            (r#""messages":[{"role":"user","content":"hi"}],"max_tokens":5"#, OpenAiChat),
            (r#""messages":[{"role":"system","content":[{"type":"text","text":"x"}]}]"#, OpenAiChat),
            (r#""messages":[{"content":[{"type":"image_url","image_url":{"url":"x"}}]}]"#, OpenAiChat),
            (r#""messages":[{"content":[{"type":"thinking","thinking":[]}]}]"#, OpenAiChat),
            (r#""messages":[],"tools":[{"type":"function","function":{"name":"input_schema"}}]"#, OpenAiChat),
            (r#""messages":[],"tool_choice":"auto","system":null"#, OpenAiChat),
            (r#""messages":[],"tool_choice":{"type":"function","function":{"name":"f"}}"#, OpenAiChat),
            (r#""messages":[],"input":"x","contents":[]"#, OpenAiChat),
            (r#""input":null"#, OpenAiChat),
            (r#""user":"u""#, OpenAiChat),
            (r#""input":"hi""#, OpenAiResponses),
            (
                r#""input":[{"role":"user","content":"hi"}],"stream_options":{"include_usage":true}"#,
                OpenAiResponses,
            ),
            (r#""messages":[],"system":"s","max_tokens":5"#, AnthropicMessages),
            (r#""messages":[],"stop_sequences":["x"]"#, AnthropicMessages),
            (r#""messages":[],"tools":[{"name":"f","input_schema":{}}]"#, AnthropicMessages),
            (r#""messages":[],"tool_choice":{"type":"any"}"#, AnthropicMessages),
            (r#""messages":[{"content":[{"type":"tool_use","id":"c"}]}]"#, AnthropicMessages),
            (r#""messages":[{"content":"x"},{"content":[{"type":"tool_result"}]}]"#, AnthropicMessages),
            (r#""messages":[{"content":[{"type":"image","source":{}}]}]"#, AnthropicMessages),
            (r#""messages":[{"content":[{"type":"thinking","signature":"s"}]}]"#, AnthropicMessages),
            (r#""contents":[{"parts":[{"text":"hi"}]}]"#, Gemini),
            (r#""contents":{"parts":[]},"input":"x""#, Gemini),
        ] {
            let body = Bytes::from(format!(r#"{{"model":"m",{members}}}"#));
            let call = peek_mixed(&body).unwrap();
            assert_eq!(call.surface, Surface::ChatCompletions);
            assert_eq!(call.written.unwrap_or(OpenAiChat), expected, "{members}");
            assert_eq!(call.written.is_none(), expected == OpenAiChat, "{members}");
        }
    }

    #[test]
    fn what_is_asked_is_read_in_every_shape() {
        for (body, model, most, choices) in [
            (r#"{"model":"m","messages":[],"max_completion_tokens":7,"n":2"#, "m", 7, 2),
            (r#"{"model":"m","input":"x","max_output_tokens":7"#, "m", 7, 1),
            (r#"{"model":"m","messages":[],"system":"s","max_tokens":7"#, "m", 7, 1),
            (
                r#"{"model":"models/m","contents":[],"generationConfig":{"maxOutputTokens":7,"candidateCount":2}"#,
                "m",
                7,
                2,
            ),
        ] {
            let body = format!(r#"{body},"stream":true,"stream_options":{{"include_usage":true}}}}"#);
            let call = peek_mixed(&Bytes::from(body.clone())).unwrap();
            assert_eq!((&*call.model, call.max_output, call.choices), (model, Some(most), choices), "{body}");
            assert!(call.stream && call.include_usage, "{body}");
            let request = read_mixed(&call, call.written.unwrap_or(Dialect::OpenAiChat), &body).unwrap();
            assert_eq!((&*request.model, request.max_output), (model, Some(most)), "{body}");
            assert!(request.stream && request.include_usage && request.ext.is_empty(), "{body}");
        }
        let nameless = peek_mixed(&Bytes::from_static(br#"{"contents":[]}"#)).unwrap_err();
        assert_eq!(nameless.param.as_deref(), Some("model"));
    }

    #[test]
    fn tools_of_chat_are_taken_in_every_shape() {
        let tools = r#"[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]"#;
        for members in [r#""input":"x""#, r#""messages":[],"system":"s""#, r#""contents":[]"#] {
            let body = format!(r#"{{"model":"m",{members},"tools":{tools},"tool_choice":"required"}}"#);
            let call = peek_mixed(&Bytes::from(body.clone())).unwrap();
            let request = read_mixed(&call, call.written.unwrap(), &body).unwrap();
            assert_eq!(request.tools.len(), 1, "{members}");
            assert_eq!(&*request.tools[0].name, "f", "{members}");
            assert_eq!(request.tools[0].schema.as_ref().unwrap().text(), r#"{"type":"object"}"#);
            assert_eq!(request.tool_choice, Some(crate::neutral::ToolChoice::Required), "{members}");
        }
    }
}
