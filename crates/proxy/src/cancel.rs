//! Cancelling a request by its id: its order is looked at wherever the request waits.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use model::{Code, Rejection, RequestId};
use state::running::Order;
use tokio::time::{Instant, sleep_until};

use crate::channel::Channel;
use crate::exchange::Exchange;

/// The order to cancel a request, once it comes.
pub(crate) struct Cancel {
    order: Order,
    ordered: bool,
}

impl Cancel {
    /// Of a request on the internal channel; others cannot be cancelled from elsewhere.
    pub fn of(exchange: &Exchange) -> Option<Self> {
        if exchange.channel != Channel::Internal {
            return None;
        }
        let order = exchange.worker.shared.running.enter(
            exchange.request_id(),
            exchange.record.trace_id,
            &owner(exchange),
        );
        Some(Self { order, ordered: false })
    }

    /// Whether the order has come.
    pub fn is_ordered(&self) -> bool {
        self.ordered
    }

    /// Whether the order has come by now; else the task is woken when it comes.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        self.ordered = self.ordered || Pin::new(&mut self.order).poll(cx).is_ready();
        self.ordered
    }

    /// What `work` comes to, unless the order or `deadline` comes first.
    pub async fn or<F: Future + Unpin>(
        &mut self,
        deadline: Option<Instant>,
        work: &mut F,
    ) -> Option<F::Output> {
        let mut alarm = pin!(deadline.map(sleep_until));
        poll_fn(|cx| {
            if self.poll(cx) {
                return Poll::Ready(None);
            }
            if let Poll::Ready(done) = Pin::new(&mut *work).poll(cx) {
                return Poll::Ready(Some(done));
            }
            match alarm.as_mut().as_pin_mut() {
                Some(alarm) => alarm.poll(cx).map(|()| None),
                None => Poll::Pending,
            }
        })
        .await
    }
}

/// Cancels another request of the caller, by its id or its trace id; of anybody, for the administrator.
///
/// # Errors
/// `NOT_FOUND` when the caller has no request of that id that runs.
pub(crate) fn cancel(exchange: &Exchange, id: &str) -> Result<(), Rejection> {
    let unknown = || Rejection::because(Code::NotFound, "No request of yours with this id is running.");
    let id = RequestId::parse(id).ok_or_else(unknown)?;
    let owner = owner(exchange);
    let by = (*owner != *ADMINISTRATOR).then_some(&*owner);
    if exchange.worker.shared.running.cancel(&id.into(), by) { Ok(()) } else { Err(unknown()) }
}

/// What the record and the caller are told of a request that was cancelled.
pub(crate) fn rejection() -> Rejection {
    Rejection::because(Code::ClientClosed, "The request was cancelled.")
}

const ADMINISTRATOR: &str = "administrator";

/// Whose request it is.
fn owner(exchange: &Exchange) -> Arc<str> {
    match (&exchange.record.key_id, &exchange.record.user_id) {
        (Some(key), _) => format!("key:{key}").into(),
        (None, Some(user)) => format!("user:{user}").into(),
        (None, None) => ADMINISTRATOR.into(),
    }
}
