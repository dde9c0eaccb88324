//! Sends requests and keeps the connections that can be used again.
//!
//! One pool per worker, never shared between threads. It follows no redirect, adds no credential
//! and retries only what it can prove the upstream has never seen.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Response};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::address::{Class, Denied};
use crate::answer::Answer;
use crate::connect::Egress;
use crate::error::SendError;
use crate::idle::IdleLinks;
use crate::link::{Failure, Link, Outgoing};
use crate::multiplex::{Multiplex, Way};
use crate::origin::Scheme;
use crate::shared::{Failure as Undone, Lease, Shared};
use crate::target::Target;
use crate::timers::{Deadline, Timers};
use crate::wire::Stream;

/// Idle connections, and targets that are remembered, of those that operators configure: each may have 64
/// connections, and more than a thousand accounts are no rarity.
const MOST_CONFIGURED: usize = 4_096;
/// The same of those that callers name: there is no end of hosts that they could name, and few of them are
/// asked twice.
const MOST_NAMED: usize = 64;

/// A worker's way out.
pub struct Pool {
    egress: Arc<Egress>,
    configured: Kept,
    named: Kept,
}

/// What is kept for further requests.
struct Kept {
    multiplex: Multiplex,
    idle: IdleLinks,
}

impl Kept {
    fn at_most(most: usize) -> Self {
        Self { multiplex: Multiplex::at_most(most), idle: IdleLinks::at_most(most) }
    }
}

/// What a request is sent by: where to, and how long each part may take.
#[derive(Clone, Copy)]
struct Errand<'a> {
    target: &'a Target,
    timers: &'a Timers,
    total: Deadline,
}

impl Pool {
    /// An empty pool that opens its connections through `egress`.
    #[must_use]
    pub fn new(egress: Arc<Egress>) -> Rc<Self> {
        let (configured, named) = (Kept::at_most(MOST_CONFIGURED), Kept::at_most(MOST_NAMED));
        Rc::new(Self { egress, configured, named })
    }

    /// What is kept for targets of `class`: what callers name never displaces what operators configure.
    fn kept(&self, class: Class) -> &Kept {
        if class == Class::Media { &self.named } else { &self.configured }
    }

    /// Sends `request` to `target` and waits for the head of the answer. The request's URI is in
    /// origin-form or names the target's own origin; `Host`, `Content-Length` and
    /// `Transfer-Encoding` are set here. Any status is an answer, redirects included.
    ///
    /// # Errors
    /// `SendError` says how far the request came, whether the upstream may have seen any of it,
    /// and which timer ended it.
    pub async fn send(
        self: &Rc<Self>,
        target: &Target,
        request: impl Into<Box<Outgoing>>,
        timers: &Timers,
    ) -> Result<Response<Answer>, SendError> {
        let now = Instant::now();
        let total = Deadline::new("total", now, timers.total);
        let mut request = request.into();
        check(target, &request)?;
        let errand = Errand { target, timers, total };
        let kept = self.kept(target.class);
        if kept.multiplex.concerns(target, now, timers.keep_alive) {
            return Box::pin(self.send_shared(errand, request)).await;
        }
        while let Some(mut link) = kept.idle.take(target, now) {
            match link.exchange(request, timers, total).await {
                Ok(response) => {
                    return Ok(self.answer(link, response, errand).map(Answer::mark_reused));
                }
                Err(Failure::Unbegun(returned, _)) => request = returned,
                Err(Failure::Failed(error)) => return Err(error),
            }
        }
        // Boxed: opening is rare, and its state would otherwise widen every request's task.
        Box::pin(self.send_anew(errand, request)).await
    }

    /// Sends over a new connection, which turns out to be one of HTTP/1.1 or of HTTP/2.
    async fn send_anew(
        self: &Rc<Self>,
        errand: Errand<'_>,
        request: Box<Outgoing>,
    ) -> Result<Response<Answer>, SendError> {
        let stream = self.egress.open(errand.target, errand.timers, errand.total).await?;
        if stream.has_negotiated_http2() {
            let shared = Shared::open(stream).await?;
            let multiplex = &self.kept(errand.target.class).multiplex;
            let lease = multiplex.keep(errand.target, &shared, errand.timers.keep_alive);
            return self.send_first(lease, errand, &request).await;
        }
        self.send_alone(stream, errand, request).await
    }

    async fn send_alone(
        self: &Rc<Self>,
        stream: Stream,
        errand: Errand<'_>,
        request: Box<Outgoing>,
    ) -> Result<Response<Answer>, SendError> {
        let mut link = Link::new(stream, errand.target, errand.total);
        match link.exchange(request, errand.timers, errand.total).await {
            Ok(response) => Ok(self.answer(link, response, errand)),
            Err(Failure::Unbegun(_, error) | Failure::Failed(error)) => Err(error),
        }
    }

    /// Sends over a connection that others may share, opening one if none has room.
    async fn send_shared(
        self: &Rc<Self>,
        errand: Errand<'_>,
        request: Box<Outgoing>,
    ) -> Result<Response<Answer>, SendError> {
        let Errand { target, timers, total } = errand;
        let multiplex = &self.kept(target.class).multiplex;
        loop {
            let opener = match multiplex.way(target, timers.keep_alive, total).await? {
                Way::Shared(lease) => match lease.exchange(target, &request, timers, total).await {
                    Ok(response) => return Ok(self.shared_answer(lease, response, errand)),
                    Err(Undone::Closing(_)) => continue,
                    Err(Undone::Failed(error)) => return Err(error),
                },
                Way::Alone => return self.send_anew(errand, request).await,
                Way::Open(opener) => opener,
            };
            let stream = match self.egress.open(target, timers, total).await {
                Ok(stream) => stream,
                Err(error) => return Err(opener.failed(error)),
            };
            if target.origin.scheme() == Scheme::Https && !stream.has_negotiated_http2() {
                opener.found_alone();
                return self.send_alone(stream, errand, request).await;
            }
            let lease = match Shared::open(stream).await {
                Ok(shared) => opener.opened(&shared, timers.keep_alive),
                Err(error) => return Err(opener.failed(error)),
            };
            return self.send_first(lease, errand, &request).await;
        }
    }

    /// Sends as the first on a new connection of HTTP/2.
    async fn send_first(
        self: &Rc<Self>,
        lease: Lease,
        errand: Errand<'_>,
        request: &Outgoing,
    ) -> Result<Response<Answer>, SendError> {
        match lease.exchange(errand.target, request, errand.timers, errand.total).await {
            Ok(response) => Ok(self.shared_answer(lease, response, errand)),
            Err(Undone::Closing(error) | Undone::Failed(error)) => Err(error),
        }
    }

    fn answer(
        self: &Rc<Self>,
        link: Box<Link>,
        response: Response<()>,
        errand: Errand<'_>,
    ) -> Response<Answer> {
        response.map(|()| Answer::new(Rc::clone(self), link, errand.timers, errand.total))
    }

    fn shared_answer(
        self: &Rc<Self>,
        lease: Lease,
        response: Response<Incoming>,
        errand: Errand<'_>,
    ) -> Response<Answer> {
        response.map(|body| Answer::shared(Rc::clone(self), lease, body, errand.timers, errand.total))
    }

    /// How many connections are open that requests share.
    #[must_use]
    pub fn shared(&self) -> usize {
        self.configured.multiplex.len() + self.named.multiplex.len()
    }

    /// How many connections lie idle.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.configured.idle.len() + self.named.idle.len()
    }

    /// Closes the connections that were idle for too long or were closed by the upstream. They
    /// are never used again in any case; this gives their sockets and memory back.
    pub fn sweep(&self) {
        for kept in [&self.configured, &self.named] {
            kept.multiplex.sweep();
            kept.idle.sweep();
        }
    }

    /// Keeps `link` for the next request unless it is closed, busy or old, or too many are kept already.
    pub(crate) fn put(&self, link: Box<Link>, now: Instant, keep_alive: Duration) {
        self.kept(link.target.class).idle.put(link, now, keep_alive);
    }

    /// How many targets are remembered, with whatever is known of them.
    #[cfg(test)]
    pub(crate) fn targets(&self) -> usize {
        let kept = [&self.configured, &self.named];
        kept.iter().map(|kept| kept.multiplex.targets() + kept.idle.targets()).sum()
    }
}

/// Whether `request` may leave for `target`.
fn check(target: &Target, request: &Outgoing) -> Result<(), SendError> {
    if !target.origin.covers(request.uri()) {
        return Err(Denied::new(target.class, "the request names another origin than its target").into());
    }
    if request.method() == Method::CONNECT {
        return Err(Denied::new(target.class, "CONNECT is not sent").into());
    }
    Ok(())
}
