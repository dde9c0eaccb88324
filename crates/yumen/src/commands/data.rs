//! The data directory of commands and of `serve`: its keys, and whether there is data at all.

use store::{KeyRing, StoreError};

use crate::config::Settings;
use crate::problem::Problem;
use crate::startup::store_problem;

/// The keys of the deployment: derived from `ENCRYPTION_KEY`, or kept in the data directory.
///
/// # Errors
/// See [`KeyRing::load_or_create`] and [`KeyRing::unlock`].
pub fn key_ring(settings: &Settings) -> Result<KeyRing, StoreError> {
    match &settings.encryption_key {
        Some(key) => KeyRing::unlock(&settings.data, *key.expose()),
        None => KeyRing::load_or_create(&settings.data),
    }
}

/// Holds the data directory, which is there, to the name of the database that the settings give.
///
/// # Errors
/// Its database has another name already.
pub fn settle_name(settings: &Settings) -> Result<(), Problem> {
    let named = settings.database.as_deref().map(|name| store::name_main_file(&settings.data, name));
    named.unwrap_or(Ok(())).map_err(|error| store_problem(&error))
}

/// A command never makes a new data directory: a mistyped path would look like empty data.
///
/// # Errors
/// The directory holds no database.
pub fn existing(settings: &Settings) -> Result<(), Problem> {
    let known = store::main_file(&settings.data).map_err(|error| store_problem(&error))?;
    let named = settings.database.as_ref().map(|name| settings.data.join(name));
    if known.exists() || named.is_some_and(|path| path.exists()) {
        return settle_name(settings);
    }
    Err(Problem::new(
        format!("there is no data in {}", settings.data.display()),
        "no server was ever started on this directory",
        "give the directory of the server with --data, or start one: yumen serve",
    ))
}
