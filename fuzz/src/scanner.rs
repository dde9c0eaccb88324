//! The scanner of answers: bytes pass as they came, and where they are cut changes nothing that is read.

#![no_main]

use bytes::Bytes;
use llm::{Quirks, Scanner, Surface};

const QUIRKS: Quirks = Quirks::NONE;
const SURFACES: [Surface; 4] =
    [Surface::ChatCompletions, Surface::Messages, Surface::Responses, Surface::StreamGenerateContent];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for surface in SURFACES {
        let stream = |strip| Scanner::stream(surface, &QUIRKS, strip, 1);
        let (whole, passed) = read(stream(false), data, data.len());
        assert_eq!(passed.as_deref(), passed.as_ref().map(|_| data), "a relayed stream was changed");
        let pieces = 1 + data.len() % 17;
        same(&whole, &read(stream(false), data, pieces).0);
        let (stripped, left) = read(stream(true), data, data.len());
        let (again, left_again) = read(stream(true), data, pieces);
        same(&stripped, &again);
        if left.is_some() && left_again.is_some() {
            assert_eq!(left, left_again, "what is cut out depends on the pieces");
        }
        let unary = || Scanner::unary(surface, &QUIRKS);
        same(&read(unary(), data, data.len()).0, &read(unary(), data, pieces).0);
        let array = || Scanner::array(surface, &QUIRKS, 1);
        same(&read(array(), data, data.len()).0, &read(array(), data, pieces).0);
    }
});

/// The scanner after the body, and what it let pass; `None` where it refused.
fn read(mut scanner: Scanner, data: &[u8], pieces: usize) -> (Scanner, Option<Vec<u8>>) {
    let mut out = Vec::new();
    for piece in data.chunks(pieces.max(1)) {
        match scanner.push(Bytes::copy_from_slice(piece)) {
            Ok(passed) => out.extend_from_slice(&passed),
            Err(_) => return (scanner, None),
        }
    }
    out.extend_from_slice(&scanner.flush());
    (scanner, Some(out))
}

fn same(one: &Scanner, other: &Scanner) {
    assert_eq!(one.usage(), other.usage(), "the usage depends on the pieces");
    assert_eq!(one.is_complete(), other.is_complete(), "the end depends on the pieces");
    assert_eq!(one.failure().is_some(), other.failure().is_some(), "the failure depends on the pieces");
    assert_eq!(one.response_id(), other.response_id(), "the id depends on the pieces");
}
