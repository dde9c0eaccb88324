//! Serves one caller's connection: HTTP/1.1, one request after the other.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::caller::{Busy, CallerSocket};
use crate::request;
use crate::settings::Sizes;
use crate::worker::Worker;

/// Bytes that hyper may buffer each way, for a head of the usual limit. Larger than the largest head that is taken, so that a head which
/// is too large is refused in the caller's dialect; small enough that a caller who stops reading costs
/// less than 256 KiB together with the upstream's buffer.
const BUFFER_BYTES: usize = 48 << 10;
/// What the buffer must hold besides the headers that are taken: the request line, and more than is taken.
const BESIDE_HEADERS: usize = 16 << 10;
/// Headers that are read beyond those that are taken, so that the refusal is ours, in the caller's dialect.
/// Of a head with still more hyper says the status 431 and nothing else.
const HEADERS_BEYOND: usize = 50;

/// How hyper reads requests: a head up to the limits that are set, so that what exceeds them is refused here.
#[must_use]
pub fn builder(sizes: &Sizes) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BUFFER_BYTES.max(sizes.headers + BESIDE_HEADERS));
    builder.max_headers(sizes.header_count + HEADERS_BEYOND);
    builder
}

/// Serves a connection until it ends, or until the request in progress ends after the order to stop.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    stop: watch::Receiver<bool>,
) {
    let (sizes, timers) = (worker.shared.settings.sizes, worker.shared.settings.client);
    let (socket, activity) = CallerSocket::new(stream, timers);
    let service = service_fn(move |incoming: Request<Incoming>| {
        let busy = activity.serve();
        let worker = Rc::clone(&worker);
        async move { Ok::<_, Infallible>(busy.until_end(request::serve(worker, incoming, peer.ip()).await)) }
    });
    let connection = builder(&sizes).serve_connection(socket, service);
    let mut connection = pin!(connection);
    let mut order = stop.clone();
    // Polled once, to be woken by the order: this task's waker stays the same for life. Afterwards a look
    // at the version is enough, which costs a connection's every turn next to nothing.
    let mut ordered = pin!(async move { order.wait_for(|stop| *stop).await.map(|_| ()) });
    let mut listening = false;
    let mut stopping = false;
    // Whatever ended the connection, its requests have been settled and recorded by then.
    let _ = poll_fn(|cx| {
        if !listening {
            listening = true;
            stopping = ordered.as_mut().poll(cx).is_ready();
            if stopping {
                connection.as_mut().graceful_shutdown();
            }
        }
        // An error means that the sender is gone, which also is the order to stop.
        if !stopping && stop.has_changed().unwrap_or(true) {
            stopping = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx)
    })
    .await;
}

impl Busy {
    /// The answer; the connection is busy until its end.
    pub fn until_end<B>(self, answer: Response<B>) -> Response<UntilEnd<B>> {
        answer.map(|body| UntilEnd { body, _busy: self })
    }
}

/// An answer's body, at whose end the connection waits for the next request again.
pub struct UntilEnd<B> {
    body: B,
    _busy: Busy,
}

impl<B: Body + Unpin> Body for UntilEnd<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        std::pin::Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
