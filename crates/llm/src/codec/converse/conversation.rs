//! The turns of a conversation as Converse wants them.

use model::Rejection;

use super::block::{self, Names};
use crate::codec::conversation::{self, Item, Joined};
use crate::codec::unsupported;
use crate::json_writer::JsonWriter;
use crate::neutral::{Block, Field, Losses, MediaKind, Part, Request};

/// Whether a document stands in a turn without a word beside it, which Converse does not take.
pub(super) fn lacks_words(turn: &Joined<'_>) -> bool {
    let has = |wanted: fn(&Block) -> bool| turn.items.iter().any(|item| wanted(&item.part.block));
    has(|block| matches!(block, Block::Media(media) if media.kind == MediaKind::Document))
        && !has(|block| matches!(block, Block::Text(text) if !text.text.trim().is_empty()))
}

/// Where an item stands in the caller's request.
fn path_of(request: &Request, item: &Item<'_>) -> String {
    format!("{}[{}].content", request.origin.field(Field::Turns), item.place)
}

/// Checks that everything in `turns` can be sent at all.
///
/// # Errors
/// `UNSUPPORTED_FEATURE` for media that Converse cannot be given.
pub(super) fn check(request: &Request, turns: &[Joined<'_>]) -> Result<(), Rejection> {
    let items = turns.iter().flat_map(|turn| &turn.items);
    items.into_iter().try_for_each(|item| check_part(item.part, &path_of(request, item)))
}

fn check_part(part: &Part, path: &str) -> Result<(), Rejection> {
    match &part.block {
        Block::Media(media) if !block::is_sendable(media) => {
            Err(unsupported("The provider takes media only as data or from Amazon S3.", path))
        }
        Block::ToolResult(result) => result.parts.iter().try_for_each(|part| check_part(part, path)),
        _ => Ok(()),
    }
}

/// Writes one item of a turn.
pub(super) fn write(
    item: &Item<'_>,
    request: &Request,
    names: &mut Names,
    json: &mut JsonWriter,
    losses: &mut Losses,
) {
    let path = path_of(request, item);
    let text = |json: &mut JsonWriter, text: &str| json.object(|json| json.text_member("text", text));
    match &item.part.block {
        Block::Text(said) if item.instructs => text(json, &conversation::instruction_text(&said.text)),
        Block::ToolResult(result) if item.orphan => {
            text(json, &conversation::orphan_note(&result.call_id));
            result.parts.iter().for_each(|part| block::write(part, names, &path, json, losses));
        }
        _ => block::write(item.part, names, &path, json, losses),
    }
}
