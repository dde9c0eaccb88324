//! The turns of a conversation as Converse wants them: user and assistant in turn, the user first, tool
//! results at the head of the message behind their calls, no empty text.

use model::Rejection;

use super::super::unsupported;
use super::block;
use crate::neutral::{Block, Field, MediaKind, Part, Request, Role, Turn};

/// One message in the making.
pub(super) struct Message<'a> {
    /// Who speaks.
    pub(super) role: &'static str,
    /// What it says, each with where it stood.
    pub(super) parts: Vec<(&'a Part, String)>,
}

impl Message<'_> {
    /// Whether a document stands here without a word beside it, which Converse does not take.
    pub(super) fn lacks_words(&self) -> bool {
        let is = |wanted: fn(&Block) -> bool| self.parts.iter().any(|(part, _)| wanted(&part.block));
        is(|block| matches!(block, Block::Media(media) if media.kind == MediaKind::Document))
            && !is(|block| matches!(block, Block::Text(text) if !text.text.trim().is_empty()))
    }
}

/// Puts the turns of `request` into messages.
///
/// # Errors
/// `UNSUPPORTED_FEATURE` for media that Converse cannot be given.
pub(super) fn messages(request: &Request) -> Result<Vec<Message<'_>>, Rejection> {
    let mut messages: Vec<Message<'_>> = Vec::new();
    for turn in &request.turns {
        let role = if turn.role == Role::Assistant { "assistant" } else { "user" };
        let path = path_of(request, turn);
        let parts = turn.parts.iter().filter(|part| says_something(part));
        let parts: Vec<_> = parts.map(|part| (part, path.clone())).collect();
        for (part, path) in &parts {
            check(part, path)?;
        }
        match messages.last_mut() {
            _ if parts.is_empty() => {}
            Some(last) if last.role == role => last.parts.extend(parts),
            _ => messages.push(Message { role, parts }),
        }
    }
    for message in messages.iter_mut().filter(|message| message.role == "user") {
        // Stable: results keep their order, and so does everything else.
        message.parts.sort_by_key(|(part, _)| !matches!(part.block, Block::ToolResult(_)));
    }
    Ok(messages)
}

/// Where a turn stands in the caller's request.
pub(super) fn path_of(request: &Request, turn: &Turn) -> String {
    format!("{}[{}]", request.origin.field(Field::Turns), turn.place)
}

/// Empty text is refused, and says nothing.
fn says_something(part: &Part) -> bool {
    match &part.block {
        Block::Text(text) => !text.text.trim().is_empty(),
        Block::Refusal(text) => !text.trim().is_empty(),
        _ => true,
    }
}

fn check(part: &Part, path: &str) -> Result<(), Rejection> {
    match &part.block {
        Block::Media(media) if !block::is_sendable(media) => {
            Err(unsupported("The provider takes media only as data or from Amazon S3.", path))
        }
        Block::ToolResult(result) => result.parts.iter().try_for_each(|part| check(part, path)),
        _ => Ok(()),
    }
}
