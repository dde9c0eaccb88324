//! Opening one SQLite file: its settings, one connection that writes, a few that read, its schema.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection, SqlitePool};

use crate::error::{SQLITE_CORRUPT, SQLITE_NOTADB, SQLITE_UNUSABLE, StoreError, has_code};

/// The configuration's file within the data directory.
pub(crate) const MAIN_FILE: &str = "yumen.db";
/// The request records' file within the data directory.
pub(crate) const REQUESTS_FILE: &str = "requests.db";

/// How long a statement waits for another writer before it fails as busy. A backup or an operator's tool
/// may hold the file for ten seconds without anybody being refused (reliability contract, T32).
const BUSY_TIMEOUT: Duration = Duration::from_secs(15);
/// What a writer keeps of pages, in KiB: the tops of the trees that it appends to, and the rows that it counts
/// up. What does not fit of a transaction goes to the log early, which costs little.
const WRITER_CACHE: &str = "-768";
/// The page cache of a reader, as SQLite counts: negative is KiB.
const READER_CACHE: &str = "-256";
/// A reader that nobody used for this long is closed.
const READER_IDLE: Duration = Duration::from_secs(30);
/// Rows of records and keys are 500 to 1,000 bytes: 4 KiB pages would leave a fifth of each empty.
const PAGE_BYTES: u32 = 8192;
/// What the write-ahead log keeps on disk once a long reader or a locked file let it grow, in bytes: twice what it
/// is usually folded back at (1,000 pages).
const LOG_BYTES: &str = "16777216";
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
            .pragma("journal_size_limit", LOG_BYTES)
            .row_buffer_size(ROWS_AHEAD);
        let pool = |most: u32| {
            SqlitePoolOptions::new()
                .max_connections(most)
                .acquire_timeout(BUSY_TIMEOUT)
                .test_before_acquire(false)
        };
        let cached = options.clone().pragma("cache_size", WRITER_CACHE);
        let writer = pool(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_release(|connection, _| Box::pin(has_ended(connection)))
            .connect_with(cached.create_if_missing(true))
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

    /// Whether the file is still there. One that was deleted goes on taking writes, which end with the process.
    pub(crate) fn check_present(&self) -> Result<(), StoreError> {
        let gone = |error| StoreError::Unavailable(format!("{}: {error}", self.path.display()));
        std::fs::metadata(&self.path).map(drop).map_err(gone)
    }

    /// Closes every connection; the last one folds the write-ahead log into the file.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Names the file in errors that are about the file.
pub(crate) fn named(path: &Path, error: sqlx::Error) -> StoreError {
    if has_code(&error, &[SQLITE_CORRUPT, SQLITE_NOTADB]) {
        return StoreError::Damaged { path: path.to_owned() };
    }
    if has_code(&error, SQLITE_UNUSABLE) {
        return StoreError::Directory { path: path.to_owned(), reason: error.to_string() };
    }
    error.into()
}

/// Whether the transaction of a connection that comes back has ended. When a disk is full or fails, SQLite may
/// end it by itself; the roll-back then fails, and the connection, which still counts it, could begin no other.
async fn has_ended(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // The roll-back of a transaction that was dropped is under way: what is asked next waits for it.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database in a directory of its own, which is removed again.
    struct Sample {
        directory: PathBuf,
        db: Db,
    }

    impl Sample {
        async fn new(name: &str) -> Self {
            let directory = std::env::temp_dir().join(format!("yumen-db-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&directory).unwrap();
            let db = Db::open(directory.join("test.db"), 1).await.unwrap();
            sqlx::query("CREATE TABLE t (v TEXT NOT NULL)").execute(&db.writer).await.unwrap();
            Self { directory, db }
        }

        async fn insert(&self, bytes: i32) -> Result<(), StoreError> {
            let mut transaction = self.db.writer.begin_with("BEGIN IMMEDIATE").await?;
            let insert = sqlx::query("INSERT INTO t (v) VALUES (hex(zeroblob($1)))").bind(bytes);
            insert.execute(&mut *transaction).await?;
            Ok(transaction.commit().await?)
        }
    }

    impl Drop for Sample {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }

    #[tokio::test]
    async fn a_write_that_fills_the_disk_is_retryable_and_the_next_one_works() {
        let sample = Sample::new("full").await;
        sqlx::query("PRAGMA max_page_count = 16").execute(&sample.db.writer).await.unwrap();
        let error = sample.insert(1 << 20).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)) && error.is_retryable(), "{error}");
        // The limit went with the connection, as room comes back to a disk.
        sample.insert(1 << 20).await.unwrap();
    }

    #[tokio::test]
    async fn a_database_that_may_only_be_read_is_retryable() {
        let sample = Sample::new("read-only").await;
        // What SQLite says of a file on a file system that became read-only.
        sqlx::query("PRAGMA query_only = 1").execute(&sample.db.writer).await.unwrap();
        let error = sample.insert(1).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)) && error.is_retryable(), "{error}");
    }

    #[tokio::test]
    async fn a_lock_from_outside_that_stays_is_busy_and_one_that_ends_is_waited_for() {
        let sample = Sample::new("locked").await;
        let file = SqliteConnectOptions::new().filename(sample.directory.join("test.db"));
        let outside = SqlitePoolOptions::new().max_connections(1).connect_with(file).await.unwrap();
        let lock = outside.begin_with("BEGIN EXCLUSIVE").await.unwrap();
        sqlx::query("PRAGMA busy_timeout = 20").execute(&sample.db.writer).await.unwrap();
        let error = sample.insert(1).await.unwrap_err();
        assert!(matches!(error, StoreError::Busy) && error.is_retryable(), "{error}");
        assert!(!error.to_string().contains("locked"), "{error}");
        sqlx::query("SELECT v FROM t").fetch_all(&sample.db.readers).await.unwrap();
        sqlx::query("PRAGMA busy_timeout = 15000").execute(&sample.db.writer).await.unwrap();
        let mut insert = std::pin::pin!(sample.insert(1));
        let early = tokio::time::timeout(Duration::from_millis(50), &mut insert).await;
        assert!(early.is_err(), "the lock was not waited for");
        lock.rollback().await.unwrap();
        insert.await.unwrap();
    }
}
