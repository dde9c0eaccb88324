//! The part of a call that may take long, from its hold to the first content, as one future of its own.
//!
//! It owns all that it needs. So a stream whose content is late can commit its head and go on behind
//! it, and a caller who leaves can leave it to a drain. Content that comes in time costs nothing more
//! than the one box that the future lives in.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::Response;
use http::request::Parts;
use tokio::time::timeout_at;

use crate::answer::{self, Stamp};
use crate::body::Outgoing;
use crate::dispatch::{Begun, Stopped};
use crate::drain::{Drain, Leave};
use crate::exchange::Exchange;
use crate::intake::Received;
use crate::relay;
use crate::request::{self, Outbound};

/// How a call went, with the exchange that it carried.
pub(crate) type Called = (Exchange, Result<Begun, Stopped>);

/// A call on its way to its first content. Dropping it cancels it, unless its key asks for a drain.
pub(crate) struct Calling {
    /// Taken when it is done or drained.
    run: Option<Pin<Box<dyn Future<Output = Called>>>>,
    leave: Option<Rc<Leave>>,
}

/// Calls an upstream and answers with what it says.
pub(crate) async fn answer(exchange: Exchange, head: Box<Parts>, received: Received) -> Response<Outgoing> {
    let silence = exchange.worker.shared.settings.client.keep_alive_comment;
    // Only a stream has something to gain from an early commit: comments that keep it alive.
    let framing = received.call.framing;
    let late = received.call.stream.then(|| (exchange.started + silence, Stamp::of(&exchange)));
    let mut calling = Calling::begin(exchange, head, received);
    let Some((commit, stamp)) = late else {
        return answered(calling.await);
    };
    match timeout_at(commit, &mut calling).await {
        Ok(called) => answered(called),
        Err(_) => relay::commit(calling, &stamp, silence, framing),
    }
}

fn answered((exchange, result): Called) -> Response<Outgoing> {
    match result {
        Ok(begun) => relay::begin(exchange, begun),
        Err(Stopped::Rejected(rejection)) => answer::refuse(exchange, &rejection),
        Err(Stopped::Passed(passed)) => relay::pass(exchange, passed),
        Err(Stopped::Kept(kept)) => relay::replay(exchange, &kept),
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
