//! What every translator must hold for whatever bytes it is given: it never panics, what it writes can be
//! read by its own dialect, text survives, and where a stream is cut changes nothing.

use llm::codec::{Addressed, Asked, Codec, Source, Target, fit, server_tools};
use llm::neutral::{Block, Delta, Dialect, Event, Losses, Part, PartKind, Request, Severity};
use llm::{Program, Quirks, codec, provider};
use serde_json::value::RawValue;

/// Providers with deviations of their own, each with a model that something is known of. The length of the
/// input chooses, so that a mutation of it may choose another.
const ACCOUNTS: [(&str, &str); 7] = [
    ("openai-compatible", "m"),
    ("openai", "o3"),
    ("anthropic", "claude-sonnet-5"),
    ("bedrock", "us.anthropic.claude-3-5-sonnet"),
    ("bedrock", "us.amazon.nova-pro-v1:0"),
    ("minimax", "MiniMax-M3"),
    ("openrouter", "openrouter/auto"),
];
/// Who reads again what was written.
const PLAIN: Source<'static> = Source { quirks: &Quirks::NONE, choices: 1 };
const ADDRESSED: Addressed<'static> = Addressed { model: "m", stream: true };

/// Reads `data` as a request, an answer and a stream of `from`, and writes each in every dialect.
pub fn translate(from: Dialect, data: &[u8]) {
    let (own, account) = (known(from), ACCOUNTS[data.len() % ACCOUNTS.len()]);
    let quirks = provider::preset(account.0).expect("a preset of the table").quirks;
    let source = Source { quirks: &quirks, choices: 1 };
    if let Ok(text) = std::str::from_utf8(data) {
        request(own, text, (account, &quirks));
        reply(own, text, &source);
    }
    stream(own, data, &source);
}

fn known(dialect: Dialect) -> &'static dyn Codec {
    codec(dialect).expect("every dialect has a codec")
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(text).is_ok()
}

fn request(own: &dyn Codec, text: &str, ((provider, model), quirks): ((&str, &str), &Quirks)) {
    let Ok(read) = own.decode_request(text, &ADDRESSED) else { return };
    for dialect in Dialect::ALL {
        let target = Target { provider, model, quirks, clamp: None, max_output: 4096 };
        let (mut request, mut losses) = (read.clone(), Losses::default());
        if server_tools(&mut request, (dialect, &target), Program::Codex, &mut losses).is_err() {
            continue;
        }
        fit(&mut request, dialect, &target, &mut Asked::of(&read), &mut losses);
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

fn reply(own: &dyn Codec, text: &str, source: &Source<'_>) {
    let Ok(reply) = own.decode_reply(text, source) else { return };
    for dialect in Dialect::ALL {
        let written = known(dialect).encode_reply(&reply, &Asked::default(), &mut Losses::default());
        let written = std::str::from_utf8(&written).expect("what is written is text");
        assert!(is_json(written.as_bytes()), "{} is not JSON: {written}", dialect.name());
        if let Err(refusal) = known(dialect).decode_reply(written, &PLAIN) {
            panic!("{} cannot be read again: {} {written}", dialect.name(), refusal.message);
        }
    }
}

/// The events of a stream that comes in pieces of `length`; `None` where it cannot be read.
fn events(own: &dyn Codec, data: &[u8], length: usize, source: &Source<'_>) -> Option<Vec<Event>> {
    let (mut decoder, mut events) = (own.stream_decoder(source), Vec::new());
    for piece in data.chunks(length.max(1)) {
        decoder.push(piece, &mut events).ok()?;
    }
    decoder.finish(&mut events);
    Some(events)
}

fn stream(own: &dyn Codec, data: &[u8], source: &Source<'_>) {
    let whole = events(own, data, data.len(), source);
    assert_eq!(whole, events(own, data, 1 + data.len() % 13, source), "where a stream is cut changes it");
    let Some(whole) = whole else { return };
    for dialect in Dialect::ALL {
        let mut encoder = known(dialect).stream_encoder(&Asked::default());
        let mut out = Vec::new();
        whole.iter().for_each(|event| encoder.encode(event.clone(), &mut out));
        let again = events(known(dialect), &out, out.len(), &PLAIN);
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
/// kind, which some dialects can say and others not. Behind the end of the answer there is none.
fn said(events: &[Event]) -> Option<Vec<&str>> {
    let (mut parts, mut pieces, mut finished) = (Vec::new(), Vec::new(), false);
    for event in events {
        match event {
            Event::PartStart { part, kind: PartKind::Text, .. } => parts.push(*part),
            // Some dialects have no other word for a refusal than text.
            Event::PartStart { kind: PartKind::Refusal, .. } => return None,
            Event::Delta { part, delta: Delta::Text(text) } => {
                assert!(!finished, "text behind the end of the answer");
                if !parts.contains(part) {
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
