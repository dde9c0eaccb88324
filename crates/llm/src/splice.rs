//! Rewrites a request body at byte ranges, so that every byte not meant stays where it was:
//! providers' prompt caches depend on that.

use std::ops::Range;

use bytes::Bytes;

use crate::peek::{Call, StreamOptions};
use crate::surface::{Family, Surface};

/// What shall be different in the body sent upstream.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    /// The model name to send in place of the caller's.
    pub model: Option<Box<str>>,
    /// Ask for usage in the stream where the caller did not.
    pub ask_usage: bool,
    /// The most tokens to ask for in place of what the caller asked for, and what the provider calls that
    /// where the caller did not ask.
    pub max_output: Option<(u64, &'static str)>,
}

/// The body with `edits` made; the same bytes, uncopied, when there is nothing to change.
/// `call` must come from [`crate::peek()`] of the same body.
#[must_use]
pub fn splice(call: &Call, body: &Bytes, edits: &Edits) -> Bytes {
    let mut changes: Vec<(Range<usize>, String)> = Vec::with_capacity(2);
    if let Some(name) = edits.model.as_deref().filter(|name| *name != &*call.model) {
        // Where the path names the model, the address is its place.
        if let Some(range) = &call.spans.model {
            let quoted = serde_json::to_string(name).expect("a string always serialises");
            changes.push((range.clone(), quoted));
        }
    }
    if edits.ask_usage {
        changes.extend(usage_change(call));
    }
    if let Some((most, name)) = edits.max_output {
        changes.push(max_change(call, body, (most, name)));
    }
    if changes.is_empty() {
        return body.clone();
    }
    changes.sort_by_key(|(range, _)| range.start);
    apply(body, &changes)
}

/// The change that makes a stream of `call` report usage; none where it does or cannot.
fn usage_change(call: &Call) -> Option<(Range<usize>, String)> {
    let askable = matches!(call.surface, Surface::ChatCompletions | Surface::Completions);
    if !askable || !call.stream || call.include_usage {
        return None;
    }
    let at = |place: usize, text: &str| Some((place..place, text.to_owned()));
    match &call.spans.stream_options {
        // The body has a model, so another member follows and the comma is right.
        StreamOptions::Absent => at(call.spans.first_member, r#""stream_options":{"include_usage":true},"#),
        StreamOptions::Null(range) => Some((range.clone(), r#"{"include_usage":true}"#.to_owned())),
        StreamOptions::Object { include_usage: Some(range), .. } => Some((range.clone(), "true".to_owned())),
        StreamOptions::Object { inside, empty: true, .. } => at(*inside, r#""include_usage":true"#),
        StreamOptions::Object { inside, empty: false, .. } => at(*inside, r#""include_usage":true,"#),
    }
}

/// The change that limits the answer of `call` to `most` tokens.
fn max_change(call: &Call, body: &Bytes, (most, name): (u64, &str)) -> (Range<usize>, String) {
    let spans = &call.spans;
    match (&spans.max_output, &spans.config) {
        (Some(range), _) => (range.clone(), most.to_string()),
        (None, Some(config)) => {
            let inside = &body[config.start + 1..config.end - 1];
            let comma = if inside.trim_ascii().is_empty() { "" } else { "," };
            (config.start + 1..config.start + 1, format!("\"maxOutputTokens\":{most}{comma}"))
        }
        (None, None) => {
            let comma = if spans.empty { "" } else { "," };
            let member = match call.surface.family() {
                Family::Gemini => format!("\"generationConfig\":{{\"maxOutputTokens\":{most}}}{comma}"),
                _ => format!("\"{name}\":{most}{comma}"),
            };
            (spans.first_member..spans.first_member, member)
        }
    }
}

fn apply(body: &Bytes, changes: &[(Range<usize>, String)]) -> Bytes {
    let added: usize = changes.iter().map(|(_, text)| text.len()).sum();
    let mut out = Vec::with_capacity(body.len() + added);
    let mut copied = 0;
    for (range, text) in changes {
        out.extend_from_slice(&body[copied..range.start]);
        out.extend_from_slice(text.as_bytes());
        copied = range.end;
    }
    out.extend_from_slice(&body[copied..]);
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peek::peek;
    use serde_json::{Value, json};

    fn spliced(surface: Surface, body: &str, edits: &Edits) -> (Bytes, Bytes) {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let call = peek(surface, &body).unwrap();
        (splice(&call, &body, edits), body)
    }

    const ASK: Edits = Edits { model: None, ask_usage: true, max_output: None };

    #[test]
    fn asks_for_usage_whatever_stream_options_was() {
        for (before, after) in [
            (
                r#" { "model":"m","stream":true}"#,
                r#" {"stream_options":{"include_usage":true}, "model":"m","stream":true}"#,
            ),
            (
                r#"{"model":"m","stream_options": null ,"stream":true}"#,
                r#"{"model":"m","stream_options": {"include_usage":true} ,"stream":true}"#,
            ),
            (
                r#"{"stream_options":{ },"model":"m","stream":true}"#,
                r#"{"stream_options":{"include_usage":true },"model":"m","stream":true}"#,
            ),
            (
                r#"{"model":"m","stream":true,"stream_options":{"include_obfuscation": false}}"#,
                r#"{"model":"m","stream":true,"stream_options":{"include_usage":true,"include_obfuscation": false}}"#,
            ),
            (
                r#"{"model":"m","stream":true,"stream_options":{"a":1,"include_usage": false}}"#,
                r#"{"model":"m","stream":true,"stream_options":{"a":1,"include_usage": true}}"#,
            ),
            (
                r#"{"model":"m","stream":true,"stream_options":{"include_usage":null}}"#,
                r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
            ),
        ] {
            let (out, _) = spliced(Surface::ChatCompletions, before, &ASK);
            assert_eq!(out, after);
            let parsed: Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(parsed["stream_options"]["include_usage"], true);
        }
    }

    #[test]
    fn limits_the_answer_whatever_was_asked_for() {
        let edits = Edits { max_output: Some((9, "max_tokens")), ..Edits::default() };
        for (surface, before, after) in [
            (Surface::Messages, r#"{"model":"m","max_tokens": 4096}"#, r#"{"model":"m","max_tokens": 9}"#),
            (Surface::ChatCompletions, r#" {"model":"m"}"#, r#" {"max_tokens":9,"model":"m"}"#),
            (
                Surface::ChatCompletions,
                r#"{"max_completion_tokens":null,"model":"m"}"#,
                r#"{"max_completion_tokens":9,"model":"m"}"#,
            ),
        ] {
            assert_eq!(spliced(surface, before, &edits).0, after);
        }
    }

    #[test]
    fn copies_nothing_when_nothing_changes() {
        let same = Edits { model: Some("m".into()), ..ASK };
        for (surface, body) in [
            (Surface::ChatCompletions, r#"{"model":"m"}"#),
            (Surface::Messages, r#"{"model":"m","stream":true}"#),
            (Surface::Completions, r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#),
        ] {
            let (out, body) = spliced(surface, body, &same);
            assert_eq!(out.as_ptr(), body.as_ptr());
            assert_eq!(out, body);
        }
    }

    #[test]
    fn replaces_the_model_and_touches_nothing_else() {
        let before = r#"{"model" : "pub\u006cic","messages":[{"content":"model \"public\" 1e400"}],"stream":true,"z":1.0}"#;
        let name = "ft:x/\"quoted\"\n";
        let edits = Edits { model: Some(name.into()), ..ASK };
        let (out, _) = spliced(Surface::ChatCompletions, before, &edits);
        let quoted = serde_json::to_string(name).unwrap();
        let expected = before.replacen(r#""pub\u006cic""#, &quoted, 1).replacen(
            '{',
            r#"{"stream_options":{"include_usage":true},"#,
            1,
        );
        assert_eq!(out, expected);
        let text = std::str::from_utf8(&out).unwrap();
        let mut model = None;
        crate::members::each(text, |key, value| {
            if key == "model" {
                model = crate::members::string(value).map(|name| name.into_owned());
            }
        })
        .unwrap();
        assert_eq!(model.as_deref(), Some(name));
    }

    #[test]
    fn the_longest_answer_is_limited_where_each_dialect_keeps_it() {
        let edits = Edits { max_output: Some((5, "max_tokens")), ..Edits::default() };
        for (path, before, after) in [
            (
                "/v1beta/models/m:generateContent",
                r#"{"contents":[]}"#,
                r#"{"generationConfig":{"maxOutputTokens":5},"contents":[]}"#,
            ),
            ("/v1beta/models/m:generateContent", "{}", r#"{"generationConfig":{"maxOutputTokens":5}}"#),
            (
                "/v1beta/models/m:generateContent",
                r#"{"generation_config":{ }}"#,
                r#"{"generation_config":{"maxOutputTokens":5 }}"#,
            ),
            (
                "/v1beta/models/m:generateContent",
                r#"{"generationConfig":{"topK":1,"max_output_tokens":9}}"#,
                r#"{"generationConfig":{"topK":1,"max_output_tokens":5}}"#,
            ),
            (
                "/v1beta/models/m:generateContent",
                r#"{"generationConfig":{"topK":1}}"#,
                r#"{"generationConfig":{"maxOutputTokens":5,"topK":1}}"#,
            ),
            ("/v1/messages", r#"{"model":"m","max_tokens":9}"#, r#"{"model":"m","max_tokens":5}"#),
        ] {
            let uri: http::Uri = path.parse().unwrap();
            let body = Bytes::copy_from_slice(before.as_bytes());
            let call = crate::peek::peek_at(Surface::from_path(path).unwrap(), &uri, &body).unwrap();
            assert_eq!(splice(&call, &body, &edits), after, "{before}");
        }
    }

    #[test]
    fn parses_to_the_same_but_for_the_edit() {
        let before = r#"{"a":[1,{"model":"no"}],"model":"m","stream":true,"b":"ü"}"#;
        let edits = Edits { model: Some("n".into()), ..ASK };
        let (out, _) = spliced(Surface::ChatCompletions, before, &edits);
        let mut expected: Value = serde_json::from_str(before).unwrap();
        expected["model"] = json!("n");
        expected["stream_options"] = json!({"include_usage": true});
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected);
    }
}
