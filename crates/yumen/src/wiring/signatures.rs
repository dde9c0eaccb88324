//! The log of used nonces and of freezes: opened before anything is served, and brought to the disk every
//! second.

use std::sync::Arc;
use std::time::Duration;

use control::Readiness;
use model::Clock;
use state::signatures::Signatures;
use tokio::sync::watch;

use crate::config::Settings;
use crate::problem::{Problem, Reason};

/// The log's directory below the data directory.
const DIRECTORY: &str = "signatures";
/// How often the disk is brought what was written. A power cut takes no more than this.
const TURN: Duration = Duration::from_secs(1);

/// Opens the log and remembers what it holds.
///
/// # Errors
/// It cannot be read or written.
pub fn open(settings: &Settings, clock: &dyn Clock) -> Result<Arc<Signatures>, Problem> {
    let directory = settings.data.join(DIRECTORY);
    let (signatures, recalled) = Signatures::open(&directory, clock.now_ms()).map_err(|error| {
        Problem::refusal(
            Reason::Nonces,
            format!("cannot use the log of nonces in {}", directory.display()),
            error.to_string(),
            "make the directory readable and writable for this user, on a disk with room",
        )
    })?;
    if recalled.damaged > 0 {
        tracing::warn!(damaged = recalled.damaged, "records of used nonces were damaged and left out");
    }
    tracing::debug!(nonces = recalled.nonces, "used nonces are remembered");
    Ok(Arc::new(signatures))
}

/// Brings the log to the disk every second until the process stops, and once more then.
pub async fn keep(
    signatures: Arc<Signatures>,
    clock: Arc<dyn Clock>,
    readiness: Arc<Readiness>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut turns = tokio::time::interval(TURN);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut faulty = false;
    loop {
        let is_last = tokio::select! {
            _ = turns.tick() => false,
            _ = stopping.wait_for(|stop| *stop) => true,
        };
        let (kept, now_ms) = (Arc::clone(&signatures), clock.now_ms());
        let outcome = tokio::task::spawn_blocking(move || kept.keep(now_ms)).await;
        let fault = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("the log of nonces cannot be written: {error}")),
            Err(error) => Some(error.to_string()),
        };
        if fault.is_some() != faulty {
            faulty = fault.is_some();
            tracing::warn!(faulty, fault, "the log of nonces has changed its state");
        }
        readiness.report("nonces", fault);
        if is_last {
            return;
        }
    }
}
