//! Whether a file is whole, how large it is and by what.

use std::path::Path;

use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use super::{close, named, open, quoted, schema, shown, tables};
use crate::error::StoreError;
use crate::statements::{Database, migrations};

/// Lines of what SQLite finds wrong; more say nothing further.
const MOST_FAULTS: i64 = 20;

/// What was found in one file.
#[derive(Clone, Debug, Default)]
pub struct FileCheck {
    /// The file's name.
    pub file: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Bytes of it that hold nothing; a vacuum gives them back.
    pub free_bytes: u64,
    /// Its schema.
    pub schema: i64,
    /// The newest schema that this program knows.
    pub newest_schema: i64,
    /// What is wrong with it, in SQLite's words; empty for a sound file.
    pub faults: Vec<String>,
    /// Its tables, largest first.
    pub tables: Vec<TableSize>,
}

/// A table and its size.
#[derive(Clone, Debug)]
pub struct TableSize {
    /// Its name.
    pub name: String,
    /// Its rows.
    pub rows: i64,
    /// Its bytes with its indexes; 0 where SQLite does not say.
    pub bytes: i64,
}

/// Checks one database of a data directory. A running server is not held up.
///
/// # Errors
/// The file is not there or cannot be opened at all. A damaged one is no error: its faults are in the answer.
pub async fn check(data_dir: &Path, database: Database) -> Result<FileCheck, StoreError> {
    let path = database.path(data_dir)?;
    let metadata = std::fs::metadata(&path).map_err(|error| super::failed(&path, &error))?;
    let newest = migrations(database).iter().map(|step| step.version).max();
    let mut found = FileCheck {
        file: shown(&path),
        bytes: metadata.len(),
        newest_schema: newest.unwrap_or_default(),
        ..FileCheck::default()
    };
    match look(&path, &mut found).await {
        Ok(()) => {}
        Err(StoreError::Damaged { .. }) => found.faults.push("it is damaged, or not a database".to_owned()),
        Err(error) => return Err(error),
    }
    Ok(found)
}

async fn look(path: &Path, found: &mut FileCheck) -> Result<(), StoreError> {
    let mut connection = open(path).await?;
    let asked = format!("PRAGMA integrity_check({MOST_FAULTS})");
    let lines: Vec<String> = sqlx::query_scalar(AssertSqlSafe(asked))
        .fetch_all(&mut connection)
        .await
        .map_err(|error| named(path, error))?;
    found.faults.extend(lines.into_iter().filter(|line| line != "ok"));
    let orphans =
        sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut connection).await.unwrap_or_default();
    if !orphans.is_empty() {
        found.faults.push(format!("{} rows belong to rows that are not there", orphans.len()));
    }
    found.schema = schema(&mut connection).await;
    if found.schema > found.newest_schema {
        found.faults.push(format!("a newer version of this program wrote it (schema {})", found.schema));
    }
    let pragma = |name: &str| AssertSqlSafe(format!("PRAGMA {name}"));
    let free: i64 =
        sqlx::query_scalar(pragma("freelist_count")).fetch_one(&mut connection).await.unwrap_or(0);
    let page: i64 = sqlx::query_scalar(pragma("page_size")).fetch_one(&mut connection).await.unwrap_or(0);
    found.free_bytes = crate::column::unsigned(free.saturating_mul(page));
    for name in tables(&mut connection).await.unwrap_or_default() {
        found.tables.push(size(&mut connection, name).await);
    }
    found.tables.sort_by_key(|table| std::cmp::Reverse((table.bytes, table.rows)));
    close(connection).await
}

async fn size(connection: &mut SqliteConnection, name: String) -> TableSize {
    let count = format!("SELECT COUNT(*) FROM {}", quoted(&name));
    let rows = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut *connection).await.unwrap_or(0);
    let pages = "SELECT COALESCE(SUM(pgsize), 0) FROM dbstat WHERE name IN \
         (SELECT name FROM sqlite_schema WHERE tbl_name = $1)";
    let row = sqlx::query(pages).bind(&name).fetch_one(connection).await;
    let bytes = row.ok().and_then(|row| row.try_get(0).ok()).unwrap_or(0);
    TableSize { name, rows, bytes }
}

/// The schema of one database of a data directory, and the newest that this program knows.
///
/// # Errors
/// The file cannot be opened.
pub async fn schema_of(data_dir: &Path, database: Database) -> Result<(i64, i64), StoreError> {
    let mut connection = open(&database.path(data_dir)?).await?;
    let found = schema(&mut connection).await;
    close(connection).await?;
    Ok((found, migrations(database).iter().map(|step| step.version).max().unwrap_or_default()))
}
