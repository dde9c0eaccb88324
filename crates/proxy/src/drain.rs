//! Reads the rest of an answer whose caller has left, so that the upstream's own figures are billed:
//! only for keys that ask for it, for a bounded time, and never many at once.
//!
//! A drain that is cut short, or finds no place, is a cancelled call: what was produced is settled.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use model::resource::terms::OnDisconnect;
use tokio::time::timeout;

use crate::calling::Called;
use crate::exchange::{Ending, Exchange};
use crate::relay::Relay;
use crate::worker::Worker;

/// Drains at one time on one worker; further callers who leave cancel their calls. Each holds an upstream
/// connection and a place at its account for nobody's benefit but the bill's.
const MAX_DRAINS: usize = 64;

/// The longest drain, whatever the key says: callers who leave must not occupy an account for an hour.
const MAX_TIME: Duration = Duration::from_secs(600);

/// The drains that run on one worker.
#[derive(Clone, Default)]
pub(crate) struct Drains(Rc<Cell<usize>>);

/// A place among a worker's drains; given back when dropped.
struct Place(Drains);

impl Drains {
    /// How many run.
    pub fn running(&self) -> usize {
        self.0.get()
    }

    fn enter(&self) -> Option<Place> {
        let running = self.running();
        if running >= MAX_DRAINS {
            return None;
        }
        self.0.set(running + 1);
        Some(Place(self.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let running = &self.0.0;
        running.set(running.get().saturating_sub(1));
    }
}

/// What a call and whoever drops it know of each other, for keys that ask for a drain.
pub(crate) struct Leave {
    worker: Rc<Worker>,
    time: Duration,
    /// Whether an upstream has the request at this moment.
    sent: Cell<bool>,
    /// Whether the caller has left.
    left: Cell<bool>,
}

/// What is left of a call.
pub(crate) enum Drain {
    /// Its first content has not come.
    Calling(Pin<Box<dyn Future<Output = Called>>>),
    /// Its answer was being relayed.
    Relaying(Box<Relay>),
}

impl Leave {
    /// `None` for keys whose calls are cancelled.
    pub fn of(exchange: &Exchange) -> Option<Rc<Self>> {
        let OnDisconnect::Drain { seconds } = exchange.key.as_ref()?.key.terms.on_disconnect else {
            return None;
        };
        let time = Duration::from_secs(seconds.into()).min(MAX_TIME);
        let worker = Rc::clone(&exchange.worker);
        Some(Rc::new(Self { worker, time, sent: Cell::new(false), left: Cell::new(false) }))
    }

    /// Notes whether an upstream has the request now.
    pub fn note_sent(&self, sent: bool) {
        self.sent.set(sent);
    }

    /// Whether the caller has left: then nothing new is begun.
    pub fn caller_left(&self) -> bool {
        self.left.get()
    }

    /// Whether there is an upstream whose answer could be read to its end.
    pub fn is_worth_draining(&self) -> bool {
        self.sent.get()
    }

    /// Goes on reading beside the worker's connections; without a place for it, cancels.
    pub fn hand_over(&self, drain: Drain) {
        self.left.set(true);
        if let Some(place) = self.worker.drains.enter() {
            let time = self.time;
            tokio::task::spawn_local(async move {
                let _place = place;
                // What is dropped at the end of the time settles itself: its caller has left.
                let _ = timeout(time, finish(drain)).await;
            });
        }
    }
}

async fn finish(drain: Drain) {
    let mut relay = match drain {
        Drain::Relaying(relay) => relay,
        Drain::Calling(run) => match run.await {
            (exchange, Ok(begun)) => Box::new(Relay::unheard(exchange, begun)),
            (exchange, Err(_)) => return exchange.finish(&Ending::ClientGone),
        },
    };
    while let Some(Ok(_)) = poll_fn(|cx| relay.poll_bytes(cx)).await {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_64_drains_run_at_once_and_each_gives_its_place_back() {
        let drains = Drains::default();
        let mut places: Vec<Place> = std::iter::from_fn(|| drains.enter()).take(1_000).collect();
        assert_eq!(places.len(), MAX_DRAINS);
        places.pop();
        assert!(drains.enter().is_some());
        assert!(drains.enter().is_some(), "the place of a drain that has ended is free again");
        drop(places);
        assert_eq!(drains.running(), 0);
    }
}
