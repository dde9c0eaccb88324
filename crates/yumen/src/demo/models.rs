//! `GET /v1/models` and `GET /v1/models/{id}`.

use http::HeaderMap;
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::reply::{CREATED, Reply};
use super::{MODELS, is_anthropic};

/// Lists the models, or shows the one named.
pub fn answer(wanted: &str, headers: &HeaderMap) -> Result<Reply, Refusal> {
    let card = if is_anthropic(headers) { anthropic_card } else { openai_card };
    if !wanted.is_empty() {
        let model = MODELS.iter().find(|model| **model == wanted);
        return model
            .map(|model| Reply::json(200, &card(model)))
            .ok_or_else(|| Refusal::unknown_model(wanted));
    }
    let cards: Vec<Value> = MODELS.iter().map(|model| card(model)).collect();
    let list = if is_anthropic(headers) {
        json!({"data": cards, "has_more": false, "first_id": MODELS[0], "last_id": MODELS[MODELS.len() - 1]})
    } else {
        json!({"object": "list", "data": cards})
    };
    Ok(Reply::json(200, &list))
}

fn openai_card(model: &str) -> Value {
    json!({"id": model, "object": "model", "created": CREATED, "owned_by": super::NAME})
}

fn anthropic_card(model: &str) -> Value {
    json!({"type": "model", "id": model, "display_name": model, "created_at": "2026-01-01T00:00:00Z"})
}
