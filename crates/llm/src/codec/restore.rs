//! Gives an answer back in the caller's own terms, before it is written in the caller's dialect: names of
//! tools, free text of custom tools. Also sees which seals belong to which call.

use super::{Asked, custom};
use crate::neutral::{Block, Delta, Event, Opaque, Part, PartKind, Reasoning, Reply, ToolCall, ToolCallKind};

/// What a provider wants back with its calls of tools: kept for callers whose dialect, or whose care, has
/// no place for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seals {
    /// The sealed thoughts in front of the first call of an answer.
    pub thoughts: Vec<Reasoning>,
    /// What is sealed on the call itself.
    pub call: Vec<Opaque>,
}

impl Seals {
    /// Whether there is nothing to keep.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.call.is_empty() && self.thoughts.iter().all(|one| one.opaque.is_empty() && one.text.is_empty())
    }

    /// The room that it takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let sealed = |opaque: &[Opaque]| opaque.iter().map(|one| one.data.len() + 64).sum::<usize>();
        let thought = |one: &Reasoning| one.text.len() + sealed(&one.opaque) + 128;
        sealed(&self.call) + self.thoughts.iter().map(thought).sum::<usize>()
    }
}

/// Where seals are kept, by the id of the call that they belong to.
pub trait SealKeeper: Send + Sync {
    /// Keeps `seals` for the call `call_id`.
    fn keep(&self, call_id: &str, seals: Seals);
}

/// Restores the events of a stream.
#[derive(Default)]
pub(super) struct Restorer {
    /// Calls that are free text for the caller: their arguments, as far as they have come.
    custom: Vec<(u32, String)>,
    seen: Vec<Seen>,
}

/// A part of which seals may be kept.
struct Seen {
    part: u32,
    choice: u32,
    block: Block,
}

impl Restorer {
    /// Takes the next event and hands on what the caller is to see.
    pub(super) fn push(
        &mut self,
        event: Event,
        asked: &Asked,
        keeper: Option<&dyn SealKeeper>,
        mut each: impl FnMut(Event),
    ) {
        self.see(&event, keeper);
        match event {
            Event::PartStart { part, choice, kind: PartKind::ToolCall(mut call) } => {
                if becomes_text(&mut call, asked) {
                    self.custom.push((part, std::mem::take(&mut call.args)));
                }
                each(Event::PartStart { part, choice, kind: PartKind::ToolCall(call) });
            }
            Event::Delta { part, delta: Delta::Args(args) } => {
                match self.custom.iter_mut().find(|(own, _)| *own == part) {
                    Some((_, held)) => held.push_str(&args),
                    None => each(Event::Delta { part, delta: Delta::Args(args) }),
                }
            }
            Event::PartStop { part } => {
                if let Some(at) = self.custom.iter().position(|(own, _)| *own == part) {
                    let (_, args) = self.custom.swap_remove(at);
                    each(Event::Delta { part, delta: Delta::Args(custom::from_input(&args)) });
                }
                each(event);
            }
            other => each(other),
        }
    }

    /// Follows thoughts and calls, and keeps their seals when a choice is finished: before its caller can
    /// go on from it.
    fn see(&mut self, event: &Event, keeper: Option<&dyn SealKeeper>) {
        let Some(keeper) = keeper else { return };
        match event {
            Event::PartStart { part, choice, kind } => {
                let block = match kind {
                    PartKind::Reasoning => Block::Reasoning(Reasoning::default()),
                    PartKind::ToolCall(call) => Block::ToolCall(call.clone()),
                    PartKind::Whole(whole) if matches!(whole.block, Block::Reasoning(_)) => {
                        whole.block.clone()
                    }
                    _ => return,
                };
                self.seen.push(Seen { part: *part, choice: *choice, block });
            }
            Event::Delta { part, delta } => {
                if let Some(seen) = self.seen.iter_mut().find(|seen| seen.part == *part) {
                    add(&mut seen.block, delta);
                }
            }
            Event::Finish { choice, .. } => {
                let of_choice = self.seen.extract_if(.., |seen| seen.choice == *choice);
                let blocks: Vec<Block> = of_choice.map(|seen| seen.block).collect();
                keep(blocks.iter(), keeper);
            }
            _ => {}
        }
    }
}

fn add(block: &mut Block, delta: &Delta) {
    match (block, delta) {
        (Block::Reasoning(thoughts), Delta::Thought(text)) => thoughts.text.push_str(text),
        (Block::Reasoning(thoughts), Delta::Summary(_, text)) => thoughts.text.push_str(text),
        (Block::Reasoning(Reasoning { opaque, .. }), Delta::Opaque(seal))
        | (Block::ToolCall(ToolCall { opaque, .. }), Delta::Opaque(seal)) => match opaque.last_mut() {
            Some(last) if last.kind == seal.kind && last.origin == seal.origin => {
                last.data.push_str(&seal.data);
            }
            _ => opaque.push(seal.clone()),
        },
        _ => {}
    }
}

/// Keeps the seals of one choice: the thoughts by the first call behind them, and each call's own.
fn keep<'a>(blocks: impl Iterator<Item = &'a Block>, keeper: &dyn SealKeeper) {
    let mut thoughts: Vec<Reasoning> = Vec::new();
    for block in blocks {
        match block {
            Block::Reasoning(one) => thoughts.push(one.clone()),
            Block::ToolCall(call) => {
                let seals = Seals { thoughts: std::mem::take(&mut thoughts), call: call.opaque.clone() };
                if !seals.is_empty() && !call.id.is_empty() {
                    keeper.keep(&call.id, seals);
                }
            }
            _ => {}
        }
    }
}

/// Restores a whole answer.
pub(super) fn restore(reply: &mut Reply, asked: &Asked, keeper: Option<&dyn SealKeeper>) {
    for choice in &mut reply.choices {
        if let Some(keeper) = keeper {
            keep(choice.parts.iter().map(|part| &part.block), keeper);
        }
        for part in &mut choice.parts {
            if let Part { block: Block::ToolCall(call), .. } = part
                && becomes_text(call, asked)
            {
                call.args = custom::from_input(&call.args);
            }
        }
    }
}

/// Gives a call the caller's name for its tool; says whether its arguments must become free text.
fn becomes_text(call: &mut ToolCall, asked: &Asked) -> bool {
    let name = asked.tool_name(&call.name);
    if name != call.name {
        call.name = name.to_owned();
    }
    let converted = call.kind == ToolCallKind::Function && asked.is_custom(&call.name);
    if converted {
        call.kind = ToolCallKind::Custom;
    }
    converted
}

/// Puts kept seals back where the caller dropped them: `find` has what was kept for a call.
pub fn reattach(request: &mut crate::neutral::Request, find: impl Fn(&str) -> Option<Seals>) {
    for turn in &mut request.turns {
        let sealed = turn.parts.iter().any(|part| match &part.block {
            Block::Reasoning(thoughts) => !thoughts.opaque.is_empty(),
            _ => false,
        });
        let mut thoughts = None;
        for part in &mut turn.parts {
            let Block::ToolCall(call) = &mut part.block else { continue };
            let Some(kept) = find(&call.id) else { continue };
            if call.opaque.is_empty() {
                call.opaque = kept.call;
            }
            if !sealed && thoughts.is_none() && !kept.thoughts.is_empty() {
                thoughts = Some(kept.thoughts);
            }
        }
        let Some(thoughts) = thoughts else { continue };
        // Text that the caller kept without its seal says the same, and would say it twice.
        turn.parts.retain(|part| !matches!(part.block, Block::Reasoning(_)));
        let parts = thoughts.into_iter().map(|one| Part::from(Block::Reasoning(one)));
        turn.parts.splice(0..0, parts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neutral::{Dialect, OpaqueKind, Request, Role, Stop, Turn};
    use std::collections::HashMap;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Shelf(Mutex<HashMap<String, Seals>>);

    impl SealKeeper for Shelf {
        fn keep(&self, call_id: &str, seals: Seals) {
            self.0.lock().unwrap().insert(call_id.to_owned(), seals);
        }
    }

    fn seal(data: &str) -> Opaque {
        let (origin, kind) = (Dialect::AnthropicMessages, OpaqueKind::Signature);
        Opaque { origin, kind, data: data.to_owned() }
    }

    #[test]
    fn seals_that_the_caller_dropped_come_back_with_its_next_turn() {
        let shelf = Shelf::default();
        let call = ToolCall { id: "toolu_1".into(), name: "f".into(), ..ToolCall::default() };
        let mut restorer = Restorer::default();
        for event in [
            Event::PartStart { part: 0, choice: 0, kind: PartKind::Reasoning },
            Event::Delta { part: 0, delta: Delta::Thought("hm".into()) },
            Event::Delta { part: 0, delta: Delta::Opaque(seal("S")) },
            Event::PartStop { part: 0 },
            Event::PartStart { part: 1, choice: 0, kind: PartKind::ToolCall(call.clone()) },
            Event::PartStop { part: 1 },
            Event::Finish { choice: 0, stop: Stop::ToolUse, native: None },
        ] {
            restorer.push(event, &Asked::default(), Some(&shelf), |_| {});
        }
        let mut request = Request::new(Dialect::OpenAiChat, "m");
        let unsealed = Reasoning { text: "hm".into(), ..Reasoning::default() };
        let parts = vec![Block::Reasoning(unsealed).into(), Block::ToolCall(call).into()];
        request.turns = vec![Turn::new(Role::Assistant, parts, 0)];
        reattach(&mut request, |id| shelf.0.lock().unwrap().get(id).cloned());
        let parts = &request.turns[0].parts;
        assert_eq!(parts.len(), 2);
        assert!(
            matches!(&parts[0].block, Block::Reasoning(one) if one.opaque == [seal("S")] && one.text == "hm")
        );
    }

    #[test]
    fn calls_of_custom_tools_are_free_text_again() {
        let asked = Asked {
            custom_tools: vec!["patch".into()],
            renamed_tools: vec![("p_1".into(), "patch".into())],
            ..Asked::default()
        };
        let call = ToolCall { id: "c".into(), name: "p_1".into(), ..ToolCall::default() };
        let mut out = Vec::new();
        let mut restorer = Restorer::default();
        for event in [
            Event::PartStart { part: 0, choice: 0, kind: PartKind::ToolCall(call) },
            Event::Delta { part: 0, delta: Delta::Args("{\"inp".into()) },
            Event::Delta { part: 0, delta: Delta::Args("ut\":\"a\\n\"}".into()) },
            Event::PartStop { part: 0 },
        ] {
            restorer.push(event, &asked, None, |event| out.push(event));
        }
        let Event::PartStart { kind: PartKind::ToolCall(begun), .. } = &out[0] else { panic!("{out:?}") };
        assert_eq!((&*begun.name, begun.kind), ("patch", ToolCallKind::Custom));
        assert_eq!(out[1], Event::Delta { part: 0, delta: Delta::Args("a\n".into()) });
        assert_eq!(out.len(), 3);
    }
}
