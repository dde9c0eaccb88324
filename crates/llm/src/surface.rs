//! Which endpoint a path names, and in which envelope errors about that path are dressed.
//!
//! Knows paths and headers only; whether a method fits is the caller's question.

mod gemini;

pub use gemini::percent_decoded;

use http::HeaderMap;
use serde::Deserialize;

use crate::neutral::Dialect;

/// A family of dialects: what surfaces and providers are matched by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// OpenAI's HTTP API and everything compatible with it.
    OpenAi,
    /// Anthropic's Messages API.
    Anthropic,
    /// Google's Gemini API.
    Gemini,
    /// Amazon's Bedrock. Only providers speak it.
    Bedrock,
}

impl Family {
    /// The name in configuration and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Bedrock => "bedrock",
        }
    }
}

/// One endpoint: of callers, or of providers alone.
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
    /// OpenAI Responses.
    Responses,
    /// OpenAI Responses: counts the input.
    ResponsesInputTokens,
    /// OpenAI Responses: shortens a conversation.
    ResponsesCompact,
    /// OpenAI Responses: one that was made before, read, deleted or cancelled.
    StoredResponse,
    /// Gemini content, whole.
    GenerateContent,
    /// Gemini content, as a stream.
    StreamGenerateContent,
    /// Gemini token counting.
    GeminiCountTokens,
    /// A Gemini embedding.
    EmbedContent,
    /// Several Gemini embeddings.
    BatchEmbedContents,
    /// Bedrock Converse, whole. Of providers alone.
    Converse,
    /// Bedrock Converse, as a stream. Of providers alone.
    ConverseStream,
}

impl Family {
    /// The dialects of chat in the family, the one that most providers speak first.
    #[must_use]
    pub fn dialects(self) -> &'static [Dialect] {
        match self {
            Self::OpenAi => &[Dialect::OpenAiChat, Dialect::OpenAiResponses],
            Self::Anthropic => &[Dialect::AnthropicMessages],
            Self::Gemini => &[Dialect::Gemini],
            Self::Bedrock => &[Dialect::BedrockConverse],
        }
    }
}

impl Surface {
    /// The dialect of chat that it is spoken to in; `None` for what is no chat, and cannot be translated.
    #[must_use]
    pub fn dialect(self) -> Option<Dialect> {
        match self {
            Self::ChatCompletions => Some(Dialect::OpenAiChat),
            Self::Responses => Some(Dialect::OpenAiResponses),
            Self::Messages => Some(Dialect::AnthropicMessages),
            Self::GenerateContent | Self::StreamGenerateContent => Some(Dialect::Gemini),
            _ => None,
        }
    }

    /// The dialect of chat that it belongs to: its own, or that of the endpoint it stands beside to count, to
    /// keep and to shorten. `None` for what is no chat.
    #[must_use]
    pub fn beside(self) -> Option<Dialect> {
        match self {
            Self::ResponsesInputTokens | Self::ResponsesCompact | Self::StoredResponse => {
                Some(Dialect::OpenAiResponses)
            }
            Self::CountTokens => Some(Dialect::AnthropicMessages),
            Self::GeminiCountTokens => Some(Dialect::Gemini),
            Self::Converse | Self::ConverseStream => Some(Dialect::BedrockConverse),
            other => other.dialect(),
        }
    }

    /// The surface at which providers of `dialect` are called, for a stream or for a whole answer.
    #[must_use]
    pub fn of_dialect(dialect: Dialect, stream: bool) -> Option<Self> {
        match dialect {
            Dialect::OpenAiChat => Some(Self::ChatCompletions),
            Dialect::OpenAiResponses => Some(Self::Responses),
            Dialect::AnthropicMessages => Some(Self::Messages),
            Dialect::Gemini if stream => Some(Self::StreamGenerateContent),
            Dialect::Gemini => Some(Self::GenerateContent),
            Dialect::BedrockConverse if stream => Some(Self::ConverseStream),
            Dialect::BedrockConverse => Some(Self::Converse),
        }
    }

    /// How many there are: of callers, and of providers alone.
    pub const EVERY: usize = Self::ALL.len() + Self::OF_PROVIDERS.len();

    /// Those that only providers have.
    pub const OF_PROVIDERS: [Self; 2] = [Self::Converse, Self::ConverseStream];

    /// Every surface of callers.
    pub const ALL: [Self; 16] = [
        Self::ChatCompletions,
        Self::Completions,
        Self::Embeddings,
        Self::Moderations,
        Self::Rerank,
        Self::Messages,
        Self::CountTokens,
        Self::Responses,
        Self::ResponsesInputTokens,
        Self::ResponsesCompact,
        Self::StoredResponse,
        Self::GenerateContent,
        Self::StreamGenerateContent,
        Self::GeminiCountTokens,
        Self::EmbedContent,
        Self::BatchEmbedContents,
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
            Self::Responses => "openai_responses",
            Self::ResponsesInputTokens => "openai_responses_input_tokens",
            Self::ResponsesCompact => "openai_responses_compact",
            Self::StoredResponse => "openai_responses_stored",
            Self::GenerateContent => "gemini_generate_content",
            Self::StreamGenerateContent => "gemini_stream_generate_content",
            Self::GeminiCountTokens => "gemini_count_tokens",
            Self::EmbedContent => "gemini_embed_content",
            Self::BatchEmbedContents => "gemini_batch_embed_contents",
            Self::Converse => "bedrock_converse",
            Self::ConverseStream => "bedrock_converse_stream",
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
            Self::Responses => "POST /v1/responses",
            Self::ResponsesInputTokens => "POST /v1/responses/input_tokens",
            Self::ResponsesCompact => "POST /v1/responses/compact",
            Self::StoredResponse => "ANY /v1/responses/{id}",
            Self::GenerateContent => "POST /v1beta/models/{model}:generateContent",
            Self::StreamGenerateContent => "POST /v1beta/models/{model}:streamGenerateContent",
            Self::GeminiCountTokens => "POST /v1beta/models/{model}:countTokens",
            Self::EmbedContent => "POST /v1beta/models/{model}:embedContent",
            Self::BatchEmbedContents => "POST /v1beta/models/{model}:batchEmbedContents",
            Self::Converse => "POST /model/{model}/converse",
            Self::ConverseStream => "POST /model/{model}/converse-stream",
        }
    }

    /// What ends the path: below the version, with its leading slash, what is appended to a base URL; of
    /// Gemini's endpoints the action behind the model's name, with its colon.
    #[must_use]
    pub fn tail(self) -> &'static str {
        match self.family() {
            Family::Gemini => &self.route()["POST /v1beta/models/{model}".len()..],
            Family::Bedrock => &self.route()["POST /model/{model}".len()..],
            _ if self == Self::StoredResponse => "/responses/",
            _ => &self.route()["POST /v1".len()..],
        }
    }

    /// The surface that `path` (without query) names: `/v1/…`, the same without version, for Anthropic's
    /// endpoints also below `/anthropic`, for OpenAI's below `/codex` and `/cursor`, for Gemini's below
    /// `/v1beta`.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        for (root, family) in PREFIXES {
            if let Some(rest) = path.strip_prefix(root).filter(|rest| rest.starts_with('/')) {
                let surface = Self::with_tail(rest.strip_prefix("/v1")?)?;
                return (surface.family() == family).then_some(surface);
            }
        }
        let tail = path.strip_prefix("/v1").filter(|rest| rest.starts_with('/')).unwrap_or(path);
        Self::with_tail(tail).or_else(|| gemini::read(path).map(|(surface, _)| surface))
    }

    fn with_tail(tail: &str) -> Option<Self> {
        let named = Self::ALL.into_iter().filter(|surface| *surface != Self::StoredResponse);
        let found = named.into_iter().find(|surface| surface.tail() == tail);
        found.or_else(|| stored_methods(tail).map(|_| Self::StoredResponse))
    }

    /// The methods that `path` takes, as the header `Allow` lists them.
    #[must_use]
    pub fn methods(self, path: &str) -> &'static str {
        let at = path.find("/responses/").unwrap_or(path.len());
        match self {
            Self::StoredResponse => stored_methods(&path[at..]).unwrap_or("GET"),
            _ => "POST",
        }
    }

    /// The model that `path` names, where the path and not the body does: resolved escapes, without the
    /// collection it stands in.
    #[must_use]
    pub fn model_in_path(path: &str) -> Option<String> {
        gemini::read(path).map(|(_, model)| model)
    }

    /// The family of accounts that can serve it as it is.
    #[must_use]
    pub fn family(self) -> Family {
        match self {
            Self::Messages | Self::CountTokens => Family::Anthropic,
            Self::GenerateContent
            | Self::StreamGenerateContent
            | Self::GeminiCountTokens
            | Self::EmbedContent
            | Self::BatchEmbedContents => Family::Gemini,
            Self::Converse | Self::ConverseStream => Family::Bedrock,
            _ => Family::OpenAi,
        }
    }

    /// Whether it is one of OpenAI's Responses endpoints, which not every compatible provider has.
    #[must_use]
    pub fn is_responses(self) -> bool {
        matches!(
            self,
            Self::Responses | Self::ResponsesInputTokens | Self::ResponsesCompact | Self::StoredResponse
        )
    }

    /// Whether nothing is generated, so that nothing is charged and no place is taken at an account
    /// (accounts contract, §1).
    #[must_use]
    pub fn is_free(self) -> bool {
        matches!(
            self,
            Self::CountTokens | Self::ResponsesInputTokens | Self::StoredResponse | Self::GeminiCountTokens
        )
    }

    /// Whether all it asks for is how many tokens a request has.
    #[must_use]
    pub fn counts(self) -> bool {
        matches!(self, Self::CountTokens | Self::ResponsesInputTokens | Self::GeminiCountTokens)
    }

    /// Whether a request may ask for a long answer, of which most can be had as a stream.
    #[must_use]
    pub fn may_stream(self) -> bool {
        matches!(
            self,
            Self::ChatCompletions
                | Self::Completions
                | Self::Messages
                | Self::Responses
                | Self::GenerateContent
                | Self::StreamGenerateContent
        )
    }

    /// How errors of this surface are dressed.
    #[must_use]
    pub fn envelope(self) -> Envelope {
        match self.family() {
            Family::OpenAi if self.is_responses() => Envelope::Responses,
            Family::OpenAi => Envelope::OpenAi,
            Family::Anthropic => Envelope::Anthropic,
            Family::Gemini => Envelope::Gemini,
            Family::Bedrock => Envelope::Native,
        }
    }
}

/// Prefixes that programs have for themselves, and the family whose endpoints are there.
const PREFIXES: [(&str, Family); 3] =
    [("/anthropic", Family::Anthropic), ("/codex", Family::OpenAi), ("/cursor", Family::OpenAi)];

/// The methods of a stored response's paths; `None` when `tail` is none of them.
fn stored_methods(tail: &str) -> Option<&'static str> {
    let (id, rest) = match tail.strip_prefix("/responses/")?.split_once('/') {
        Some((id, rest)) => (id, rest),
        None => (&tail["/responses/".len()..], ""),
    };
    match rest {
        _ if id.is_empty() => None,
        "" => Some("GET, DELETE"),
        "cancel" => Some("POST"),
        "input_items" => Some("GET"),
        _ => None,
    }
}

/// How an error is dressed, so that the caller's SDK raises its own typed exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Envelope {
    /// `{"error":{"message","type","param","code"}}`.
    OpenAi,
    /// The same; within a stream the two events that end a failed response.
    Responses,
    /// `{"type":"error","error":{"type","message"},"request_id"}`.
    Anthropic,
    /// `{"error":{"code","message","status","details"}}`.
    Gemini,
    /// The gateway's own, for routes without a dialect.
    Native,
}

impl Envelope {
    /// Every envelope.
    pub const ALL: [Self; 5] = [Self::OpenAi, Self::Responses, Self::Anthropic, Self::Gemini, Self::Native];

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
        if below("/v1beta") || below("/v1/models") && headers.contains_key("x-goog-api-key") {
            return Self::Gemini;
        }
        if below("/v1/responses") || below("/responses") || below("/codex") {
            return Self::Responses;
        }
        if below("/v1") || below("/models") || below("/cursor") {
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
            let tail = match surface.family() {
                Family::Gemini => format!("/models/some%2Fmodel{}", surface.tail()),
                _ if surface == Surface::StoredResponse => "/responses/resp_1".to_owned(),
                _ => surface.tail().to_owned(),
            };
            assert_eq!(Surface::from_path(&format!("/v1{tail}")), Some(surface));
            assert_eq!(Surface::from_path(&tail), Some(surface));
            for (root, family) in PREFIXES {
                let prefixed = Surface::from_path(&format!("{root}/v1{tail}"));
                assert_eq!(prefixed.is_some(), surface.family() == family, "{root} {tail}");
            }
            let beta = Surface::from_path(&format!("/v1beta{tail}"));
            assert_eq!(beta.is_some(), surface.family() == Family::Gemini, "{tail}");
            let method = surface.route().split(' ').next().unwrap_or_default();
            assert!(method == "ANY" || surface.methods(&tail) == method);
        }
    }

    #[test]
    fn stored_responses_have_paths_with_methods_of_their_own() {
        for (path, methods) in [
            ("/v1/responses/resp_1", Some("GET, DELETE")),
            ("/responses/resp_1/input_items", Some("GET")),
            ("/codex/v1/responses/resp_1/cancel", Some("POST")),
            ("/v1/responses/resp_1/other", None),
            ("/v1/responses/", None),
            ("/v1/responses//cancel", None),
        ] {
            let surface = Surface::from_path(path);
            assert_eq!(surface.map(|surface| surface.methods(path)), methods, "{path}");
        }
        assert_eq!(Surface::from_path("/v1/responses/compact"), Some(Surface::ResponsesCompact));
    }

    #[test]
    fn other_paths_name_no_surface() {
        for path in [
            "/model/m/converse",
            "/converse",
            "/",
            "",
            "/v1",
            "/v1/",
            "/v1/chat",
            "/v1/chat/completions/",
            "/v2/messages",
            "/v1/v1/messages",
            "/anthropic/messages",
            "/v1beta/responses",
            "/v1beta/models/x",
            "/v1/models/x:predict",
            "/codexx/v1/responses",
            "/cursor/chat/completions",
            "/cursor/v1/messages",
            "/v1x/messages",
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
        let mut google = HeaderMap::new();
        google.insert("x-goog-api-key", http::HeaderValue::from_static("k"));
        for (path, headers, expected) in [
            ("/v1/chat/completions", &plain, Envelope::OpenAi),
            ("/embeddings", &plain, Envelope::OpenAi),
            ("/v1/nothing", &plain, Envelope::OpenAi),
            ("/v1/models", &plain, Envelope::OpenAi),
            ("/v1/models/x", &versioned, Envelope::Anthropic),
            ("/v1/modelsx", &versioned, Envelope::OpenAi),
            ("/cursor/v1/chat/completions", &versioned, Envelope::OpenAi),
            ("/cursor/v1/messages", &versioned, Envelope::OpenAi),
            ("/v1/responses", &plain, Envelope::Responses),
            ("/v1/responses/x/y", &plain, Envelope::Responses),
            ("/v1/models/x:generateContent", &plain, Envelope::Gemini),
            ("/models/x:countTokens", &versioned, Envelope::Gemini),
            ("/v1beta/models", &plain, Envelope::Gemini),
            ("/v1beta/nothing", &plain, Envelope::Gemini),
            ("/v1/models/x", &google, Envelope::Gemini),
            ("/v1/chat/completions", &google, Envelope::OpenAi),
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
