//! `If-Match`: a change only of the state that the caller has seen.
//!
//! What can be changed carries the time of its last change, which is never the same twice; that is its `ETag`.

use http::HeaderMap;
use http::header::IF_MATCH;
use model::Code;
use model::clock::EpochMs;

use crate::answer::Refusal;

/// The states of which one must still hold.
#[derive(Clone, Debug, Default)]
pub struct IfMatch(Option<Vec<String>>);

impl IfMatch {
    /// What the request demands.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut lines = headers.get_all(IF_MATCH).iter().peekable();
        if lines.peek().is_none() {
            return Self(None);
        }
        let tags = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        Self(Some(tags.map(|tag| tag.trim().to_owned()).collect()))
    }

    /// Checks it against the state that was reached at `updated_at`; 0 for what was never changed.
    ///
    /// # Errors
    /// `PRECONDITION_FAILED`.
    pub fn check(&self, updated_at: EpochMs) -> Result<(), Refusal> {
        let holds = self.0.as_ref().is_none_or(|tags| {
            let now = tag(updated_at);
            tags.iter().any(|tag| *tag == now || tag == "*")
        });
        if holds { Ok(()) } else { Err(Refusal::new(Code::PreconditionFailed)) }
    }
}

/// The `ETag` of what was last changed at `updated_at`.
#[must_use]
pub fn tag(updated_at: EpochMs) -> String {
    format!("\"{updated_at:x}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[&str], at: EpochMs, holds: bool) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(IF_MATCH, line.parse().unwrap());
        }
        assert_eq!(IfMatch::of(&headers).check(at).is_ok(), holds, "{lines:?} at {at}");
    }

    #[test]
    fn a_state_matches_its_own_tag_and_the_star_only() {
        check(&[], 255, true);
        check(&["*"], 255, true);
        check(&["\"ff\""], 255, true);
        check(&["\"1\", \"ff\""], 255, true);
        check(&["\"1\"", "\"ff\""], 255, true);
        check(&["\"ff\""], 256, false);
        check(&["W/\"ff\""], 255, false);
        check(&["ff"], 255, false);
        check(&[""], 255, false);
    }
}
