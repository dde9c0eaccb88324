//! The data directory of commands and of `serve`: its keys, and whether there is data at all.

use std::path::Path;

use store::{KeyRing, StoreError};

use crate::config::Settings;
use crate::problem::Problem;

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

/// A command never makes a new data directory: a mistyped path would look like empty data.
///
/// # Errors
/// The directory holds no database.
pub fn existing(data: &Path) -> Result<(), Problem> {
    if data.join("yumen.db").exists() {
        return Ok(());
    }
    Err(Problem::new(
        format!("there is no data in {}", data.display()),
        "no server was ever started on this directory",
        "give the directory of the server with --data, or start one: yumen serve",
    ))
}
