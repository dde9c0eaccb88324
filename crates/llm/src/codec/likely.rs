//! How likely the tokens of a text were. The neutral form is OpenAI's list of entries (`token`, `logprob`, `bytes`,
//! `top_logprobs`); Gemini has two lists, of what was chosen and of what else there was.

use super::read;
use crate::json_writer::JsonWriter;
use crate::members;
use crate::neutral::Raw;

/// The list `raw`, if there is anything in it.
pub(super) fn list(raw: &str) -> Option<Raw> {
    (raw.starts_with('[') && members::is_said(raw)).then(|| Raw::new(raw))
}

/// Two lists as one.
pub(super) fn joined(before: Option<Raw>, more: &Raw) -> Raw {
    let inside = |raw: &Raw| raw.text().trim()[1..raw.text().trim().len() - 1].to_owned();
    match before {
        Some(before) => Raw::new(format!("[{},{}]", inside(&before), inside(more))),
        None => more.clone(),
    }
}

/// The entries that Gemini's `logprobsResult` stands for.
pub(super) fn of_gemini(raw: &str) -> Option<Raw> {
    let member = |raw, name| super::gemini::member(raw, name);
    let chosen = members::elements(member(raw, "chosencandidates")?);
    let others = member(raw, "topcandidates").map(members::elements).unwrap_or_default();
    let mut json = JsonWriter::new();
    json.array(|json| {
        for (place, one) in chosen.iter().enumerate() {
            json.object(|json| {
                token(json, one);
                let top = others.get(place).and_then(|other| member(other, "candidates")).unwrap_or("[]");
                json.key("top_logprobs").array(|json| {
                    members::elements(top).into_iter().for_each(|one| json.object(|json| token(json, one)));
                });
            });
        }
    });
    list(&json.into_string())
}

fn token(json: &mut JsonWriter, raw: &str) {
    let member = |name| super::gemini::member(raw, name);
    json.text_member("token", &member("token").map(read::text).unwrap_or_default());
    json.raw_member("logprob", member("logprobability").unwrap_or("0"));
    json.raw_member("bytes", "null");
}

/// Writes entries as Gemini's `logprobsResult`.
pub(super) fn write_gemini(json: &mut JsonWriter, entries: &Raw) {
    let entries = members::elements(entries.text());
    let candidate = |json: &mut JsonWriter, raw: &str| {
        json.object(|json| {
            json.text_member("token", &read::member_text(raw, "token").unwrap_or_default());
            json.raw_member("logProbability", read::member(raw, "logprob").unwrap_or("0"));
        });
    };
    json.key("logprobsResult").object(|json| {
        json.key("chosenCandidates").array(|json| entries.iter().for_each(|entry| candidate(json, entry)));
        json.key("topCandidates").array(|json| {
            for entry in &entries {
                let top = members::elements(read::member(entry, "top_logprobs").unwrap_or("[]"));
                json.object(|json| {
                    json.key("candidates").array(|json| top.iter().for_each(|one| candidate(json, one)));
                });
            }
        });
    });
}
