//! Refusals for callers of OpenAI's dialects, in which a refusal is a text of its own and no reason to stop:
//! without it a refusal would look like an answer.

use crate::neutral::{Block, Delta, Dialect, Event, PartKind, Reply, Stop};

/// What is said where the provider only says that the model refused.
const NOTE: &str = "The model refused to answer.";

fn concerns(caller: Dialect) -> bool {
    matches!(caller, Dialect::OpenAiChat | Dialect::OpenAiResponses)
}

/// Sees to it that a stream which ends with a refusal has one.
#[derive(Default)]
pub(super) struct Refusals {
    concerned: bool,
    told: Vec<u32>,
    next: u32,
}

impl Refusals {
    /// For a caller of the dialect `caller`.
    pub(super) fn of(caller: Dialect) -> Self {
        Self { concerned: concerns(caller), ..Self::default() }
    }

    /// What must come before `event`.
    pub(super) fn before(&mut self, event: &Event) -> Vec<Event> {
        match event {
            Event::PartStart { part, choice, kind } => {
                self.next = self.next.max(part + 1);
                if *kind == PartKind::Refusal {
                    self.told.push(*choice);
                }
                Vec::new()
            }
            Event::Finish { choice, stop: Stop::Refusal, .. }
                if self.concerned && !self.told.contains(choice) =>
            {
                let part = self.next;
                self.next += 1;
                let delta = Delta::Refusal(NOTE.to_owned());
                vec![
                    Event::PartStart { part, choice: *choice, kind: PartKind::Refusal },
                    Event::Delta { part, delta },
                    Event::PartStop { part },
                ]
            }
            _ => Vec::new(),
        }
    }
}

/// Makes the text of a whole answer that is a refusal one.
pub(super) fn tell(reply: &mut Reply, caller: Dialect) {
    if !concerns(caller) {
        return;
    }
    for choice in reply.choices.iter_mut().filter(|choice| choice.stop == Stop::Refusal) {
        let mut told = false;
        for part in &mut choice.parts {
            if let Block::Text(text) = &mut part.block {
                part.block = Block::Refusal(std::mem::take(&mut text.text).into_string());
            }
            told |= matches!(part.block, Block::Refusal(_));
        }
        if !told {
            choice.parts.push(Block::Refusal(NOTE.to_owned()).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neutral::{Choice, Ext, Part};

    fn finish() -> Event {
        Event::Finish { choice: 0, stop: Stop::Refusal, native: None }
    }

    #[test]
    fn a_refusal_is_told_once_and_only_to_those_who_look_for_it() {
        let mut refusals = Refusals::of(Dialect::OpenAiChat);
        let text = Event::PartStart { part: 4, choice: 0, kind: PartKind::Text };
        assert!(refusals.before(&text).is_empty());
        let told = refusals.before(&finish());
        assert_eq!(told[0], Event::PartStart { part: 5, choice: 0, kind: PartKind::Refusal });
        assert!(Refusals::of(Dialect::AnthropicMessages).before(&finish()).is_empty());
        let mut own = Refusals::of(Dialect::OpenAiResponses);
        own.before(&Event::PartStart { part: 0, choice: 0, kind: PartKind::Refusal });
        assert!(own.before(&finish()).is_empty());
    }

    #[test]
    fn the_text_of_a_refusal_is_its_words() {
        let choice = |parts| Choice {
            index: 0,
            parts,
            stop: Stop::Refusal,
            native: None,
            logprobs: None,
            ext: Ext::default(),
        };
        let mut reply =
            Reply { choices: vec![choice(vec![Part::text("No.")]), choice(vec![])], ..Reply::default() };
        tell(&mut reply, Dialect::OpenAiResponses);
        assert_eq!(reply.choices[0].parts[0].block, Block::Refusal("No.".to_owned()));
        assert_eq!(reply.choices[1].parts[0].block, Block::Refusal(NOTE.to_owned()));
    }
}
