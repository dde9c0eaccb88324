//! Giving the room of deleted rows back to the disk.

use std::path::Path;

use super::{close, failed, named, open, shown};
use crate::error::StoreError;
use crate::statements::Database;

/// What a vacuum did to one file.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Vacuumed {
    /// The file's name.
    pub file: String,
    /// Its bytes before.
    pub before: u64,
    /// Its bytes after.
    pub after: u64,
}

/// Rewrites one database without its gaps. A running server's writers wait for it, its readers do not.
///
/// # Errors
/// The database is damaged, or was busy for half a minute.
pub async fn vacuum(data_dir: &Path, database: Database) -> Result<Vacuumed, StoreError> {
    let path = database.path(data_dir)?;
    let bytes =
        || std::fs::metadata(&path).map(|metadata| metadata.len()).map_err(|error| failed(&path, &error));
    let before = bytes()?;
    let mut connection = open(&path).await?;
    for statement in ["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA optimize"] {
        sqlx::query(statement).execute(&mut connection).await.map_err(|error| named(&path, error))?;
    }
    close(connection).await?;
    Ok(Vacuumed { file: shown(&path), before, after: bytes()? })
}
