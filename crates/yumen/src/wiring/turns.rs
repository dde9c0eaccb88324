//! What brings a log to the disk every second, whatever log it is.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// How often the disk is brought what was written. A power cut takes no more than this.
const TURN: Duration = Duration::from_secs(1);

/// Does `keep` every second until the process stops, and once more then. `report` is told after each turn
/// what is wrong with `log`, and the operators when that changes.
pub async fn keep(
    log: &'static str,
    keep: impl Fn() -> io::Result<()> + Send + Sync + 'static,
    report: impl Fn(Option<String>),
    mut stopping: watch::Receiver<bool>,
) {
    let keep = Arc::new(keep);
    let mut turns = tokio::time::interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut faulty = false;
    loop {
        let is_last = tokio::select! {
            _ = turns.tick() => false,
            _ = stopping.wait_for(|stop| *stop) => true,
        };
        let keep = Arc::clone(&keep);
        let fault = match tokio::task::spawn_blocking(move || keep()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("the log of {log} cannot be written: {error}")),
            Err(error) => Some(error.to_string()),
        };
        if fault.is_some() != faulty {
            faulty = fault.is_some();
            tracing::warn!(log, faulty, fault, "a log has changed its state");
        }
        report(fault);
        if is_last {
            return;
        }
    }
}
