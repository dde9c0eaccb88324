//! How every answer leaves: errors in the native envelope (access.md §7), ids on everything.
//!
//! Handlers fail with a [`Refusal`]; only [`dress`] turns one into bytes, because only there the ids
//! of the request are known.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use llm::Envelope;
use model::clock::EpochMs;
use model::{Code, Rejection, RequestId, TraceId};
use serde::Serialize;
use store::StoreError;

use crate::api::precondition::tag;
use crate::state::ControlState;

/// Seconds after which to ask again for what the database could not do.
const DATABASE_RETRY_S: u64 = 1;

/// A rejection on its way out.
#[derive(Debug)]
pub struct Refusal(pub Box<Rejection>);

/// What handlers return.
pub type Answer<T> = Result<T, Refusal>;

impl Refusal {
    /// A refusal with the code's own message.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Rejection::new(code).into()
    }

    /// A refusal that names the particulars.
    #[must_use]
    pub fn because(code: Code, message: impl Into<String>) -> Self {
        Rejection::because(code, message.into()).into()
    }

    /// The caller's request is wrong at `field`.
    #[must_use]
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Rejection::because(Code::InvalidRequest, message.into()).at(field).into()
    }

    /// Something failed here; `cause` is for the log only.
    #[must_use]
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Rejection::new(Code::InternalError).caused_by(cause).into()
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self(Box::new(rejection))
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(what) => {
                Self::because(Code::Conflict, format!("{} exists already.", capitalised(what)))
            }
            StoreError::Stale => Self::new(Code::Conflict),
            StoreError::Refused(why) => Self::because(Code::Conflict, format!("{}.", capitalised(why))),
            // Changes wait for the database; what it holds is served from memory meanwhile.
            lost if lost.is_retryable() => {
                Rejection::new(Code::ServiceDegraded).caused_by(lost).retry_after(DATABASE_RETRY_S).into()
            }
            other => Self::internal(other),
        }
    }
}

/// Keeps `why` for the caller and abandons the store's transaction that it arose in.
pub fn abandon(kept: &mut Option<Refusal>, why: Refusal) -> StoreError {
    *kept = Some(why);
    StoreError::Refused("the change was refused")
}

/// The text as a sentence begins.
#[must_use]
pub fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

/// The rejection as it travels from a handler to [`dress`].
#[derive(Clone)]
struct Undressed(Arc<Rejection>);

/// The refusal that an answer is going to become, if it is one.
pub fn rejection(response: &Response) -> Option<&Rejection> {
    response.extensions().get::<Undressed>().map(|undressed| &*undressed.0)
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status(self.0.code.http());
        response.extensions_mut().insert(Undressed(Arc::from(self.0)));
        response
    }
}

/// A JSON answer, `200` unless it says otherwise.
pub struct Json<T>(pub StatusCode, pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.1) {
            Ok(bytes) => {
                let mut response = Response::new(Body::from(bytes));
                *response.status_mut() = self.0;
                response.headers_mut().insert(CONTENT_TYPE, JSON);
                response
            }
            Err(error) => Refusal::internal(error).into_response(),
        }
    }
}

/// `200` with a JSON body.
#[must_use]
pub fn ok<T: Serialize>(body: T) -> Json<T> {
    Json(StatusCode::OK, body)
}

/// `200` with a JSON body that does not say itself when it was last changed, and when that was; 0 for never.
pub struct Tagged<T>(pub T, pub EpochMs);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let mut response = ok(self.0).into_response();
        if let Ok(value) = HeaderValue::from_str(&tag(self.1)) {
            response.headers_mut().insert(ETAG, value);
        }
        response
    }
}

/// `201` with a JSON body.
pub struct Created<T>(pub T);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        Json(StatusCode::CREATED, self.0).into_response()
    }
}

/// `201` with a JSON body.
#[must_use]
pub fn created<T: Serialize>(body: T) -> Created<T> {
    Created(body)
}

/// `204` without a body.
pub struct Done;

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// `204` without a body.
#[must_use]
pub fn done() -> Done {
    Done
}

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// How to authenticate, which every 401 must say (RFC 9110 §15.5.2).
const BEARER: HeaderValue = HeaderValue::from_static("Bearer");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");
const CODE: HeaderName = HeaderName::from_static("x-yumen-code");

/// The outermost layer: renders refusals and puts the ids on every answer.
pub async fn dress(state: Arc<ControlState>, mut request: Request, next: Next) -> Response {
    // The data plane mints the id at accept; a caller inside the process may hand over none.
    let request_id = match request.extensions().get::<RequestId>() {
        Some(id) => *id,
        None => state.mint_request_id(),
    };
    request.extensions_mut().insert(request_id);
    let known = request.extensions().get::<TraceId>().copied();
    let stated = request
        .headers()
        .get("traceparent")
        .and_then(|value| value.to_str().ok())
        .and_then(TraceId::from_traceparent);
    let trace_id = known.or(stated).unwrap_or_else(|| request_id.into());
    let mut response = next.run(request).await;
    if let Some(Undressed(rejection)) = response.extensions_mut().remove::<Undressed>() {
        render(&mut response, &rejection, &request_id, &trace_id);
    }
    stamp(&mut response, &request_id, &trace_id);
    response
}

/// The answer to a request that is refused before the control plane sees it.
#[must_use]
pub fn refused(rejection: &Rejection, request_id: &RequestId, trace_id: &TraceId) -> Response {
    let mut response = Response::new(Body::empty());
    render(&mut response, rejection, request_id, trace_id);
    stamp(&mut response, request_id, trace_id);
    response
}

fn stamp(response: &mut Response, request_id: &RequestId, trace_id: &TraceId) {
    let headers = response.headers_mut();
    insert(headers, REQUEST_ID, &request_id.to_string());
    insert(headers, TRACE_ID, &trace_id.to_string());
    // Answers carry keys and tokens; no cache on the way may keep them.
    headers.insert(CACHE_CONTROL, NO_STORE);
}

fn render(response: &mut Response, rejection: &Rejection, request_id: &RequestId, trace_id: &TraceId) {
    let cause = rejection.cause.as_deref().unwrap_or_default();
    let error_code = rejection.code.name();
    if rejection.code.http() >= 500 {
        tracing::error!(%request_id, %trace_id, error_code, cause, "administration request failed: {}", rejection.message);
    } else {
        tracing::debug!(%request_id, %trace_id, error_code, cause, "administration request refused: {}", rejection.message);
    }
    let (http, body) = llm::rejection::body(Envelope::Native, rejection, request_id, trace_id);
    *response.status_mut() = status(http);
    *response.body_mut() = Body::from(body);
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, JSON);
    insert(headers, CODE, error_code);
    if http == 401 {
        headers.insert(WWW_AUTHENTICATE, BEARER);
    }
    if let Some(seconds) = rejection.retry_after {
        insert(headers, RETRY_AFTER, &seconds.max(1).to_string());
    }
}

fn status(http: u16) -> StatusCode {
    StatusCode::from_u16(http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn insert(headers: &mut http::HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
