//! The log of used nonces and of freezes: opened before anything is served, and brought to the disk every
//! second.

use std::sync::Arc;

use control::Readiness;
use model::Clock;
use state::signatures::Signatures;
use tokio::sync::watch;

use crate::config::Settings;
use crate::problem::{Problem, Reason};
use crate::wiring::turns;

/// The log's directory below the data directory.
const DIRECTORY: &str = "signatures";

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
    stopping: watch::Receiver<bool>,
) {
    let keep = move || signatures.keep(clock.now_ms());
    turns::keep("nonces", keep, |fault| readiness.report("nonces", fault), stopping).await;
}
