//! One HTTP/2 connection, which carries many requests at once.
//!
//! Unlike a [`Link`](crate::link::Link) it has a task of its own that moves its bytes, one per
//! connection, because no request may depend on another one being polled. It decides what a failure
//! proves: a stream that was refused, or that is above the last one which the upstream says it has
//! looked at, has done nothing.

use std::cell::Cell;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{Request, Response, Uri, Version, uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::error::{Phase, SendError, describe};
use crate::floods::Watched;
use crate::link::Outgoing;
use crate::origin::Scheme;
use crate::target::Target;
use crate::timers::{Deadline, Timers, after};
use crate::wire::Stream;

/// Streams on one connection at most, whatever the upstream allows: one lost packet stalls them all.
const MAX_STREAMS: usize = 100;
/// What is read ahead of a slow consumer, per stream.
const STREAM_WINDOW: u32 = 128 * 1024;
/// Room for every stream's window, so that no slow consumer can stall another.
const CONNECTION_WINDOW: u32 = 100 * STREAM_WINDOW;
/// The longest head of an answer, as on HTTP/1.1.
const MAX_HEAD: u32 = 32 * 1024;
/// How often a connection in use is asked whether it is alive, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// A connection older than this takes no further request, as on HTTP/1.1.
const MAX_AGE: Duration = Duration::from_secs(300);

/// The connection as its own task drives it and others ask it; `None` once it has ended.
type Driven = Arc<Mutex<Option<Connection<TokioIo<Watched>, Full<Bytes>, TokioExecutor>>>>;

/// An open connection.
pub(crate) struct Shared {
    sender: SendRequest<Full<Bytes>>,
    driven: Driven,
    streams: Cell<usize>,
    opened: Instant,
    idle_until: Cell<Instant>,
    retired: Cell<bool>,
}

/// A place on a connection for one request and its answer; given back when dropped.
pub(crate) struct Lease {
    shared: Rc<Shared>,
    keep_alive: Duration,
    /// Whether the connection had served another request before.
    pub(crate) reused: bool,
}

/// Why an exchange brought no answer.
pub(crate) enum Failure {
    /// The connection takes no further requests, and took none of this one.
    Closing(SendError),
    /// Anything else.
    Failed(SendError),
}

impl Shared {
    /// Prepares `stream` for HTTP/2 and spawns the task that moves its bytes.
    pub(crate) async fn open(stream: Stream) -> Result<Rc<Self>, SendError> {
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            // Before the upstream has said how many streams it takes, one is what it certainly does.
            .initial_max_send_streams(1)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEAD)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(TokioIo::new(Watched::new(stream)))
            .await
            .map_err(|error| SendError::unsent(Phase::Connect, describe(&error)))?;
        let driven = Arc::new(Mutex::new(Some(connection)));
        tokio::spawn(drive(Arc::clone(&driven)));
        let now = Instant::now();
        Ok(Rc::new(Self {
            sender,
            driven,
            streams: Cell::new(0),
            opened: now,
            idle_until: Cell::new(now),
            retired: Cell::new(false),
        }))
    }

    /// A place for one more request, when there is one.
    pub(crate) fn lease(self: &Rc<Self>, now: Instant, keep_alive: Duration) -> Option<Lease> {
        let allowed = self.driven.lock().as_ref().map_or(0, Connection::current_max_send_streams);
        (self.streams.get() < allowed.min(MAX_STREAMS) && !self.is_spent(now))
            .then(|| self.place(keep_alive, true))
    }

    /// The place of the request for which the connection was opened: the upstream may not have said yet
    /// how many it takes.
    pub(crate) fn first_lease(self: &Rc<Self>, keep_alive: Duration) -> Lease {
        self.place(keep_alive, false)
    }

    fn place(self: &Rc<Self>, keep_alive: Duration, reused: bool) -> Lease {
        self.streams.set(self.streams.get() + 1);
        Lease { shared: Rc::clone(self), keep_alive, reused }
    }

    /// Whether it takes no further request. Those under way go on.
    pub(crate) fn is_spent(&self, now: Instant) -> bool {
        self.retired.get() || self.sender.is_closed() || after(self.opened, MAX_AGE) <= now
    }

    /// Whether nothing is under way and nothing was for long enough.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        self.streams.get() == 0 && self.idle_until.get() <= now
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let shared = &self.shared;
        shared.streams.set(shared.streams.get().saturating_sub(1));
        shared.idle_until.set(after(Instant::now(), self.keep_alive));
    }
}

impl Lease {
    /// Sends a copy of `request` and waits for the head of the answer; dropped before that, it resets the
    /// stream.
    pub(crate) async fn exchange(
        &self,
        target: &Target,
        request: &Outgoing,
        timers: &Timers,
        total: Deadline,
    ) -> Result<Response<Incoming>, Failure> {
        let deadline = Deadline::new("first_byte", Instant::now(), timers.first_byte).or(total);
        let request = dress(target, request).map_err(Failure::Failed)?;
        let mut sender = self.shared.sender.clone();
        let outcome = timeout_at(deadline.at, sender.try_send_request(request)).await;
        match outcome {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(mut error)) => {
                let untouched = error.take_message().is_some();
                Err(self.judge(&error.into_error(), untouched))
            }
            Err(_) => {
                let late = SendError::timed_out(Phase::Head, deadline.timer);
                Err(Failure::Failed(SendError { written: true, ..late }))
            }
        }
    }

    fn judge(&self, error: &hyper::Error, untouched: bool) -> Failure {
        let message = describe(error);
        let cause = h2_cause(error);
        let leaving = cause.is_some_and(|cause| cause.is_go_away() && cause.is_remote());
        if untouched || leaving {
            self.shared.retired.set(true);
            return Failure::Closing(SendError::unsent(Phase::Write, message));
        }
        let refused =
            cause.is_some_and(|cause| cause.is_remote() && cause.reason() == Some(Reason::REFUSED_STREAM));
        let malformed = cause.is_some_and(|cause| cause.is_library() && cause.reason().is_some());
        let mut failure = SendError::unsent(Phase::Head, message);
        failure.written = !refused;
        failure.malformed = malformed;
        Failure::Failed(failure)
    }
}

/// Moves a connection on until it ends.
async fn drive(driven: Driven) {
    poll_fn(|cx| {
        let mut connection = driven.lock();
        let Some(running) = connection.as_mut() else {
            return Poll::Ready(());
        };
        Pin::new(running).poll(cx).map(|ended| {
            *connection = None;
            if let Err(error) = ended {
                tracing::debug!(error = describe(&error), "an HTTP/2 connection to an upstream ended");
            }
        })
    })
    .await;
}

/// What HTTP/2 itself has to say about an error.
fn h2_cause(error: &hyper::Error) -> Option<&h2::Error> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(found) = inner.downcast_ref::<h2::Error>() {
            return Some(found);
        }
        cause = inner.source();
    }
    None
}

/// `request` in the form in which it leaves on HTTP/2: the target's authority in place of `Host`, and its
/// true length in place of what anybody says of it.
fn dress(target: &Target, request: &Outgoing) -> Result<Request<Full<Bytes>>, SendError> {
    let mut request = request.clone().map(Full::new);
    *request.version_mut() = Version::HTTP_2;
    for name in [HOST, CONTENT_LENGTH, TRANSFER_ENCODING] {
        request.headers_mut().remove(name);
    }
    let scheme = match target.origin.scheme() {
        Scheme::Https => uri::Scheme::HTTPS,
        Scheme::Http | Scheme::H2c | Scheme::Demo => uri::Scheme::HTTP,
    };
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(scheme);
    parts.authority = uri::Authority::try_from(target.origin.host_header().as_bytes()).ok();
    parts.path_and_query.get_or_insert(uri::PathAndQuery::from_static("/"));
    *request.uri_mut() =
        Uri::from_parts(parts).map_err(|error| SendError::unsent(Phase::Write, error.to_string()))?;
    Ok(request)
}
