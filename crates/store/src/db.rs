//! Opening one SQLite file: its settings, one connection that writes, a few that read, its schema.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::error::{SQLITE_CORRUPT, SQLITE_NOTADB, SQLITE_UNUSABLE, StoreError, has_code};

/// The configuration's file within the data directory.
pub(crate) const MAIN_FILE: &str = "yumen.db";
/// The request records' file within the data directory.
pub(crate) const REQUESTS_FILE: &str = "requests.db";

/// How long a statement waits for another writer before it fails as busy. A backup or an operator's tool
/// may hold the file for ten seconds without anybody being refused (reliability contract, T32).
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(15);
/// The page cache of a reader, as SQLite counts: negative is KiB.
const READER_CACHE: &str = "-256";
/// A reader that nobody used for this long is closed.
const READER_IDLE: Duration = Duration::from_secs(30);
/// Rows of records and keys are 500 to 1,000 bytes: 4 KiB pages would leave a fifth of each empty.
const PAGE_BYTES: u32 = 8192;
/// Rows that SQLite's thread may read ahead; whole tables are loaded, so batches save wake-ups.
const ROWS_AHEAD: usize = 512;

/// One database file.
pub(crate) struct Db {
    path: PathBuf,
    /// The only connection that writes: writers queue here and not inside SQLite.
    pub(crate) writer: SqlitePool,
    /// Connections that cannot write.
    pub(crate) readers: SqlitePool,
}

impl Db {
    /// Opens or creates the file, without touching its schema.
    pub(crate) async fn open(path: PathBuf, readers: u32) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .page_size(PAGE_BYTES)
            // The journal of a many-row statement, which SQLite keeps in case a later row fails,
            // otherwise goes to a temporary file: half of all writes when appending records.
            .pragma("temp_store", "memory")
            .row_buffer_size(ROWS_AHEAD);
        let pool = |most: u32| {
            SqlitePoolOptions::new()
                .max_connections(most)
                .acquire_timeout(BUSY_TIMEOUT)
                .test_before_acquire(false)
        };
        let writer = pool(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone().create_if_missing(true))
            .await
            .map_err(|error| named(&path, error))?;
        // Readers scan what they read once: a cache of their own would only take memory.
        let options = options.read_only(true).pragma("cache_size", READER_CACHE);
        let readers = pool(readers).idle_timeout(READER_IDLE).connect_lazy_with(options);
        Ok(Self { path, writer, readers })
    }

    /// Brings the schema up to the newest of `steps`.
    pub(crate) async fn migrate(&self, steps: Migrator) -> Result<(), StoreError> {
        steps.run(&self.writer).await.map_err(|error| match error {
            MigrateError::VersionMissing(version) => {
                StoreError::NewerSchema { path: self.path.clone(), version }
            }
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                named(&self.path, error)
            }
            other => StoreError::Database(sqlx::Error::Migrate(Box::new(other))),
        })
    }

    /// Names the file in errors that are about the file.
    pub(crate) fn named(&self, error: sqlx::Error) -> StoreError {
        named(&self.path, error)
    }

    /// Closes every connection; the last one folds the write-ahead log into the file.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn named(path: &Path, error: sqlx::Error) -> StoreError {
    if has_code(&error, &[SQLITE_CORRUPT, SQLITE_NOTADB]) {
        return StoreError::Damaged { path: path.to_owned() };
    }
    if has_code(&error, SQLITE_UNUSABLE) {
        return StoreError::Directory { path: path.to_owned(), reason: error.to_string() };
    }
    error.into()
}
