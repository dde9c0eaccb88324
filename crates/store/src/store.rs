//! The store as a whole: opening it, changing it one revision at a time, announcing changes.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use model::clock::EpochMs;
use sqlx::{Row, Sqlite, SqliteConnection, Transaction};
use tokio::sync::watch;

use crate::audit::Pending;
use crate::cipher::{self, Place};
use crate::column::{hex, unsigned};
use crate::db::{Db, REQUESTS_FILE};
use crate::error::StoreError;
use crate::keyring::KeyRing;
use crate::lock::DirectoryLock;
use crate::main_file::{main_file, refuse_foreign};
use crate::scope::Scope;
use crate::statements::{Database, migrations};

pub(crate) const READ_REVISION: &str = "SELECT revision FROM revision WHERE id = 1";
const BUMP_REVISION: &str =
    "UPDATE revision SET revision = revision + 1, changed_by = $1 WHERE id = 1 RETURNING revision";
const READ_MARKER: &str = "SELECT key_id, sealed, pepper_check FROM key_marker WHERE id = 1";
const WRITE_MARKER: &str = "INSERT INTO key_marker (id, key_id, sealed, pepper_check) VALUES (1, $1, $2, $3)";

/// Tells whoever follows the changes that rows of the configuration are gone.
const NOTE_DELETION: &str = "UPDATE revision SET deleted = revision WHERE id = 1";

const NEWEST_CHANGE: &str = "SELECT at FROM audit_head WHERE id = 1";

pub(crate) const STATEMENTS: &[&str] =
    &[READ_REVISION, BUMP_REVISION, NOTE_DELETION, READ_MARKER, WRITE_MARKER, NEWEST_CHANGE];

/// A read-only connection serves few callers for long; administrators and loaders are few.
const MAIN_READERS: u32 = 4;
const REQUEST_READERS: u32 = 2;

pub(crate) const MARKER: Place<'static> =
    Place { table: "key_marker", id: "1", column: "sealed", tenant: "system" };
pub(crate) const MARKER_TEXT: &str = "yumen";
const PEPPER_TEXT: &str = "yumen pepper check";

/// The open store of one data directory. Share it in an `Arc`.
pub struct Store {
    pub(crate) main: Db,
    pub(crate) requests: Db,
    pub(crate) keys: KeyRing,
    revision: watch::Sender<u64>,
    /// One rotation of secrets at a time.
    pub(crate) rotating: tokio::sync::Mutex<()>,
    /// Dropped last, after the connections.
    _lock: DirectoryLock,
}

impl Store {
    /// The name of the database's engine, as answers show it.
    #[must_use]
    pub fn engine(&self) -> &'static str {
        "sqlite"
    }

    /// Opens the data directory, creating it and its databases when they are missing.
    ///
    /// Nothing is written to existing data before the keys were found to be the right ones.
    ///
    /// # Errors
    /// Each with a named cause and a repair: [`StoreError::Directory`], [`StoreError::Locked`],
    /// [`StoreError::WrongKey`], [`StoreError::WrongPepper`], [`StoreError::NewerSchema`],
    /// [`StoreError::Damaged`], [`StoreError::ForeignDatabase`].
    pub async fn open(data_dir: &Path, keys: KeyRing) -> Result<Self, StoreError> {
        create_directory(data_dir)?;
        let lock = DirectoryLock::take(data_dir)?;
        let main_file = main_file(data_dir)?;
        refuse_foreign(&main_file).await?;
        let main = Db::open(main_file, MAIN_READERS).await?;
        check_marker(&main, &keys).await?;
        main.migrate(migrations(Database::Main)).await?;
        write_marker(&main, &keys).await?;
        let requests = Db::open(data_dir.join(REQUESTS_FILE), REQUEST_READERS).await?;
        requests.migrate(migrations(Database::Requests)).await?;
        let row =
            sqlx::query(READ_REVISION).fetch_one(&main.writer).await.map_err(|error| main.named(error))?;
        let (revision, _) = watch::channel(crate::column::unsigned(row.try_get(0)?));
        let rotating = tokio::sync::Mutex::new(());
        let store = Self { main, requests, keys, revision, rotating, _lock: lock };
        store.check_secrets().await?;
        Ok(store)
    }

    /// Wakes after every committed change, with the new revision.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// When the newest change or request that is stored here was; 0 where there is none.
    ///
    /// # Errors
    /// What a database said.
    pub async fn newest_entry(&self) -> Result<EpochMs, StoreError> {
        let change: i64 = sqlx::query_scalar(NEWEST_CHANGE).fetch_one(&self.main.readers).await?;
        Ok(unsigned(change).max(self.newest_record().await?))
    }

    /// The keys that this store was opened with.
    #[must_use]
    pub fn key_ring(&self) -> &KeyRing {
        &self.keys
    }

    /// Whether both databases are there and answer.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when a file is gone, else what the database said.
    pub async fn ping(&self) -> Result<(), StoreError> {
        for db in [&self.main, &self.requests] {
            db.check_present()?;
            db.readers.acquire().await.map_err(|error| db.named(error))?;
        }
        sqlx::query(READ_REVISION).fetch_one(&self.main.readers).await?;
        Ok(())
    }

    /// Closes all connections and folds the write-ahead logs into the files. Writes that were not
    /// awaited before are refused.
    pub async fn close(&self) {
        self.main.close().await;
        self.requests.close().await;
    }

    /// Begins a change of the configuration: a write transaction with a revision of its own.
    pub(crate) async fn change(&self, scope: &Scope) -> Result<Change<'_>, StoreError> {
        let mut transaction = self.main.writer.begin_with("BEGIN IMMEDIATE").await?;
        let row = sqlx::query(BUMP_REVISION).bind(&*scope.actor).fetch_one(&mut *transaction).await?;
        Ok(Change {
            transaction,
            revision: row.try_get(0)?,
            announce: &self.revision,
            keys: &self.keys,
            audit: Pending::of(scope),
        })
    }
}

/// A change under way; nothing of it remains unless it is committed.
#[must_use]
pub(crate) struct Change<'s> {
    transaction: Transaction<'static, Sqlite>,
    revision: i64,
    announce: &'s watch::Sender<u64>,
    keys: &'s KeyRing,
    audit: Pending,
}

impl Change<'_> {
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }

    /// The revision that this change makes; every row of the configuration that it writes carries it.
    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    /// Notes that the change deletes rows of the configuration, which then carry no revision.
    pub(crate) async fn note_deletion(&mut self) -> Result<(), StoreError> {
        sqlx::query(NOTE_DELETION).execute(&mut *self.transaction).await?;
        Ok(())
    }

    /// Says for the audit log what is changed and when, as far as the store knows.
    pub(crate) fn about(mut self, verb: &'static str, object: &str, at: EpochMs) -> Self {
        self.audit.about(verb, object, at);
        self
    }

    /// Makes the change, its entry in the audit log and its revision last, then wakes [`Store::changes`].
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        self.audit.write(&mut self.transaction, self.keys).await?;
        self.transaction.commit().await?;
        self.audit.written();
        let revision = crate::column::unsigned(self.revision);
        // Two commits may arrive here in the other order; the revision never goes back.
        self.announce.send_if_modified(|known| {
            let newer = revision > *known;
            *known = revision.max(*known);
            newer
        });
        Ok(())
    }
}

fn create_directory(data_dir: &Path) -> Result<(), StoreError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .map_err(|error| StoreError::Directory { path: data_dir.to_owned(), reason: error.to_string() })
}

/// Refuses keys that did not seal this data. A database without a marker table is a new one.
async fn check_marker(main: &Db, keys: &KeyRing) -> Result<(), StoreError> {
    let row = match sqlx::query(READ_MARKER).fetch_optional(&main.writer).await {
        Ok(Some(row)) => row,
        Ok(None) => return Ok(()),
        Err(error) if lacks_table(&error) => return Ok(()),
        Err(error) => return Err(main.named(error)),
    };
    let (key_id, sealed): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    keys.choose(&key_id)?;
    let wrong_key = || StoreError::WrongKey { sealed_by: key_id.clone(), at_hand: keys.ids().join(", ") };
    cipher::open(keys, &MARKER, &sealed).map_err(|_| wrong_key())?;
    let pepper_check: String = row.try_get(2)?;
    if pepper_check != hex(&keys.hmac_secret(PEPPER_TEXT)) {
        return Err(StoreError::WrongPepper);
    }
    Ok(())
}

fn lacks_table(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.message().starts_with("no such table"))
}

async fn write_marker(main: &Db, keys: &KeyRing) -> Result<(), StoreError> {
    let present = sqlx::query(READ_MARKER).fetch_optional(&main.writer).await?.is_some();
    if !present {
        sqlx::query(WRITE_MARKER)
            .bind(keys.kek_id().to_owned())
            .bind(cipher::seal(keys, &MARKER, MARKER_TEXT)?)
            .bind(hex(&keys.hmac_secret(PEPPER_TEXT)))
            .execute(&main.writer)
            .await?;
    }
    Ok(())
}
