//! What upstreams charged: the truth that the ledger is compared with.
//!
//! Test requests carry a tag in their text. An upstream that bills notes the tag of every request that
//! reached it and the usage that it states for it, if it states one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::http::find;
use crate::surface::Surface;
use crate::upstream::Received;

/// Tokens that an upstream states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// Of the prompt.
    pub input: u64,
    /// Of the answer.
    pub output: u64,
}

impl Stated {
    /// Both together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.input + self.output
    }
}

/// One request that reached an upstream.
#[derive(Clone, Copy, Debug)]
pub struct Charged {
    /// The tag in its text.
    pub tag: u64,
    /// The usage that the upstream's whole answer states; `None` when it states none.
    pub stated: Option<Stated>,
    /// How the upstream meets it, in the test's own words.
    pub how: &'static str,
}

/// The bill of one or several upstreams, in the order of arrival.
#[derive(Clone, Debug, Default)]
pub struct Bill(Arc<Mutex<Vec<Charged>>>);

impl Bill {
    /// Notes that a request arrived and what its answer will state.
    pub fn note(&self, received: &Received, stated: Option<Stated>) {
        self.note_as(received, stated, "");
    }

    /// The same with a word for how the upstream meets it.
    pub fn note_as(&self, received: &Received, stated: Option<Stated>, how: &'static str) {
        let tag = tag_of(&received.body).unwrap_or_default();
        self.lock().push(Charged { tag, stated, how });
    }

    /// Every request so far.
    #[must_use]
    pub fn charged(&self) -> Vec<Charged> {
        self.lock().clone()
    }

    /// How many requests arrived so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// The same by tag: what arrived for each request of a caller, in order.
    #[must_use]
    pub fn by_tag(&self) -> BTreeMap<u64, Vec<Charged>> {
        let mut tags: BTreeMap<u64, Vec<Charged>> = BTreeMap::new();
        for charged in self.charged() {
            tags.entry(charged.tag).or_default().push(charged);
        }
        tags
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Charged>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A small valid request whose text holds a tag.
#[must_use]
pub fn tagged(surface: &Surface, model: &str, stream: bool, tag: u64) -> Value {
    let mut body = surface.request(model, stream);
    let text = format!("Say hello [tag-{tag}]");
    match surface.name {
        "openai_completions" => body["prompt"] = text.into(),
        "openai_embeddings" | "openai_moderations" | "openai_responses" => body["input"] = text.into(),
        "gemini_generate_content" => body["contents"][0]["parts"][0]["text"] = text.into(),
        _ => body["messages"][0]["content"] = text.into(),
    }
    body
}

/// The tag in a request's text.
#[must_use]
pub fn tag_of(body: &[u8]) -> Option<u64> {
    let start = find(body, b"[tag-")? + 5;
    let digits = body[start..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |tag, digit| tag * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surface::{CHAT, COMPLETIONS, GEMINI, MESSAGES, RESPONSES};

    #[test]
    fn a_tag_is_found_again_in_every_dialect() {
        for surface in [CHAT, COMPLETIONS, MESSAGES, RESPONSES, GEMINI] {
            let body = tagged(&surface, "m", true, 4_711).to_string();
            assert_eq!(tag_of(body.as_bytes()), Some(4_711), "{body}");
        }
        assert_eq!(tag_of(b"{}"), None);
    }
}
