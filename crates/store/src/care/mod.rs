//! Care of the database files, whether or not a server runs on them: looking, backing up, restoring, tidying,
//! exporting, and getting rows back out of a damaged one.
//!
//! Everything here works on files, with connections of its own and without the keys; what is sealed stays so.
//! These statements belong to the embedded database alone. A server that runs notices a backup as one more
//! reader.

mod backup;
mod check;
mod export;
mod page;
mod record;
mod restore;
mod salvage;
mod vacuum;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

pub use backup::{Backup, backup};
pub use check::{FileCheck, TableSize, check, schema_of};
pub use export::{Format, export};
pub use restore::{Restored, key_of, restore};
pub use salvage::{Salvaged, salvage};
pub use vacuum::{Vacuumed, vacuum};

use crate::db::{MAIN_FILE, REQUESTS_FILE};
use crate::error::StoreError;
use crate::main_file::main_file;
use crate::statements::Database;

/// How long a statement waits for a server that writes.
const PATIENCE: Duration = Duration::from_secs(30);
/// The journal's directory within the data directory.
pub(crate) const JOURNAL: &str = "journal";

impl Database {
    /// Both files.
    pub const ALL: [Self; 2] = [Self::Main, Self::Requests];

    /// The file's name within a backup, and within a data directory that names no other main database.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Main => MAIN_FILE,
            Self::Requests => REQUESTS_FILE,
        }
    }

    /// The file within a data directory.
    ///
    /// # Errors
    /// See [`main_file`].
    pub fn path(self, data_dir: &Path) -> Result<PathBuf, StoreError> {
        match self {
            Self::Main => main_file(data_dir),
            Self::Requests => Ok(data_dir.join(REQUESTS_FILE)),
        }
    }

    /// The database that a file of this name holds; by default the main one, as copies have any name.
    #[must_use]
    pub fn of_file(path: &Path) -> Self {
        if path.parent().and_then(|parent| main_file(parent).ok()).is_some_and(|main| main == path) {
            return Self::Main;
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("requests") { Self::Requests } else { Self::Main }
    }
}

/// The name of a file, as answers show it.
fn shown(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Opens a file that is there. What it holds is not touched.
pub(crate) async fn open(path: &Path) -> Result<SqliteConnection, StoreError> {
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(PATIENCE).foreign_keys(false);
    options.connect().await.map_err(|error| named(path, error))
}

async fn close(connection: SqliteConnection) -> Result<(), StoreError> {
    Ok(connection.close().await?)
}

fn named(path: &Path, error: sqlx::Error) -> StoreError {
    crate::db::named(path, error)
}

pub(crate) fn failed(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Directory { path: path.to_owned(), reason: error.to_string() }
}

/// Writes a file for its owner alone and brings it to the disk.
pub(crate) fn write_file(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let write = || {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(|error| failed(path, &error))
}

/// Makes a directory for its owner alone, with those above it.
fn make_directory(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| failed(path, &error))
}

/// Copies every file of a directory; what was copied before is copied again. `skip` names one to leave out.
fn copy_files(from: &Path, to: &Path, skip: &str) -> Result<(), StoreError> {
    if !from.is_dir() {
        return Ok(());
    }
    make_directory(to)?;
    let entries = std::fs::read_dir(from).map_err(|error| failed(from, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| failed(from, &error))?.path();
        let name = path.file_name().unwrap_or_default();
        if !path.is_file() || name == skip {
            continue;
        }
        let target = to.join(name);
        match std::fs::copy(&path, &target) {
            // A segment may be done with, and deleted, while the list is read.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&target, &error)),
            Ok(_) => sync(&target)?,
        }
    }
    sync(to)
}

/// Brings a file or directory to the disk.
pub(crate) fn sync(path: &Path) -> Result<(), StoreError> {
    std::fs::File::open(path).and_then(|file| file.sync_all()).map_err(|error| failed(path, &error))
}

/// The file, and what SQLite keeps beside it.
fn with_side_files(path: &Path) -> [PathBuf; 3] {
    let beside = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    [path.to_owned(), beside("-wal"), beside("-shm")]
}

/// The newest schema version that a file says it has; 0 when it says nothing.
async fn schema(connection: &mut SqliteConnection) -> i64 {
    let read = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations WHERE success");
    read.fetch_one(connection).await.ok().flatten().unwrap_or_default()
}

/// The names of the tables that hold rows of ours.
pub(crate) async fn tables(connection: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    let read =
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    sqlx::query_scalar(read).fetch_all(connection).await
}

/// An identifier as it stands in a statement.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
