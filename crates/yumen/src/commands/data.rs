//! Opens the data directory for a command that works without a server.
//!
//! A running server holds the directory's lock; the command then refuses, and names the request that
//! does the same through the server.

use std::path::Path;

use store::{KeyRing, Store, StoreError};

use super::load;
use crate::cli::Place;
use crate::config::Settings;
use crate::problem::Problem;
use crate::startup::store_problem;

/// The keys of the deployment: derived from `ENCRYPTION_KEY`, or kept in the data directory.
///
/// # Errors
/// See [`KeyRing::load_or_create`].
pub fn key_ring(settings: &Settings) -> Result<KeyRing, StoreError> {
    match &settings.encryption_key {
        Some(key) => KeyRing::derive(*key.expose()),
        None => KeyRing::load_or_create(&settings.data),
    }
}

/// Opens the store of `place` and runs `work` on it; `online` is the request that a running server
/// takes instead, as arguments of curl.
///
/// # Errors
/// What the configuration, the store or the work refused.
pub fn with_store<T>(
    place: &Place,
    online: &str,
    work: impl AsyncFnOnce(Store) -> Result<T, Problem>,
) -> Result<T, Vec<Problem>> {
    let flags = place.data.iter().map(|data| ("data", data.clone())).collect();
    let settings = load(place.config.as_deref(), flags)?.settings;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| vec![no_runtime(&error)])?;
    let done = runtime.block_on(async {
        existing(&settings.data)?;
        let keys = key_ring(&settings).map_err(|error| store_problem(&error))?;
        let store = Store::open(&settings.data, keys).await;
        work(store.map_err(|error| refused(&error, &settings, online))?).await
    });
    done.map_err(|problem| vec![problem])
}

/// A command never makes a new data directory: a mistyped path would look like empty data.
fn existing(data: &Path) -> Result<(), Problem> {
    if data.join("yumen.db").exists() {
        return Ok(());
    }
    Err(Problem::new(
        format!("there is no data in {}", data.display()),
        "no server was ever started on this directory",
        "give the directory of the server with --data, or start one: yumen serve",
    ))
}

fn refused(error: &StoreError, settings: &Settings, online: &str) -> Problem {
    let problem = store_problem(error);
    if !matches!(error, StoreError::Locked { .. }) {
        return problem;
    }
    let url = format!("http://{}", settings.listen);
    let fix = format!(
        "stop it, or ask it: curl -H \"Authorization: Bearer $ADMIN_TOKEN\" {}",
        online.replace("$URL", &url)
    );
    Problem { fix, ..problem }
}

fn no_runtime(error: &std::io::Error) -> Problem {
    Problem::new("cannot start", error.to_string(), "free memory or raise the limit of open files")
}
