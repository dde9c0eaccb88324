//! Reads what an upstream says about its own failure, in any dialect, and when to come back.
//!
//! Never echoes markup, and never more than 2 KiB.

use http::HeaderMap;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use model::clock::{EpochMs, parse_rfc3339};

use crate::members;
use crate::surface::Surface;

/// Longest message that is kept.
const MESSAGE_LIMIT: usize = 2 << 10;
/// Longest code or type that is kept.
const NAME_LIMIT: usize = 128;

/// What an upstream said went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamFailure {
    /// The HTTP status: of the answer, or named within an error of a 200 answer.
    pub status: Option<u16>,
    /// The upstream's own code, or its type where it has no code.
    pub code: Option<String>,
    /// The upstream's type of error (`rate_limit_error`, `RESOURCE_EXHAUSTED`, …).
    pub kind: Option<String>,
    /// In the upstream's words; never empty.
    pub message: String,
    /// Seconds after which the upstream wants to be asked again.
    pub retry_after: Option<u64>,
    /// The same as a point in time, from headers that state one.
    pub retry_at: Option<EpochMs>,
}

impl UpstreamFailure {
    /// Seconds from `now_ms` after which the upstream wants to be asked again, as it said it: as a span, or as
    /// a point in time, of which one that has passed is a second.
    #[must_use]
    pub fn wait_s(&self, now_ms: EpochMs) -> Option<u64> {
        let until = |at: EpochMs| at.saturating_sub(now_ms).div_ceil(1_000).max(1);
        self.retry_after.or(self.retry_at.map(until))
    }

    /// Whether it says that the account does not have the model: another account may.
    #[must_use]
    pub fn is_model_missing(&self) -> bool {
        let named = |name: &Option<String>| {
            let name = name.as_deref().unwrap_or_default();
            matches!(name, "model_not_found" | "DeploymentNotFound" | "model_not_exist")
        };
        if named(&self.code) || named(&self.kind) {
            return true;
        }
        let message = self.message.to_ascii_lowercase();
        let missing = ["not found", "not exist", "unknown model", "no such model"];
        self.status == Some(404)
            && (message.starts_with("model:")
                || message.contains("model") && missing.iter().any(|words| message.contains(words)))
    }

    /// Reads the raw value of an `error` member: an object in any provider's shape, or a string.
    pub(crate) fn of_error(raw: &str) -> Self {
        let mut failure = Self::default();
        if raw.starts_with('{') {
            failure.read_members(raw);
        } else if let Some(text) = members::string(raw) {
            failure.set_message(&text);
        }
        failure.completed()
    }

    /// Reads the members of an object that describes a failure.
    fn read_members(&mut self, raw: &str) {
        let _ = members::each(raw, |key, value| match key {
            "message" | "msg" | "detail" | "status_msg" | "Message" => self.read_message(value),
            "code" | "status_code" | "__type" => self.read_code(value),
            "type" | "status" => set_name(&mut self.kind, members::string(value).as_deref()),
            "error" if value.starts_with('{') => self.read_members(value),
            "error" => self.read_message(value),
            "errors" => {
                if let Some(first) = members::elements(value).first() {
                    self.read_members(first);
                }
            }
            "details" => self.read_retry_info(value),
            "base_resp" => self.read_members(value),
            _ => {}
        });
    }

    fn read_message(&mut self, raw: &str) {
        if let Some(text) = members::string(raw) {
            self.set_message(&text);
        } else if raw.starts_with(['{', '[']) && self.message.is_empty() {
            self.set_message(raw);
        }
    }

    fn set_message(&mut self, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        text.trim()[..floor_boundary(text.trim(), MESSAGE_LIMIT)].clone_into(&mut self.message);
    }

    /// A code is a name, or a number; a number that is a failure's HTTP status is that. Azure writes it as text.
    fn read_code(&mut self, raw: &str) {
        let text = members::string(raw);
        if let Ok(status @ 400..=599) = text.as_deref().unwrap_or(raw).parse::<u16>() {
            self.status.get_or_insert(status);
            if text.is_none() {
                return;
            }
        }
        set_name(&mut self.code, text.as_deref().or(raw.parse::<i64>().ok().map(|_| raw)));
    }

    /// Google's `RetryInfo` within `details`.
    fn read_retry_info(&mut self, raw: &str) {
        for detail in members::elements(raw) {
            let _ = members::each(detail, |key, value| {
                if key == "retryDelay" {
                    self.retry_after = members::string(value).and_then(|text| go_duration_seconds(&text));
                }
            });
        }
    }

    fn completed(mut self) -> Self {
        if self.code.is_none() {
            self.code.clone_from(&self.kind);
        }
        if self.message.is_empty() {
            self.message = match &self.code {
                Some(code) => format!("the upstream reported {code}"),
                None => "the upstream reported an error without a message".to_owned(),
            };
        }
        self
    }
}

/// Reads the body and headers of an answer with an error status. `surface` is what was asked.
#[must_use]
pub fn classify(_surface: Surface, status: u16, headers: &HeaderMap, body: &[u8]) -> UpstreamFailure {
    let mut failure = UpstreamFailure { status: Some(status), ..UpstreamFailure::default() };
    match std::str::from_utf8(body).map(str::trim) {
        Ok(text) if text.starts_with('{') => failure.read_members(text),
        Ok(text) if text.starts_with('[') => {
            if let Some(first) = members::elements(text).first() {
                failure.read_members(first);
            }
        }
        Ok(text) if !text.starts_with('<') => failure.set_message(text),
        _ => {}
    }
    if failure.message.is_empty() && failure.code.is_none() {
        failure.message = unread_message(status, headers, body);
    }
    failure.status = Some(status);
    // Amazon says here what kind of failure the message is about, at times with an address behind a colon.
    if let (None, Some(kind)) = (&failure.code, header(headers, "x-amzn-errortype")) {
        set_name(&mut failure.code, kind.split(':').next());
    }
    read_headers(&mut failure, headers);
    failure.completed()
}

fn unread_message(status: u16, headers: &HeaderMap, body: &[u8]) -> String {
    let content_type = header(headers, CONTENT_TYPE.as_str()).unwrap_or("an unnamed type");
    let content_type = content_type.split(';').next().unwrap_or_default().trim();
    if body.is_empty() {
        return format!("the upstream answered {status} without a body");
    }
    format!(
        "the upstream answered {status} with {}",
        &content_type[..floor_boundary(content_type, NAME_LIMIT)]
    )
}

/// Reads when to come back, from the most to the least exact header.
fn read_headers(failure: &mut UpstreamFailure, headers: &HeaderMap) {
    let milliseconds = header(headers, "retry-after-ms").and_then(|v| v.parse::<f64>().ok());
    let seconds = header(headers, RETRY_AFTER.as_str()).and_then(|v| v.parse::<f64>().ok());
    // Azure says no milliseconds beside a wait in seconds.
    let exact = milliseconds.filter(|ms| *ms > 0.0 || seconds.is_none());
    let stated = exact.map(|ms| ms / 1000.0).or(seconds).and_then(whole_seconds);
    let date = || header(headers, RETRY_AFTER.as_str()).and_then(http_date);
    failure.retry_after = stated.or(failure.retry_after);
    if failure.retry_after.is_none() {
        failure.retry_at = date().or_else(|| anthropic_reset(headers));
    }
    if failure.retry_after.is_none() && failure.retry_at.is_none() {
        failure.retry_after = openai_reset(headers);
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// The latest reset among Anthropic's limits that are used up.
fn anthropic_reset(headers: &HeaderMap) -> Option<EpochMs> {
    let used_up =
        |limit: &&str| header(headers, &format!("anthropic-ratelimit-{limit}-remaining")) == Some("0");
    let reset = |limit| parse_rfc3339(header(headers, &format!("anthropic-ratelimit-{limit}-reset"))?);
    let limits = ["requests", "tokens", "input-tokens", "output-tokens"];
    limits.into_iter().filter(used_up).filter_map(reset).max()
}

/// The longest wait among OpenAI's limits that are used up. Azure's bare numbers state no unit and
/// are not read.
fn openai_reset(headers: &HeaderMap) -> Option<u64> {
    let used_up = |limit: &&str| header(headers, &format!("x-ratelimit-remaining-{limit}")) == Some("0");
    let reset = |limit| go_duration_seconds(header(headers, &format!("x-ratelimit-reset-{limit}"))?);
    ["requests", "tokens"].into_iter().filter(used_up).filter_map(reset).max()
}

/// Reads a duration as Go writes it (`6m0s`, `17.39s`, `2ms`), rounded up to seconds.
fn go_duration_seconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let amount: f64 = rest[..digits].parse().ok()?;
        let after = &rest[digits..];
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        seconds += amount
            * match &after[..unit] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &after[unit..];
    }
    (!text.is_empty()).then(|| whole_seconds(seconds)).flatten()
}

fn whole_seconds(seconds: f64) -> Option<u64> {
    let sensible = seconds.is_finite() && (0.0..=1e9).contains(&seconds);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    sensible.then(|| seconds.ceil() as u64)
}

/// Reads the one form of date that RFC 9110 §5.6.7 lets senders generate:
/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<EpochMs> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let [_, day, month, year, time, "GMT"] = fields[..] else {
        return None;
    };
    let month = MONTHS.find(month).filter(|at| at % 3 == 0)? / 3 + 1;
    parse_rfc3339(&format!("{year}-{month:02}-{day}T{time}Z"))
}

fn set_name(name: &mut Option<String>, text: Option<&str>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        *name = Some(text[..floor_boundary(text, NAME_LIMIT)].to_owned());
    }
}

/// The largest position up to `limit` at which `text` may be cut.
fn floor_boundary(text: &str, limit: usize) -> usize {
    (0..=limit.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn failed(status: u16, body: &str) -> UpstreamFailure {
        classify(Surface::ChatCompletions, status, &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn reads_the_error_bodies_of_every_provider() {
        for (body, code, message) in [
            (
                r#"{"error":{"message":"Too many","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#,
                Some("rate_limit_exceeded"),
                "Too many",
            ),
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Busy"},"request_id":"r"}"#,
                Some("overloaded_error"),
                "Busy",
            ),
            (
                r#"[{"error":{"code":429,"message":"Quota","status":"RESOURCE_EXHAUSTED"}}]"#,
                Some("RESOURCE_EXHAUSTED"),
                "Quota",
            ),
            (
                r#"{"message":"Throttled","__type":"ThrottlingException"}"#,
                Some("ThrottlingException"),
                "Throttled",
            ),
            (r#"{"error":"model is loading"}"#, None, "model is loading"),
            (
                r#"{"object":"error","message":"no","type":"NotFoundError","code":404}"#,
                Some("NotFoundError"),
                "no",
            ),
            (r#"{"detail":"Not authenticated"}"#, None, "Not authenticated"),
            (r#"{"base_resp":{"status_code":1004,"status_msg":"login fail"}}"#, Some("1004"), "login fail"),
            (r#"{"errors":[{"code":"x","message":"first"}]}"#, Some("x"), "first"),
            ("upstream connect error", None, "upstream connect error"),
            ("<html>secret</html>", None, "the upstream answered 502 with an unnamed type"),
            ("", None, "the upstream answered 502 without a body"),
            ("{}", None, "the upstream answered 502 with an unnamed type"),
        ] {
            let failure = failed(502, body);
            assert_eq!((failure.code.as_deref(), failure.message.as_str()), (code, message), "{body}");
            assert_eq!(failure.status, Some(502));
        }
        let html = headers(&[("content-type", "text/html; charset=utf-8")]);
        let failure = classify(Surface::Messages, 502, &html, b"<!doctype html><b>x</b>");
        assert_eq!(failure.message, "the upstream answered 502 with text/html");
    }

    #[test]
    fn bedrocks_kinds_of_failure_are_in_a_header() {
        for (kind, code) in [
            ("ThrottlingException", "ThrottlingException"),
            (
                "ServiceQuotaExceededException:http://internal.amazon.com/coral/",
                "ServiceQuotaExceededException",
            ),
        ] {
            let headers = headers(&[("x-amzn-errortype", kind)]);
            let failure = classify(Surface::Converse, 400, &headers, br#"{"message":"Too much"}"#);
            assert_eq!((failure.code.as_deref(), &*failure.message), (Some(code), "Too much"));
        }
    }

    #[test]
    fn azures_statuses_are_text() {
        let raw = r#"{"code":"401","message":"Access denied","innererror":{"content_filter_result":{}}}"#;
        let failure = UpstreamFailure::of_error(raw);
        assert_eq!((failure.status, failure.code.as_deref()), (Some(401), Some("401")));
        let failure = failed(429, r#"{"error":{"code":"429","message":"Slow down"}}"#);
        assert_eq!((failure.status, failure.code.as_deref()), (Some(429), Some("429")));
    }

    #[test]
    fn messages_are_bounded_at_a_character() {
        let failure = failed(400, &format!(r#"{{"error":{{"message":"{}"}}}}"#, "ü".repeat(3000)));
        assert_eq!(failure.message.len(), MESSAGE_LIMIT);
        assert!(failed(500, &"x".repeat(9000)).message.len() <= MESSAGE_LIMIT);
    }

    #[test]
    fn a_missing_model_is_told_from_other_404s() {
        for (status, body, missing) in [
            (404, r#"{"error":{"message":"The model `x` does not exist","code":"model_not_found"}}"#, true),
            (
                404,
                r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment does not exist."}}"#,
                true,
            ),
            (
                404,
                r#"{"error":{"message":"model \"x\" not found, try pulling it first","type":"api_error"}}"#,
                true,
            ),
            (404, r#"{"type":"error","error":{"type":"not_found_error","message":"model: claude-x"}}"#, true),
            (
                404,
                r#"{"error":{"message":"Invalid URL (POST /v1/x)","type":"invalid_request_error"}}"#,
                false,
            ),
            (404, "<html>model not found</html>", false),
            (400, r#"{"error":{"message":"Model Not Exist","type":"invalid_request_error"}}"#, false),
            (429, r#"{"error":{"message":"model overloaded, not found capacity"}}"#, false),
        ] {
            assert_eq!(failed(status, body).is_model_missing(), missing, "{body}");
        }
    }

    #[test]
    fn reads_when_to_come_back() {
        for (pairs, seconds, at) in [
            (&[("retry-after", "7")][..], Some(7), None),
            (&[("retry-after", "1"), ("retry-after-ms", "2300")], Some(3), None),
            (&[("retry-after-ms", "0")], Some(0), None),
            // Azure
            (&[("retry-after", "7"), ("retry-after-ms", "0")], Some(7), None),
            (&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], None, Some(784_111_777_000)),
            (&[("retry-after", "soon")], None, None),
            (
                &[
                    ("x-ratelimit-remaining-requests", "0"),
                    ("x-ratelimit-reset-requests", "6m0s"),
                    ("x-ratelimit-remaining-tokens", "5"),
                    ("x-ratelimit-reset-tokens", "9h"),
                ],
                Some(360),
                None,
            ),
            (&[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "500")], None, None),
            (
                &[
                    ("anthropic-ratelimit-requests-remaining", "0"),
                    ("anthropic-ratelimit-requests-reset", "2026-09-21T14:13:20Z"),
                    ("anthropic-ratelimit-tokens-remaining", "0"),
                    ("anthropic-ratelimit-tokens-reset", "2026-09-21T14:13:21Z"),
                ],
                None,
                Some(1_790_000_001_000),
            ),
        ] {
            let failure = classify(Surface::Messages, 429, &headers(pairs), b"{}");
            assert_eq!((failure.retry_after, failure.retry_at), (seconds, at), "{pairs:?}");
        }
        let google = r#"{"error":{"message":"q","details":[{"@type":"x"},{"retryDelay":"16.2s"}]}}"#;
        assert_eq!(failed(429, google).retry_after, Some(17));
    }
}
