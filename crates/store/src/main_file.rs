//! Which file of a data directory is its main database. It has one name from the first start on: whoever gives
//! another one is told so, and does not find an empty database beside the one with the data.

use std::io;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::care;
use crate::db::{self, MAIN_FILE, REQUESTS_FILE};
use crate::error::StoreError;

/// Holds the name of the main database, where that is not [`MAIN_FILE`].
const NAME_FILE: &str = "yumen.database";
/// The same while it is written.
const NEW_NAME_FILE: &str = "yumen.database.new";
/// What else stands in a data directory.
const TAKEN: &[&str] = &[
    NAME_FILE,
    NEW_NAME_FILE,
    REQUESTS_FILE,
    "backups",
    "journal",
    "keys",
    "keys.new",
    "responses",
    "run",
    "signatures",
    "yumen.lock",
];
/// What SQLite puts behind the name of a database, for files of its own.
const SIDE_FILES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Whether a main database may have this name: a plain one, which nothing else in a data directory has.
#[must_use]
pub fn can_be_main(name: &str) -> bool {
    let is_plain = !name.is_empty() && !matches!(name, "." | "..") && !name.contains(['/', '\0', '\n', '\r']);
    let of_another = |taken: &&str| {
        let rest = name.strip_prefix(*taken);
        rest.is_some_and(|rest| rest.is_empty() || SIDE_FILES.contains(&rest))
    };
    is_plain && !TAKEN.iter().any(of_another) && !SIDE_FILES.iter().any(|end| name.ends_with(end))
}

/// The main database of a data directory, whether or not it is there yet.
///
/// # Errors
/// [`StoreError::Directory`] when the directory does not say, or says what cannot be.
pub fn main_file(data_dir: &Path) -> Result<PathBuf, StoreError> {
    let path = data_dir.join(NAME_FILE);
    let failed = |reason: String| StoreError::Directory { path: path.clone(), reason };
    match std::fs::read_to_string(&path) {
        Ok(text) if can_be_main(text.trim_end()) => Ok(data_dir.join(text.trim_end())),
        Ok(_) => Err(failed("it does not hold the name of a database file".to_owned())),
        // A file in place of the directory is the caller's to find.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(data_dir.join(MAIN_FILE))
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Makes `name` the main database of a data directory that is there.
///
/// # Errors
/// [`StoreError::OtherDatabase`] when the directory has a main database of another name;
/// [`StoreError::Directory`] when it cannot be written.
pub fn name_main_file(data_dir: &Path, name: &str) -> Result<(), StoreError> {
    let known = main_file(data_dir)?;
    if known.file_name().is_some_and(|known| known == name) {
        return Ok(());
    }
    if known.exists() {
        return Err(StoreError::OtherDatabase { path: known, asked: name.to_owned() });
    }
    // Whole under its name, or not at all.
    let (fresh, path) = (data_dir.join(NEW_NAME_FILE), data_dir.join(NAME_FILE));
    care::write_file(&fresh, format!("{name}\n").as_bytes())?;
    std::fs::rename(&fresh, &path).map_err(|error| care::failed(&path, &error))?;
    care::sync(data_dir)
}

/// Refuses a file in which another program keeps its tables: ours would stand among them.
pub(crate) async fn refuse_foreign(path: &Path) -> Result<(), StoreError> {
    if !path.exists() {
        return Ok(());
    }
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = options.connect().await.map_err(|error| db::named(path, error))?;
    let is_foreign = is_foreign(&mut connection).await.map_err(|error| db::named(path, error));
    connection.close().await?;
    if is_foreign? { Err(StoreError::ForeignDatabase { path: path.to_owned() }) } else { Ok(()) }
}

async fn is_foreign(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let tables = care::tables(connection).await?;
    Ok(!tables.is_empty() && !tables.iter().any(|table| table == "key_marker" || table == "_sqlx_migrations"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_that_nothing_else_in_the_directory_has() {
        for name in ["quota.db", "yumen.db", "data", "a b.sqlite3", "数据.db", "requests-of-mine.db"] {
            assert!(can_be_main(name), "{name}");
        }
        for name in ["", "..", "a/b.db", "two\nlines", "requests.db", "requests.db-wal", "x.db-shm", "keys"] {
            assert!(!can_be_main(name), "{name}");
        }
    }
}
