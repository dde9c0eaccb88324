//! What surrounds every handler: authorises, answers repetitions, names the state of what is shown, writes the audit.
//!
//! Here and not in the handlers, so that an operation that is added has all of it.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, ETAG};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use model::Code;
use serde::Deserialize;

use super::context::Context;
use super::once::once;
use super::permission::Actor;
use super::precondition::tag;
use super::route::Line;
use crate::answer::Refusal;
use crate::state::ControlState;

/// The largest answer whose state is named; lists are not looked at.
const LARGEST_ITEM: usize = 1 << 20;
/// Reading the log with the administration token is not written into it, or every look would change it.
const AUDIT_LOG: &str = "/api/v1/admin/audit-log";

/// Lets a request through to its handler.
pub async fn gate(state: Arc<ControlState>, line: Line, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let context = match Context::authorise(state, &line, &parts).await {
        Ok(context) => context,
        Err(refusal) => return refusal.into_response(),
    };
    if let Some(object) = object(&line, &parts) {
        context.note.object(&object);
    }
    parts.extensions.insert(context.clone());
    let response = once(&context, &line, Request::from_parts(parts, body), next).await;
    match finish(&context, &line, response.status()).await {
        Ok(()) => with_tag(response).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// What a request is about, as far as its path says.
fn object(line: &Line, request: &Parts) -> Option<String> {
    let (before, after) = line.path.split_once('{')?;
    let after = after.split_once('}').map_or("", |(_, after)| after);
    let text = request.uri.path().strip_prefix(before)?.strip_suffix(after)?;
    Some(text.chars().take(200).collect())
}

/// Makes sure that a change has its entry, and the stream of log lines its line. A change of rows has it since its
/// transaction; what changes none (a circuit, the level of the log) is not confirmed without one.
async fn finish(context: &Context, line: &Line, status: StatusCode) -> Result<(), Refusal> {
    let mut finished = Ok(());
    let done = status.is_success();
    if !done || !line.changes() {
        if matches!(context.actor, Actor::AdminToken) && !line.path.starts_with(AUDIT_LOG) {
            context.note.verb("admin-token.use");
            context.note.object(&format!("{} {}", line.method, line.path));
            let _ = write(context).await;
        }
    } else {
        // What is set without an id is named by where it is.
        context.note.object_unless_known(line.path.rsplit('/').next().unwrap_or_default());
        finished = write(context).await;
    }
    // A refusal may have ended something too, such as the sign-in of a token that came twice.
    if line.changes() && context.note.is_written() {
        context.stream();
    }
    finished
}

async fn write(context: &Context) -> Result<(), Refusal> {
    context.store().write_audit(&context.scope).await.map_err(|error| {
        let (verb, object, _) = context.note.summary();
        tracing::error!(verb, object, cause = %error, "an entry of the audit log could not be written");
        let message =
            "It was done, but the audit log could not be written. Repeat it once the database works.";
        Refusal::because(Code::ServiceDegraded, message)
    })
}

/// The part of an answer that tells its state.
#[derive(Deserialize)]
struct Dated {
    #[serde(default)]
    updated_at: Option<String>,
}

/// Names the state of one thing that is shown (`ETag`), for changes that must not overwrite another's.
async fn with_tag(response: Response) -> Response {
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if !response.status().is_success() || !is_json || response.headers().contains_key(ETAG) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    if bytes.len() <= LARGEST_ITEM
        && !bytes.starts_with(br#"{"items""#)
        && let Ok(Dated { updated_at: Some(time) }) = serde_json::from_slice(&bytes)
        && let Some(at) = model::clock::parse_rfc3339(&time)
        && let Ok(value) = HeaderValue::from_str(&tag(at))
    {
        parts.headers.insert(ETAG, value);
    }
    Response::from_parts(parts, Body::from(bytes))
}
