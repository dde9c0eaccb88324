//! Builds answers to callers: ids and limits in the headers, errors in the caller's dialect.

use std::ops::Range;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use llm::Envelope;
use model::{Rejection, RequestId, TraceId, plain};
use state::limits::{Dimension, WindowState};

use crate::body::Outgoing;
use crate::exchange::{Ending, Exchange};
use crate::program;
use crate::worker::Worker;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// The header that carries our code in every dialect.
pub(crate) const X_YUMEN_CODE: HeaderName = HeaderName::from_static("x-yumen-code");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A window in headers: its limit, what remains of it, when it is whole again.
type WindowNames = [HeaderName; 3];

// Names are made when compiling: made for each answer they cost a look-up among all standard names.
const REQUEST_WINDOW: WindowNames = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];
const TOKEN_WINDOW: WindowNames = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];
/// OpenAI's own names for requests; those for tokens are ours too.
const OPENAI_REQUESTS: WindowNames = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const ANTHROPIC_REQUESTS: WindowNames = [
    HeaderName::from_static("anthropic-ratelimit-requests-limit"),
    HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
    HeaderName::from_static("anthropic-ratelimit-requests-reset"),
];
const ANTHROPIC_TOKENS: WindowNames = [
    HeaderName::from_static("anthropic-ratelimit-tokens-limit"),
    HeaderName::from_static("anthropic-ratelimit-tokens-remaining"),
    HeaderName::from_static("anthropic-ratelimit-tokens-reset"),
];
const RESETS_AT: HeaderName = HeaderName::from_static("x-yumen-resets-at");
/// Says that the account speaks another dialect, and what was lost for that.
const TRANSLATION: HeaderName = HeaderName::from_static("x-yumen-translation");
/// Says that the count in an answer is not a provider's.
const ESTIMATED: HeaderName = HeaderName::from_static("x-yumen-estimated");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// What the headers of every answer say of its request, for an answer that is written without it.
pub(crate) struct Stamp {
    request_id: RequestId,
    trace_id: TraceId,
    envelope: Envelope,
    requests: Option<WindowState>,
    tokens: Option<WindowState>,
    /// Whether a limit of tokens refused it: under names that say what they count, it is no limit of requests.
    tokens_refused: bool,
    /// Some clients are told how long, and not until when.
    now_s: u64,
}

impl Stamp {
    /// The ids, and the limits where a permit was taken or refused.
    pub fn of(exchange: &Exchange) -> Self {
        let taken = exchange.permit.as_ref();
        let refused = exchange.refused_by.map(|(_, window)| window);
        let tokens_refused = exchange
            .refused_by
            .is_some_and(|(counted, _)| matches!(counted, Dimension::Tpm | Dimension::Tpd));
        Self {
            request_id: exchange.record.request_id,
            trace_id: exchange.record.trace_id,
            envelope: exchange.envelope,
            requests: refused.or_else(|| taken?.requests),
            tokens: refused.filter(|_| tokens_refused).or_else(|| taken?.tokens),
            tokens_refused,
            now_s: exchange.now_ms() / 1_000,
        }
    }

    /// An answer that refuses, in place of one whose exchange has ended.
    pub fn rejected(&self, rejection: &Rejection) -> Response<Outgoing> {
        let mut response = rejected(self.envelope, rejection, self.request_id, self.trace_id);
        self.write(response.headers_mut());
        response
    }

    /// The same limits under the names that the caller's SDK reads.
    fn write_dialect_windows(&self, values: &mut Values) {
        let requests = self.requests.filter(|_| !self.tokens_refused);
        match self.envelope {
            Envelope::OpenAi | Envelope::Responses => {
                let Some(window) = requests else { return };
                let [limit, remaining, reset] = OPENAI_REQUESTS;
                values.number(limit, window.limit);
                values.number(remaining, window.remaining);
                let seconds = window.reset_at_s.saturating_sub(self.now_s);
                values.add(reset, |out| {
                    plain::number(out, seconds);
                    out.push(b's');
                });
            }
            Envelope::Anthropic => {
                for (names, window) in [(ANTHROPIC_REQUESTS, requests), (ANTHROPIC_TOKENS, self.tokens)] {
                    let Some(window) = window else { continue };
                    let [limit, remaining, reset] = names;
                    values.number(limit, window.limit);
                    values.number(remaining, window.remaining);
                    let at = model::clock::rfc3339(window.reset_at_s * 1_000);
                    values.add(reset, |out| out.extend_from_slice(at.as_bytes()));
                }
            }
            Envelope::Gemini | Envelope::Native => {}
        }
    }

    /// The event that ends a stream with a refusal after its exchange has ended.
    pub fn stream_event(&self, rejection: &Rejection) -> Vec<u8> {
        llm::rejection::stream_event(
            self.envelope,
            rejection,
            (&self.request_id, &self.trace_id),
            llm::rejection::Told::default(),
        )
    }

    /// Writes them into the headers of an answer. All values lie in one piece of memory: one for each would
    /// cost more than everything else about them.
    pub fn write(&self, headers: &mut HeaderMap) {
        let mut values = Values::of(&self.request_id);
        values.window(REQUEST_WINDOW, self.requests);
        values.window(TOKEN_WINDOW, self.tokens);
        self.write_dialect_windows(&mut values);
        let text = Bytes::from(values.text);
        if let Ok(id) = HeaderValue::from_maybe_shared(text.slice(..ID_BYTES)) {
            stamp_id(id, self.request_id, self.trace_id, self.envelope, headers);
        }
        for (name, place) in values.named {
            if let Ok(value) = HeaderValue::from_maybe_shared(text.slice(place)) {
                headers.insert(name, value);
            }
        }
    }
}

/// Bytes of a request's id.
const ID_BYTES: usize = 36;
/// Headers that say how limits stand, at most.
const MOST_WINDOWS: usize = 12;

/// The values of an answer's headers, one behind the other, and which name each has.
struct Values {
    text: Vec<u8>,
    named: Vec<(HeaderName, Range<usize>)>,
}

impl Values {
    /// The id comes first.
    fn of(id: &RequestId) -> Self {
        let mut text = Vec::with_capacity(8 * ID_BYTES);
        text.extend_from_slice(&id.text());
        Self { text, named: Vec::with_capacity(MOST_WINDOWS) }
    }

    fn add(&mut self, name: HeaderName, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.text.len();
        write(&mut self.text);
        self.named.push((name, start..self.text.len()));
    }

    fn number(&mut self, name: HeaderName, number: u64) {
        self.add(name, |out| plain::number(out, number));
    }

    /// A window as it stands after this request: the tightest level's, or the one that refused.
    fn window(&mut self, [limit, remaining, reset]: WindowNames, window: Option<WindowState>) {
        let Some(window) = window else { return };
        self.number(limit, window.limit);
        self.number(remaining, window.remaining);
        self.number(reset, window.reset_at_s);
    }
}

/// Writes the ids into the headers of an answer, and the limits where a permit was taken.
pub(crate) fn stamp(exchange: &Exchange, headers: &mut HeaderMap) {
    Stamp::of(exchange).write(headers);
    if let Some(budget) = &exchange.budget {
        budget.write(headers);
    }
    if let Some(translation) = &exchange.record.translation {
        headers.insert(TRANSLATION, crate::translate::summary(translation));
    }
}

/// Writes the ids into the headers of an answer.
pub(crate) fn stamp_ids(
    request_id: RequestId,
    trace_id: TraceId,
    envelope: Envelope,
    headers: &mut HeaderMap,
) {
    if let Ok(id) = HeaderValue::from_bytes(&request_id.text()) {
        stamp_id(id, request_id, trace_id, envelope, headers);
    }
}

fn stamp_id(
    id: HeaderValue,
    request_id: RequestId,
    trace_id: TraceId,
    envelope: Envelope,
    headers: &mut HeaderMap,
) {
    let trace = if trace_id == TraceId::from(request_id) {
        id.clone()
    } else {
        HeaderValue::from_bytes(&trace_id.text()).unwrap_or_else(|_| id.clone())
    };
    if envelope == Envelope::Anthropic {
        headers.insert(REQUEST_ID, id.clone());
    }
    headers.insert(X_REQUEST_ID, id);
    headers.insert(X_TRACE_ID, trace);
}

/// A JSON answer of our own with status 200.
pub(crate) fn json(exchange: Exchange, body: Vec<u8>) -> Response<Outgoing> {
    let mut response = Response::new(Outgoing::ready(body));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    complete(exchange, response)
}

/// Answers a count that no upstream gives with an estimate, and says that it is one.
pub(crate) fn estimated(mut exchange: Exchange) -> Response<Outgoing> {
    let tokens = exchange.expected.total_input();
    let Some(body) = exchange.surface.and_then(|surface| llm::count_answer(surface, tokens)) else {
        return refuse(exchange, &Rejection::new(model::Code::NotSupported));
    };
    exchange.is_estimate = true;
    let mut response = json(exchange, body.into_bytes());
    response.headers_mut().insert(ESTIMATED, HeaderValue::from_static("true"));
    response
}

/// Ends an exchange whose answer is all here.
pub(crate) fn complete(mut exchange: Exchange, mut response: Response<Outgoing>) -> Response<Outgoing> {
    stamp(&exchange, response.headers_mut());
    exchange.answering(response.status().as_u16());
    exchange.record.bytes_out = body_len(&response);
    exchange.finish(&Ending::Complete);
    response
}

/// Ends an exchange with a rejection, dressed for the caller.
pub(crate) fn refuse(mut exchange: Exchange, rejection: &Rejection) -> Response<Outgoing> {
    let (request_id, trace_id) = (exchange.record.request_id, exchange.record.trace_id);
    let shown = exchange.shown(rejection);
    let mut response = rejected(exchange.envelope, &shown, request_id, trace_id);
    let program = program::of(exchange.record.program.as_deref());
    if let Some(told) = program.told(exchange.envelope, &shown, &request_id) {
        tell(told, &mut response);
    }
    stamp(&exchange, response.headers_mut());
    let status = response.status().as_u16();
    exchange.answering(status);
    exchange.record.bytes_out = body_len(&response);
    exchange.finish(&Ending::Failed(rejection, status));
    response
}

/// Puts a refusal into the terms of the caller's program.
fn tell(told: llm::Told, response: &mut Response<Outgoing>) {
    *response.status_mut() = StatusCode::from_u16(told.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.body_mut() = Outgoing::ready(told.body);
    response.headers_mut().extend(told.headers);
}

/// A rejection as an answer, without an exchange to end.
pub(crate) fn rejected(
    envelope: Envelope,
    rejection: &Rejection,
    request_id: RequestId,
    trace_id: TraceId,
) -> Response<Outgoing> {
    let (status, body) = llm::rejection::body(envelope, rejection, &request_id, &trace_id);
    let mut response = Response::new(Outgoing::ready(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(X_YUMEN_CODE, HeaderValue::from_static(rejection.code.name()));
    stamp_ids(request_id, trace_id, envelope, headers);
    if let Some(seconds) = rejection.retry_after {
        headers.insert(http::header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(at) = rejection.resets_at
        && let Ok(value) = HeaderValue::from_str(&model::clock::rfc3339(at))
    {
        headers.insert(RESETS_AT, value);
    }
    if rejection.code == model::Code::NotSupported {
        // Official SDKs obey this header; without it they repeat what can never succeed.
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    response
}

fn body_len(response: &Response<Outgoing>) -> u64 {
    match response.body() {
        Outgoing::Ready(Some(bytes)) => bytes.len() as u64,
        _ => 0,
    }
}

/// An empty answer with status 200, outside any exchange: probes are not recorded.
pub(crate) fn empty_ok(worker: &Worker) -> Response<Outgoing> {
    unrecorded(worker, Response::new(Outgoing::Ready(None)))
}

/// A short JSON answer outside any exchange.
pub(crate) fn static_json(worker: &Worker, body: &'static str) -> Response<Outgoing> {
    let mut response = Response::new(Outgoing::ready(Bytes::from_static(body.as_bytes())));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    unrecorded(worker, response)
}

fn unrecorded(worker: &Worker, mut response: Response<Outgoing>) -> Response<Outgoing> {
    let request_id = worker.mint(worker.shared.clock.now_ms());
    stamp_ids(request_id, request_id.into(), Envelope::Native, response.headers_mut());
    response
}
