//! One HTTP/1.1 connection and the exchange on it, driven by the task that waits for the answer.
//!
//! No driver task is spawned: whoever polls the exchange or its answer polls the connection too.
//! That saves a wake-up per message and means that dropping the request closes the connection.

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use crate::bell::Bell;
use crate::error::{Phase, SendError, describe};
use crate::target::Target;
use crate::timers::{Alarm, Deadline, Timers};
use crate::wire::{Sent, Stream, Wire};

/// Most bytes that are read ahead of the consumer, and so also the longest head of an answer that
/// is accepted. Hyper's own default of 400 KiB would be held once per slow stream.
const MAX_BUFFER: usize = 32 * 1024;

/// The request as it leaves: its body is already whole.
pub(crate) type Outgoing = Request<Full<Bytes>>;

/// An open connection with everything that lives as long as it does.
pub(crate) struct Link {
    /// `None` once it has ended; dropping it hands back a request it had not begun.
    connection: Option<Connection<TokioIo<Wire>, Full<Bytes>>>,
    sender: SendRequest<Full<Bytes>>,
    sent: Rc<Sent>,
    alarm: Alarm,
    bell: Arc<Bell>,
    /// The bell as what the connection and the alarm keep.
    waker: Waker,
    failure: Option<String>,
    /// What it was opened for.
    pub(crate) target: Target,
    /// When it was opened.
    pub(crate) opened: Instant,
}

/// Why an exchange brought no answer.
pub(crate) enum Failure {
    /// The connection was closed before the request was begun; here it is back, untouched.
    Unbegun(Box<Outgoing>, SendError),
    /// Anything else.
    Failed(SendError),
}

impl Link {
    /// Prepares `stream` for HTTP/1.1; sends nothing yet.
    pub(crate) async fn new(
        stream: Stream,
        target: &Target,
        total: Deadline,
    ) -> Result<Box<Self>, SendError> {
        let (wire, sent) = Wire::new(stream);
        // Headers keep hyper's own limit of 100, which it parses without an allocation.
        let (sender, connection) = Builder::new()
            .max_buf_size(MAX_BUFFER)
            .handshake(TokioIo::new(wire))
            .await
            .map_err(|error| SendError::unsent(Phase::Connect, describe(&error)))?;
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        Ok(Box::new(Self {
            bell,
            waker,
            connection: Some(connection),
            sender,
            sent,
            alarm: Alarm::new(total.at),
            failure: None,
            target: target.clone(),
            opened: Instant::now(),
        }))
    }

    /// Sends `request` and waits for the head of the answer.
    pub(crate) async fn exchange(
        &mut self,
        request: Box<Outgoing>,
        timers: &Timers,
        total: Deadline,
    ) -> Result<Response<Incoming>, Failure> {
        let before = self.sent.bytes();
        let first_byte = Deadline::new("first_byte", Instant::now(), timers.first_byte).or(total);
        // Only polling the connection can bring the answer, and that happens right before it is
        // asked for: a waker here would wake this task a second time for nothing. Unconstrained,
        // because an exhausted budget would ask this very waker to call again.
        let mut answer = pin!(tokio::task::unconstrained(self.sender.try_send_request(*request)));
        let mut quiet = Context::from_waker(Waker::noop());
        let outcome = std::future::poll_fn(|cx| {
            self.poll_for(cx.waker());
            if let Poll::Ready(outcome) = answer.as_mut().poll(&mut quiet) {
                return Poll::Ready(Ok(outcome));
            }
            if self.is_finished() {
                return Poll::Ready(Err(None));
            }
            if self.sent.bytes() > before {
                telemetry::failpoint::pass("after_upstream");
            }
            let deadline = self.head_deadline(first_byte, timers);
            self.poll_alarm(deadline.at).map(|()| Err(Some(deadline.timer)))
        })
        .await;
        match outcome {
            Ok(Ok(response)) => self.accept(response),
            Ok(Err(error)) => Err(self.failed(error, before)),
            Err(timer) => Err(Failure::Failed(self.broken_off(timer, before))),
        }
    }

    /// The next thing to run out while waiting for a head.
    fn head_deadline(&self, first_byte: Deadline, timers: &Timers) -> Deadline {
        match self.sent.stalled_since() {
            Some(since) => Deadline::new("write", since, timers.write).or(first_byte),
            None => first_byte,
        }
    }

    fn accept(&self, response: Response<Incoming>) -> Result<Response<Incoming>, Failure> {
        // Nobody here asks for an upgrade, so what would follow is not HTTP.
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let message = "the upstream switched protocols without being asked".to_owned();
            return Err(Failure::Failed(SendError {
                phase: Phase::Head,
                written: true,
                timer: None,
                malformed: true,
                message,
            }));
        }
        Ok(response)
    }

    fn failed(&self, mut error: TrySendError<Outgoing>, before: u64) -> Failure {
        let returned = error.take_message();
        let mut failure = self.broken_off(None, before);
        let error = error.into_error();
        failure.malformed = error.is_parse();
        failure.message = describe(&error);
        match returned {
            Some(request) if !failure.written => Failure::Unbegun(Box::new(request), failure),
            _ => Failure::Failed(failure),
        }
    }

    fn broken_off(&self, timer: Option<&'static str>, before: u64) -> SendError {
        let written = self.sent.bytes() > before;
        let stalled = self.sent.stalled_since().is_some();
        let phase = if written && !stalled { Phase::Head } else { Phase::Write };
        match timer {
            Some(timer) => SendError { written, ..SendError::timed_out(phase, timer) },
            None => SendError { written, ..SendError::unsent(phase, self.end_reason()) },
        }
    }

    /// Moves bytes in both directions for `task`, which is woken when there is more to do.
    pub(crate) fn poll_for(&mut self, task: &Waker) {
        self.bell.ring_for(task);
        self.poll_connection();
    }

    fn poll_connection(&mut self) {
        let Some(connection) = self.connection.as_mut() else {
            return;
        };
        if let Poll::Ready(result) = Pin::new(connection).poll(&mut Context::from_waker(&self.waker)) {
            self.failure = result.err().map(|error| describe(&error));
            self.connection = None;
        }
    }

    /// Does `work` without its effects on the connection waking the task; says whether they would have.
    pub(crate) fn muffled<T>(&self, work: impl FnOnce() -> T) -> (T, bool) {
        self.bell.muffled(work)
    }

    /// True once the connection has ended; what was read before may still be waiting.
    pub(crate) fn is_finished(&self) -> bool {
        self.connection.is_none()
    }

    /// Why the connection ended, for people.
    pub(crate) fn end_reason(&self) -> String {
        self.failure.clone().unwrap_or_else(|| "the upstream closed the connection".to_owned())
    }

    /// Ready once `deadline` has passed.
    pub(crate) fn poll_alarm(&mut self, deadline: Instant) -> Poll<()> {
        self.alarm.poll_at(&mut Context::from_waker(&self.waker), deadline)
    }

    /// Looks, without waiting, whether the connection is still good for another request: not
    /// closed, nothing unasked-for received, the last exchange complete.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.bell.forget();
        self.poll_connection();
        !self.is_finished() && self.sender.is_ready()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{get, target};

    #[tokio::test]
    async fn hands_the_request_back_when_the_connection_was_closed_before_it() {
        let (near, far) = tokio::io::duplex(1024);
        let timers = Timers::standard();
        let total = Deadline::new("total", Instant::now(), timers.total);
        let mut link = Link::new(Stream::InProcess(near), &target("demo://demo"), total).await.unwrap();
        drop(far);
        let failure = link.exchange(Box::new(get("/again")), &timers, total).await.map(|_| ()).unwrap_err();
        let Failure::Unbegun(request, error) = failure else { panic!("the request was lost") };
        assert_eq!((request.uri().path(), error.written, error.phase), ("/again", false, Phase::Write));
    }
}
