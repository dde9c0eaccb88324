//! One answer of the provider: its head, and a body that comes frame by frame at its own pace.

use std::io;
use std::iter::Peekable;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body::{Body, Frame};
use serde_json::Value;
use tokio::time::Sleep;

use super::plan::{Failure, Plan};
use super::text;

/// Made when first asked for, so that a long answer costs no memory while it waits.
pub type Source = Box<dyn Iterator<Item = Bytes> + Send + Sync>;

/// An answer.
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Seconds for `Retry-After`.
    pub retry_after: Option<u64>,
    /// How long the head is held back.
    pub before: Duration,
    /// The body's frames.
    pub frames: Frames,
    /// The media type.
    pub content_type: &'static str,
}

impl Reply {
    /// A whole JSON answer at once.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::with(
            status,
            "application/json",
            Frames::new(Box::new(std::iter::once(Bytes::from(body.to_string())))),
        )
    }

    /// A whole JSON answer in the way that the plan asks for: late, or cut off halfway.
    pub fn planned(body: &Value, plan: &Plan) -> Self {
        let mut reply = Self::json(200, body);
        reply.before = plan.delay;
        if let Some(Failure::Cut { .. }) = plan.failure {
            let text = body.to_string();
            let half = Bytes::copy_from_slice(&text.as_bytes()[..text.len() / 2]);
            reply.frames = Frames { cut: true, ..Frames::new(Box::new(std::iter::once(half))) };
        }
        reply
    }

    /// A stream of events, `gap` apart; `cut` breaks the connection after the last instead of ending the body.
    pub fn events(source: Source, gap: Duration, cut: bool) -> Self {
        Self::with(200, "text/event-stream", Frames { gap, cut, ..Frames::new(source) })
    }

    fn with(status: u16, content_type: &'static str, frames: Frames) -> Self {
        Self { status, retry_after: None, before: Duration::ZERO, frames, content_type }
    }

    /// The HTTP message.
    pub fn into_response(self) -> Response<Frames> {
        let mut response = Response::new(self.frames);
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(self.content_type));
        headers.insert("x-request-id", header::HeaderValue::from_static("req_demo"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// A body of frames, each `gap` after the one before it.
pub struct Frames {
    source: Peekable<Source>,
    gap: Duration,
    cut: bool,
    is_flushed: bool,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Frames {
    fn new(source: Source) -> Self {
        Self { source: source.peekable(), gap: Duration::ZERO, cut: false, is_flushed: false, waiting: None }
    }

    /// The end of the body: a clean one, or an error that makes hyper break the connection.
    fn end(&mut self, context: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if !self.cut {
            return Poll::Ready(None);
        }
        if !self.is_flushed {
            // hyper forgets what it has not written when the body fails; it writes while the body waits.
            self.is_flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.cut = false;
        Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::ConnectionReset, "cut off as asked"))))
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(sleep) = &mut self.waiting {
            ready!(sleep.as_mut().poll(context));
            self.waiting = None;
        }
        let Some(bytes) = self.source.next() else {
            return self.end(context);
        };
        if !self.gap.is_zero() && self.source.peek().is_some() {
            self.waiting = Some(Box::pin(tokio::time::sleep(self.gap)));
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

/// An identifier that is the same for the same request.
pub fn identifier(prefix: &str, request: &Value) -> String {
    format!("{prefix}-demo-{:016x}", text::hash(&request.to_string()))
}

/// The time that every answer carries: a real clock would make two runs differ (2026-01-01T00:00:00Z).
pub const CREATED: u64 = 1_767_225_600;
