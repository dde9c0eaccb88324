//! `POST /v1/moderations`: flags a text by a handful of words.

use serde_json::{Map, Value, json};

use super::MODERATION;
use super::fields::{Fields, content_text};
use super::plan::Plan;
use super::refusal::Refusal;
use super::reply::{Reply, identifier};

/// OpenAI's categories, each with the words that raise it here.
const CATEGORIES: [(&str, &[&str]); 13] = [
    ("harassment", &["harass", "bully"]),
    ("harassment/threatening", &["threaten"]),
    ("hate", &["hate"]),
    ("hate/threatening", &[]),
    ("illicit", &["smuggle", "counterfeit"]),
    ("illicit/violent", &["bomb"]),
    ("self-harm", &["self-harm"]),
    ("self-harm/instructions", &[]),
    ("self-harm/intent", &[]),
    ("sexual", &["sexual"]),
    ("sexual/minors", &[]),
    ("violence", &["kill", "attack"]),
    ("violence/graphic", &["gore"]),
];

/// What an ordinary text scores.
const LOW: f64 = 0.0001;
/// What a text with one of the words scores.
const HIGH: f64 = 0.98;

/// Judges texts.
pub fn answer(fields: &Fields) -> Result<Reply, Refusal> {
    let model = fields.model(MODERATION)?;
    let missing = || Refusal::field("input", "Missing required parameter: 'input'.");
    let results: Vec<Value> = match fields.get("input").ok_or_else(missing)? {
        Value::String(text) => vec![judge(text)],
        // A list of typed parts is one input; a list of texts is one each.
        parts @ Value::Array(list) if list.first().is_some_and(Value::is_object) => {
            vec![judge(&content_text(parts))]
        }
        Value::Array(_) => fields.texts("input")?.iter().map(|text| judge(text)).collect(),
        _ => {
            return Err(Refusal::field("input", "Invalid type for 'input': expected a string or an array."));
        }
    };
    if results.is_empty() {
        return Err(Refusal::field("input", "Invalid 'input': empty array."));
    }
    let plan = Plan::read(fields, false)?;
    let body = json!({"id": identifier("modr", fields.whole()), "model": model, "results": results});
    Ok(Reply::planned(&body, &plan))
}

fn judge(text: &str) -> Value {
    let lower = text.to_lowercase();
    let raised = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let of = |value: &dyn Fn(bool) -> Value| {
        let members = CATEGORIES.iter().map(|(name, words)| ((*name).to_owned(), value(raised(words))));
        members.collect::<Map<_, _>>()
    };
    json!({
        "flagged": CATEGORIES.iter().any(|(_, words)| raised(words)),
        "categories": of(&|raised| json!(raised)),
        "category_scores": of(&|raised| json!(if raised { HIGH } else { LOW })),
        "category_applied_input_types": of(&|_| json!(["text"])),
    })
}
