//! Feeds answers to a scanner in pieces and compares what came out.

use bytes::Bytes;
use llm::{Quirks, Scanner, Surface};
use model::Usage;

/// One answer and how it is read.
pub struct Answer {
    pub name: String,
    pub surface: Surface,
    pub quirks: Quirks,
    pub choices: u32,
    pub streamed: bool,
    pub bytes: Bytes,
}

/// All that can be seen of a scanner, and what it let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub out: Vec<u8>,
    pub complete: bool,
    pub content_begun: bool,
    pub content_bytes: u64,
    pub usage: Option<Usage>,
    pub failure: Option<String>,
}

impl Answer {
    pub fn scanner(&self, strip: bool) -> Scanner {
        if self.streamed {
            Scanner::stream(self.surface, &self.quirks, strip, self.choices)
        } else {
            Scanner::unary(self.surface, &self.quirks)
        }
    }

    /// The outcome of the whole answer in one piece, checked to be the same however it is cut.
    pub fn check(&self, strip: bool) -> Outcome {
        let whole = self.run(strip, [self.bytes.clone()]);
        if !strip {
            assert!(whole.out == self.bytes, "{}: bytes were changed", self.name);
        }
        let sizes = if self.bytes.len() < 16 << 10 { 1..=16 } else { 1..=2 };
        for size in sizes {
            let pieces = (0..self.bytes.len()).step_by(size).map(|at| self.slice(at, at + size));
            self.compare(&self.run(strip, pieces), &whole, &format!("in slices of {size}"));
        }
        if self.streamed {
            self.check_cuts_within_events(strip, &whole);
        } else {
            // Every cut of a short answer; of a long one as many as are read in a moment.
            let step = 1 + self.bytes.len() * self.bytes.len() / 3_000_000;
            for cut in (0..self.bytes.len()).step_by(step) {
                let pieces = [self.slice(0, cut), self.slice(cut, usize::MAX)];
                self.compare(&self.run(strip, pieces), &whole, &format!("cut at {cut}"));
            }
        }
        whole
    }

    /// Cuts every event at every byte (long ones at fewer), with the event behind it in the second piece. What went
    /// before is fed once and the scanner copied, or long streams would take minutes.
    fn check_cuts_within_events(&self, strip: bool, whole: &Outcome) {
        let ends = self.event_ends();
        let mut base = self.scanner(strip);
        let mut passed = Vec::new();
        let mut start = 0;
        for (place, end) in ends.iter().enumerate() {
            let next = ends.get(place + 1).copied().unwrap_or(*end);
            let mut expected = (base.fork().expect("no translation"), passed.clone());
            feed(&mut expected, [self.slice(start, next)]);
            let expected = outcome(expected, next == self.bytes.len());
            let step = 1 + (end - start) * (end - start) / 2_000_000;
            for cut in (start + 1..*end).step_by(step) {
                let mut state = (base.fork().expect("no translation"), passed.clone());
                feed(&mut state, [self.slice(start, cut), self.slice(cut, next)]);
                let actual = outcome(state, next == self.bytes.len());
                self.compare(&actual, &expected, &format!("cut at {cut}"));
            }
            let mut state = (base, Vec::new());
            feed(&mut state, [self.slice(start, *end)]);
            (base, passed) = (state.0, Vec::new());
            start = *end;
        }
        assert_eq!(whole.complete, outcome((base, passed), true).complete, "{}", self.name);
    }

    /// Where events end, and the stream.
    fn event_ends(&self) -> Vec<usize> {
        let mut ends: Vec<usize> = memchr::memmem::find_iter(&self.bytes, b"\n\n").map(|at| at + 2).collect();
        if ends.last() != Some(&self.bytes.len()) {
            ends.push(self.bytes.len());
        }
        ends.dedup();
        ends
    }

    fn run(&self, strip: bool, pieces: impl IntoIterator<Item = Bytes>) -> Outcome {
        let mut state = (self.scanner(strip), Vec::new());
        feed(&mut state, pieces);
        outcome(state, true)
    }

    fn slice(&self, from: usize, to: usize) -> Bytes {
        self.bytes.slice(from..to.min(self.bytes.len()))
    }

    fn compare(&self, actual: &Outcome, expected: &Outcome, how: &str) {
        assert!(
            actual == expected,
            "{} {how}:\n{:?}\nexpected\n{:?}",
            self.name,
            brief(actual),
            brief(expected)
        );
    }
}

fn feed(state: &mut (Scanner, Vec<u8>), pieces: impl IntoIterator<Item = Bytes>) {
    for piece in pieces {
        let passed = state.0.push(piece).expect("no event is too long");
        state.1.extend_from_slice(&passed);
    }
}

fn outcome((mut scanner, mut out): (Scanner, Vec<u8>), ended: bool) -> Outcome {
    if ended {
        out.extend_from_slice(&scanner.flush());
    }
    Outcome {
        out,
        complete: scanner.is_complete(),
        content_begun: scanner.content_begun(),
        content_bytes: scanner.content_bytes(),
        usage: scanner.usage(),
        failure: scanner.failure().map(|failure| failure.message.clone()),
    }
}

/// Enough of an outcome to see what differs.
fn brief(outcome: &Outcome) -> Outcome {
    let mut brief = outcome.clone();
    brief.out.truncate(300);
    brief
}
