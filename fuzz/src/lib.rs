//! What every translator must hold for whatever bytes it is given: it never panics, what it writes can be
//! read by its own dialect, text survives, and where a stream is cut changes nothing.

use llm::codec::{Addressed, Asked, Codec, Source, Target};
use llm::neutral::{Block, Delta, Dialect, Event, Losses, Part, PartKind, Request, Severity};
use llm::{Quirks, codec};
use serde_json::value::RawValue;

const QUIRKS: Quirks = Quirks::NONE;
const SOURCE: Source<'static> = Source { quirks: &QUIRKS, choices: 1 };
const ADDRESSED: Addressed<'static> = Addressed { model: "m", stream: true };

/// Reads `data` as a request, an answer and a stream of `from`, and writes each in every dialect.
pub fn translate(from: Dialect, data: &[u8]) {
    let own = known(from);
    if let Ok(text) = std::str::from_utf8(data) {
        request(own, text);
        reply(own, text);
    }
    stream(own, data);
}

fn known(dialect: Dialect) -> &'static dyn Codec {
    codec(dialect).expect("every dialect has a codec")
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(text).is_ok()
}

fn request(own: &dyn Codec, text: &str) {
    let Ok(request) = own.decode_request(text, &ADDRESSED) else { return };
    for dialect in Dialect::ALL {
        let target = Target { provider: "x", model: "m", quirks: &QUIRKS, clamp: None, max_output: 4096 };
        let mut losses = Losses::default();
        let Ok(written) = known(dialect).encode_request(&request, &target, &mut losses) else { continue };
        let written = std::str::from_utf8(&written).expect("what is written is text");
        assert!(is_json(written.as_bytes()), "{} is not JSON: {written}", dialect.name());
        let again = known(dialect).decode_request(written, &ADDRESSED);
        let again = again.unwrap_or_else(|refusal| {
            panic!("{} cannot be read again: {} {written}", dialect.name(), refusal.message)
        });
        if losses.list().iter().all(|loss| loss.severity == Severity::Advisory) {
            keeps_text(&request, &again, dialect);
        }
    }
}

/// Every text of the conversation is there again, if only as a part of another.
fn keeps_text(request: &Request, again: &Request, dialect: Dialect) {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    request.turns.iter().for_each(|turn| texts(&turn.parts, &mut before));
    again.instructions.iter().chain(&again.turns).for_each(|turn| texts(&turn.parts, &mut after));
    let whole = after.concat();
    for text in before {
        let text = text.trim();
        assert!(whole.contains(text), "{} lost {text:?}, and has {whole:?}", dialect.name());
    }
}

fn texts<'a>(parts: &'a [Part], into: &mut Vec<&'a str>) {
    for part in parts {
        match &part.block {
            Block::Text(text) => into.push(&text.text),
            Block::ToolResult(result) => texts(&result.parts, into),
            _ => {}
        }
    }
}

fn reply(own: &dyn Codec, text: &str) {
    let Ok(reply) = own.decode_reply(text, &SOURCE) else { return };
    for dialect in Dialect::ALL {
        let written = known(dialect).encode_reply(&reply, &Asked::default(), &mut Losses::default());
        let written = std::str::from_utf8(&written).expect("what is written is text");
        assert!(is_json(written.as_bytes()), "{} is not JSON: {written}", dialect.name());
        if let Err(refusal) = known(dialect).decode_reply(written, &SOURCE) {
            panic!("{} cannot be read again: {} {written}", dialect.name(), refusal.message);
        }
    }
}

/// The events of a stream that comes in pieces of `length`; `None` where it cannot be read.
fn events(own: &dyn Codec, data: &[u8], length: usize) -> Option<Vec<Event>> {
    let (mut decoder, mut events) = (own.stream_decoder(&SOURCE), Vec::new());
    for piece in data.chunks(length.max(1)) {
        decoder.push(piece, &mut events).ok()?;
    }
    decoder.finish(&mut events);
    Some(events)
}

fn stream(own: &dyn Codec, data: &[u8]) {
    let whole = events(own, data, data.len());
    assert_eq!(whole, events(own, data, 1 + data.len() % 13), "where a stream is cut changes it");
    let Some(whole) = whole else { return };
    for dialect in Dialect::ALL {
        let mut encoder = known(dialect).stream_encoder(&Asked::default());
        let mut out = Vec::new();
        whole.iter().for_each(|event| encoder.encode(event.clone(), &mut out));
        let again = events(known(dialect), &out, out.len());
        let again = again.unwrap_or_else(|| panic!("{} cannot be read again", dialect.name()));
        if matches!(whole.last(), Some(Event::End))
            && one_answer(&whole)
            && let (Some(before), Some(after)) = (said(&whole), said(&again))
        {
            keeps_pieces(&before, &after, dialect);
        }
    }
}

/// Whether every part belongs to the first answer: the others are dropped where a dialect has only one.
fn one_answer(events: &[Event]) -> bool {
    events.iter().all(|event| !matches!(event, Event::PartStart { choice, .. } if *choice != 0))
}

/// The pieces of the text, in the order in which they came; `None` where text stands in a part of another
/// kind or behind the end of the answer, which some dialects can say and others not.
fn said(events: &[Event]) -> Option<Vec<&str>> {
    let (mut parts, mut pieces, mut finished) = (Vec::new(), Vec::new(), false);
    for event in events {
        match event {
            Event::PartStart { part, kind: PartKind::Text, .. } => parts.push(*part),
            Event::Delta { part, delta: Delta::Text(text) } => {
                if finished || !parts.contains(part) {
                    return None;
                }
                pieces.push(text.as_str());
            }
            Event::Finish { .. } => finished = true,
            _ => {}
        }
    }
    Some(pieces)
}

/// Nothing of the text is lost, nothing doubled. Parts that come between each other are put in order by
/// some dialects, so pieces may be elsewhere.
fn keeps_pieces(before: &[&str], after: &[&str], dialect: Dialect) {
    let whole = after.concat();
    assert_eq!(before.concat().len(), whole.len(), "{} has {whole:?} of {before:?}", dialect.name());
    for piece in before {
        assert!(whole.contains(piece), "{} lost {piece:?}, and has {whole:?}", dialect.name());
    }
}
