//! Streams of server-sent events: splits them and hands each to the reader of its dialect.

use model::Rejection;

use super::{StreamDecoder, unreadable};
use crate::neutral::Event;
use crate::sse::Splitter;

/// Reads the events of one dialect.
pub(crate) trait EventReader: Send {
    /// Reads one event; `data` is never empty.
    fn event(&mut self, name: &[u8], data: &str, events: &mut Vec<Event>);

    /// The body has ended. Only a dialect in which no marker ends a stream has something to add.
    fn finish(&mut self, _events: &mut Vec<Event>) {}
}

/// A decoder of server-sent events.
pub(crate) struct SseDecoder<R> {
    splitter: Splitter,
    reader: R,
    ended: bool,
}

impl<R: EventReader> SseDecoder<R> {
    /// Around `reader`.
    pub(crate) fn new(reader: R) -> Self {
        Self { splitter: Splitter::default(), reader, ended: false }
    }
}

/// Reads one event, unless the stream has ended.
fn read(
    reader: &mut impl EventReader,
    ended: &mut bool,
    event: &crate::sse::Event<'_>,
    events: &mut Vec<Event>,
) {
    if *ended || event.data.is_empty() {
        return;
    }
    if let Ok(data) = std::str::from_utf8(event.data) {
        let before = events.len();
        reader.event(event.name, data, events);
        let last = |event: &Event| matches!(event, Event::End | Event::Error(_));
        if let Some(at) = events[before..].iter().position(last) {
            *ended = true;
            events.truncate(before + at + 1);
        }
    }
}

impl<R: EventReader> StreamDecoder for SseDecoder<R> {
    fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), Rejection> {
        let Self { splitter, reader, ended } = self;
        splitter.push(bytes, |event| read(reader, ended, &event, events)).map_err(unreadable)
    }

    fn finish(&mut self, events: &mut Vec<Event>) {
        let Self { splitter, reader, ended } = self;
        splitter.finish(|event| read(reader, ended, &event, events));
        if !*ended {
            reader.finish(events);
            *ended = true;
        }
    }
}
