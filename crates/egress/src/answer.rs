//! The body of an answer, which drives its own connection or is one stream of a shared one.
//!
//! On a connection of its own, whoever polls it moves the bytes; at a clean end the connection goes back
//! to the pool, and dropping it earlier closes the connection. On a shared one dropping it resets its
//! stream. It changes no byte of what it passes on, unless it is told that they are encoded.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::decode::{Coding, DecodedSize, Decoder};
use crate::error::{AnswerError, describe};
use crate::link::Link;
use crate::pool::Pool;
use crate::shared::Lease;
use crate::timers::{Alarm, Deadline, Timers};

/// What a body yields: a frame, a failure, or its end.
type NextFrame = Option<Result<Frame<Bytes>, AnswerError>>;

/// The body of an answer as it arrives. A body that stops before its declared end is an error,
/// never a clean end.
pub struct Answer {
    /// Taken at the end.
    carrier: Option<Carrier>,
    pool: Rc<Pool>,
    last_frame: Instant,
    idle: Duration,
    total: Deadline,
    keep_alive: Duration,
    reused: bool,
    /// Unpacks what arrives, until the end.
    decoder: Option<Box<Decoder>>,
}

/// What an answer arrives on.
enum Carrier {
    Own(Box<Link>),
    Shared(Box<Stream>),
}

/// One of the streams of a connection.
struct Stream {
    body: Incoming,
    /// Gives the place on the connection back when dropped.
    _lease: Lease,
    alarm: Alarm,
}

impl Answer {
    pub(crate) fn new(pool: Rc<Pool>, link: Box<Link>, timers: &Timers, total: Deadline) -> Self {
        Self::on(Carrier::Own(link), pool, timers, total)
    }

    /// An answer on one stream of a shared connection.
    pub(crate) fn shared(
        pool: Rc<Pool>,
        lease: Lease,
        body: Incoming,
        timers: &Timers,
        total: Deadline,
    ) -> Self {
        let reused = lease.reused;
        let stream = Box::new(Stream { body, _lease: lease, alarm: Alarm::new(total.at) });
        let answer = Self::on(Carrier::Shared(stream), pool, timers, total);
        if reused { answer.mark_reused() } else { answer }
    }

    fn on(carrier: Carrier, pool: Rc<Pool>, timers: &Timers, total: Deadline) -> Self {
        let mut answer = Self {
            carrier: Some(carrier),
            pool,
            last_frame: Instant::now(),
            idle: timers.idle,
            total,
            keep_alive: timers.keep_alive,
            reused: false,
            decoder: None,
        };
        answer.finish_if_complete();
        answer
    }

    pub(crate) fn mark_reused(mut self) -> Self {
        self.reused = true;
        self
    }

    /// True when the request went over a connection that had served another before.
    #[must_use]
    pub fn reused(&self) -> bool {
        self.reused
    }

    /// The same answer unpacked as it arrives. What is not in the encoding, stops before its end or unpacks to
    /// more than `most` ends with an error.
    #[must_use]
    pub fn decoded(mut self, coding: Coding, most: DecodedSize) -> Self {
        self.decoder = Some(Box::new(Decoder::new(coding, most)));
        self
    }

    /// Gives the connection back as soon as the last byte is here: a consumer that counts bytes
    /// does not ask again after it.
    fn finish_if_complete(&mut self) {
        let is_complete = match &self.carrier {
            Some(Carrier::Own(link)) => link.is_complete(),
            Some(Carrier::Shared(stream)) => stream.body.is_end_stream(),
            None => false,
        };
        if is_complete && let Some(Carrier::Own(link)) = self.carrier.take() {
            self.pool.put(link, self.last_frame, self.keep_alive);
        }
    }

    /// The next piece of what a connection of its own brings.
    fn poll_own(&mut self, link: &mut Link, cx: &mut Context<'_>) -> Poll<NextFrame> {
        match link.poll_body(cx) {
            Poll::Ready(Some(Ok(bytes))) => {
                self.last_frame = Instant::now();
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Poll::Ready(Some(Err(message))) => Poll::Ready(Some(Err(AnswerError { timer: None, message }))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let deadline = self.deadline();
                link.poll_alarm(deadline.at, cx).map(|()| Some(Err(ran_out(deadline.timer))))
            }
        }
    }

    /// The next frame of a stream: the connection's own task moves the bytes and wakes this one.
    fn poll_shared(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<NextFrame> {
        match Pin::new(&mut stream.body).poll_frame(cx) {
            Poll::Pending => {
                let deadline = self.deadline();
                stream.alarm.poll_at(cx, deadline.at).map(|()| Some(Err(ran_out(deadline.timer))))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Ok(frame))) => {
                self.last_frame = Instant::now();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                Poll::Ready(Some(Err(AnswerError { timer: None, message: describe(&error) })))
            }
        }
    }

    fn deadline(&self) -> Deadline {
        Deadline::new("idle", self.last_frame, self.idle).or(self.total)
    }
}

fn ran_out(timer: &'static str) -> AnswerError {
    AnswerError { timer: Some(timer), message: format!("the {timer} timer ran out") }
}

impl Answer {
    /// The next frame as it was sent.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<NextFrame> {
        let polled = match self.carrier.take() {
            None => return Poll::Ready(None),
            Some(Carrier::Own(mut link)) => {
                let polled = self.poll_own(&mut link, cx);
                match &polled {
                    // Dropping the link closes the connection.
                    Poll::Ready(Some(Err(_))) => {}
                    Poll::Ready(None) => self.pool.put(link, Instant::now(), self.keep_alive),
                    Poll::Ready(Some(Ok(_))) | Poll::Pending => self.carrier = Some(Carrier::Own(link)),
                }
                polled
            }
            Some(Carrier::Shared(mut stream)) => {
                let polled = self.poll_shared(&mut stream, cx);
                if matches!(&polled, Poll::Ready(Some(Ok(_))) | Poll::Pending) {
                    self.carrier = Some(Carrier::Shared(stream));
                }
                polled
            }
        };
        if matches!(&polled, Poll::Ready(Some(Ok(_))) | Poll::Pending) {
            self.finish_if_complete();
        }
        polled
    }

    /// The next piece of what was sent encoded.
    fn poll_decoded(&mut self, mut decoder: Box<Decoder>, cx: &mut Context<'_>) -> Poll<NextFrame> {
        loop {
            match decoder.next() {
                Ok(Some(bytes)) => {
                    self.decoder = Some(decoder);
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Ok(None) => {}
                Err(message) => return Poll::Ready(Some(Err(self.break_off(message)))),
            }
            match self.poll_sent(cx) {
                Poll::Pending => {
                    self.decoder = Some(decoder);
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(frame))) => decoder.feed(frame.into_data().unwrap_or_default()),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => {
                    let rest = decoder.finish().map_err(|message| self.break_off(message));
                    return Poll::Ready(rest.transpose().map(|rest| rest.map(Frame::data)));
                }
            }
        }
    }

    /// The answer is of no use: its connection is closed.
    fn break_off(&mut self, message: String) -> AnswerError {
        self.carrier = None;
        AnswerError { timer: None, message }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<NextFrame> {
        let this = self.get_mut();
        match this.decoder.take() {
            None => this.poll_sent(cx),
            Some(decoder) => this.poll_decoded(decoder, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.carrier.is_none() && self.decoder.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.decoder.is_some() {
            return SizeHint::default();
        }
        match &self.carrier {
            Some(Carrier::Own(link)) => link.left().map_or_else(SizeHint::default, SizeHint::with_exact),
            Some(Carrier::Shared(stream)) => stream.body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}
