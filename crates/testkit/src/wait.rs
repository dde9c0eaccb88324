//! Bounded waiting for something that another process or task does.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

/// How long a test waits for anything before it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How often a condition is looked at again.
const STEP: Duration = Duration::from_millis(10);

/// Looks at `condition` until it gives something, for at most `limit`.
///
/// # Errors
/// When the limit passes first; `what` names the thing waited for.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = condition().await? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("waited {limit:?} in vain for {what}");
        }
        tokio::time::sleep(STEP).await;
    }
}

/// Lets time pass, for a test that plays a slow peer or pulls the plug at a random moment. Never a way to
/// wait for something: that is [`until`].
pub async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}
