//! How a refusal reads in each dialect: the body before an answer began, and the event within a
//! stream that has begun.
//!
//! Only the wording is made here. Statuses, types and hints come from the table of codes; headers
//! (`x-yumen-code`, `retry-after`) are the caller's.

use model::clock::rfc3339;
use model::{Code, Rejection, RequestId, TraceId, Usage};
use serde::Serialize;

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
        Envelope::OpenAi => (info.http, openai(rejection, usage)),
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

/// The event that ends a stream whose status is already sent, with what was used of it where something
/// was. No terminal marker may follow it.
#[must_use]
pub fn stream_event(
    envelope: Envelope,
    rejection: &Rejection,
    (request_id, trace_id): (&RequestId, &TraceId),
    usage: Option<&Usage>,
) -> Vec<u8> {
    let (_, json) = dressed(envelope, rejection, (request_id, trace_id), usage);
    let prefix: &[u8] = match envelope {
        Envelope::OpenAi => b"data: ",
        Envelope::Anthropic | Envelope::Native => b"event: error\ndata: ",
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
            let event = stream_event(envelope, &rejection, (&request, &trace), Some(&usage));
            let text = String::from_utf8(event).unwrap();
            let event: Value = serde_json::from_str(text.split_once("data: ").unwrap().1).unwrap();
            let used = event.pointer(place).unwrap();
            assert_eq!(names.map(|name| used[name].as_u64()), [Some(5), Some(7)], "{text}");
        }
    }

    #[test]
    fn stream_events_are_one_event_each_without_terminal_marker() {
        let (request, trace) = ids();
        for envelope in Envelope::ALL {
            for code in Code::ALL {
                let event =
                    stream_event(envelope, &Rejection::because(*code, "a\nb"), (&request, &trace), None);
                let text = String::from_utf8(event).unwrap();
                let event = text.strip_suffix("\n\n").unwrap();
                let (name, data) = event.split_once("data: ").unwrap();
                let named = envelope != Envelope::OpenAi;
                assert_eq!(name, if named { "event: error\n" } else { "" });
                assert!(!data.contains('\n'));
                serde_json::from_str::<Value>(data).unwrap();
            }
        }
    }
}
