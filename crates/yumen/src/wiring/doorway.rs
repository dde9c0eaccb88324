//! The way into the control plane: how many requests may be in it, and how their bodies may arrive.
//!
//! Some of its paths ask for no credential, such as the sign-in. So what a caller can occupy is bounded before
//! anybody is asked who they are: a body may be as slow as one of a call to a model and no slower, and bodies that
//! are waited for have few places, of which one network gets a part. Health and metrics do not pass here: their
//! room is not taken from them.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use control::BodyRefused;
use http_body::{Body, Frame, SizeHint};
use model::{Code, Rejection};
use parking_lot::Mutex;
use proxy::Pace;
use state::capacity::RETRY_AFTER_S;
use state::signatures::Source;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep_until};

/// Requests in the control plane at one time. Each may hold a body of 1 MiB, all together what bodies of calls may.
const MOST_SERVED: usize = 1_024;
/// Bodies that are waited for at one time: an eighth of that,
const MOST_AWAITED: usize = 128;
/// and of one network a quarter of those, so that it takes four to keep everybody else from signing in.
const MOST_OF_A_NETWORK: usize = 32;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The way in. Clones are the same.
#[derive(Clone)]
pub struct Doorway {
    served: Arc<Semaphore>,
    awaited: Arc<Mutex<BTreeMap<Source, usize>>>,
    body_idle: Duration,
}

impl Doorway {
    /// Nobody is in; parts of a body may be `body_idle` apart.
    #[must_use]
    pub fn new(body_idle: Duration) -> Self {
        Self { served: Arc::new(Semaphore::new(MOST_SERVED)), awaited: Arc::default(), body_idle }
    }

    /// Lets a request in, which is in until what this gives is dropped.
    ///
    /// # Errors
    /// `OVERLOADED` when as many are in as may be.
    pub fn enter(&self) -> Result<OwnedSemaphorePermit, Rejection> {
        let message = "The control plane serves as many requests as it can.";
        Arc::clone(&self.served).try_acquire_owned().map_err(|_| overloaded(message))
    }

    /// The body of a request from `source`, within its time and room.
    pub fn body<B>(&self, body: B, source: Source) -> Arriving<B> {
        let (pace, doorway) = (Pace::new(self.body_idle), self.clone());
        Arriving { body, pace, bytes: 0, doorway, source, waiting: None }
    }

    fn wait(&self, source: Source) -> Result<Awaited, Rejection> {
        let mut awaited = self.awaited.lock();
        let all: usize = awaited.values().sum();
        let own = awaited.get(&source).copied().unwrap_or_default();
        if all >= MOST_AWAITED || own >= MOST_OF_A_NETWORK {
            return Err(overloaded(
                "As many request bodies are waited for as there is room for; send it whole.",
            ));
        }
        awaited.insert(source, own + 1);
        Ok(Awaited { awaited: Arc::clone(&self.awaited), source })
    }
}

fn overloaded(message: &'static str) -> Rejection {
    Rejection::because(Code::Overloaded, message).retry_after(RETRY_AFTER_S)
}

/// One of the bodies that are waited for.
struct Awaited {
    awaited: Arc<Mutex<BTreeMap<Source, usize>>>,
    source: Source,
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let mut awaited = self.awaited.lock();
        match awaited.get_mut(&self.source) {
            Some(others) if *others > 1 => *others -= 1,
            _ => drop(awaited.remove(&self.source)),
        }
    }
}

/// A body that is arriving.
pub struct Arriving<B> {
    body: B,
    pace: Pace,
    bytes: usize,
    doorway: Doorway,
    source: Source,
    /// The place among those that are waited for, kept until the body is whole or dropped; and until when the next
    /// part must come.
    waiting: Option<(Awaited, Option<Pin<Box<Sleep>>>)>,
}

impl<B> Arriving<B> {
    /// Why a part that is not there is not waited for any longer.
    fn patience(&mut self, cx: &mut Context<'_>) -> Poll<Rejection> {
        if self.waiting.is_none() {
            match self.doorway.wait(self.source) {
                Ok(awaited) => self.waiting = Some((awaited, None)),
                Err(rejection) => return Poll::Ready(rejection),
            }
        }
        let Some((_, alarm)) = &mut self.waiting else { return Poll::Pending };
        let alarm = alarm.get_or_insert_with(|| Box::pin(sleep_until(self.pace.deadline(self.bytes))));
        alarm.as_mut().poll(cx).map(|()| self.pace.too_slow(self.bytes))
    }
}

impl<B> Body for Arriving<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.bytes += frame.data_ref().map_or(0, Bytes::len);
                if let Some((_, alarm)) = &mut this.waiting {
                    *alarm = None;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(end) => {
                this.waiting = None;
                Poll::Ready(end.map(|result| result.map_err(Into::into)))
            }
            Poll::Pending => this.patience(cx).map(|rejection| Some(Err(BodyRefused(rejection).into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use http_body_util::{BodyExt as _, Full};
    use tokio::time::{Instant, sleep};

    const IDLE: Duration = Duration::from_secs(30);

    fn source(network: u8) -> Source {
        Source::of([192, 0, network, 7].into())
    }

    /// A body of parts that are so many seconds apart.
    struct Dripping {
        part: &'static [u8],
        apart: u64,
        next: Pin<Box<Sleep>>,
    }

    fn dripping(part: &'static [u8], apart: u64) -> Dripping {
        Dripping { part, apart, next: Box::pin(sleep(Duration::from_secs(apart))) }
    }

    impl Body for Dripping {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            let ready = self.next.as_mut().poll(cx);
            ready.map(|()| {
                self.next = Box::pin(sleep(Duration::from_secs(self.apart)));
                Some(Ok(Frame::data(Bytes::from_static(self.part))))
            })
        }
    }

    /// The refusal that ends a body, and after how many seconds.
    async fn refusal(body: Arriving<Dripping>) -> (Rejection, u64) {
        let began = Instant::now();
        let error = body.collect().await.err().unwrap();
        let BodyRefused(rejection) = *error.downcast::<BodyRefused>().unwrap();
        (rejection, began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_or_drips_is_ended() {
        let doorway = Doorway::new(IDLE);
        for (part, apart, ended_at) in [(&b"x"[..], 3_600, 30), (b"x", 10, 30), (&[b'x'; 256], 25, 31)] {
            let (rejection, after) = refusal(doorway.body(dripping(part, apart), source(1))).await;
            assert_eq!((rejection.code, after), (Code::InvalidRequest, ended_at), "{rejection:?}");
            assert!(doorway.awaited.lock().is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_takes_its_part_of_the_places_and_gives_them_back() {
        let doorway = Doorway::new(IDLE);
        let slow = |network| refusal(doorway.body(dripping(b"x", 3_600), source(network)));
        let mut waiting = tokio::task::JoinSet::new();
        for network in [1, 2, 3] {
            for _ in 0..MOST_OF_A_NETWORK {
                waiting.spawn(slow(network));
            }
        }
        tokio::task::yield_now().await;
        let (refused, after) = slow(1).await;
        assert_eq!((refused.code, refused.retry_after, after), (Code::Overloaded, Some(RETRY_AFTER_S), 0));
        // What is there as a whole is not waited for, and takes no place.
        let whole = doorway.body(Full::new(Bytes::from_static(b"{}")), source(1));
        assert_eq!(whole.collect().await.unwrap().to_bytes(), "{}");
        assert_eq!(slow(4).await.0.code, Code::InvalidRequest);
        while waiting.join_next().await.is_some() {}
        assert!(doorway.awaited.lock().is_empty());
    }

    #[test]
    fn as_many_as_may_be_are_let_in() {
        let doorway = Doorway::new(IDLE);
        let inside: Vec<_> = (0..MOST_SERVED).map(|_| doorway.enter().unwrap()).collect();
        assert_eq!(doorway.enter().unwrap_err().code, Code::Overloaded);
        drop(inside);
        drop(doorway.enter().unwrap());
    }
}
