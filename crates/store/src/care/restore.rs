//! Putting a backup in place of what a data directory holds. What was there is moved aside, never deleted.

use std::path::{Path, PathBuf};

use model::clock::EpochMs;

use super::backup::MANIFEST;
use super::{
    JOURNAL, close, copy_files, failed, make_directory, named, open, shown, sync, with_side_files, write_file,
};
use crate::error::StoreError;
use crate::lock::DirectoryLock;
use crate::statements::Database;

/// What a restore did.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Restored {
    /// The files and directories that came from the backup.
    pub restored: Vec<String>,
    /// Where what was there before is now; `None` when there was nothing.
    pub moved_to: Option<PathBuf>,
}

/// The id of the key that a backup needs, its main database checked on the way.
///
/// # Errors
/// The backup is not whole.
pub async fn key_of(backup: &Path) -> Result<String, StoreError> {
    let main = main_file(backup)?;
    let mut connection = open(&main).await?;
    let sound: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(1)")
        .fetch_all(&mut connection)
        .await
        .map_err(|error| named(&main, error))?;
    if sound != ["ok"] {
        return Err(StoreError::Damaged { path: main });
    }
    let read = sqlx::query_scalar("SELECT key_id FROM key_marker WHERE id = 1").fetch_one(&mut connection);
    let key_id = read.await.map_err(|error| named(&main, error))?;
    close(connection).await?;
    Ok(key_id)
}

fn main_file(backup: &Path) -> Result<PathBuf, StoreError> {
    if backup.is_file() {
        return Ok(backup.to_owned());
    }
    let manifest = backup.join(MANIFEST);
    std::fs::metadata(&manifest).map_err(|error| failed(&manifest, &error))?;
    Ok(backup.join(Database::Main.file()))
}

/// Restores a backup into `data_dir`, on which no server may run. `now` names the directory for what was there.
///
/// # Errors
/// [`StoreError::Locked`] while a server runs; the backup is not whole; a file cannot be moved or written. What
/// was moved aside until then is named by the directory `before-restore-…`.
pub async fn restore(backup: &Path, data_dir: &Path, now: EpochMs) -> Result<Restored, StoreError> {
    let main = main_file(backup)?;
    key_of(backup).await?;
    make_directory(data_dir)?;
    let _lock = DirectoryLock::take(data_dir)?;
    let aside = data_dir.join(format!("before-restore-{now}"));
    let mut done = Restored { restored: Vec::new(), moved_to: None };
    // A main database alone leaves the request records; its journal would be another one's.
    let requests = backup.join(Database::Requests.file());
    let mut files = vec![(main, Database::Main)];
    files.extend(requests.is_file().then_some((requests, Database::Requests)));
    for (_, database) in &files {
        for path in with_side_files(&database.path(data_dir)?) {
            move_aside(&path, &aside, &mut done)?;
        }
    }
    move_aside(&data_dir.join(JOURNAL), &aside, &mut done)?;
    for (from, database) in files {
        let bytes = std::fs::read(&from).map_err(|error| failed(&from, &error))?;
        let path = database.path(data_dir)?;
        write_file(&path, &bytes)?;
        done.restored.push(shown(&path));
    }
    if backup.join(JOURNAL).is_dir() {
        copy_files(&backup.join(JOURNAL), &data_dir.join(JOURNAL), "")?;
        done.restored.push(JOURNAL.to_owned());
    }
    if backup.join("keys").is_dir() && !data_dir.join("keys").exists() {
        copy_files(&backup.join("keys"), &data_dir.join("keys"), "")?;
        done.restored.push("keys".to_owned());
    }
    sync(data_dir)?;
    Ok(done)
}

fn move_aside(path: &Path, aside: &Path, done: &mut Restored) -> Result<(), StoreError> {
    if !path.exists() {
        return Ok(());
    }
    make_directory(aside)?;
    let target = aside.join(path.file_name().unwrap_or_default());
    std::fs::rename(path, &target).map_err(|error| failed(&target, &error))?;
    done.moved_to = Some(aside.to_owned());
    Ok(())
}
