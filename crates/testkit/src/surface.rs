//! The endpoints under test, as a caller sees them; kept apart from the gateway's own table so that a
//! mistake there shows here.

use serde_json::{Value, json};

/// Whose shapes an endpoint speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's.
    OpenAi,
    /// Anthropic's.
    Anthropic,
    /// Google's.
    Gemini,
}

/// An endpoint that takes a model call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surface {
    /// The name in records.
    pub name: &'static str,
    /// The path.
    pub path: &'static str,
    /// Whose shapes it speaks.
    pub dialect: Dialect,
    /// The demo model that answers there.
    pub demo_model: &'static str,
    /// Whether it can stream.
    pub streams: bool,
    /// What the provider's own path ends in, after the account's base URL.
    pub upstream_path: &'static str,
}

const fn openai(name: &'static str, path: &'static str, demo_model: &'static str, streams: bool) -> Surface {
    let upstream_path = path;
    Surface { name, path, dialect: Dialect::OpenAi, demo_model, streams, upstream_path }
}

/// Chat completions.
pub const CHAT: Surface = openai("openai_chat", "/v1/chat/completions", "demo-chat", true);
/// Legacy completions.
pub const COMPLETIONS: Surface = openai("openai_completions", "/v1/completions", "demo-chat", true);
/// Embeddings.
pub const EMBEDDINGS: Surface = openai("openai_embeddings", "/v1/embeddings", "demo-embed", false);
/// Moderations.
pub const MODERATIONS: Surface = openai("openai_moderations", "/v1/moderations", "demo-moderation", false);
/// Reranking.
pub const RERANK: Surface = openai("rerank", "/v1/rerank", "demo-rerank", false);
/// Anthropic messages.
pub const MESSAGES: Surface = Surface {
    name: "anthropic_messages",
    path: "/v1/messages",
    dialect: Dialect::Anthropic,
    demo_model: "demo-chat",
    streams: true,
    upstream_path: "/v1/messages",
};
/// Anthropic token counting.
pub const COUNT_TOKENS: Surface = Surface {
    name: "anthropic_count_tokens",
    path: "/v1/messages/count_tokens",
    dialect: Dialect::Anthropic,
    demo_model: "demo-chat",
    streams: false,
    upstream_path: "/v1/messages/count_tokens",
};

/// Responses.
pub const RESPONSES: Surface = openai("openai_responses", "/v1/responses", "demo-chat", true);
/// Gemini's generateContent; the model and whether it streams are in the path, see [`Surface::path_for`].
pub const GEMINI: Surface = Surface {
    name: "gemini_generate_content",
    path: "/v1beta/models",
    dialect: Dialect::Gemini,
    demo_model: "demo-chat",
    streams: true,
    upstream_path: "/v1beta/models",
};

/// Every endpoint whose path does not name the model.
pub const ALL: [Surface; 7] = [CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS, RERANK, MESSAGES, COUNT_TOKENS];

impl Surface {
    /// The path of a request for a model.
    #[must_use]
    pub fn path_for(&self, model: &str, stream: bool) -> String {
        match (self.dialect, stream) {
            (Dialect::Gemini, true) => format!("{}/{model}:streamGenerateContent?alt=sse", self.path),
            (Dialect::Gemini, false) => format!("{}/{model}:generateContent", self.path),
            _ => self.path.to_owned(),
        }
    }

    /// The entry of an account's list for a model that is called here.
    #[must_use]
    pub fn model(&self, name: &str) -> Value {
        match self.name {
            "openai_responses" => json!({"name": name, "upstream": name, "dialect": self.name}),
            _ => json!(name),
        }
    }

    /// A small valid request.
    #[must_use]
    pub fn request(&self, model: &str, stream: bool) -> Value {
        let messages = json!([{"role": "user", "content": "Say hello"}]);
        let mut body = match self.name {
            "openai_completions" => json!({"model": model, "prompt": "Say hello"}),
            "gemini_generate_content" => {
                return json!({"contents": [{"role": "user", "parts": [{"text": "Say hello"}]}]});
            }
            "openai_embeddings" | "openai_moderations" | "openai_responses" => {
                json!({"model": model, "input": "Say hello"})
            }
            "rerank" => json!({"model": model, "query": "hello", "documents": ["hello there", "goodbye"]}),
            "anthropic_messages" => json!({"model": model, "max_tokens": 64, "messages": messages}),
            _ => json!({"model": model, "messages": messages}),
        };
        if stream {
            body["stream"] = json!(true);
        }
        body
    }

    /// A preset whose accounts serve this endpoint at any address.
    #[must_use]
    pub fn preset(&self) -> &'static str {
        match self.dialect {
            Dialect::OpenAi => "openai-compatible",
            Dialect::Anthropic => "anthropic-compatible",
            Dialect::Gemini => "gemini",
        }
    }

    /// The base URL an account needs so that calls arrive at `origin` under `upstream_path`.
    #[must_use]
    pub fn base_url(&self, origin: &str) -> String {
        match self.dialect {
            Dialect::OpenAi => format!("{origin}/v1"),
            Dialect::Anthropic | Dialect::Gemini => origin.to_owned(),
        }
    }
}
