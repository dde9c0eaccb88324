//! The part of a call that may take long, from its hold to the first content, as one future of its own.
//!
//! It owns all that it needs. So a stream whose content is late can commit its head and go on behind
//! it, and a caller who leaves can leave it to a drain. Content that comes in time costs nothing more
//! than the one box that the future lives in.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Response;
use http::request::Parts;
use llm::Framing;
use tokio::time::timeout_at;

use crate::answer::{self, Stamp};
use crate::body::Outgoing;
use crate::cancel::{self, Cancel};
use crate::dispatch::{Begun, Stopped};
use crate::drain::{Drain, Leave};
use crate::exchange::Exchange;
use crate::intake::Received;
use crate::relay;
use crate::request::{self, Outbound};
use crate::stages::Stages;

/// How a call went, with the exchange that it carried.
pub(crate) type Called = (Exchange, Result<Begun, Stopped>);

/// A call on its way to its first content. Dropping it cancels it, unless its key asks for a drain.
pub(crate) struct Calling {
    /// Taken when it is done or drained.
    run: Option<Pin<Box<dyn Future<Output = Called>>>>,
    leave: Option<Rc<Leave>>,
}

/// Calls an upstream and answers with what it says.
pub(crate) async fn answer(
    mut exchange: Exchange,
    head: Box<Parts>,
    received: Received,
) -> Response<Outgoing> {
    let silence = exchange.worker.shared.settings.client.keep_alive_comment;
    // Only a stream has something to gain from an early commit: comments that keep it alive.
    let framing = received.call.framing;
    let late = received.call.stream.then_some(exchange.started + silence);
    if received.extras.status_stream {
        exchange.report_steps();
    }
    let stages = exchange.stages.clone();
    let (mut cancel, stamp) = (Cancel::of(&exchange), Stamp::of(&exchange));
    let mut calling = Calling::begin(exchange, head, received);
    if stages.is_some() {
        return relay::commit(calling, stamp, Committed { silence, framing, stages, cancel });
    }
    let called = async {
        match (late, cancel.as_mut()) {
            (None, None) => Some((&mut calling).await),
            (Some(commit), None) => timeout_at(commit, &mut calling).await.ok(),
            (_, Some(cancel)) => cancel.or(late, &mut calling).await,
        }
    };
    match called.await {
        Some(called) => answered(called, cancel),
        None if cancel.as_ref().is_some_and(Cancel::is_ordered) => {
            calling.abandon();
            stamp.rejected(&cancel::rejection())
        }
        None => relay::commit(calling, stamp, Committed { silence, framing, stages, cancel }),
    }
}

/// What an answer is committed with whose call has not come to its first content.
pub(crate) struct Committed {
    /// How long the stream may be silent.
    pub silence: Duration,
    /// How it is framed.
    pub framing: Framing,
    /// Reports the steps.
    pub stages: Option<Rc<Stages>>,
    /// Whether it is cancelled.
    pub cancel: Option<Cancel>,
}

fn answered((exchange, result): Called, cancel: Option<Cancel>) -> Response<Outgoing> {
    match result {
        Ok(begun) => relay::begin(exchange, begun, cancel),
        Err(Stopped::Rejected(rejection)) => answer::refuse(exchange, &rejection),
        Err(Stopped::Passed(passed)) if exchange.tells_errors_itself() => {
            answer::refuse(exchange, &passed.rejection)
        }
        Err(Stopped::Passed(passed)) => relay::pass(exchange, passed),
        Err(Stopped::Kept(kept)) => relay::replay(exchange, &kept),
        Err(Stopped::Uncounted) => answer::estimated(exchange),
    }
}

impl Calling {
    fn begin(mut exchange: Exchange, head: Box<Parts>, received: Received) -> Self {
        let leave = Leave::of(&exchange);
        let told = leave.clone();
        let run = async move {
            let outbound =
                Outbound { call: &received.call, body: &received.body, head: &head, leave: told.as_deref() };
            let result = request::onward(&mut exchange, &outbound).await;
            (exchange, result)
        };
        Self { run: Some(Box::pin(run)), leave }
    }

    /// Ends the call at once, whatever its key says of callers who leave.
    pub fn abandon(mut self) {
        self.leave = None;
    }
}

impl Future for Calling {
    type Output = Called;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Called> {
        let Some(run) = self.run.as_mut() else {
            return Poll::Pending;
        };
        let polled = run.as_mut().poll(cx);
        if polled.is_ready() {
            self.run = None;
        }
        polled
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        if let (Some(run), Some(leave)) = (self.run.take(), self.leave.take())
            && leave.is_worth_draining()
        {
            leave.hand_over(Drain::Calling(run));
        }
    }
}
