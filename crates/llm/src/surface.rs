//! Which endpoint a path names, and in which envelope errors about that path are dressed.
//!
//! Knows paths and headers only; whether a method fits is the caller's question.

use http::HeaderMap;
use serde::Deserialize;

/// A family of dialects: what surfaces and providers are matched by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// OpenAI's HTTP API and everything compatible with it.
    OpenAi,
    /// Anthropic's Messages API.
    Anthropic,
}

impl Family {
    /// The name in configuration and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
        }
    }
}

/// One endpoint that callers may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Surface {
    /// OpenAI Chat Completions.
    ChatCompletions,
    /// OpenAI Completions, the older text endpoint.
    Completions,
    /// OpenAI embeddings.
    Embeddings,
    /// OpenAI moderations.
    Moderations,
    /// Rerank, in the shape that Cohere and Jina share.
    Rerank,
    /// Anthropic Messages.
    Messages,
    /// Anthropic token counting.
    CountTokens,
}

impl Surface {
    /// Every surface.
    pub const ALL: [Self; 7] = [
        Self::ChatCompletions,
        Self::Completions,
        Self::Embeddings,
        Self::Moderations,
        Self::Rerank,
        Self::Messages,
        Self::CountTokens,
    ];

    /// The name in records, metrics and configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ChatCompletions => "openai_chat",
            Self::Completions => "openai_completions",
            Self::Embeddings => "openai_embeddings",
            Self::Moderations => "openai_moderations",
            Self::Rerank => "rerank",
            Self::Messages => "anthropic_messages",
            Self::CountTokens => "anthropic_count_tokens",
        }
    }

    /// Method and canonical path, as records and metrics name the route.
    #[must_use]
    pub fn route(self) -> &'static str {
        match self {
            Self::ChatCompletions => "POST /v1/chat/completions",
            Self::Completions => "POST /v1/completions",
            Self::Embeddings => "POST /v1/embeddings",
            Self::Moderations => "POST /v1/moderations",
            Self::Rerank => "POST /v1/rerank",
            Self::Messages => "POST /v1/messages",
            Self::CountTokens => "POST /v1/messages/count_tokens",
        }
    }

    /// The path below the version, with its leading slash: what is appended to an OpenAI base URL.
    #[must_use]
    pub fn tail(self) -> &'static str {
        &self.route()["POST /v1".len()..]
    }

    /// The surface that `path` (without query) names: `/v1/…`, the same without version, and for
    /// Anthropic's endpoints also below `/anthropic`. All take POST only.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        if let Some(rest) = path.strip_prefix("/anthropic") {
            let surface = Self::with_tail(rest.strip_prefix("/v1")?)?;
            return (surface.family() == Family::Anthropic).then_some(surface);
        }
        Self::with_tail(path.strip_prefix("/v1").unwrap_or(path))
    }

    fn with_tail(tail: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|surface| surface.tail() == tail)
    }

    /// The family of accounts that can serve it as it is.
    #[must_use]
    pub fn family(self) -> Family {
        match self {
            Self::Messages | Self::CountTokens => Family::Anthropic,
            _ => Family::OpenAi,
        }
    }

    /// Whether a request may ask for a stream of events.
    #[must_use]
    pub fn may_stream(self) -> bool {
        matches!(self, Self::ChatCompletions | Self::Completions | Self::Messages)
    }

    /// How errors of this surface are dressed.
    #[must_use]
    pub fn envelope(self) -> Envelope {
        match self.family() {
            Family::OpenAi => Envelope::OpenAi,
            Family::Anthropic => Envelope::Anthropic,
        }
    }
}

/// How an error is dressed, so that the caller's SDK raises its own typed exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Envelope {
    /// `{"error":{"message","type","param","code"}}`.
    OpenAi,
    /// `{"type":"error","error":{"type","message"},"request_id"}`.
    Anthropic,
    /// The gateway's own, for routes without a dialect.
    Native,
}

impl Envelope {
    /// Every envelope.
    pub const ALL: [Self; 3] = [Self::OpenAi, Self::Anthropic, Self::Native];

    /// The envelope for errors about `path` (without query), before or without a surface.
    #[must_use]
    pub fn of_path(path: &str, headers: &HeaderMap) -> Self {
        if let Some(surface) = Surface::from_path(path) {
            return surface.envelope();
        }
        let below =
            |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let anthropic_models = below("/v1/models") && headers.contains_key("anthropic-version");
        if anthropic_models || below("/v1/messages") || below("/messages") || below("/anthropic") {
            return Self::Anthropic;
        }
        if below("/v1") || below("/models") {
            return Self::OpenAi;
        }
        Self::Native
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_surface_is_found_by_its_paths() {
        for surface in Surface::ALL {
            let tail = surface.tail();
            assert_eq!(Surface::from_path(&format!("/v1{tail}")), Some(surface));
            assert_eq!(Surface::from_path(tail), Some(surface));
            let prefixed = Surface::from_path(&format!("/anthropic/v1{tail}"));
            assert_eq!(prefixed.is_some(), surface.family() == Family::Anthropic, "{tail}");
        }
    }

    #[test]
    fn other_paths_name_no_surface() {
        for path in [
            "/",
            "",
            "/v1",
            "/v1/",
            "/v1/chat",
            "/v1/chat/completions/",
            "/v2/messages",
            "/v1/v1/messages",
            "/anthropic/messages",
            "/v1/responses",
            "/api/v1/chat/completions",
        ] {
            assert_eq!(Surface::from_path(path), None, "{path}");
        }
    }

    #[test]
    fn envelopes_follow_the_path_and_the_version_header() {
        let plain = HeaderMap::new();
        let mut versioned = HeaderMap::new();
        versioned.insert("anthropic-version", http::HeaderValue::from_static("2023-06-01"));
        for (path, headers, expected) in [
            ("/v1/chat/completions", &plain, Envelope::OpenAi),
            ("/embeddings", &plain, Envelope::OpenAi),
            ("/v1/nothing", &plain, Envelope::OpenAi),
            ("/v1/models", &plain, Envelope::OpenAi),
            ("/v1/models/x", &versioned, Envelope::Anthropic),
            ("/v1/modelsx", &versioned, Envelope::OpenAi),
            ("/v1/messages", &plain, Envelope::Anthropic),
            ("/v1/messages/batches", &plain, Envelope::Anthropic),
            ("/anthropic/v1/other", &plain, Envelope::Anthropic),
            ("/api/v1/admin/users", &versioned, Envelope::Native),
            ("/health/ready", &plain, Envelope::Native),
            ("/", &plain, Envelope::Native),
        ] {
            assert_eq!(Envelope::of_path(path, headers), expected, "{path}");
        }
    }
}
