//! The built-in simulated provider: it answers every dialect of callers, the same way every time.
//!
//! It is reached through `egress` like any other provider, over a pipe in place of a socket, so
//! that a newcomer's first request and a test's worst case take the real path. It must not know
//! anything of the gateway: what it is told stands in the request (`x_demo`, see [`plan`]).

mod answer;
mod chat;
mod completions;
mod embeddings;
mod fields;
mod gemini;
mod messages;
mod models;
mod moderations;
mod plan;
mod refusal;
mod reply;
mod rerank;
mod responses;
mod script;
mod text;
mod tool;

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, request};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::runtime::Handle;

use fields::Fields;
use refusal::{Dialect, Refusal};
use reply::{Frames, Reply};

/// The provider's name as an in-process service: the scheme and host of its base URL `demo://demo`.
pub const NAME: &str = "demo";
/// The models it offers.
pub const MODELS: [&str; 4] = [CHAT, EMBED, MODERATION, RERANK];
const CHAT: &str = "demo-chat";
const EMBED: &str = "demo-embed";
const MODERATION: &str = "demo-moderation";
const RERANK: &str = "demo-rerank";

/// Bytes in flight each way on one connection: as much as a socket's buffer.
const PIPE_BYTES: usize = 64 << 10;
/// The largest body: the gateway's own default.
const BODY_BYTES: usize = 32 << 20;

/// The simulated provider.
#[derive(Clone, Debug)]
pub struct Demo {
    runtime: Handle,
}

impl Demo {
    /// A provider whose connections are served on `runtime`, which must outlive them.
    #[must_use]
    pub fn on(runtime: Handle) -> Self {
        Self { runtime }
    }

    /// Opens a connection and returns the caller's end of it. It is served until either end closes.
    #[must_use]
    pub fn connect(&self) -> DuplexStream {
        let (theirs, ours) = tokio::io::duplex(PIPE_BYTES);
        self.runtime.spawn(async move {
            let service = service_fn(serve);
            // A caller that goes away mid-answer is what the gateway does on purpose; nobody is left to tell.
            let _ = hyper::server::conn::http1::Builder::new()
                .header_read_timeout(None)
                .serve_connection(TokioIo::new(ours), service)
                .await;
        });
        theirs
    }
}

async fn serve(request: Request<Incoming>) -> Result<Response<Frames>, Infallible> {
    let (head, body) = request.into_parts();
    let reply = match Limited::new(body, BODY_BYTES).collect().await {
        Ok(body) => answer(&head, &body.to_bytes()),
        Err(_) => Refusal::new(413, "The request is larger than 32 MiB.").reply(Dialect::of(&head)),
    };
    if !reply.before.is_zero() {
        tokio::time::sleep(reply.before).await;
    }
    Ok(reply.into_response())
}

/// The whole provider as a function of the request.
fn answer(head: &request::Parts, body: &Bytes) -> Reply {
    let dialect = Dialect::of(head);
    route(head, body).unwrap_or_else(|refusal| refusal.reply(dialect))
}

fn route(head: &request::Parts, body: &Bytes) -> Result<Reply, Refusal> {
    let path = head.uri.path();
    let path = path.strip_prefix("/v1beta").or_else(|| path.strip_prefix("/v1")).unwrap_or(path);
    if let Some(action) = path.strip_prefix("/models/").filter(|action| action.contains(':')) {
        only(Method::POST, head)?;
        let events = head.uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "alt=sse"));
        return gemini::answer(action, events, &Fields::parse(body)?);
    }
    if let Some(model) = path.strip_prefix("/models") {
        return only(Method::GET, head)
            .and_then(|()| models::answer(model.trim_start_matches('/'), &head.headers));
    }
    let endpoint = match path {
        "/chat/completions" => chat::answer,
        "/completions" => completions::answer,
        "/embeddings" => embeddings::answer,
        "/moderations" => moderations::answer,
        "/rerank" => rerank::answer,
        "/responses" => responses::answer,
        "/responses/input_tokens" => responses::count_tokens,
        "/messages" => messages::answer,
        "/messages/count_tokens" => messages::count_tokens,
        _ => {
            return Err(Refusal::new(
                404,
                format!("Unknown request URL: {} {}.", head.method, head.uri.path()),
            ));
        }
    };
    only(Method::POST, head)?;
    endpoint(&Fields::parse(body)?)
}

fn only(method: Method, head: &request::Parts) -> Result<(), Refusal> {
    if head.method == method {
        return Ok(());
    }
    Err(Refusal::new(405, format!("Not allowed to {} on {} (use {method}).", head.method, head.uri.path())))
}

/// Whether the caller speaks Anthropic's dialect where the path does not say it.
fn is_anthropic(headers: &HeaderMap) -> bool {
    headers.contains_key("anthropic-version")
}

#[cfg(test)]
mod tests;
