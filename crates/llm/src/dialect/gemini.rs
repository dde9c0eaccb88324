//! Streams of Gemini: whole `GenerateContentResponse`s one after the other, without a marker at the end.
//! The reason to finish of every candidate is what makes a stream whole.

use super::said::text_bytes;
use super::{Findings, Verdict};
use crate::failure::UpstreamFailure;
use crate::members;

/// Candidates beyond this number are not followed; Google allows eight.
const CANDIDATE_LIMIT: usize = 32;

/// Reads chunk after chunk.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    candidates: usize,
    seen: u32,
    finished: u32,
}

impl Reader {
    pub(super) fn new(candidates: u32) -> Self {
        let candidates = usize::try_from(candidates).map_or(CANDIDATE_LIMIT, |n| n.min(CANDIDATE_LIMIT));
        Self { candidates, seen: 0, finished: 0 }
    }

    pub(super) fn event(&mut self, data: &[u8], findings: &mut Findings) -> Verdict {
        if let Ok(text) = std::str::from_utf8(data) {
            self.chunk(text, findings);
        }
        Verdict::Pass
    }

    fn chunk(&mut self, text: &str, findings: &mut Findings) {
        let (mut candidates, mut blocked) = (None, false);
        let read = members::each(text, |key, value| match key {
            "candidates" => candidates = Some(value),
            "usageMetadata" => findings.read_usage(value),
            "promptFeedback" => blocked |= is_block(value),
            "error" if members::is_said(value) => {
                findings.failure.get_or_insert_with(|| UpstreamFailure::of_error(value));
            }
            _ => {}
        });
        if read.is_err() {
            return;
        }
        for (place, candidate) in candidates.map(members::elements).unwrap_or_default().iter().enumerate() {
            self.candidate(place, candidate, findings);
        }
        // A prompt that was blocked has an answer without candidates.
        findings.content_begun |= blocked;
        findings.terminal |= blocked || self.is_finished();
    }

    fn candidate(&mut self, place: usize, raw: &str, findings: &mut Findings) {
        let (mut index, mut finished) = (place, false);
        let _ = members::each(raw, |key, value| match key {
            "index" => index = value.parse().unwrap_or(place),
            "finishReason" => finished = members::is_said(value),
            "content" => {
                findings.content_begun |= has_parts(value);
                findings.content.add(text_bytes(value.as_bytes()));
            }
            _ => {}
        });
        let bit = 1 << index.min(CANDIDATE_LIMIT - 1);
        self.seen |= bit;
        if finished {
            self.finished |= bit;
            findings.content_begun = true;
        }
    }

    /// Whether as many candidates as were asked for have been seen, and every one seen is finished.
    fn is_finished(&self) -> bool {
        let seen = usize::try_from(self.seen.count_ones()).unwrap_or(0);
        seen >= self.candidates.max(1) && self.seen == self.finished
    }
}

fn is_block(feedback: &str) -> bool {
    let mut blocked = false;
    let _ = members::each(feedback, |key, value| blocked |= key == "blockReason" && members::is_said(value));
    blocked
}

fn has_parts(content: &str) -> bool {
    let mut some = false;
    let _ = members::each(content, |key, value| some |= key == "parts" && members::is_said(value));
    some
}
