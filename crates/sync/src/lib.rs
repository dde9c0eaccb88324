//! Configuration on the move: from the control plane to the data planes.
//!
//! The two planes meet only here. Inside one process the newest revision is handed over through a
//! watch: a slow reader skips revisions and never sees half of one.
#![forbid(unsafe_code)]

use std::sync::Arc;

use model::resource::Configuration;
use tokio::sync::watch;

/// The sending side, held by the control plane.
pub struct Publisher(watch::Sender<Arc<Configuration>>);

/// The receiving side, held by the data plane.
#[derive(Clone)]
pub struct Subscriber(watch::Receiver<Arc<Configuration>>);

/// A publisher and its subscriber, starting with `first`.
#[must_use]
pub fn local(first: Arc<Configuration>) -> (Publisher, Subscriber) {
    let (sender, receiver) = watch::channel(first);
    (Publisher(sender), Subscriber(receiver))
}

impl Publisher {
    /// Replaces the newest revision. An older revision than the present one is ignored, so that two
    /// loads that overlap cannot bring back what was changed.
    pub fn publish(&self, configuration: Arc<Configuration>) {
        self.0.send_if_modified(|current| {
            let newer = configuration.revision > current.revision;
            if newer {
                *current = configuration;
            }
            newer
        });
    }
}

impl Subscriber {
    /// The newest revision.
    #[must_use]
    pub fn current(&self) -> Arc<Configuration> {
        Arc::clone(&self.0.borrow())
    }

    /// Waits for a revision newer than the last one seen; `None` when the publisher is gone.
    pub async fn next(&mut self) -> Option<Arc<Configuration>> {
        self.0.changed().await.ok()?;
        Some(Arc::clone(&self.0.borrow_and_update()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(revision: u64) -> Arc<Configuration> {
        Arc::new(Configuration { revision, ..Configuration::default() })
    }

    #[tokio::test]
    async fn hands_over_the_newest_and_ignores_older_revisions() {
        let (publisher, mut subscriber) = local(revision(1));
        publisher.publish(revision(3));
        publisher.publish(revision(2));
        assert_eq!(subscriber.next().await.map(|c| c.revision), Some(3));
        assert_eq!(subscriber.current().revision, 3);
        drop(publisher);
        assert!(subscriber.next().await.is_none());
    }
}
