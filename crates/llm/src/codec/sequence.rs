//! Puts the parts of a stream in a row, for dialects in which one part ends before the next begins:
//! a part that begins while another is open is held back until that one is whole.

use std::collections::VecDeque;

use super::failed;
use crate::neutral::{Delta, Event};

/// Most bytes that are held back: more than any answer that overlaps has been seen to need.
const HELD_LIMIT: usize = 4 << 20;

/// Puts parts in a row.
#[derive(Clone, Debug, Default)]
pub struct Sequencer {
    open: Option<u32>,
    waiting: VecDeque<Waiting>,
    held_bytes: usize,
}

/// A part that must wait.
#[derive(Clone, Debug)]
struct Waiting {
    part: u32,
    events: Vec<Event>,
    whole: bool,
}

impl Sequencer {
    /// Takes the next event and hands on what may be written now, in order. Parts that are still open
    /// when their choice finishes are closed.
    pub fn push(&mut self, event: Event, mut each: impl FnMut(Event)) {
        match event {
            Event::PartStart { part, .. } => match self.open {
                None => {
                    self.open = Some(part);
                    each(event);
                }
                Some(_) => self.waiting.push_back(Waiting { part, events: vec![event], whole: false }),
            },
            Event::Delta { part, .. } if self.open == Some(part) => each(event),
            Event::Delta { part, ref delta } => {
                self.held_bytes += size(delta);
                if self.held_bytes > HELD_LIMIT {
                    return each(Event::Error(failed(
                        "The upstream's tool calls overlap beyond what can be held.",
                        "overlapping_parts",
                    )));
                }
                if let Some(waiting) = self.waiting_part(part) {
                    waiting.events.push(event);
                }
            }
            Event::PartStop { part } if self.open == Some(part) => {
                each(event);
                self.go_on(&mut each);
            }
            Event::PartStop { part } => {
                if let Some(waiting) = self.waiting_part(part) {
                    waiting.events.push(event);
                    waiting.whole = true;
                }
            }
            Event::Finish { .. } | Event::End => {
                self.close_all(&mut each);
                each(event);
            }
            other => each(other),
        }
    }

    fn waiting_part(&mut self, part: u32) -> Option<&mut Waiting> {
        self.waiting.iter_mut().find(|waiting| waiting.part == part)
    }

    /// Hands on what has waited for the open part, up to the next that is not whole.
    fn go_on(&mut self, each: &mut impl FnMut(Event)) {
        self.open = None;
        while let Some(next) = self.waiting.pop_front() {
            next.events.into_iter().for_each(&mut *each);
            if !next.whole {
                self.open = Some(next.part);
                return;
            }
        }
        self.held_bytes = 0;
    }

    fn close_all(&mut self, each: &mut impl FnMut(Event)) {
        while let Some(part) = self.open {
            each(Event::PartStop { part });
            self.go_on(each);
        }
    }
}

fn size(delta: &Delta) -> usize {
    match delta {
        Delta::Text(text)
        | Delta::Thought(text)
        | Delta::Summary(_, text)
        | Delta::Args(text)
        | Delta::Refusal(text) => text.len(),
        Delta::Opaque(opaque) => opaque.data.len(),
        Delta::Logprobs(raw) => raw.text().len(),
        Delta::Citation(_) => 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neutral::{PartKind, Stop};

    fn start(part: u32) -> Event {
        Event::PartStart { part, choice: 0, kind: PartKind::Text }
    }

    fn delta(part: u32, text: &str) -> Event {
        Event::Delta { part, delta: Delta::Text(text.to_owned()) }
    }

    fn stop(part: u32) -> Event {
        Event::PartStop { part }
    }

    fn finish() -> Event {
        Event::Finish { choice: 0, stop: Stop::End, native: None }
    }

    #[test]
    fn parts_that_overlap_come_one_after_the_other() {
        let mut sequencer = Sequencer::default();
        let mut out = Vec::new();
        for event in [
            start(0),
            delta(0, "a"),
            start(1),
            delta(1, "x"),
            delta(0, "b"),
            start(2),
            stop(2),
            delta(1, "y"),
            stop(0),
            delta(1, "z"),
            finish(),
        ] {
            sequencer.push(event, |event| out.push(event));
        }
        let expected = [
            start(0),
            delta(0, "a"),
            delta(0, "b"),
            stop(0),
            start(1),
            delta(1, "x"),
            delta(1, "y"),
            delta(1, "z"),
            stop(1),
            start(2),
            stop(2),
            finish(),
        ];
        assert_eq!(out, expected);
    }
}
