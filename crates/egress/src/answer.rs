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
        if self.body.is_end_stream() {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if let Some(link) = self.link.take() {
            self.pool.put(link, self.keep_alive);
        }
    }

    /// What the body has by now. Only polling the connection can bring more, and that is done
    /// right beside, so no waker is left here.
    fn poll_body(&mut self) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(&mut Context::from_waker(Waker::noop()))
    }

    fn poll_driven(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        let mut polled = self.poll_body();
        if polled.is_pending() {
            let Some(link) = self.link.as_mut() else {
                return Poll::Ready(None);
            };
            link.poll_connection(cx);
            polled = self.poll_body();
        }
        match polled {
            Poll::Ready(frame) => Poll::Ready(self.deliver(frame)),
            Poll::Pending => self.poll_timers(cx).map(|error| Some(Err(error))),
        }
    }

    fn deliver(
        &mut self,
        frame: Option<Result<Frame<Bytes>, hyper::Error>>,
    ) -> Option<Result<Frame<Bytes>, AnswerError>> {
        match frame {
            Some(Ok(frame)) => {
                self.last_frame = Instant::now();
                self.finish_if_complete();
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                self.link = None;
                Some(Err(AnswerError {
                    timer: None,
                    message: describe(&error),
                }))
            }
            None => {
                self.finish();
                None
            }
        }
    }

    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<AnswerError> {
        let deadline = Deadline::new("idle", self.last_frame, self.idle).or(self.total);
        let Some(link) = self.link.as_mut() else {
            return Poll::Pending;
        };
        let error = if link.is_finished() {
            AnswerError {
                timer: None,
                message: link.end_reason(),
            }
        } else {
            std::task::ready!(link.poll_alarm(cx, deadline.at));
            AnswerError {
                timer: Some(deadline.timer),
                message: format!("the {} timer ran out", deadline.timer),
            }
        };
        self.link = None;
        Poll::Ready(error)
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        let this = self.get_mut();
        if this.link.is_none() {
            return Poll::Ready(None);
        }
        this.poll_driven(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.link.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
