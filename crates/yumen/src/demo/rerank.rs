//! `POST /v1/rerank`: documents ordered by the words that they share with the query.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::fields::Fields;
use super::plan::Plan;
use super::refusal::Refusal;
use super::reply::{Reply, identifier};
use super::{RERANK, text};

/// The most documents of one request (Cohere API reference, `documents`).
const MOST_DOCUMENTS: usize = 1000;

/// Orders documents.
pub fn answer(fields: &Fields) -> Result<Reply, Refusal> {
    let model = fields.model(RERANK)?;
    let Some(query) = fields.get("query").and_then(Value::as_str) else {
        return Err(Refusal::field("query", "Missing required parameter: 'query'."));
    };
    let documents = read_documents(fields)?;
    let top = fields.whole_number("top_n", 1, u64::from(u32::MAX))?;
    let returned = fields.truth("return_documents")?;
    let plan = Plan::read(fields, false)?;
    let tokens: u64 =
        text::count(query) + documents.iter().map(|document| text::count(document)).sum::<u64>();
    let results: Vec<Value> = order(query, &documents)
        .into_iter()
        .take(top.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX))
        .map(|(score, i)| {
            let mut result = json!({"index": i, "relevance_score": score});
            if returned {
                result["document"] = json!({"text": documents[i]});
            }
            result
        })
        .collect();
    let body = json!({
        "id": identifier("rerank", fields.whole()), "model": model, "results": results,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "meta": {"api_version": {"version": "1"}, "billed_units": {"search_units": 1}},
    });
    Ok(Reply::planned(&body, &plan))
}

fn read_documents(fields: &Fields) -> Result<Vec<String>, Refusal> {
    let list = fields.list("documents")?;
    if list.len() > MOST_DOCUMENTS {
        return Err(Refusal::field("documents", "Invalid 'documents': at most 1000 are allowed."));
    }
    let read = |item: &Value| {
        let text = item.as_str().or_else(|| item["text"].as_str());
        text.map(str::to_owned)
            .ok_or_else(|| Refusal::field("documents", "Invalid 'documents': expected texts."))
    };
    list.iter().map(read).collect()
}

/// Scores and places of the documents, best first; of equals, the earlier.
fn order(query: &str, documents: &[String]) -> Vec<(f64, usize)> {
    let wanted = words(query);
    let mut scored: Vec<(f64, usize)> =
        documents.iter().enumerate().map(|(i, document)| (score(&wanted, &words(document)), i)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    scored
}

/// From 0 to 1: the share of the query's words that the document has, a little less when it has many others.
fn score(wanted: &BTreeSet<String>, have: &BTreeSet<String>) -> f64 {
    let size = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    let shared = size(wanted.intersection(have).count());
    let score = shared / size(wanted.len()).max(1.0) * 0.9 + shared / size(have.len()).max(1.0) * 0.1;
    (score * 1e6).round() / 1e6
}

fn words(text: &str) -> BTreeSet<String> {
    let clean = |token: &str| token.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    text::tokens(text).map(clean).filter(|word| !word.is_empty()).collect()
}
