//! Why the store refused, in words that name the cause and the repair. Never a secret, never a value.

use std::path::PathBuf;

use model::entry::JournalPosition;

/// Everything that can go wrong while opening, reading or writing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data directory cannot be created, read or written.
    #[error("the data directory {} cannot be used: {reason}; give another with --data, or make it writable", path.display())]
    Directory {
        /// The directory or the file in it.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// Another process works on the same data.
    #[error("the data directory is in use by process {pid} (lock file {}); stop it, or give another directory with --data", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The process id that the holder wrote, or `unknown`.
        pid: String,
    },
    /// A key file is missing, unreadable, malformed or open to others.
    #[error("the key file {} cannot be used: {reason}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The data was sealed under another key-encryption key.
    #[error(
        "the data was sealed with the key {sealed_by}, but this start has the key {at_hand}; restore the key files in data/keys or the former ENCRYPTION_KEY; nothing was changed"
    )]
    WrongKey {
        /// The id of the key that sealed the data.
        sealed_by: String,
        /// The ids of the keys at hand.
        at_hand: String,
    },
    /// The data was hashed under another pepper: no API key would be recognised.
    #[error(
        "the pepper is not the one under which the API keys in this data are hashed; restore data/keys/pepper or the former ENCRYPTION_KEY; nothing was changed"
    )]
    WrongPepper,
    /// The database was written by a later version.
    #[error("the database {} has schema version {version}, which is newer than this program knows; start the newer version, or restore a backup", path.display())]
    NewerSchema {
        /// The database file.
        path: PathBuf,
        /// The version found in it.
        version: i64,
    },
    /// The database file is not a database, or is damaged.
    #[error("the database {} is damaged or not a database; restore it from a backup", path.display())]
    Damaged {
        /// The database file.
        path: PathBuf,
    },
    /// The data directory has a main database of another name.
    #[error("the main database of this data directory is {}, not {asked}; move it to the new name first, or give another directory", path.display())]
    OtherDatabase {
        /// The main database that is there.
        path: PathBuf,
        /// The file name that was asked for.
        asked: String,
    },
    /// The file holds the tables of another program.
    #[error("the database {} belongs to another program; name a file that is not there yet", path.display())]
    ForeignDatabase {
        /// The database file.
        path: PathBuf,
    },
    /// The single writer was not free for fifteen seconds.
    #[error("the database was busy for fifteen seconds; try again")]
    Busy,
    /// The database's files cannot be used at present: the disk is full or fails, or they are gone.
    #[error("the database cannot be used at present: {0}; make room or repair the disk, then try again")]
    Unavailable(String),
    /// A projection does not begin where the database stands.
    #[error("the projection begins at {}, but the database stands at {}", place(begins), place(stands))]
    Gap {
        /// Where the database stands; `None` when it knows nothing of the shard.
        stands: Option<JournalPosition>,
        /// Where the projection begins.
        begins: Option<JournalPosition>,
    },
    /// A row with the same id or unique name exists.
    #[error("{0} exists already")]
    Conflict(&'static str),
    /// The row changed since it was read (raised by the closure of an update).
    #[error("the resource was changed in the meantime; read it again")]
    Stale,
    /// A change was refused by the rule that the text names (raised by the closure of an update).
    #[error("{0}")]
    Refused(&'static str),
    /// A sealed value does not open in its place: it was altered, moved or sealed with another key.
    #[error(
        "the sealed {column} of {table} {id} does not open: it was altered, moved, or sealed with another key"
    )]
    Unsealable {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row.
        id: String,
    },
    /// A stored value is not what this column holds.
    #[error("the column {column} of {table} holds a value that cannot be read")]
    Unreadable {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// The operating system's random generator or the cipher failed.
    #[error("the cryptographic library failed: {0}")]
    Crypto(&'static str),
    /// Anything else that the database said.
    #[error("the database failed: {0}")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolTimedOut) || has_code(&error, &[SQLITE_BUSY, SQLITE_LOCKED]) {
            return Self::Busy;
        }
        let gone = matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed);
        if gone || has_code(&error, SQLITE_UNUSABLE) {
            return Self::Unavailable(error.to_string());
        }
        Self::Database(error)
    }
}

/// A position in the journal in words.
fn place(position: &Option<JournalPosition>) -> String {
    position.map_or_else(
        || "the beginning of its shard".to_owned(),
        |at| format!("shard {} segment {} byte {}", at.shard, at.segment, at.offset),
    )
}

impl StoreError {
    /// Whether the same call may succeed later without anything being changed about it: the database was
    /// busy, or its files could not be used.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy | Self::Unavailable(_) | Self::Directory { .. })
    }

    /// Names what exists already when `error` is a violated uniqueness.
    pub(crate) fn conflict(error: sqlx::Error, what: &'static str) -> Self {
        let unique = error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation);
        if unique { Self::Conflict(what) } else { error.into() }
    }
}

// Primary result codes of SQLite, https://www.sqlite.org/rescode.html
const SQLITE_BUSY: i32 = 5;
const SQLITE_LOCKED: i32 = 6;
/// The files cannot be used: READONLY, IOERR, FULL, CANTOPEN.
pub(crate) const SQLITE_UNUSABLE: &[i32] = &[8, 10, 13, 14];
/// The file is damaged.
pub(crate) const SQLITE_CORRUPT: i32 = 11;
/// The file is not a database.
pub(crate) const SQLITE_NOTADB: i32 = 26;

/// Whether SQLite gave one of these primary result codes (the low eight bits of an extended one).
pub(crate) fn has_code(error: &sqlx::Error, codes: &[i32]) -> bool {
    let code = error.as_database_error().and_then(|e| e.code());
    let primary = code.and_then(|text| text.parse::<i32>().ok()).map(|code| code & 0xff);
    primary.is_some_and(|code| codes.contains(&code))
}
