//! How lists of models read in each dialect.

use model::clock::{EpochMs, rfc3339};
use serde::Serialize;

/// A model as callers see it listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelCard {
    /// The public name.
    pub id: String,
    /// When it became available here, in milliseconds since the epoch.
    pub created_ms: EpochMs,
    /// Who offers it.
    pub owned_by: String,
}

/// `GET /v1/models` for OpenAI's clients. The order is that of `cards`.
#[must_use]
pub fn openai_list(cards: &[ModelCard]) -> Vec<u8> {
    #[derive(Serialize)]
    struct List<'a> {
        object: &'static str,
        data: Vec<OpenAi<'a>>,
    }
    json(&List { object: "list", data: cards.iter().map(OpenAi::from).collect() })
}

/// `GET /v1/models/{id}` for OpenAI's clients.
#[must_use]
pub fn openai_one(card: &ModelCard) -> Vec<u8> {
    json(&OpenAi::from(card))
}

/// `GET /v1/models` for Anthropic's clients, all on one page. The order is that of `cards`.
#[must_use]
pub fn anthropic_list(cards: &[ModelCard]) -> Vec<u8> {
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
#[must_use]
pub fn anthropic_one(card: &ModelCard) -> Vec<u8> {
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
            })
            .to_vec()
    }

    fn parsed(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
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
