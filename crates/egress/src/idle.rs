//! The connections of HTTP/1.1 that wait for their next request, by target.
//!
//! Both for one target and for all together there is a most; it opens nothing.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use foldhash::HashMap;
use tokio::time::Instant;

use crate::link::Link;
use crate::target::Target;
use crate::timers::after;

/// Idle connections kept per target; beyond it the one idle longest is closed.
const MAX_OF_TARGET: usize = 64;
/// A connection older than this is not used again, so that a change in DNS takes effect on busy
/// targets too.
const MAX_AGE: Duration = Duration::from_secs(300);

/// Connections that wait.
pub(crate) struct IdleLinks {
    links: RefCell<HashMap<Target, Vec<Idle>>>,
    count: Cell<usize>,
    most: usize,
}

/// A connection that waits for its next request.
struct Idle {
    link: Box<Link>,
    until: Instant,
}

impl IdleLinks {
    /// None yet, and never more than `most`.
    pub fn at_most(most: usize) -> Self {
        Self { links: RefCell::default(), count: Cell::new(0), most }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count.get()
    }

    /// The connection used last; those expired are dropped. Whether the upstream has closed it shows when
    /// a request is put on it: then it hands the request back.
    pub fn take(&self, target: &Target, now: Instant) -> Option<Box<Link>> {
        let mut links = self.links.borrow_mut();
        let entries = links.get_mut(target)?;
        while let Some(entry) = entries.pop() {
            self.count.set(self.count.get() - 1);
            if entry.until > now {
                return Some(entry.link);
            }
        }
        None
    }

    /// Keeps `link` for the next request unless it is closed, busy or old, or as many are kept as may be.
    pub fn put(&self, mut link: Box<Link>, now: Instant, keep_alive: Duration) {
        let old = after(link.opened, MAX_AGE);
        if old <= now || !link.is_idle() || self.count.get() >= self.most {
            return;
        }
        let until = after(now, keep_alive).min(old);
        let mut links = self.links.borrow_mut();
        if !links.contains_key(&link.target) {
            if links.len() >= self.most {
                links.retain(|_, entries| !entries.is_empty());
            }
            links.insert(link.target.clone(), Vec::new());
        }
        let entries = links.get_mut(&link.target).expect("it was put there if it was missing");
        let before = entries.len();
        if entries.first().is_some_and(|oldest| oldest.until <= now) {
            entries.retain(|entry| entry.until > now);
        }
        if entries.len() >= MAX_OF_TARGET {
            entries.remove(0);
        }
        entries.push(Idle { link, until });
        self.count.set(self.count.get() + entries.len() - before);
    }

    /// Closes those that were idle for too long or were closed by the upstream.
    pub fn sweep(&self) {
        let now = Instant::now();
        let mut links = self.links.borrow_mut();
        links.retain(|_, entries| {
            entries.retain_mut(|entry| entry.until > now && entry.link.is_idle());
            !entries.is_empty()
        });
        self.count.set(links.values().map(Vec::len).sum());
    }

    /// How many targets are remembered.
    #[cfg(test)]
    pub fn targets(&self) -> usize {
        self.links.borrow().len()
    }
}
