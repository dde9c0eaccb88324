//! One HTTP/1.1 connection and the exchange on it, driven by the task that waits for the answer.
//!
//! No driver task is spawned: whoever polls the exchange or its answer moves the bytes. That saves a
//! wake-up per message, means that dropping the request closes the connection, and reads nothing ahead of
//! the consumer. A connection on which nothing arrives holds no buffer: bytes are read into one that all
//! connections of a thread share.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::error::{Phase, SendError};
use crate::h1::{self, Body, Malformed, Unsent};
use crate::target::Target;
use crate::timers::{Alarm, Deadline, Timers};
use crate::wire::{Stream, Wire};

/// Bytes that are read at once, and passed on in one piece.
const READ_BYTES: usize = 32 * 1024;

thread_local! {
    /// What is read lands here before it is known how much of it has to be kept.
    static ARRIVALS: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// The request as it leaves: its body is already whole.
pub(crate) type Outgoing = Request<Bytes>;

/// An open connection with everything that lives as long as it does.
pub(crate) struct Link {
    wire: Wire,
    /// What is still to be sent; an upstream may answer before it has taken everything.
    unsent: Option<Unsent>,
    /// The beginning of a head whose end is not here yet.
    begun_head: Vec<u8>,
    /// Content that came with the head.
    ready: Bytes,
    body: Body,
    /// What is wrong with the body behind `ready`.
    fault: Option<&'static str>,
    /// Whether another request may follow the exchange in progress.
    keeps_alive: bool,
    /// Why the connection has ended.
    ended: Option<String>,
    alarm: Alarm,
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

/// What ends the wait for a head, other than a head.
enum Stop {
    Timer(&'static str),
    Malformed(String),
    Ended,
}

impl Link {
    /// Prepares `stream` for HTTP/1.1; sends nothing yet.
    pub(crate) fn new(stream: Stream, target: &Target, total: Deadline) -> Box<Self> {
        Box::new(Self {
            wire: Wire::new(stream),
            unsent: None,
            begun_head: Vec::new(),
            ready: Bytes::new(),
            body: Body::Length(0),
            fault: None,
            keeps_alive: true,
            ended: None,
            alarm: Alarm::new(total.at),
            target: target.clone(),
            opened: Instant::now(),
        })
    }

    /// Sends `request` and waits for the head of the answer.
    pub(crate) async fn exchange(
        &mut self,
        request: Box<Outgoing>,
        timers: &Timers,
        total: Deadline,
    ) -> Result<Response<()>, Failure> {
        if !self.is_idle() {
            return Err(Failure::Unbegun(request, SendError::unsent(Phase::Write, self.end_reason())));
        }
        let before = self.wire.sent();
        let first_byte = Deadline::new("first_byte", Instant::now(), timers.first_byte).or(total);
        let method = request.method().clone();
        self.unsent = Some(self.written(&request));
        // Kept until it is certain that it has left.
        let mut request = Some(request);
        let outcome = std::future::poll_fn(|cx| {
            self.poll_send(cx);
            if request.is_some() && self.wire.sent() > before {
                request = None;
                telemetry::failpoint::pass("after_upstream");
            }
            if let Poll::Ready(head) = self.poll_head(&method, cx) {
                return Poll::Ready(head);
            }
            let deadline = self.head_deadline(first_byte, timers);
            self.alarm.poll_at(cx, deadline.at).map(|()| Err(Stop::Timer(deadline.timer)))
        })
        .await;
        outcome.map_err(|stop| match (self.broken_off(stop, before), request) {
            (error, Some(request)) if error.timer.is_none() && !error.malformed => {
                Failure::Unbegun(request, error)
            }
            (error, _) => Failure::Failed(error),
        })
    }

    /// The request as it is sent on this connection.
    fn written(&self, request: &Outgoing) -> Unsent {
        let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let host = self.target.origin.host_header();
        Unsent::new(request.method(), path, host, request.headers(), request.body().clone())
    }

    /// The next thing to run out while waiting for a head.
    fn head_deadline(&self, first_byte: Deadline, timers: &Timers) -> Deadline {
        match self.wire.stalled_since() {
            Some(since) => Deadline::new("write", since, timers.write).or(first_byte),
            None => first_byte,
        }
    }

    fn broken_off(&self, stop: Stop, before: u64) -> SendError {
        let written = self.wire.sent() > before;
        let stalled = self.wire.stalled_since().is_some();
        let phase = if written && !stalled { Phase::Head } else { Phase::Write };
        match stop {
            Stop::Timer(timer) => SendError { written, ..SendError::timed_out(phase, timer) },
            Stop::Malformed(message) => {
                SendError { phase: Phase::Head, written, timer: None, malformed: true, message }
            }
            Stop::Ended => SendError { written, ..SendError::unsent(phase, self.end_reason()) },
        }
    }

    /// Sends as much as the other side takes.
    fn poll_send(&mut self, cx: &mut Context<'_>) {
        while let Some(unsent) = self.unsent.as_mut() {
            let wire = Pin::new(&mut self.wire);
            let polled = if unsent.is_done() {
                wire.poll_flush(cx).map_ok(|()| None)
            } else {
                wire.poll_write_vectored(cx, &unsent.pieces()).map_ok(Some)
            };
            match polled {
                Poll::Pending => return,
                Poll::Ready(Ok(None)) => self.unsent = None,
                Poll::Ready(Ok(Some(0))) => return self.cannot_send("the upstream takes no more".to_owned()),
                Poll::Ready(Ok(Some(bytes))) => unsent.sent(bytes),
                Poll::Ready(Err(error)) => return self.cannot_send(error.to_string()),
            }
        }
    }

    /// Gives up sending. What the upstream has said before it went is still read: it may be an answer.
    fn cannot_send(&mut self, why: String) {
        self.unsent = None;
        self.keeps_alive = false;
        self.ended.get_or_insert(why);
    }

    /// The head of the answer, with what came behind it in `ready`.
    fn poll_head(&mut self, method: &Method, cx: &mut Context<'_>) -> Poll<Result<Response<()>, Stop>> {
        loop {
            let read = ARRIVALS.with_borrow_mut(|arrivals| {
                let length = match ready!(self.poll_read(cx, arrivals)) {
                    Ok(length) => length,
                    Err(why) => {
                        self.ended.get_or_insert(why);
                        return Poll::Ready(Err(Stop::Ended));
                    }
                };
                if self.begun_head.is_empty() {
                    return Poll::Ready(self.look_for_head(&arrivals[..length], method));
                }
                let mut begun = std::mem::take(&mut self.begun_head);
                begun.extend_from_slice(&arrivals[..length]);
                Poll::Ready(self.look_for_head(&begun, method))
            });
            if let Some(response) = ready!(read)? {
                return Poll::Ready(Ok(response));
            }
        }
    }

    /// The head in `input`, if all of it is there; otherwise its beginning is kept.
    fn look_for_head(&mut self, mut input: &[u8], method: &Method) -> Result<Option<Response<()>>, Stop> {
        loop {
            let head = h1::parse(input, method).map_err(|Malformed(why)| Stop::Malformed(why))?;
            let Some(head) = head else {
                self.begun_head = input.to_vec();
                return Ok(None);
            };
            input = &input[head.length..];
            let status = head.response.status();
            // Nobody here asks for an upgrade, so what would follow is not HTTP.
            if status == StatusCode::SWITCHING_PROTOCOLS {
                let why = "the upstream switched protocols without being asked";
                return Err(Stop::Malformed(why.to_owned()));
            }
            if status.is_informational() {
                continue;
            }
            self.keeps_alive &= head.keeps_alive;
            self.body = head.body;
            self.ready = self.content_of(input);
            return Ok(Some(head.response));
        }
    }

    /// The content in what has arrived.
    fn content_of(&mut self, input: &[u8]) -> Bytes {
        match self.body.read(input) {
            Ok((content, taken)) => {
                // Nothing was asked for that could come behind the answer.
                self.keeps_alive &= taken == input.len();
                content.into()
            }
            Err(fault) => {
                self.fault = Some(fault);
                Bytes::new()
            }
        }
    }

    /// The next piece of the body: one for each time that something is read, whatever chunks it came in.
    pub(crate) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        self.poll_send(cx);
        loop {
            if !self.ready.is_empty() {
                return Poll::Ready(Some(Ok(std::mem::take(&mut self.ready))));
            }
            if let Some(fault) = self.fault {
                return Poll::Ready(Some(Err(fault.to_owned())));
            }
            if self.body.is_done() {
                return Poll::Ready(None);
            }
            let read = ARRIVALS.with_borrow_mut(|arrivals| {
                let length = ready!(self.poll_read(cx, arrivals));
                Poll::Ready(length.map(|length| self.ready = self.content_of(&arrivals[..length])))
            });
            match (ready!(read), self.body) {
                (Ok(()), _) => {}
                (Err(_), Body::Close) if self.ended.is_none() => {
                    self.body = Body::Length(0);
                    self.keeps_alive = false;
                }
                (Err(why), _) => return Poll::Ready(Some(Err(self.ended.take().unwrap_or(why)))),
            }
        }
    }

    /// Reads into `arrivals`. A clean end of the connection is an error, too; any other one is in `ended`.
    fn poll_read(&mut self, cx: &mut Context<'_>, arrivals: &mut [u8]) -> Poll<Result<usize, String>> {
        let mut buffer = ReadBuf::new(arrivals);
        match ready!(Pin::new(&mut self.wire).poll_read(cx, &mut buffer)) {
            Ok(()) if buffer.filled().is_empty() => {
                Poll::Ready(Err("the upstream closed the connection".to_owned()))
            }
            Ok(()) => Poll::Ready(Ok(buffer.filled().len())),
            Err(error) => {
                self.ended.get_or_insert_with(|| error.to_string());
                Poll::Ready(Err(error.to_string()))
            }
        }
    }

    /// True when all of the answer is here and was handed on.
    pub(crate) fn is_complete(&self) -> bool {
        self.ready.is_empty() && self.fault.is_none() && self.body.is_done()
    }

    /// Bytes of content that are still to be handed on, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        self.body.left().map(|left| left + self.ready.len() as u64)
    }

    /// Why the connection ended, for people.
    fn end_reason(&self) -> String {
        self.ended.clone().unwrap_or_else(|| "the upstream closed the connection".to_owned())
    }

    /// Ready once `deadline` has passed.
    pub(crate) fn poll_alarm(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        self.alarm.poll_at(cx, deadline)
    }

    /// Looks, without waiting, whether the connection is still good for another request: not
    /// closed, nothing unasked-for received, the last exchange complete. Nothing wakes a task for it
    /// afterwards: a finished one must not be kept in memory.
    pub(crate) fn is_idle(&mut self) -> bool {
        if !self.keeps_alive || self.unsent.is_some() || !self.is_complete() {
            return false;
        }
        let mut quiet = Context::from_waker(Waker::noop());
        self.alarm.forget(&mut quiet);
        self.wire.poll_arrival(&mut quiet).is_pending()
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
        let mut link = Link::new(Stream::InProcess(near), &target("demo://demo"), total);
        drop(far);
        let failure = link.exchange(Box::new(get("/again")), &timers, total).await.map(|_| ()).unwrap_err();
        let Failure::Unbegun(request, error) = failure else { panic!("the request was lost") };
        assert_eq!((request.uri().path(), error.written, error.phase), ("/again", false, Phase::Write));
    }
}
