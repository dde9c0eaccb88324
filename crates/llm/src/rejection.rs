//! How a refusal reads in each dialect: the body before an answer began, and the event within a
//! stream that has begun.
//!
//! Only the wording is made here. Statuses, types and hints come from the table of codes; headers
//! (`x-yumen-code`, `retry-after`) are the caller's.

mod responses;

use model::clock::rfc3339;
use model::{Code, Rejection, RequestId, TraceId, Usage};
use serde::Serialize;
use serde_json::json;

use crate::surface::Envelope;

/// Anthropic's own status for an exhausted upstream; its SDKs retry it like a 503.
const ANTHROPIC_OVERLOADED: u16 = 529;

/// The HTTP status and the JSON body of `rejection` in the dialect `envelope`.
#[must_use]
pub fn body(
    envelope: Envelope,
    rejection: &Rejection,
    request_id: &RequestId,
    trace_id: &TraceId,
) -> (u16, Vec<u8>) {
    dressed(envelope, rejection, (request_id, trace_id), None)
}

fn dressed(
    envelope: Envelope,
    rejection: &Rejection,
    (request_id, trace_id): (&RequestId, &TraceId),
    usage: Option<&Usage>,
) -> (u16, Vec<u8>) {
    let info = rejection.code.info();
    match envelope {
        Envelope::OpenAi | Envelope::Responses => (info.http, openai(rejection, usage)),
        Envelope::Gemini => (info.http, gemini(rejection, usage)),
        Envelope::Native => (info.http, native(rejection, trace_id, usage)),
        Envelope::Anthropic => {
            let (status, kind) = match upstreams_overloaded(rejection) {
                true => (ANTHROPIC_OVERLOADED, "overloaded_error"),
                false => (info.http, info.anthropic_type),
            };
            (status, anthropic(kind, rejection, request_id, usage))
        }
    }
}

/// What an answer had said before it had to be ended, as far as its last event repeats it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told<'a> {
    /// What was used of it, where something was.
    pub usage: Option<&'a Usage>,
    /// The id that a response had in its stream, and the number of the last event.
    pub response: Option<(&'a str, u64)>,
    /// The model asked for.
    pub model: &'a str,
}

/// The event that ends a stream whose status is already sent, with what was used of it where something
/// was. No terminal marker may follow it.
#[must_use]
pub fn stream_event(
    envelope: Envelope,
    rejection: &Rejection,
    (request_id, trace_id): (&RequestId, &TraceId),
    told: Told<'_>,
) -> Vec<u8> {
    if envelope == Envelope::Responses {
        return responses::failed(rejection, request_id, told);
    }
    let (_, json) = dressed(envelope, rejection, (request_id, trace_id), told.usage);
    let prefix: &[u8] = match envelope {
        Envelope::Anthropic | Envelope::Native => b"event: error\ndata: ",
        _ => b"data: ",
    };
    [prefix, &json, b"\n\n"].concat()
}

/// Whether this is the end of a search in which the last upstream said 503 or 529
/// (accounts contract §3: shown to Anthropic's clients as 529 `overloaded_error`).
fn upstreams_overloaded(rejection: &Rejection) -> bool {
    matches!(rejection.upstream_status, Some(503 | 529))
        && matches!(
            rejection.code,
            Code::NoAvailableUpstream | Code::CircuitOpen | Code::Overloaded | Code::UpstreamError
        )
}

fn openai(rejection: &Rejection, usage: Option<&Usage>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a> {
        error: Error<'a>,
    }
    #[derive(Serialize)]
    struct Error<'a> {
        message: &'a str,
        r#type: &'a str,
        param: Option<&'a str>,
        code: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        usage: Option<Used>,
    }
    #[derive(Serialize)]
    struct Used {
        prompt_tokens: u64,
        completion_tokens: u64,
        total_tokens: u64,
    }
    json(&Body {
        error: Error {
            message: &rejection.message,
            r#type: rejection.code.info().openai_type,
            param: rejection.param.as_deref(),
            code: rejection.code.name(),
            usage: usage.map(|usage| Used {
                prompt_tokens: usage.total_input(),
                completion_tokens: usage.output,
                total_tokens: usage.total(),
            }),
        },
    })
}

fn anthropic(
    error_type: &str,
    rejection: &Rejection,
    request_id: &RequestId,
    usage: Option<&Usage>,
) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a> {
        r#type: &'static str,
        error: Error<'a>,
        request_id: String,
    }
    #[derive(Serialize)]
    struct Error<'a> {
        r#type: &'a str,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        usage: Option<Used>,
    }
    #[derive(Serialize)]
    struct Used {
        input_tokens: u64,
        output_tokens: u64,
    }
    let usage = usage.map(|usage| Used { input_tokens: usage.total_input(), output_tokens: usage.output });
    json(&Body {
        r#type: "error",
        error: Error { r#type: error_type, message: &rejection.message, usage },
        request_id: request_id.to_string(),
    })
}

/// Google's shape; the code stands in an `ErrorInfo`, when to come back in a `RetryInfo`.
fn gemini(rejection: &Rejection, usage: Option<&Usage>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a> {
        error: Error<'a>,
        #[serde(rename = "usageMetadata", skip_serializing_if = "Option::is_none")]
        usage: Option<Used>,
    }
    #[derive(Serialize)]
    struct Error<'a> {
        code: u16,
        message: &'a str,
        status: &'static str,
        details: Vec<serde_json::Value>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Used {
        prompt_token_count: u64,
        candidates_token_count: u64,
        thoughts_token_count: u64,
        total_token_count: u64,
    }
    let info = rejection.code.info();
    let mut details = vec![json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": info.name, "domain": "yumen",
    })];
    if let Some(seconds) = rejection.retry_after {
        let delay = format!("{seconds}s");
        details.push(json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}));
    }
    json(&Body {
        error: Error { code: info.http, message: &rejection.message, status: info.google_status, details },
        usage: usage.map(|usage| Used {
            prompt_token_count: usage.total_input(),
            candidates_token_count: usage.output.saturating_sub(usage.reasoning),
            thoughts_token_count: usage.reasoning,
            total_token_count: usage.total(),
        }),
    })
}

fn native(rejection: &Rejection, trace_id: &TraceId, usage: Option<&Usage>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a> {
        code: &'a str,
        message: &'a str,
        source: &'static str,
        trace_id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        upstream_status: Option<u16>,
        #[serde(skip_serializing_if = "Option::is_none")]
        upstream_code: Option<&'a str>,
        hint: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        resets_at: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        usage: Option<&'a Usage>,
    }
    json(&Body {
        code: rejection.code.name(),
        message: &rejection.message,
        source: rejection.blame.name(),
        trace_id: trace_id.to_string(),
        upstream_status: rejection.upstream_status,
        upstream_code: rejection.upstream_code.as_deref(),
        hint: rejection.code.info().hint,
        resets_at: rejection.resets_at.map(rfc3339),
        usage,
    })
}

fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("strings and numbers always serialise")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn ids() -> (RequestId, TraceId) {
        let request = RequestId::mint(1_790_000_000_000, [7; 10]);
        (request, request.into())
    }

    fn parsed(envelope: Envelope, rejection: &Rejection) -> (u16, Value) {
        let (request, trace) = ids();
        let (status, bytes) = body(envelope, rejection, &request, &trace);
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    #[test]
    fn every_code_reads_right_in_every_envelope() {
        let (request, trace) = ids();
        for code in Code::ALL {
            let info = code.info();
            let rejection = Rejection::because(*code, "it \"happened\"\n").at("model");
            let (status, openai) = parsed(Envelope::OpenAi, &rejection);
            assert_eq!(status, info.http);
            assert_eq!(
                openai,
                json!({"error": {"message": "it \"happened\"\n", "type": info.openai_type,
                    "param": "model", "code": info.name}})
            );
            let (status, anthropic) = parsed(Envelope::Anthropic, &rejection);
            assert_eq!(status, info.http);
            assert_eq!(
                anthropic,
                json!({"type": "error", "error": {"type": info.anthropic_type,
                    "message": "it \"happened\"\n"}, "request_id": request.to_string()})
            );
            let (status, native) = parsed(Envelope::Native, &rejection);
            assert_eq!(status, info.http);
            assert_eq!(
                native,
                json!({"code": info.name, "message": "it \"happened\"\n", "source": info.blame.name(),
                    "trace_id": trace.to_string(), "hint": info.hint})
            );
        }
    }

    #[test]
    fn native_tells_what_the_upstream_said_and_when_to_come_back() {
        let mut rejection = Rejection::new(Code::RateLimitUpstream);
        rejection.upstream_status = Some(429);
        rejection.upstream_code = Some("rate_limit_exceeded".to_owned());
        rejection.resets_at = Some(1_790_000_000_123);
        let (_, native) = parsed(Envelope::Native, &rejection);
        assert_eq!(native["upstream_status"], 429);
        assert_eq!(native["upstream_code"], "rate_limit_exceeded");
        assert_eq!(native["resets_at"], "2026-09-21T14:13:20.123Z");
    }

    #[test]
    fn openai_says_null_where_no_field_is_wrong() {
        let (_, openai) = parsed(Envelope::OpenAi, &Rejection::new(Code::InternalError));
        assert_eq!(openai["error"].get("param"), Some(&Value::Null));
    }

    #[test]
    fn exhausted_upstreams_are_overloaded_for_anthropic_clients_only() {
        for (code, upstream, expected) in [
            (Code::NoAvailableUpstream, Some(529), (529, "overloaded_error")),
            (Code::CircuitOpen, Some(503), (529, "overloaded_error")),
            (Code::NoAvailableUpstream, None, (503, "api_error")),
            (Code::UpstreamError, Some(500), (502, "api_error")),
            (Code::RateLimitUpstream, Some(529), (429, "rate_limit_error")),
        ] {
            let mut rejection = Rejection::new(code);
            rejection.upstream_status = upstream;
            let (status, body) = parsed(Envelope::Anthropic, &rejection);
            assert_eq!((status, body["error"]["type"].as_str().unwrap()), expected);
            assert_eq!(parsed(Envelope::OpenAi, &rejection).0, code.http());
        }
    }

    #[test]
    fn a_stream_that_ends_early_says_what_it_used() {
        let (request, trace) = ids();
        let usage = Usage { input: 3, cache_read: 2, output: 7, ..Usage::default() };
        for (envelope, place, names) in [
            (Envelope::OpenAi, "/error/usage", ["prompt_tokens", "completion_tokens"]),
            (Envelope::Anthropic, "/error/usage", ["input_tokens", "output_tokens"]),
        ] {
            let rejection = Rejection::new(Code::QuotaTokenExceeded);
            let told = Told { usage: Some(&usage), ..Told::default() };
            let event = stream_event(envelope, &rejection, (&request, &trace), told);
            let text = String::from_utf8(event).unwrap();
            let event: Value = serde_json::from_str(text.split_once("data: ").unwrap().1).unwrap();
            let used = event.pointer(place).unwrap();
            assert_eq!(names.map(|name| used[name].as_u64()), [Some(5), Some(7)], "{text}");
        }
    }

    #[test]
    fn a_failed_response_ends_with_both_of_its_events() {
        let (request, trace) = ids();
        let usage = Usage { input: 3, cache_read: 2, output: 7, reasoning: 1, ..Usage::default() };
        let told = Told { usage: Some(&usage), response: Some(("resp_1", 4)), model: "m" };
        for code in Code::ALL {
            let rejection = Rejection::because(*code, "a\nb");
            let event = stream_event(Envelope::Responses, &rejection, (&request, &trace), told);
            let text = String::from_utf8(event).unwrap();
            let data: Vec<Value> = text
                .lines()
                .filter_map(|line| line.strip_prefix("data: "))
                .map(|data| serde_json::from_str(data).unwrap())
                .collect();
            assert_eq!((&data[0]["type"], &data[0]["sequence_number"]), (&json!("error"), &json!(5)));
            assert_eq!(data[0]["error"]["code"], code.name());
            let response = &data[1]["response"];
            assert_eq!((&data[1]["sequence_number"], &response["id"]), (&json!(6), &json!("resp_1")));
            assert_eq!(
                (&response["status"], &response["error"]["message"]),
                (&json!("failed"), &json!("a\nb"))
            );
            assert_eq!(response["usage"]["total_tokens"], 12);
            assert_eq!(data.len(), 2);
        }
    }

    #[test]
    fn google_clients_are_told_the_status_the_reason_and_when_to_come_back() {
        for code in Code::ALL {
            let info = code.info();
            let rejection = Rejection::because(*code, "no").retry_after(17);
            let (status, body) = parsed(Envelope::Gemini, &rejection);
            assert_eq!((status, &body["error"]["code"]), (info.http, &json!(info.http)));
            assert_eq!(body["error"]["status"], info.google_status);
            assert_eq!(body["error"]["details"][0]["reason"], info.name);
            assert_eq!(body["error"]["details"][1]["retryDelay"], "17s");
        }
    }

    #[test]
    fn stream_events_are_one_event_each_without_terminal_marker() {
        let (request, trace) = ids();
        for envelope in Envelope::ALL.into_iter().filter(|envelope| *envelope != Envelope::Responses) {
            for code in Code::ALL {
                let rejection = Rejection::because(*code, "a\nb");
                let event = stream_event(envelope, &rejection, (&request, &trace), Told::default());
                let text = String::from_utf8(event).unwrap();
                let event = text.strip_suffix("\n\n").unwrap();
                let (name, data) = event.split_once("data: ").unwrap();
                let named = !matches!(envelope, Envelope::OpenAi | Envelope::Gemini);
                assert_eq!(name, if named { "event: error\n" } else { "" });
                assert!(!data.contains('\n'));
                serde_json::from_str::<Value>(data).unwrap();
            }
        }
    }
}
