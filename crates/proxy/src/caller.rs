//! A caller's socket with deadlines: for sending a request's head, for idling, and for reading what is
//! written to it. Kept below hyper, so that they hold whatever state the connection is in.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::settings::ClientTimers;

/// How long a connection may wait for its next request. Longer than the 60 s for which the common
/// proxies and SDKs keep theirs, so that it is the caller who closes first.
const IDLE: Duration = Duration::from_secs(75);

/// What the connection is doing, told by whoever serves its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Waiting for a request since then.
    Idling(Instant),
    /// Receiving a request's head since then.
    Receiving(Instant),
    /// Serving a request: the request's own timers count.
    Serving,
}

/// Tells the socket what the connection is doing.
#[derive(Clone)]
pub struct Activity(Arc<Noted>);

/// What was told, in one word, because connections of administration are served by many threads.
struct Noted {
    opened: Instant,
    /// Milliseconds since `opened`, times two, and one more while idling; or [`SERVING`].
    since: AtomicU64,
}

const SERVING: u64 = u64::MAX;

/// Held while a request is served; afterwards the connection idles again.
pub struct Busy(Activity);

impl Activity {
    fn new() -> Self {
        Self(Arc::new(Noted { opened: Instant::now(), since: AtomicU64::new(1) }))
    }

    /// A request has arrived and is being served until the guard is dropped.
    #[must_use]
    pub fn serve(&self) -> Busy {
        self.0.since.store(SERVING, Ordering::Relaxed);
        Busy(self.clone())
    }

    fn waits(&self, idling: bool) {
        let since = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(0);
        self.0.since.store(since << 1 | u64::from(idling), Ordering::Relaxed);
    }

    fn doing(&self) -> Doing {
        match self.0.since.load(Ordering::Relaxed) {
            SERVING => Doing::Serving,
            since => {
                let at = self.0.opened + Duration::from_millis(since >> 1);
                if since & 1 == 1 { Doing::Idling(at) } else { Doing::Receiving(at) }
            }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.waits(true);
    }
}

/// The socket of a caller.
pub struct CallerSocket {
    stream: TokioIo<TcpStream>,
    activity: Activity,
    timers: ClientTimers,
    read_alarm: Option<Pin<Box<Sleep>>>,
    write_alarm: Option<Pin<Box<Sleep>>>,
    write_stalled: bool,
}

impl CallerSocket {
    /// Takes an accepted connection over.
    #[must_use]
    pub fn new(stream: TcpStream, timers: ClientTimers) -> (Self, Activity) {
        let activity = Activity::new();
        let socket = Self {
            stream: TokioIo::new(stream),
            activity: activity.clone(),
            timers,
            read_alarm: None,
            write_alarm: None,
            write_stalled: false,
        };
        (socket, activity)
    }

    /// When waiting for a head or for the next request ends.
    fn read_deadline(&self) -> Option<Instant> {
        match self.activity.doing() {
            Doing::Idling(since) => Some(since + IDLE),
            Doing::Receiving(since) => Some(since + self.timers.header_read),
            Doing::Serving => None,
        }
    }

    /// Whether the read deadline has passed. The alarm is moved only when it rings, so that a busy
    /// connection does not pay for a timer with each request.
    fn read_is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.read_deadline() else {
            return false;
        };
        let alarm = self.read_alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if alarm.deadline() > deadline {
            alarm.as_mut().reset(deadline);
        }
        while alarm.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return true;
            }
            alarm.as_mut().reset(deadline);
        }
        false
    }

    /// Whether the caller has taken nothing for as long as the write deadline.
    fn write_is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let limit = self.timers.write;
        let stalled = std::mem::replace(&mut self.write_stalled, true);
        let alarm = self.write_alarm.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
        if !stalled {
            alarm.as_mut().reset(Instant::now() + limit);
        }
        alarm.as_mut().poll(cx).is_ready()
    }

    fn written(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if result.is_ready() {
            self.write_stalled = false;
            return result;
        }
        if self.write_is_late(cx) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the caller stopped reading")));
        }
        Poll::Pending
    }
}

impl Read for CallerSocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(result) => {
                if let Doing::Idling(_) = this.activity.doing() {
                    this.activity.waits(false);
                }
                Poll::Ready(result)
            }
            Poll::Pending if this.read_is_late(cx) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no request arrived in time")))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Write for CallerSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.written(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
