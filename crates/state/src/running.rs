//! Requests that may be cancelled by their id from another connection, with whoever began them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use model::{RequestId, TraceId};
use parking_lot::Mutex;

use crate::shards::Shards;

/// The requests that run; bounded by the requests in flight. Each is known by its own id, and by the trace
/// id of its caller where that is another: the only one that a caller who still waits knows.
#[derive(Debug, Default)]
pub struct Running(Shards<TraceId, Entry>);

#[derive(Debug)]
struct Entry {
    owner: Arc<str>,
    state: Arc<Mutex<State>>,
}

/// Whether a request is to be cancelled, and who waits for that.
#[derive(Debug, Default)]
struct State {
    ordered: bool,
    waker: Option<Waker>,
}

impl Running {
    /// Nothing runs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets a request of `owner` be cancelled until the order is dropped. Of several with one trace id, the
    /// last is meant by it.
    #[must_use]
    pub fn enter(self: &Arc<Self>, id: RequestId, trace: TraceId, owner: &Arc<str>) -> Order {
        let (state, names): (Arc<Mutex<State>>, _) = (Arc::default(), [id.into(), trace]);
        for name in names {
            self.0.of(&name).insert(name, Entry { owner: Arc::clone(owner), state: Arc::clone(&state) });
        }
        Order { running: Arc::clone(self), names, state }
    }

    /// Cancels a request by its id or its trace id; `false` when none of that id runs, or it is somebody
    /// else's. `None` may cancel everybody's.
    #[must_use]
    pub fn cancel(&self, name: &TraceId, by: Option<&str>) -> bool {
        let mut shard = self.0.of(name);
        let may = |entry: &Entry| by.is_none_or(|by| *entry.owner == *by);
        if !shard.get(name).is_some_and(may) {
            return false;
        }
        let Some(entry) = shard.remove(name) else {
            return false;
        };
        drop(shard);
        let mut state = entry.state.lock();
        if state.ordered {
            return false;
        }
        state.ordered = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        true
    }
}

/// Resolves when the request is to be cancelled, and never otherwise.
#[derive(Debug)]
pub struct Order {
    running: Arc<Running>,
    names: [TraceId; 2],
    state: Arc<Mutex<State>>,
}

impl Future for Order {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.ordered {
            return Poll::Ready(());
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Order {
    fn drop(&mut self) {
        for name in self.names {
            let mut shard = self.running.0.of(&name);
            // Another request of the same trace may have taken its place.
            if shard.get(&name).is_some_and(|entry| Arc::ptr_eq(&entry.state, &self.state)) {
                shard.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(order: &mut Order) -> Poll<()> {
        Pin::new(order).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn its_owner_cancels_a_request_once_and_nobody_else() {
        let (running, owner) = (Arc::new(Running::new()), Arc::from("key:a"));
        let id = RequestId::mint(1, [1; 10]);
        let mut order = running.enter(id, id.into(), &owner);
        assert!(!running.cancel(&id.into(), Some("key:b")));
        assert_eq!(poll(&mut order), Poll::Pending);
        assert!(running.cancel(&id.into(), Some("key:a")));
        assert_eq!(poll(&mut order), Poll::Ready(()));
        assert!(!running.cancel(&id.into(), Some("key:a")));
    }

    #[test]
    fn a_trace_means_the_last_of_its_requests() {
        let (running, owner) = (Arc::new(Running::new()), Arc::from("key:a"));
        let [trace, one, two] = [1, 2, 3].map(|n| RequestId::mint(n, [1; 10]));
        let mut first = running.enter(one, trace.into(), &owner);
        let mut second = running.enter(two, trace.into(), &owner);
        assert!(running.cancel(&trace.into(), None));
        assert_eq!((poll(&mut first), poll(&mut second)), (Poll::Pending, Poll::Ready(())));
        drop(second);
        assert!(running.cancel(&one.into(), None));
        assert_eq!(poll(&mut first), Poll::Ready(()));
    }

    #[test]
    fn what_has_ended_cannot_be_cancelled() {
        let (running, owner) = (Arc::new(Running::new()), Arc::from("key:a"));
        let id = RequestId::mint(1, [1; 10]);
        drop(running.enter(id, RequestId::mint(2, [1; 10]).into(), &owner));
        assert!(!running.cancel(&id.into(), None));
        assert_eq!(running.0.each().map(|shard| shard.len()).sum::<usize>(), 0);
    }
}
