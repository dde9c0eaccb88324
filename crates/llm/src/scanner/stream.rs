//! An answer of server-sent events. Without the need to cut anything out, pieces pass as they are;
//! with it, the bytes of an event are held back until the event is whole.

use std::ops::Range;

use bytes::Bytes;
use model::{Code, Rejection, Usage};

use crate::dialect::{Findings, Reader, Verdict};
use crate::provider::Quirks;
use crate::sealed::SealReader;
use crate::sse::Splitter;
use crate::surface::{Family, Surface};
use crate::usage::Conventions;

use super::guard::{Guard, HELD_LIMIT};

/// Reads one stream.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    splitter: Splitter,
    reader: Reader,
    findings: Findings,
    conventions: Conventions,
    cutter: Option<Cutter>,
    /// Where nothing is cut out.
    guard: Guard,
    seals: Option<SealReader>,
}

impl Stream {
    pub(super) fn new(surface: Surface, quirks: &Quirks, strip_usage_chunk: bool, choices: u32) -> Self {
        let cuts = strip_usage_chunk && surface.family() == Family::OpenAi && !surface.is_responses();
        Self {
            splitter: Splitter::default(),
            reader: Reader::new(surface, quirks.ends_without_done, choices),
            findings: Findings::default(),
            conventions: quirks.conventions(surface),
            cutter: cuts.then(Cutter::default),
            guard: Guard::default(),
            seals: surface.is_responses().then(SealReader::default),
        }
    }

    pub(super) fn push(&mut self, chunk: Bytes) -> Result<Bytes, Rejection> {
        if let Some(seals) = &mut self.seals {
            seals.push(&chunk);
        }
        let Self { splitter, reader, findings, cutter, guard, .. } = self;
        let awaited_line_feed = splitter.awaits_line_feed();
        let (mut ends, mut end) = (Ends::default(), 0);
        let split = splitter.push(&chunk, |event| {
            let verdict = reader.event(event.name, event.data, findings);
            end = event.end;
            if cutter.is_some() {
                ends.note(event.end, verdict);
            }
        });
        split.map_err(|error| {
            Rejection::because(
                Code::UpstreamInvalidResponse,
                "The upstream's stream has an event over 1 MiB.",
            )
            .caused_by(error)
        })?;
        Ok(match cutter {
            Some(cutter) => cutter.pass(chunk, &ends, awaited_line_feed),
            None => guard.pass(chunk, end, &splitter.unended()),
        })
    }

    pub(super) fn flush(&mut self) -> Bytes {
        let Self { splitter, reader, findings, cutter, guard, .. } = self;
        let mut last = Verdict::Pass;
        splitter.finish(|event| last = reader.event(event.name, event.data, findings));
        match cutter {
            Some(cutter) if last == Verdict::Pass => Bytes::from(std::mem::take(&mut cutter.held)),
            Some(_) => Bytes::new(),
            None => guard.rest(),
        }
    }

    pub(super) fn stated_usage(&self) -> Option<Box<str>> {
        self.findings.stated.json()
    }

    pub(super) fn seals(&mut self) -> Option<&mut SealReader> {
        self.seals.as_mut()
    }

    pub(super) fn findings(&self) -> &Findings {
        &self.findings
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        self.findings.counts.usage(self.conventions)
    }
}

/// Where events ended within one piece, as far as cutting needs to know.
#[derive(Debug, Default)]
struct Ends {
    /// The first event's end and verdict: it may have begun in an earlier piece.
    first: Option<(usize, Verdict)>,
    last: usize,
    cuts: Vec<Range<usize>>,
}

impl Ends {
    fn note(&mut self, end: usize, verdict: Verdict) {
        if self.first.is_none() {
            self.first = Some((end, verdict));
        }
        if verdict == Verdict::UsageOnly {
            self.cuts.push(self.last..end);
        }
        self.last = end;
    }
}

/// Cuts events out of the stream.
#[derive(Clone, Debug, Default)]
struct Cutter {
    /// The beginning of an event that has not ended. A usage chunk is far below the limit, so a longer event is none
    /// and passes as it comes.
    held: Vec<u8>,
    /// The event that is under way was too long to be held, and passes.
    passing: bool,
    /// The last event was cut, and its line feed may still come.
    cut_last: bool,
}

impl Cutter {
    fn pass(&mut self, chunk: Bytes, ends: &Ends, awaited_line_feed: bool) -> Bytes {
        let belated =
            awaited_line_feed && self.held.is_empty() && !self.passing && chunk.first() == Some(&b'\n');
        let start = usize::from(belated);
        let drops_belated = belated && self.cut_last;
        let Some((first_end, first_verdict)) = ends.first else {
            return self.pass_unended(chunk, start, drops_belated);
        };
        let cut_first = first_verdict == Verdict::UsageOnly && !self.passing;
        self.cut_last = ends.cuts.last().is_some_and(|cut| cut.end == ends.last);
        self.passing = false;
        let held = std::mem::take(&mut self.held);
        self.held.extend_from_slice(&chunk[ends.last..]);
        let mut out = Vec::new();
        if held.is_empty() && !drops_belated && ends.cuts.is_empty() {
            return self.release_long(chunk, ends.last);
        }
        out.reserve(held.len() + ends.last);
        if !cut_first {
            out.extend_from_slice(&held);
        }
        if belated && !drops_belated {
            out.push(b'\n');
        }
        if !cut_first {
            out.extend_from_slice(&chunk[start..first_end]);
        }
        let mut copied = first_end;
        for cut in ends.cuts.iter().filter(|cut| cut.start >= first_end) {
            out.extend_from_slice(&chunk[copied..cut.start]);
            copied = cut.end;
        }
        out.extend_from_slice(&chunk[copied..ends.last]);
        self.append_long(&mut out);
        Bytes::from(out)
    }

    /// No event ended: the piece is held, or passes when the event is too long.
    fn pass_unended(&mut self, chunk: Bytes, start: usize, drops_belated: bool) -> Bytes {
        if self.passing {
            return chunk;
        }
        self.cut_last &= chunk.is_empty();
        self.held.extend_from_slice(&chunk[start..]);
        let mut out = Vec::new();
        if start > 0 && !drops_belated {
            out.push(b'\n');
        }
        self.append_long(&mut out);
        Bytes::from(out)
    }

    /// The piece up to `end`, uncopied, and all of it when what is held has become too long.
    fn release_long(&mut self, chunk: Bytes, end: usize) -> Bytes {
        if self.held.len() > HELD_LIMIT {
            self.held = Vec::new();
            self.passing = true;
            return chunk;
        }
        chunk.slice(..end)
    }

    fn append_long(&mut self, out: &mut Vec<u8>) {
        if self.held.len() > HELD_LIMIT {
            out.append(&mut self.held);
            self.held = Vec::new();
            self.passing = true;
        }
    }
}
