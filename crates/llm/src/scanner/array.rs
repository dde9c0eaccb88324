//! An answer that is one JSON array of chunks, as Gemini streams to those who do not ask for events. It
//! passes as it comes, but for the beginning of a failure.

use bytes::Bytes;
use model::{Code, Rejection, Usage};

use crate::array::{Place, Splitter};
use crate::dialect::{Findings, Reader};
use crate::provider::Quirks;
use crate::surface::Surface;
use crate::usage::Conventions;

use super::guard::Guard;

/// Reads one array.
#[derive(Clone, Debug)]
pub(super) struct Array {
    splitter: Splitter,
    /// Where the bytes before the last piece ended, and how many elements they had.
    before: (Place, u64),
    reader: Reader,
    findings: Findings,
    conventions: Conventions,
    guard: Guard,
}

impl Array {
    pub(super) fn new(surface: Surface, quirks: &Quirks, choices: u32) -> Self {
        Self {
            splitter: Splitter::default(),
            before: (Place::Before, 0),
            reader: Reader::new(surface, quirks.ends_without_done, choices),
            findings: Findings::default(),
            conventions: quirks.conventions(surface),
            guard: Guard::default(),
        }
    }

    pub(super) fn push(&mut self, chunk: Bytes) -> Result<Bytes, Rejection> {
        let Self { splitter, before, reader, findings, guard, .. } = self;
        *before = (splitter.place(), splitter.elements());
        let split = splitter.push(&chunk, |element| {
            reader.event(b"", element, findings);
        });
        split.map_err(|error| {
            Rejection::because(
                Code::UpstreamInvalidResponse,
                "The upstream's stream has an element over 1 MiB.",
            )
            .caused_by(error)
        })?;
        // Where it began is not known here: from its last piece on is enough, and no piece is long.
        Ok(guard.pass(chunk, 0, &[splitter.unended()]))
    }

    /// What was held back of an element that never ended.
    pub(super) fn flush(&mut self) -> Bytes {
        self.guard.rest()
    }

    pub(super) fn findings(&self) -> &Findings {
        &self.findings
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        self.findings.counts.usage(self.conventions)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.findings.terminal && self.splitter.place() == Place::Behind
    }

    /// What must stand before one more element; `None` where none can follow. `sent` says whether the last
    /// piece was sent on.
    pub(super) fn before_element(&self, sent: bool) -> Option<&'static str> {
        let now = (self.splitter.place(), self.splitter.elements());
        match if sent { now } else { self.before } {
            (Place::Before, _) => Some("["),
            (Place::Between, 0) => Some(""),
            (Place::Between, _) => Some(","),
            (Place::Within | Place::Behind | Place::Elsewhere, _) => None,
        }
    }
}
