//! `models.list` and `models.get` of Gemini.

use serde::Serialize;

use super::{ModelCard, json};

/// `GET /v1beta/models`, all on one page.
pub(super) fn list(cards: &[ModelCard]) -> Vec<u8> {
    #[derive(Serialize)]
    struct List<'a> {
        models: Vec<Gemini<'a>>,
    }
    json(&List { models: cards.iter().map(Gemini::from).collect() })
}

/// `GET /v1beta/models/{model}`.
pub(super) fn one(card: &ModelCard) -> Vec<u8> {
    json(&Gemini::from(card))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Gemini<'a> {
    name: String,
    version: &'static str,
    display_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_token_limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_token_limit: Option<u64>,
    supported_generation_methods: &'static [&'static str],
}

impl<'a> From<&'a ModelCard> for Gemini<'a> {
    fn from(card: &'a ModelCard) -> Self {
        Self {
            name: format!("models/{}", card.id),
            version: "001",
            display_name: &card.id,
            input_token_limit: card.context,
            output_token_limit: card.max_output,
            supported_generation_methods: match card.embeds {
                true => &["embedContent", "batchEmbedContents", "countTokens"],
                false => &["generateContent", "streamGenerateContent", "countTokens"],
            },
        }
    }
}
