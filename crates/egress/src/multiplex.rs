//! The connections that carry many requests at once, by target: which of them has room, who opens the
//! next one, and which targets turned out to speak HTTP/1.1 only.
//!
//! One request at a time opens a connection to a target; others that need one wait for it, because it
//! will most likely have room for them. It sends nothing.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use foldhash::HashMap;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::error::{Phase, SendError};
use crate::origin::Scheme;
use crate::shared::{Lease, Shared};
use crate::target::Target;
use crate::timers::{Deadline, after};

/// What is known of each target that may speak HTTP/2.
pub(crate) struct Multiplex {
    hosts: RefCell<HashMap<Target, Host>>,
    most: usize,
}

struct Host {
    connections: Vec<Rc<Shared>>,
    opening: Option<Rc<Opening>>,
    /// Its last connection spoke HTTP/1.1.
    alone: bool,
    /// Until when that is remembered, unless it is used again.
    until: Cell<Instant>,
}

impl Host {
    fn unknown(now: Instant) -> Self {
        Self { connections: Vec::new(), opening: None, alone: false, until: Cell::new(now) }
    }
}

/// A connection that is being opened.
#[derive(Default)]
struct Opening {
    over: Notify,
    failure: RefCell<Option<SendError>>,
}

/// How a request gets to its target.
pub(crate) enum Way<'a> {
    /// On a connection that is open.
    Shared(Lease),
    /// On a connection of its own.
    Alone,
    /// It is the one who opens the next connection.
    Open(Opener<'a>),
}

/// The right to open a connection. Dropped unused, it passes to the next one who waits.
pub(crate) struct Opener<'a> {
    multiplex: &'a Multiplex,
    target: &'a Target,
    opening: Rc<Opening>,
}

impl Multiplex {
    /// Nothing is known yet, and never of more than `most` targets.
    pub(crate) fn at_most(most: usize) -> Self {
        Self { hosts: RefCell::default(), most }
    }

    /// Whether requests to `target` may share a connection, as far as is known.
    pub(crate) fn concerns(&self, target: &Target, now: Instant, keep_alive: Duration) -> bool {
        match target.origin.scheme() {
            Scheme::Http | Scheme::Demo => false,
            Scheme::H2c => true,
            Scheme::Https => {
                let hosts = self.hosts.borrow();
                let alone = hosts.get(target).filter(|host| host.alone);
                if let Some(host) = alone {
                    host.until.set(after(now, keep_alive));
                }
                alone.is_none()
            }
        }
    }

    /// The way to `target`, once there is one.
    pub(crate) async fn way<'a>(
        &'a self,
        target: &'a Target,
        keep_alive: Duration,
        total: Deadline,
    ) -> Result<Way<'a>, SendError> {
        loop {
            let opening = match self.look(target, keep_alive) {
                Ok(way) => return Ok(way),
                Err(opening) => opening,
            };
            let over = opening.over.notified();
            timeout_at(total.at, over)
                .await
                .map_err(|_| SendError::timed_out(Phase::Connect, total.timer))?;
            // What failed for the one who tried fails for those who waited with it: trying in turn would
            // make the last of them wait for all.
            if let Some(error) = opening.failure.borrow().clone() {
                return Err(error);
            }
        }
    }

    fn look<'a>(&'a self, target: &'a Target, keep_alive: Duration) -> Result<Way<'a>, Rc<Opening>> {
        let now = Instant::now();
        let mut hosts = self.hosts.borrow_mut();
        if !hosts.contains_key(target) {
            make_room(&mut hosts, self.most);
            hosts.insert(target.clone(), Host::unknown(now));
        }
        let host = hosts.get_mut(target).expect("it was put there if it was missing");
        host.until.set(after(now, keep_alive));
        if host.alone {
            return Ok(Way::Alone);
        }
        host.connections.retain(|shared| !shared.is_spent(now));
        if let Some(lease) = host.connections.iter().find_map(|shared| shared.lease(now, keep_alive)) {
            return Ok(Way::Shared(lease));
        }
        if let Some(opening) = &host.opening {
            return Err(Rc::clone(opening));
        }
        let opening = Rc::new(Opening::default());
        host.opening = Some(Rc::clone(&opening));
        Ok(Way::Open(Opener { multiplex: self, target, opening }))
    }

    /// Keeps a connection for further requests; gives the first place on it.
    pub(crate) fn keep(&self, target: &Target, shared: &Rc<Shared>, keep_alive: Duration) -> Lease {
        let now = Instant::now();
        let mut hosts = self.hosts.borrow_mut();
        if !hosts.contains_key(target) {
            make_room(&mut hosts, self.most);
        }
        let host = hosts.entry(target.clone()).or_insert_with(|| Host::unknown(now));
        host.until.set(after(now, keep_alive));
        host.alone = false;
        host.connections.push(Rc::clone(shared));
        shared.first_lease(keep_alive)
    }

    /// Drops the connections that take no further request or lay idle for too long.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        self.hosts.borrow_mut().retain(|_, host| {
            host.connections.retain(|shared| !shared.is_spent(now) && !shared.is_idle(now));
            let known = host.alone && host.until.get() > now;
            known || host.opening.is_some() || !host.connections.is_empty()
        });
    }

    /// How many targets are remembered.
    #[cfg(test)]
    pub(crate) fn targets(&self) -> usize {
        self.hosts.borrow().len()
    }

    /// How many connections are open.
    pub(crate) fn len(&self) -> usize {
        self.hosts.borrow().values().map(|host| host.connections.len()).sum()
    }
}

/// Forgets the target that was not used for longest where as many are remembered as may be: requests under way
/// keep their connections, and what is forgotten is found out anew. One to which a connection is being opened
/// stays, for others wait for it; there are no more of those than requests.
fn make_room(hosts: &mut HashMap<Target, Host>, most: usize) {
    if hosts.len() < most {
        return;
    }
    let settled = hosts.iter().filter(|(_, host)| host.opening.is_none());
    let oldest = settled.min_by_key(|(_, host)| host.until.get()).map(|(target, _)| target.clone());
    if let Some(target) = oldest {
        hosts.remove(&target);
    }
}

impl Opener<'_> {
    /// The connection speaks HTTP/2.
    pub(crate) fn opened(self, shared: &Rc<Shared>, keep_alive: Duration) -> Lease {
        self.multiplex.keep(self.target, shared, keep_alive)
    }

    /// The connection speaks HTTP/1.1, and so will others.
    pub(crate) fn found_alone(self) {
        if let Some(host) = self.multiplex.hosts.borrow_mut().get_mut(self.target) {
            host.alone = true;
        }
    }

    /// There is no connection; those who wait are told.
    pub(crate) fn failed(self, error: SendError) -> SendError {
        *self.opening.failure.borrow_mut() = Some(error.clone());
        error
    }
}

impl Drop for Opener<'_> {
    fn drop(&mut self) {
        if let Some(host) = self.multiplex.hosts.borrow_mut().get_mut(self.target) {
            host.opening = None;
        }
        self.opening.over.notify_waiters();
    }
}
