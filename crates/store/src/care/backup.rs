//! A copy of everything that may not be lost, taken while a server writes.
//!
//! SQLite writes each copy itself, from one state of its database. The journal is copied before and after: what
//! the copied database does not know yet stands in one of them, however long the copy took, because segments
//! are kept for a minute after the database has them. Whoever starts on the copy stands where the original
//! stood at the end of the backup.

use std::path::{Path, PathBuf};

use sqlx::Row;

use super::{JOURNAL, close, copy_files, failed, make_directory, named, open, schema, sync, write_file};
use crate::error::StoreError;
use crate::statements::Database;

/// What says that a backup is whole; it is written last.
pub(super) const MANIFEST: &str = "manifest.json";
/// The journal's file that holds nothing but room.
const RESERVE: &str = "reserve";

/// What a backup holds.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Backup {
    /// Where it is.
    pub path: PathBuf,
    /// The key that seals its values now.
    pub key_id: String,
    /// The revision of its configuration.
    pub revision: i64,
    /// The schema of its main database.
    pub schema: i64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Whether the keys are in it too.
    pub has_keys: bool,
}

/// Backs a data directory up into a new directory, or its main database alone into a new file whose name ends
/// in `.db`. The keys are left out unless asked for: who has both reads everything.
///
/// # Errors
/// The target exists or cannot be written; the database is damaged.
pub async fn backup(data_dir: &Path, target: &Path, with_keys: bool) -> Result<Backup, StoreError> {
    if target.exists() {
        return Err(failed(target, &std::io::ErrorKind::AlreadyExists.into()));
    }
    if target.extension().is_some_and(|extension| extension == "db") {
        return one_file(data_dir, target).await;
    }
    // Whole under its name, or not at all: a backup that was cut off is never taken for one.
    let mut fresh = target.as_os_str().to_owned();
    fresh.push(".part");
    let fresh = PathBuf::from(fresh);
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh).map_err(|error| failed(&fresh, &error))?;
    }
    make_directory(&fresh)?;
    let journal = data_dir.join(JOURNAL);
    copy_files(&journal, &fresh.join(JOURNAL), RESERVE)?;
    for database in Database::ALL {
        copy(&database.path(data_dir)?, &fresh.join(database.file())).await?;
    }
    copy_files(&journal, &fresh.join(JOURNAL), RESERVE)?;
    if with_keys {
        copy_files(&data_dir.join("keys"), &fresh.join("keys"), "")?;
    }
    let mut made = described(&fresh.join(Database::Main.file()), &fresh).await?;
    made.has_keys = with_keys;
    target.clone_into(&mut made.path);
    let text = serde_json::to_string_pretty(&made).expect("paths, texts and numbers always serialise");
    write_file(&fresh.join(MANIFEST), text.as_bytes())?;
    sync(&fresh)?;
    std::fs::rename(&fresh, target).map_err(|error| failed(target, &error))?;
    Ok(made)
}

async fn one_file(data_dir: &Path, target: &Path) -> Result<Backup, StoreError> {
    copy(&Database::Main.path(data_dir)?, target).await?;
    described(target, target).await
}

/// Has SQLite write a copy from one state of the file.
async fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    let mut connection = open(from).await?;
    let into = to.to_str().ok_or_else(|| failed(to, &std::io::ErrorKind::InvalidFilename.into()))?;
    // Made first, so that nobody else can read it from the first byte on; SQLite takes an empty file.
    write_file(to, b"")?;
    let copied = sqlx::query("VACUUM INTO $1").bind(into).execute(&mut connection).await;
    copied.map_err(|error| named(from, error))?;
    close(connection).await?;
    sync(to)
}

async fn described(main: &Path, whole: &Path) -> Result<Backup, StoreError> {
    let mut connection = open(main).await?;
    let row =
        sqlx::query("SELECT m.key_id, r.revision FROM key_marker m, revision r WHERE m.id = 1 AND r.id = 1")
            .fetch_one(&mut connection)
            .await
            .map_err(|error| named(main, error))?;
    let schema = schema(&mut connection).await;
    let (key_id, revision) = (row.try_get(0)?, row.try_get(1)?);
    close(connection).await?;
    Ok(Backup { path: whole.to_owned(), key_id, revision, schema, bytes: bytes(whole), has_keys: false })
}

/// Bytes of a file, or of all files below a directory.
fn bytes(path: &Path) -> u64 {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| bytes(&entry.path())).sum(),
        Err(_) => std::fs::metadata(path).map_or(0, |metadata| metadata.len()),
    }
}
