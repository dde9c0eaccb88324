//! The conversation as providers want it: calls with ids, results behind their calls, and, for those
//! who insist, user and assistant in turns.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::ids;
use crate::neutral::{Block, Dialect, Losses, OpaqueKind, Part, Request, Role, Turn};

/// What introduces the billing note that Claude Code puts in front of its instructions: noise to
/// everybody but Anthropic, at the very start of what could be cached.
const BILLING_NOTE: &str = "x-anthropic-billing-header:";

/// The parts of the instructions that are meant for a provider of the dialect `own`, in order, each with
/// its turn.
pub(crate) fn instructions(request: &Request, own: Dialect) -> impl Iterator<Item = (&Turn, &Part)> {
    let parts = request.instructions.iter().flat_map(|turn| turn.parts.iter().map(move |part| (turn, part)));
    parts.filter(move |(_, part)| match &part.block {
        Block::Text(text) => {
            text.text.room() > 0
                && (own == Dialect::AnthropicMessages || !text.text.begins_with(BILLING_NOTE))
        }
        _ => true,
    })
}

/// The turns with an id on every call and every result. Calls without one get one that depends on their
/// place alone; results without one answer the oldest open call of their tool.
pub(crate) fn identified(turns: &[Turn]) -> Cow<'_, [Turn]> {
    let lacks = |part: &Part| match &part.block {
        Block::ToolCall(call) => call.id.is_empty(),
        Block::ToolResult(result) => result.call_id.is_empty(),
        _ => false,
    };
    if !turns.iter().any(|turn| turn.parts.iter().any(lacks)) {
        return Cow::Borrowed(turns);
    }
    let mut turns = turns.to_vec();
    let mut open: VecDeque<(String, String)> = VecDeque::new();
    for turn in &mut turns {
        let place = turn.place;
        for (index, part) in turn.parts.iter_mut().enumerate() {
            match &mut part.block {
                Block::ToolCall(call) => {
                    if call.id.is_empty() {
                        call.id = ids::missing(place, index);
                    }
                    open.push_back((call.name.clone(), call.id.clone()));
                }
                Block::ToolResult(result) if result.call_id.is_empty() => {
                    let name = result.name.as_deref();
                    let answers = |(tool, _): &(String, String)| name.is_none_or(|name| name == tool);
                    let at = open.iter().position(answers);
                    result.call_id = at
                        .and_then(|at| open.remove(at))
                        .map_or_else(|| ids::missing(place, index), |(_, id)| id);
                }
                Block::ToolResult(result) => open.retain(|(_, id)| *id != result.call_id),
                _ => {}
            }
        }
    }
    Cow::Owned(turns)
}

/// A part in its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    /// The part.
    pub part: &'a Part,
    /// The place of its turn in the caller's list.
    pub place: usize,
    /// Whether it is an instruction within the conversation, for which the dialect has no place.
    pub instructs: bool,
    /// Whether it is the result of a call that the turn before does not have.
    pub orphan: bool,
}

/// A turn of one side, neighbours joined.
#[derive(Clone, Debug)]
pub(crate) struct Joined<'a> {
    /// Whether the model speaks.
    pub assistant: bool,
    /// Whether it is an instruction, at a provider that takes one here.
    pub instructs: bool,
    /// What is said.
    pub items: Vec<Item<'a>>,
}

/// The turns with user and assistant in alternation: neighbours are joined, instructions within the
/// conversation become the user's at the same place (moving them would change their meaning and the
/// cached prefix), and the results of a round of tools come first in the turn behind it.
pub(crate) fn alternating<'a>(turns: &'a [Turn], losses: &mut Losses, origin: Dialect) -> Vec<Joined<'a>> {
    joined(turns, losses, (origin, false))
}

/// The same for a provider of the dialect `origin` itself, whose callers know that it takes instructions
/// within the conversation: they stay what they are.
pub(crate) fn alternating_at_home<'a>(
    turns: &'a [Turn],
    losses: &mut Losses,
    origin: Dialect,
) -> Vec<Joined<'a>> {
    joined(turns, losses, (origin, true))
}

fn joined<'a>(turns: &'a [Turn], losses: &mut Losses, (origin, at_home): (Dialect, bool)) -> Vec<Joined<'a>> {
    let mut joined: Vec<Joined<'a>> = Vec::with_capacity(turns.len());
    for turn in turns {
        let assistant = turn.role == Role::Assistant;
        let instructs = matches!(turn.role, Role::System | Role::Developer);
        if instructs && at_home {
            let item = |part: &'a Part| Item { part, place: turn.place, instructs: false, orphan: false };
            let items = turn.parts.iter().map(item).collect();
            joined.push(Joined { assistant: false, instructs: true, items });
            continue;
        }
        if instructs {
            let list = origin.field(crate::neutral::Field::Turns);
            let reason = "an instruction within the conversation is said by the user";
            losses.advisory(format_args!("{list}[{}].role", turn.place), reason);
        }
        let item = |part: &'a Part| Item { part, place: turn.place, instructs, orphan: false };
        match joined.last_mut().filter(|last| last.assistant == assistant && !last.instructs) {
            Some(last) => last.items.extend(turn.parts.iter().map(item)),
            None => {
                let items = turn.parts.iter().map(item).collect();
                joined.push(Joined { assistant, instructs: false, items });
            }
        }
    }
    for at in 0..joined.len() {
        let (before, rest) = joined.split_at_mut(at);
        if !rest[0].assistant {
            results_first(before.iter().rfind(|turn| !turn.instructs), &mut rest[0]);
        }
        for item in rest[0].items.iter().filter(|item| item.orphan) {
            let list = origin.field(crate::neutral::Field::Turns);
            let reason = "the result of a call that is not in the conversation is said by the user";
            losses.advisory(format_args!("{list}[{}]", item.place), reason);
        }
    }
    joined
}

fn results_first(calls: Option<&Joined<'_>>, turn: &mut Joined<'_>) {
    for item in &mut turn.items {
        if let Block::ToolResult(result) = &item.part.block {
            let calls = calls.iter().flat_map(|before| &before.items);
            item.orphan = !calls.into_iter().any(|item| match &item.part.block {
                Block::ToolCall(call) => call.id == result.call_id,
                _ => false,
            });
        }
    }
    // Stable: the order among results, and among the rest, stays.
    turn.items.sort_by_key(|item| item.orphan || !matches!(item.part.block, Block::ToolResult(_)));
}

/// Whether the conversation is within a round of tools whose calls come without sealed thoughts: Claude
/// refuses to think on in such a round.
pub(crate) fn has_unsealed_round(joined: &[Joined<'_>], own: Dialect) -> bool {
    let mut said = joined.iter().rev().filter(|turn| !turn.instructs);
    let (Some(results), Some(calls)) = (said.next(), said.next()) else {
        return false;
    };
    let has = |turn: &Joined<'_>, wanted: &dyn Fn(&Block) -> bool| {
        turn.items.iter().any(|item| wanted(&item.part.block) && !item.orphan)
    };
    let is_open = !results.assistant && has(results, &|block| matches!(block, Block::ToolResult(_)));
    let is_sealed = |block: &Block| match block {
        Block::Reasoning(thoughts) => thoughts.opaque.iter().any(|opaque| {
            opaque.origin == own && matches!(opaque.kind, OpaqueKind::Signature | OpaqueKind::Redacted)
        }),
        _ => false,
    };
    is_open && has(calls, &|block| matches!(block, Block::ToolCall(_))) && !has(calls, &is_sealed)
}

/// The text that stands for an instruction within the conversation.
pub(crate) fn instruction_text(text: &str) -> String {
    format!("<system>\n{text}\n</system>")
}

/// The text that stands in front of the media of a tool's result, where results can have none.
pub(crate) fn media_note(call_id: &str) -> String {
    format!("image for tool result {call_id}")
}

/// The text that stands in front of the result of a call that is not there.
pub(crate) fn orphan_note(call_id: &str) -> String {
    format!("Result of the earlier tool call {call_id}:")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neutral::{ToolCall, ToolCallKind, ToolResult};

    fn call(id: &str, name: &str) -> Part {
        Block::ToolCall(ToolCall { id: id.into(), name: name.into(), ..ToolCall::default() }).into()
    }

    fn result(id: &str, name: &str) -> Part {
        Block::ToolResult(ToolResult {
            call_id: id.into(),
            name: (!name.is_empty()).then(|| name.to_owned()),
            kind: ToolCallKind::Function,
            parts: vec![],
            is_error: false,
        })
        .into()
    }

    #[test]
    fn results_without_ids_find_their_calls() {
        let turns = [
            Turn::new(Role::Assistant, vec![call("", "a"), call("", "b"), call("", "a")], 1),
            Turn::new(Role::User, vec![result("", "b"), result("", "a"), result("", "a")], 2),
        ];
        let turns = identified(&turns);
        let id = |turn: usize, part: usize| match &turns[turn].parts[part].block {
            Block::ToolCall(call) => call.id.clone(),
            Block::ToolResult(result) => result.call_id.clone(),
            _ => String::new(),
        };
        assert_eq!([id(1, 0), id(1, 1), id(1, 2)], [id(0, 1), id(0, 0), id(0, 2)]);
    }

    #[test]
    fn results_come_first_and_orphans_do_not() {
        let turns = [
            Turn::new(Role::Assistant, vec![call("x", "a"), call("y", "a")], 0),
            Turn::new(Role::User, vec![result("x", "")], 1),
            Turn::new(Role::System, vec![Part::text("now")], 2),
            Turn::new(Role::User, vec![result("gone", ""), result("y", "")], 3),
        ];
        let mut losses = Losses::default();
        let joined = alternating(&turns, &mut losses, Dialect::OpenAiChat);
        assert_eq!(joined.len(), 2);
        let seen: Vec<(usize, bool, bool)> =
            joined[1].items.iter().map(|item| (item.place, item.instructs, item.orphan)).collect();
        assert_eq!(seen, [(1, false, false), (3, false, false), (2, true, false), (3, false, true)]);
        let lost: Vec<&str> = losses.list().iter().map(|loss| &*loss.path).collect();
        assert_eq!(lost, ["messages[2].role", "messages[3]"]);
    }
}
