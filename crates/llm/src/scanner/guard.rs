//! Holds the beginning of an event back that tells of a failure: what it says is looked through before a caller reads
//! it, which needs it whole. Everything else passes as it came, uncopied.

use bytes::Bytes;

/// Longest beginning that is held back, as of what is cut out of a stream.
pub(super) const HELD_LIMIT: usize = 64 << 10;
/// How far into an event is looked for a sign of failure: in every dialect it stands before the words, and some
/// providers put the members of any chunk before it.
const LOOKED_AT: usize = 512;
/// The signs: `error` as a name or a member, `response.failed`, the exceptions of clouds.
const SIGNS: [&[u8]; 3] = [b"error", b"failed", b"xception"];

/// What is held back of one stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard(Vec<u8>);

impl Guard {
    /// What may pass of `chunk`, in which the last whole event ends at `end`; `unended` is what is here of the next.
    pub(super) fn pass(&mut self, chunk: Bytes, end: usize, unended: &[&[u8]]) -> Bytes {
        let begun = chunk.len() - end;
        let holds = begun > 0 && unended.iter().any(|part| tells_of_failure(part));
        if !holds && self.0.is_empty() {
            return chunk;
        }
        if holds && self.0.is_empty() && begun <= HELD_LIMIT {
            self.0.extend_from_slice(&chunk[end..]);
            return chunk.slice(..end);
        }
        let mut out = std::mem::take(&mut self.0);
        out.extend_from_slice(&chunk);
        // Longer than what is held: it is no failure, or none that anybody reads.
        let kept = if holds && end == 0 { 0 } else { out.len() - begun };
        if holds && out.len() - kept <= HELD_LIMIT {
            self.0 = out.split_off(kept);
        }
        out.into()
    }

    /// What was held back, at the end of the stream.
    pub(super) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.0).into()
    }
}

fn tells_of_failure(part: &[u8]) -> bool {
    let part = &part[..part.len().min(LOOKED_AT)];
    SIGNS.iter().any(|sign| memchr::memmem::find(part, sign).is_some())
}
