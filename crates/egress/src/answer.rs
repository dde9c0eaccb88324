//! The body of an answer, which drives its own connection.
//!
//! Whoever polls it moves the bytes; at a clean end the connection goes back to the pool, and
//! dropping it earlier closes the connection. It changes no byte of what it passes on.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::error::{AnswerError, describe};
use crate::link::Link;
use crate::pool::Pool;
use crate::timers::{Deadline, Timers};

/// What a body yields: a frame, a failure, or its end.
type NextFrame<E> = Option<Result<Frame<Bytes>, E>>;

/// The body of an answer as it arrives. A body that stops before its declared end is an error,
/// never a clean end.
pub struct Answer {
    body: Incoming,
    link: Option<Box<Link>>,
    pool: Rc<Pool>,
    last_frame: Instant,
    idle: Duration,
    total: Deadline,
    keep_alive: Duration,
    reused: bool,
}

impl Answer {
    pub(crate) fn new(
        pool: Rc<Pool>,
        link: Box<Link>,
        body: Incoming,
        timers: &Timers,
        total: Deadline,
    ) -> Self {
        let mut answer = Self {
            body,
            link: Some(link),
            pool,
            last_frame: Instant::now(),
            idle: timers.idle,
            total,
            keep_alive: timers.keep_alive,
            reused: false,
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

    /// Gives the connection back as soon as the last byte is here: a consumer that counts bytes
    /// does not ask again after it.
    fn finish_if_complete(&mut self) {
        if !self.body.is_end_stream() {
            return;
        }
        if let Some(link) = self.link.take() {
            self.pool.put(link, self.last_frame, self.keep_alive);
        }
    }

    fn poll_driven(&mut self, link: &mut Link, cx: &mut Context<'_>) -> Poll<NextFrame<AnswerError>> {
        let (mut polled, _) = self.poll_body(link);
        if polled.is_pending() {
            link.poll_for(cx.waker());
            let missed;
            (polled, missed) = self.poll_body(link);
            if missed && polled.is_pending() {
                cx.waker().wake_by_ref();
            }
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.last_frame = Instant::now();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let message = describe(&error);
                Poll::Ready(Some(Err(AnswerError { timer: None, message })))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => self.poll_timers(link).map(|error| Some(Err(error))),
        }
    }

    /// What the body has by now, and whether taking it called for the connection to be polled.
    /// Only polling the connection can bring more, and that is done right beside, so no waker is
    /// left here.
    fn poll_body(&mut self, link: &Link) -> (Poll<NextFrame<hyper::Error>>, bool) {
        link.muffled(|| Pin::new(&mut self.body).poll_frame(&mut Context::from_waker(Waker::noop())))
    }

    fn poll_timers(&self, link: &mut Link) -> Poll<AnswerError> {
        if link.is_finished() {
            return Poll::Ready(AnswerError { timer: None, message: link.end_reason() });
        }
        let deadline = Deadline::new("idle", self.last_frame, self.idle).or(self.total);
        let timer = deadline.timer;
        link.poll_alarm(deadline.at)
            .map(|()| AnswerError { timer: Some(timer), message: format!("the {timer} timer ran out") })
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<NextFrame<AnswerError>> {
        let this = self.get_mut();
        let Some(mut link) = this.link.take() else {
            return Poll::Ready(None);
        };
        let polled = this.poll_driven(&mut link, cx);
        match &polled {
            // Dropping the link closes the connection.
            Poll::Ready(Some(Err(_))) => {}
            Poll::Ready(None) => this.pool.put(link, Instant::now(), this.keep_alive),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {
                this.link = Some(link);
                this.finish_if_complete();
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.link.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
