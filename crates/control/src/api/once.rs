//! `Idempotency-Key` on every `POST`: one key, one change, however often it is asked for within a day.
//!
//! The key is claimed before the change is made and its answer is kept afterwards, sealed, for it may hold a
//! secret that is shown once. A claim without an answer is refused: the change is under way, or the process ended
//! within it. What was refused without a change gives the key back.

use aws_lc_rs::digest::{Context as Digest, SHA256};
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use model::clock::EpochMs;
use model::{Code, ResourceId};
use store::KeptAnswer;

use super::body::whole;
use super::context::Context;
use super::permission::Actor;
use super::route::Line;
use crate::answer::{Answer, Refusal};

const HEADER: &str = "idempotency-key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// The longest key, in bytes: what other payment interfaces take.
const LONGEST_KEY: usize = 255;
/// Whose keys those of the administration token and of the command line are; no user has these ids.
const ADMIN_TOKEN: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";
const COMMAND_LINE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaab";

/// What was asked for, and under which key.
struct Claim<'c> {
    context: &'c Context,
    /// Whose key.
    of: ResourceId,
    key: String,
    asked: [u8; 32],
    at: EpochMs,
}

/// Lets the request through, unless its key says that it was answered already; then that answer is given again.
pub async fn once(context: &Context, line: &Line, request: Request, next: Next) -> Response {
    if line.method != Method::POST || !request.headers().contains_key(HEADER) {
        return next.run(request).await;
    }
    let Some(of) = caller(&context.actor) else { return next.run(request).await };
    match claimed(context, of, request, next).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

fn caller(actor: &Actor) -> Option<ResourceId> {
    match actor {
        Actor::User { user, .. } => Some(user.id.clone()),
        Actor::AdminToken => ResourceId::parse(ADMIN_TOKEN),
        Actor::CommandLine => ResourceId::parse(COMMAND_LINE),
        Actor::Anonymous | Actor::Key(_) => None,
    }
}

async fn claimed(context: &Context, of: ResourceId, request: Request, next: Next) -> Answer<Response> {
    let key = key(request.headers())?.to_owned();
    let (parts, body) = request.into_parts();
    let body = whole(body).await?;
    let mut digest = Digest::new(&SHA256);
    for part in [parts.uri.to_string().as_bytes(), b"\n", &body] {
        digest.update(part);
    }
    let asked = digest.finish().as_ref().try_into().map_err(Refusal::internal)?;
    let claim = Claim { context, of, key, asked, at: context.now_ms() };
    if !claim.keep("claim", StatusCode::CONTINUE, Vec::new()).await? {
        return claim.answered().await;
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    claim.settle(response).await
}

impl Claim<'_> {
    /// Keeps a row under the key, unless there is one; whether it was kept.
    async fn keep(&self, what: &str, status: StatusCode, body: Vec<u8>) -> Answer<bool> {
        let kept = KeptAnswer {
            body_hash: self.asked,
            status: status.as_u16(),
            headers: Vec::new(),
            body,
            created_at: self.at,
        };
        Ok(self.context.store().keep_answer(&self.of, &self.row(what), &kept).await?)
    }

    fn row(&self, what: &str) -> String {
        format!("admin:{what}:{}", self.key)
    }

    async fn find(&self, what: &str) -> Answer<Option<KeptAnswer>> {
        Ok(self.context.store().find_answer(&self.of, &self.row(what), self.at).await?)
    }

    /// Keeps the answer, or gives the key back when nothing was changed.
    async fn settle(&self, response: Response) -> Answer<Response> {
        let status = response.status();
        // Whether something changed before it failed is not known, unless the handler knows.
        if status.is_server_error() && !self.context.note.is_settled() {
            return Ok(response);
        }
        if let Some(rejection) = crate::answer::rejection(&response) {
            // A conflict is the same when it is asked for again; after anything else the caller may do better.
            let kept = if rejection.code == Code::Conflict {
                self.keep("answer", status, rejection.message.as_bytes().to_vec()).await.map(drop)
            } else {
                let forgotten = self.context.store().forget_answer(&self.of, &self.row("claim")).await;
                forgotten.map_err(Refusal::from)
            };
            warn(kept);
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.map_err(Refusal::internal)?;
        warn(self.keep("answer", status, body.to_vec()).await.map(drop));
        Ok(Response::from_parts(parts, Body::from(body)))
    }

    /// The answer to the first use of the key.
    async fn answered(&self) -> Answer<Response> {
        if self.find("claim").await?.is_none_or(|claim| claim.body_hash != self.asked) {
            return Err(Refusal::new(Code::IdempotencyMismatch));
        }
        let unknown = || {
            let message =
                "The first use of this `Idempotency-Key` is under way, or its outcome is not known.";
            Refusal::because(Code::Conflict, message)
        };
        let answer = self.find("answer").await?.ok_or_else(unknown)?;
        // What is answered again changes nothing and has its entry.
        self.context.note.settle();
        if answer.status == StatusCode::CONFLICT.as_u16() {
            let message = String::from_utf8(answer.body).map_err(Refusal::internal)?;
            return Err(Refusal::because(Code::Conflict, message));
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::from_u16(answer.status).map_err(Refusal::internal)?;
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        if !answer.body.is_empty() {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *response.body_mut() = Body::from(answer.body);
        }
        Ok(response)
    }
}

fn warn(kept: Answer<()>) {
    if let Err(refusal) = kept {
        let cause = refusal.0.cause.as_deref().unwrap_or_default();
        tracing::warn!(cause, "the answer to a change could not be kept for its repetition");
    }
}

/// The caller's key.
fn key(headers: &HeaderMap) -> Answer<&str> {
    let key = headers.get(HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(key);
    }
    let message = format!("`Idempotency-Key` must have 1 to {LONGEST_KEY} visible ASCII characters.");
    Err(Refusal::invalid(HEADER, message))
}
