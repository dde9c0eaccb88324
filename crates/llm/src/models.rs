//! How lists of models read in each dialect, and which dialect a caller asks in.

mod codex;
mod gemini;

use http::HeaderMap;
use model::clock::{EpochMs, rfc3339};
use serde::Serialize;

use crate::surface::Envelope;

/// The dialect of a list of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// OpenAI's.
    OpenAi,
    /// Anthropic's.
    Anthropic,
    /// Gemini's.
    Gemini,
    /// What Codex reads: more than a name, for its agent's sake.
    Codex,
}

impl Shape {
    /// The shape in which `path` with its query and headers asks (accounts contract, §1). All four share
    /// the path `/v1/models`.
    #[must_use]
    pub fn asked(path: &str, query: Option<&str>, headers: &HeaderMap) -> Self {
        let in_query =
            |name: &str| query.unwrap_or("").split('&').any(|pair| pair.split('=').next() == Some(name));
        let originator = headers.get("originator").and_then(|value| value.to_str().ok()).unwrap_or("");
        if path.starts_with("/cursor/") {
            // Whatever else it says: it reads Chat's shapes only.
            Self::OpenAi
        } else if path.starts_with("/anthropic/") || headers.contains_key("anthropic-version") {
            Self::Anthropic
        } else if path.starts_with("/v1beta/") {
            Self::Gemini
        } else if path.starts_with("/codex/")
            || in_query("client_version")
            || originator.starts_with("codex_")
        {
            Self::Codex
        } else if headers.contains_key("x-goog-api-key") || in_query("key") {
            Self::Gemini
        } else {
            Self::OpenAi
        }
    }

    /// How errors of such a list are dressed.
    #[must_use]
    pub fn envelope(self) -> Envelope {
        match self {
            Self::OpenAi | Self::Codex => Envelope::OpenAi,
            Self::Anthropic => Envelope::Anthropic,
            Self::Gemini => Envelope::Gemini,
        }
    }

    /// All of `cards`, in their order, on one page.
    #[must_use]
    pub fn list(self, cards: &[ModelCard]) -> Vec<u8> {
        match self {
            Self::OpenAi => openai_list(cards),
            Self::Anthropic => anthropic_list(cards),
            Self::Gemini => gemini::list(cards),
            Self::Codex => codex::list(cards),
        }
    }

    /// One model.
    #[must_use]
    pub fn one(self, card: &ModelCard) -> Vec<u8> {
        match self {
            Self::OpenAi | Self::Codex => openai_one(card),
            Self::Anthropic => anthropic_one(card),
            Self::Gemini => gemini::one(card),
        }
    }
}

/// A model as callers see it listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelCard {
    /// The public name.
    pub id: String,
    /// When it became available here, in milliseconds since the epoch.
    pub created_ms: EpochMs,
    /// Who offers it.
    pub owned_by: String,
    /// The largest prompt, in tokens, where it is known.
    pub context: Option<u64>,
    /// The longest answer, in tokens, where it is known.
    pub max_output: Option<u64>,
    /// Whether it makes embeddings and nothing else.
    pub embeds: bool,
}

/// `GET /v1/models` for OpenAI's clients. The order is that of `cards`.
fn openai_list(cards: &[ModelCard]) -> Vec<u8> {
    #[derive(Serialize)]
    struct List<'a> {
        object: &'static str,
        data: Vec<OpenAi<'a>>,
    }
    json(&List { object: "list", data: cards.iter().map(OpenAi::from).collect() })
}

/// `GET /v1/models/{id}` for OpenAI's clients.
fn openai_one(card: &ModelCard) -> Vec<u8> {
    json(&OpenAi::from(card))
}

/// `GET /v1/models` for Anthropic's clients, all on one page. The order is that of `cards`.
fn anthropic_list(cards: &[ModelCard]) -> Vec<u8> {
    #[derive(Serialize)]
    struct List<'a> {
        data: Vec<Anthropic<'a>>,
        has_more: bool,
        first_id: Option<&'a str>,
        last_id: Option<&'a str>,
    }
    json(&List {
        data: cards.iter().map(Anthropic::from).collect(),
        has_more: false,
        first_id: cards.first().map(|card| card.id.as_str()),
        last_id: cards.last().map(|card| card.id.as_str()),
    })
}

/// `GET /v1/models/{id}` for Anthropic's clients.
fn anthropic_one(card: &ModelCard) -> Vec<u8> {
    json(&Anthropic::from(card))
}

#[derive(Serialize)]
struct OpenAi<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'a str,
}

impl<'a> From<&'a ModelCard> for OpenAi<'a> {
    fn from(card: &'a ModelCard) -> Self {
        Self { id: &card.id, object: "model", created: card.created_ms / 1000, owned_by: &card.owned_by }
    }
}

#[derive(Serialize)]
struct Anthropic<'a> {
    r#type: &'static str,
    id: &'a str,
    display_name: &'a str,
    created_at: String,
}

impl<'a> From<&'a ModelCard> for Anthropic<'a> {
    fn from(card: &'a ModelCard) -> Self {
        Self { r#type: "model", id: &card.id, display_name: &card.id, created_at: rfc3339(card.created_ms) }
    }
}

fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("strings and numbers always serialise")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn cards() -> Vec<ModelCard> {
        ["b", "a"]
            .map(|id| ModelCard {
                id: id.to_owned(),
                created_ms: 1_790_000_000_123,
                owned_by: "demo".to_owned(),
                context: Some(200_000),
                max_output: None,
                embeds: id == "a",
            })
            .to_vec()
    }

    fn parsed(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn the_shape_follows_the_path_the_query_and_the_headers() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            pairs
                .iter()
                .map(|(name, value)| {
                    (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
                })
                .collect()
        };
        let anthropic = [("anthropic-version", "2023-06-01")];
        for (path, query, pairs, shape) in [
            ("/v1/models", None, &[][..], Shape::OpenAi),
            ("/models", Some("limit=1000&keys=1"), &[], Shape::OpenAi),
            ("/v1/models", Some("limit=1000"), &anthropic, Shape::Anthropic),
            ("/anthropic/v1/models", None, &[], Shape::Anthropic),
            ("/v1beta/models", None, &[], Shape::Gemini),
            ("/v1/models", None, &[("x-goog-api-key", "k")], Shape::Gemini),
            ("/v1/models", Some("pageSize=5&key=k"), &[], Shape::Gemini),
            ("/v1/models", Some("client_version=0.169.0"), &[], Shape::Codex),
            ("/v1/models", None, &[("originator", "codex_cli_rs")], Shape::Codex),
            ("/codex/v1/models", None, &[], Shape::Codex),
            ("/cursor/v1/models", Some("key=k"), &anthropic, Shape::OpenAi),
        ] {
            assert_eq!(Shape::asked(path, query, &headers(pairs)), shape, "{path} {query:?}");
        }
    }

    #[test]
    fn gemini_clients_get_theirs() {
        let list = parsed(&Shape::Gemini.list(&cards()));
        let one = parsed(&Shape::Gemini.one(&cards()[0]));
        assert_eq!(list["models"][0], one);
        assert_eq!((&one["name"], &one["inputTokenLimit"]), (&json!("models/b"), &json!(200_000)));
        let methods = json!(["generateContent", "streamGenerateContent", "countTokens"]);
        assert_eq!(one["supportedGenerationMethods"], methods);
        let embeds = json!(["embedContent", "batchEmbedContents", "countTokens"]);
        assert_eq!(list["models"][1]["supportedGenerationMethods"], embeds);
    }

    #[test]
    fn codex_gets_its_own_and_no_model_that_cannot_chat() {
        let list = parsed(&Shape::Codex.list(&cards()));
        assert_eq!(list["models"].as_array().unwrap().len(), 1);
        let one = &list["models"][0];
        assert_eq!((&one["slug"], &one["context_window"]), (&json!("b"), &json!(200_000)));
        for field in [
            "display_name",
            "supported_reasoning_levels",
            "shell_type",
            "visibility",
            "supported_in_api",
            "priority",
            "base_instructions",
            "supports_reasoning_summaries",
            "support_verbosity",
            "truncation_policy",
            "supports_parallel_tool_calls",
            "experimental_supported_tools",
        ] {
            assert!(!one[field].is_null(), "{field}");
        }
    }

    #[test]
    fn openai_clients_get_their_list() {
        let one = json!({"id": "b", "object": "model", "created": 1_790_000_000, "owned_by": "demo"});
        assert_eq!(parsed(&openai_one(&cards()[0])), one);
        let list = parsed(&openai_list(&cards()));
        assert_eq!(list["object"], "list");
        assert_eq!((&list["data"][0], &list["data"][1]["id"]), (&one, &json!("a")));
    }

    #[test]
    fn anthropic_clients_get_theirs() {
        let one = json!({"type": "model", "id": "b", "display_name": "b",
            "created_at": "2026-09-21T14:13:20.123Z"});
        assert_eq!(parsed(&anthropic_one(&cards()[0])), one);
        let list = parsed(&anthropic_list(&cards()));
        assert_eq!(list["data"][0], one);
        assert_eq!(
            (&list["has_more"], &list["first_id"], &list["last_id"]),
            (&json!(false), &json!("b"), &json!("a"))
        );
        assert_eq!(parsed(&anthropic_list(&[]))["first_id"], Value::Null);
    }
}
