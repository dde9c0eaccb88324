//! Carries every committed change to the data plane.
//!
//! Publishes once at the start, then whenever the store wakes it: loads what changed since the last
//! publication and publishes the whole. Changes that arrive while a load runs are covered by one further
//! load, so a burst of writes costs a handful of loads.

use std::sync::Arc;
use std::time::Duration;

use model::resource::Configuration;
use store::Store;
use telemetry::stream::CONFIGURATION;
use tokio::sync::watch;

/// Takes the newest configuration, such as `sync::Publisher::publish`.
pub type Publish = Arc<dyn Fn(Arc<Configuration>) + Send + Sync>;

/// Changes within this of the first one are published together.
const GATHER: Duration = Duration::from_millis(1);
/// Pause before a failed load is repeated; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Runs until `stop` turns true or the store is gone. `published` is what the data plane began with.
pub async fn run(
    store: Arc<Store>,
    mut published: Arc<Configuration>,
    publish: Publish,
    mut stop: watch::Receiver<bool>,
) {
    let mut changes = store.changes();
    // The first load covers what was committed before the line above.
    changes.mark_changed();
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
        tokio::time::sleep(GATHER).await;
        changes.mark_unchanged();
        tokio::select! {
            next = load(&store, &published) => {
                published = next;
                publish(Arc::clone(&published));
            }
            _ = stop.wait_for(|stopped| *stopped) => return,
        }
    }
}

/// The configuration after `published`, however often it must be tried.
async fn load(store: &Store, published: &Configuration) -> Arc<Configuration> {
    let mut pause = FIRST_PAUSE;
    loop {
        match store.configuration_after(published).await {
            Ok(configuration) => {
                tracing::debug!(target: CONFIGURATION, revision = configuration.revision, "configuration loaded");
                return Arc::new(configuration);
            }
            Err(error) => {
                tracing::error!(target: CONFIGURATION, cause = %error, "the configuration could not be loaded; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fixture;
    use serde_json::json;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn a_burst_of_changes_arrives_whole_and_the_job_ends_when_told() {
        let fixture = Fixture::empty().await;
        let (sender, mut published) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let publish: Publish = Arc::new(move |configuration| sender.send(configuration).unwrap());
        let job = tokio::spawn(run(Arc::clone(&fixture.state.store), Arc::default(), publish, stopped));
        tokio::task::yield_now().await;
        for n in 0..5 {
            fixture.created("/api/v1/admin/api-keys", json!({"name": format!("k{n}")})).await;
        }
        let mut loads = 0;
        loop {
            let configuration = published.recv().await.unwrap();
            loads += 1;
            if configuration.keys.len() == 5 {
                break;
            }
        }
        assert!(loads <= 6, "one for the start, at most one per change: {loads}");
        stop.send(true).unwrap();
        job.await.unwrap();
    }
}
