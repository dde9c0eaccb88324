//! The log of which account keeps which response: opened before anything is served, and brought to the disk
//! every second.

use std::sync::Arc;

use state::homes::Homes;
use tokio::sync::watch;

use crate::config::Settings;
use crate::problem::{Problem, Reason};
use crate::wiring::turns;

/// The log's directory below the data directory.
const DIRECTORY: &str = "responses";

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
pub async fn keep(homes: Arc<Homes>, stopping: watch::Receiver<bool>) {
    turns::keep("stored responses", move || homes.keep(), |_| (), stopping).await;
}
