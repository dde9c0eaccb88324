//! An answer that is one JSON object: its top level is read, its content passes unread.

use model::Usage;

use crate::dialect::{content_members, failed_base_response, with_status};
use crate::failure::UpstreamFailure;
use crate::outline::{Outline, Wanted};
use crate::provider::Quirks;
use crate::sealed::SealReader;
use crate::surface::Surface;
use crate::usage::{Conventions, Counts, Stated};

/// Reads one unary answer.
#[derive(Clone, Debug)]
pub(super) struct Unary {
    surface: Surface,
    conventions: Conventions,
    outline: Outline,
    failure: Option<UpstreamFailure>,
    bytes: u64,
    seals: Option<SealReader>,
}

impl Unary {
    pub(super) fn new(surface: Surface, quirks: &Quirks) -> Self {
        Self {
            surface,
            conventions: quirks.conventions(surface),
            outline: Outline::new(content_members(surface)),
            failure: None,
            bytes: 0,
            seals: surface.is_responses().then(SealReader::default),
        }
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.bytes += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        self.outline.push(chunk);
        if let Some(seals) = &mut self.seals {
            seals.push(chunk);
        }
        if self.failure.is_none() {
            self.failure = self.stated_failure();
        }
    }

    /// `{"error":…}` (OpenRouter, Anthropic), MiniMax's `base_resp`, vLLM's `{"object":"error",…}`.
    fn stated_failure(&self) -> Option<UpstreamFailure> {
        if self.surface == Surface::StoredResponse {
            // What is read there may well be the record of a failure.
            return None;
        }
        let error = self.outline.member(Wanted::Error).filter(|raw| crate::members::is_said(raw));
        if let Some(raw) = error {
            let failure = UpstreamFailure::of_error(raw);
            return Some(if self.surface.is_responses() { with_status(failure) } else { failure });
        }
        if self.outline.member(Wanted::Object) == Some("\"error\"") && self.outline.is_closed() {
            let part = |wanted| self.outline.member(wanted).unwrap_or("null");
            let (message, kind, code) = (part(Wanted::Message), part(Wanted::Type), part(Wanted::Code));
            let whole = format!(r#"{{"message":{message},"type":{kind},"code":{code}}}"#);
            return Some(UpstreamFailure::of_error(&whole));
        }
        self.outline.member(Wanted::BaseResp).and_then(failed_base_response)
    }

    pub(super) fn content_begun(&self) -> bool {
        self.failure.is_none() && (self.outline.content_seen() || self.outline.is_closed())
    }

    pub(super) fn failure(&self) -> Option<&UpstreamFailure> {
        self.failure.as_ref()
    }

    pub(super) fn seals(&mut self) -> Option<&mut SealReader> {
        self.seals.as_mut()
    }

    /// The id of a response that was just made.
    pub(super) fn response_id(&self) -> Option<&str> {
        let id = self.outline.member(Wanted::Id).filter(|_| self.surface == Surface::Responses)?;
        id.strip_prefix('"')?.strip_suffix('"')
    }

    pub(super) fn is_closed(&self) -> bool {
        self.outline.is_closed()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn stated_usage(&self) -> Option<Box<str>> {
        if self.surface.is_free() {
            return None;
        }
        let mut stated = Stated::default();
        let all = [Wanted::Usage, Wanted::UsageMetadata].into_iter();
        all.filter_map(|wanted| self.outline.member(wanted)).for_each(|raw| stated.note(raw));
        stated.json()
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        if self.surface.is_free() {
            return None;
        }
        let mut counts = Counts::default();
        if let Some(raw) = self.outline.member(Wanted::Meta).filter(|_| self.surface == Surface::Rerank) {
            counts.read_rerank_meta(raw);
        }
        for wanted in [Wanted::Usage, Wanted::UsageMetadata] {
            if let Some(raw) = self.outline.member(wanted) {
                counts.read(raw);
            }
        }
        if let Some(raw) = self.outline.member(Wanted::ServiceTier) {
            counts.read_tier(raw);
        }
        counts.usage(self.conventions)
    }
}
