//! The log of which account keeps which response: opened before anything is served, and brought to the disk
//! every second.

use std::sync::Arc;
use std::time::Duration;

use state::homes::Homes;
use tokio::sync::watch;

use crate::config::Settings;
use crate::problem::{Problem, Reason};

/// The log's directory below the data directory.
const DIRECTORY: &str = "responses";
/// How often the disk is brought what was written. A power cut takes no more than this.
const TURN: Duration = Duration::from_secs(1);

/// Opens the log and remembers what it holds.
///
/// # Errors
/// It cannot be read or written.
pub fn open(settings: &Settings) -> Result<Arc<Homes>, Problem> {
    let directory = settings.data.join(DIRECTORY);
    let (homes, cut) = Homes::open(&directory).map_err(|error| {
        Problem::refusal(
            Reason::StoredResponses,
            format!("cannot use the log of stored responses in {}", directory.display()),
            error.to_string(),
            "make the directory readable and writable for this user, on a disk with room",
        )
    })?;
    if cut > 0 {
        tracing::warn!(files = cut, "the log of stored responses was cut off; what followed is left out");
    }
    Ok(Arc::new(homes))
}

/// Brings the log to the disk every second until the process stops, and once more then. What cannot be
/// written costs later requests their way after a restart, and is no reason to refuse any now.
pub async fn keep(homes: Arc<Homes>, mut stopping: watch::Receiver<bool>) {
    let mut turns = tokio::time::interval(TURN);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut faulty = false;
    loop {
        let is_last = tokio::select! {
            _ = turns.tick() => false,
            _ = stopping.wait_for(|stop| *stop) => true,
        };
        let kept = Arc::clone(&homes);
        let fault = match tokio::task::spawn_blocking(move || kept.keep()).await {
            Ok(outcome) => outcome.err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if fault.is_some() != faulty {
            faulty = fault.is_some();
            tracing::warn!(faulty, fault, "the log of stored responses has changed its state");
        }
        if is_last {
            return;
        }
    }
}
