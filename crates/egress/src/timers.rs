//! The timers of a call, and an alarm that is cheap to move.
//!
//! Every duration is named by the caller; there is no `Default`, so that none is forgotten.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// How far a timer beyond the clock's range is pushed: a year, which is "never" here.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long each part of a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Looking up the host and opening the connection, together.
    pub connect: Duration,
    /// The TLS handshake.
    pub tls: Duration,
    /// From sending the request to the head of the answer.
    pub first_byte: Duration,
    /// Between two frames of the answer.
    pub idle: Duration,
    /// The whole call, from `send` to the end of the answer.
    pub total: Duration,
    /// Writing without the upstream taking a byte.
    pub write: Duration,
    /// How long a connection may lie idle before it is closed.
    pub keep_alive: Duration,
}

impl Timers {
    /// The product's own numbers: connect 5 s, TLS 5 s, first byte 300 s, idle 180 s, total
    /// 3,600 s, write 30 s, keep-alive 60 s.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            connect: Duration::from_secs(5),
            tls: Duration::from_secs(5),
            first_byte: Duration::from_secs(300),
            idle: Duration::from_secs(180),
            total: Duration::from_secs(3600),
            write: Duration::from_secs(30),
            keep_alive: Duration::from_secs(60),
        }
    }
}

/// `from` plus `duration`, without overflow.
pub(crate) fn after(from: Instant, duration: Duration) -> Instant {
    from.checked_add(duration).unwrap_or_else(|| from + NEVER)
}

/// A point in time that ends something, and the name of the timer that set it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    pub(crate) timer: &'static str,
}

impl Deadline {
    pub(crate) fn new(timer: &'static str, from: Instant, duration: Duration) -> Self {
        Self { at: after(from, duration), timer }
    }

    /// The earlier of the two.
    pub(crate) fn or(self, other: Self) -> Self {
        if other.at < self.at { other } else { self }
    }
}

/// One timer entry that serves every deadline of a connection's life. A deadline that moves later
/// costs nothing until the old one passes; only an earlier one touches the timer wheel.
pub(crate) struct Alarm {
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    pub(crate) fn new(first: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(first)) }
    }

    /// Ready once `deadline` has passed.
    pub(crate) fn poll_at(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        if deadline < self.sleep.deadline() {
            self.sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(self.poll_sleep(cx));
            if self.sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(deadline);
        }
    }

    /// From now on wakes whom `cx` names, instead of the task that asked last.
    pub(crate) fn forget(&mut self, cx: &mut Context<'_>) {
        let _ = self.poll_sleep(cx);
    }

    /// Outside tokio's cooperative budget: an upstream that floods us uses the budget up, and then
    /// a timer that obeys it would never fire.
    fn poll_sleep(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut tokio::task::unconstrained(self.sleep.as_mut())).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn fires_although_the_tasks_budget_is_used_up() {
        let start = Instant::now();
        let mut alarm = Alarm::new(start);
        tokio::time::advance(Duration::from_secs(1)).await;
        std::future::poll_fn(|cx| {
            while let Poll::Ready(spent) = tokio::task::coop::poll_proceed(cx) {
                spent.made_progress();
            }
            assert!(alarm.poll_at(cx, start).is_ready());
            Poll::Ready(())
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn follows_a_deadline_in_both_directions() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut alarm = Alarm::new(start + 50 * second);
        for deadline in [100, 120, 131] {
            std::future::poll_fn(|cx| alarm.poll_at(cx, start + deadline * second)).await;
            assert_eq!(start.elapsed(), deadline * second);
        }
        let later = Instant::now() + 500 * second;
        let polled = std::future::poll_fn(|cx| Poll::Ready(alarm.poll_at(cx, later).is_pending())).await;
        assert!(polled);
        std::future::poll_fn(|cx| alarm.poll_at(cx, later - 400 * second)).await;
        assert_eq!(start.elapsed().as_secs(), 231);
    }
}
