//! What a provider of another dialect would refuse or not understand where it stands, told in a way that it
//! takes: blocks of Anthropic's that are text in all but their form, and media within the results of tools.

use super::{Target, conversation, read};
use crate::members;
use crate::neutral::{Block, Dialect, Foreign, Part, Request, Turn};

/// Retells `request`, which is for `target`, a provider of another dialect than its own.
pub(super) fn retell(request: &mut Request, dialect: Dialect, target: &Target<'_>) {
    if request.origin == dialect {
        return;
    }
    let moves = dialect == Dialect::BedrockConverse && !takes_media_in_results(target.model);
    for turn in &mut request.turns {
        turn.parts.iter_mut().for_each(part);
        if moves {
            move_media(turn);
        }
    }
}

/// Whether a model at Bedrock takes media within results: the others refuse the request.
fn takes_media_in_results(model: &str) -> bool {
    model.contains("claude") || model.contains("nova")
}

fn part(part: &mut Part) {
    match &mut part.block {
        Block::ToolResult(result) => result.parts.iter_mut().for_each(self::part),
        Block::Foreign(Foreign { origin: Dialect::AnthropicMessages, raw }) => {
            if let Some(text) = words(raw.text()) {
                part.block = Part::text(text).block;
            }
        }
        _ => {}
    }
}

/// What a block of Anthropic's says, where it is text.
fn words(raw: &str) -> Option<String> {
    let text = |name| read::member_text(raw, name);
    let named = |body: String| {
        let lines = [text("title"), text("source"), Some(body)];
        lines.into_iter().flatten().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
    };
    match text("type")?.as_str() {
        "tool_reference" => Some(format!("The tool `{}` can be called now.", text("tool_name")?)),
        "search_result" => Some(named(texts(read::member(raw, "content")?))),
        "document" => {
            let source = read::member(raw, "source")?;
            let is_blocks = read::member_text(source, "type").as_deref() == Some("content");
            is_blocks.then(|| named(texts(read::member(source, "content").unwrap_or("[]"))))
        }
        _ => None,
    }
}

/// The texts of a list of blocks, or the one text that there is instead.
fn texts(raw: &str) -> String {
    if let Some(text) = read::text_if(raw) {
        return text;
    }
    let blocks = members::elements(raw).into_iter();
    blocks.filter_map(|block| read::member_text(block, "text")).collect::<Vec<_>>().join("\n")
}

/// Puts the media of results behind the results, each with a word on whose it is.
fn move_media(turn: &mut Turn) {
    let mut moved = Vec::new();
    for part in &mut turn.parts {
        let Block::ToolResult(result) = &mut part.block else { continue };
        let is_media = |part: &Part| matches!(part.block, Block::Media(_));
        let (media, rest): (Vec<Part>, Vec<Part>) =
            std::mem::take(&mut result.parts).into_iter().partition(is_media);
        result.parts = rest;
        if !media.is_empty() {
            moved.push(Part::text(conversation::media_note(&result.call_id)));
            moved.extend(media);
        }
    }
    turn.parts.extend(moved);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::Quirks;
    use crate::codec::{Addressed, Asked, Target, codec, fit};
    use crate::neutral::{Dialect, Losses};

    /// What the provider gets of a round of one call, whose result has this content.
    fn sent(content: &Value, to: Dialect, model: &str) -> (Value, usize) {
        let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": content},
                {"type": "text", "text": "well?"}]}]});
        let addressed = Addressed { model: "m", stream: false };
        let mut request =
            codec(Dialect::AnthropicMessages).unwrap().decode_request(&body.to_string(), &addressed).unwrap();
        let target = Target { provider: "x", model, quirks: &Quirks::NONE, clamp: None, max_output: 99 };
        let (mut asked, mut losses) = (Asked::of(&request), Losses::default());
        fit(&mut request, to, &target, &mut asked, &mut losses);
        let out = codec(to).unwrap().encode_request(&request, &target, &mut losses).unwrap();
        (serde_json::from_slice(&out).unwrap(), losses.refused().count())
    }

    const ELSEWHERE: [(Dialect, &str); 5] = [
        (Dialect::OpenAiChat, "m"),
        (Dialect::OpenAiResponses, "m"),
        (Dialect::Gemini, "gemini-2.5-pro"),
        (Dialect::Gemini, "gemini-3.8-flash"),
        (Dialect::BedrockConverse, "us.anthropic.claude-haiku-5-5"),
    ];

    #[test]
    fn blocks_that_are_text_are_told_as_text() {
        for (block, words) in [
            (json!({"type": "tool_reference", "tool_name": "look"}), "The tool `look` can be called now."),
            (
                json!({"type": "search_result", "title": "T", "source": "S", "content": [
                {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}),
                "T\\nS\\na\\nb",
            ),
            (
                json!({"type": "document", "title": "T", "source": {"type": "content", "content": [
                {"type": "text", "text": "a"}]}}),
                "T\\na",
            ),
        ] {
            for (to, model) in ELSEWHERE {
                let (body, lost) = sent(&json!([block]), to, model);
                assert!(body.to_string().contains(words), "{to:?}: {body}");
                assert_eq!(lost, 0, "{to:?}: {body}");
            }
        }
    }

    /// Nothing stands in for a picture that is not there.
    #[test]
    fn what_no_other_dialect_has_leaves_no_note_of_a_picture() {
        for (to, model) in ELSEWHERE {
            let (body, lost) = sent(&json!([{"type": "container_upload", "file_id": "f"}]), to, model);
            assert!(!body.to_string().contains("image for tool result"), "{to:?}: {body}");
            assert_eq!(lost, 1, "{to:?}: {body}");
        }
    }

    #[test]
    fn a_picture_in_a_result_stands_behind_it_at_models_that_refuse_it_there() {
        let picture = json!([{"type": "text", "text": "here"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}}]);
        let image = json!({"image": {"format": "png", "source": {"bytes": "QQ=="}}});
        for (model, inside) in [
            ("us.anthropic.claude-haiku-5-5", true),
            ("us.amazon.nova-pro-v1:0", true),
            ("meta.llama4-scout-17b-instruct-v1:0", false),
        ] {
            let (body, _) = sent(&picture, Dialect::BedrockConverse, model);
            let content = &body["messages"][2]["content"];
            let result = &content[0]["toolResult"]["content"];
            assert_eq!(result[0], json!({"text": "here"}), "{model}: {body}");
            if inside {
                assert_eq!(result[1], image, "{model}: {body}");
            } else {
                assert_eq!(result.as_array().unwrap().len(), 1, "{body}");
                let behind = json!([{"text": "well?"}, {"text": "image for tool result t1"}, image]);
                assert_eq!(json!(content.as_array().unwrap()[1..]), behind, "{body}");
            }
        }
    }
}
