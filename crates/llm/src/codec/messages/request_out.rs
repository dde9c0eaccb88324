//! Writes a request: instructions and conversation.

use model::Rejection;

use super::blocks_out::Blocks;
use super::{OWN, settings_out, tools, write_mark};
use crate::codec::conversation::{self, Joined};
use crate::codec::{Target, unsupported};
use crate::json_writer::JsonWriter;
use crate::neutral::{Block, Field, Format, Losses, Part, Request, Turn};

/// What the user says where the conversation would begin with the model: something must be said.
const PLACEHOLDER: &str = ".";
/// What is said where any JSON will do: the dialect has only schemas.
const JSON_ONLY: &str = "Answer with one JSON object and nothing else: no prose, no code fence.";

/// Writes a request to Messages.
///
/// # Errors
/// `UNSUPPORTED_FEATURE` for more than one answer.
pub(super) fn encode(
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<Vec<u8>, Rejection> {
    if request.choices > 1 {
        let field = request.origin.field(Field::Choices);
        return Err(unsupported("The provider of this model gives one answer at a time.", field));
    }
    let turns = conversation::identified(&request.turns);
    let joined = match request.origin {
        OWN => conversation::alternating_at_home(&turns, losses, OWN),
        origin => conversation::alternating(&turns, losses, origin),
    };
    let settings = settings_out::Settings::of(request, target, &joined, losses);
    let mut json = JsonWriter::with_capacity(request.room());
    json.object(|json| {
        json.text_member("model", target.model);
        json.plain_member("max_tokens", settings.max_tokens);
        system(json, request, losses);
        json.key("messages").array(|json| messages(json, request, &joined, losses));
        tools::write(json, request, settings.thinks(), losses);
        settings.write(json, request, target, losses);
        if request.stream {
            json.plain_member("stream", true);
        }
    });
    Ok(json.into_bytes())
}

fn system(json: &mut JsonWriter, request: &Request, losses: &mut Losses) {
    let parts: Vec<(&Turn, &Part)> = conversation::instructions(request, OWN).collect();
    let json_only = request.format == Format::Json;
    if json_only {
        losses.advisory(request.origin.field(Field::Format), "the model is told in words to answer in JSON");
    }
    match &*parts {
        [] if !json_only => {}
        [(_, part)] if !json_only && part.cache.is_none() && part.ext.is_empty() => {
            if let Block::Text(text) = &part.block {
                json.text_member("system", &text.text);
            } else {
                let list = request.origin.field(Field::Instructions);
                losses.meaning(list, "instructions of this dialect are text");
            }
        }
        _ => json.key("system").array(|json| {
            for (turn, part) in &parts {
                let Block::Text(text) = &part.block else {
                    let list = request.origin.field(Field::Instructions);
                    losses.meaning(
                        format_args!("{list}[{}].content", turn.place),
                        "instructions of this dialect are text",
                    );
                    continue;
                };
                json.object(|json| {
                    json.text_member("type", "text");
                    json.text_member("text", &text.text);
                    if let Some(mark) = part.cache {
                        write_mark(json, mark);
                    }
                    part.ext.write(OWN, json, request.origin.field(Field::Instructions), losses);
                });
            }
            if json_only {
                json.object(|json| {
                    json.text_member("type", "text");
                    json.text_member("text", JSON_ONLY);
                });
            }
        }),
    }
}

fn messages(json: &mut JsonWriter, request: &Request, joined: &[Joined<'_>], losses: &mut Losses) {
    let mut written = Vec::with_capacity(joined.len());
    for (at, turn) in joined.iter().enumerate() {
        let last = at + 1 == joined.len();
        let mut blocks = Blocks::new(request.origin, losses);
        turn.items.iter().for_each(|item| blocks.item(item, turn.assistant));
        written.push((role(turn), blocks.finish(last && turn.assistant)));
    }
    // A turn of which nothing could be carried over leaves its neighbours side by side.
    let mut messages: Vec<(&str, Vec<JsonWriter>)> = Vec::with_capacity(written.len());
    for (role, blocks) in written {
        match messages.last_mut() {
            _ if blocks.is_empty() => {}
            Some((before, list)) if *before == role => list.extend(blocks),
            _ => messages.push((role, blocks)),
        }
    }
    if messages.first().is_some_and(|(role, _)| *role == "assistant") {
        message(json, "user", |json| json.text(PLACEHOLDER));
    }
    for (role, blocks) in &messages {
        message(json, role, |json| {
            json.array(|json| blocks.iter().for_each(|block| json.append(block)));
        });
    }
}

fn role(turn: &Joined<'_>) -> &'static str {
    match (turn.assistant, turn.instructs) {
        (true, _) => "assistant",
        (false, true) => "system",
        (false, false) => "user",
    }
}

fn message(json: &mut JsonWriter, role: &str, content: impl FnOnce(&mut JsonWriter)) {
    json.object(|json| {
        json.text_member("role", role);
        content(json.key("content"));
    });
}
