//! Rows out of a damaged file into a new one.
//!
//! The pages are read without SQLite, which gives a table up at its first bad page. Each table is walked from its
//! root; where that leads into damage, leaves that no table reaches are given to the one table whose columns
//! their rows fit. The new file gets the schema of the old one; ordinary starts then bring it up to date.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection};

use super::page::Pages;
use super::record::{self, Cell};
use super::{close, failed, named, quoted, tables, with_side_files, write_file};
use crate::error::StoreError;
use crate::statements::{Database, migrations};

/// Where SQLite keeps the schema.
const SCHEMA_ROOT: u32 = 1;

/// Where the head of the audit log is older than its entries, the chain goes on from the last of them. What is
/// missing before it is still found by verifying.
const CONTINUE_CHAIN: &str = "UPDATE audit_head SET \
     seq = (SELECT MAX(seq) FROM audit_log), \
     mac = (SELECT mac FROM audit_log ORDER BY seq DESC LIMIT 1), \
     checkpoints = (SELECT COALESCE(MAX(number), 0) FROM audit_checkpoint) \
     WHERE seq < (SELECT COALESCE(MAX(seq), 0) FROM audit_log)";

/// What came of it.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Salvaged {
    /// Rows by table.
    pub rows: BTreeMap<String, u64>,
    /// Pages and rows that could not be read, or fit no table.
    pub lost: u64,
    /// What whoever goes on with the new file should know.
    pub warnings: Vec<String>,
}

/// A table of the new file.
struct Table {
    name: String,
    columns: Vec<Column>,
}

struct Column {
    name: String,
    is_text: bool,
    is_required: bool,
}

impl Table {
    /// Whether a row of at least `least` values has what the columns ask for. Rows from before a column was
    /// added are shorter.
    fn fits(&self, cells: &[Cell], least: usize) -> bool {
        let of = |column: &Column, cell: &Cell| match cell {
            Cell::Null => !column.is_required,
            Cell::Text(_) => column.is_text,
            Cell::Integer(_) => !column.is_text,
            Cell::Real(_) | Cell::Blob(_) => false,
        };
        (least.max(1)..=self.columns.len()).contains(&cells.len())
            && self.columns.iter().zip(cells).all(|(column, cell)| of(column, cell))
    }
}

/// Reads what can be read of `damaged` into the new file `target`.
///
/// # Errors
/// The damaged file cannot be read at all; the new one exists or cannot be written.
pub async fn salvage(damaged: &Path, target: &Path, database: Database) -> Result<Salvaged, StoreError> {
    if target.exists() {
        return Err(failed(target, &std::io::ErrorKind::AlreadyExists.into()));
    }
    let copy = folded(damaged, target).await?;
    let pages = Pages::open(&copy).map_err(|error| failed(damaged, &error))?;
    let roots = roots(&pages);
    let version = newest_version(&pages, &roots, database);
    let mut connection = made(target, database, version).await?;
    let mut done = Salvaged::default();
    fill(&mut connection, &pages, &roots, &mut done).await?;
    mend(&mut connection, database, &mut done).await.map_err(|error| named(target, error))?;
    close(connection).await?;
    for path in with_side_files(&copy) {
        let _ = std::fs::remove_file(path);
    }
    Ok(done)
}

/// A copy of the file with its write-ahead log folded in, as far as SQLite still can.
async fn folded(damaged: &Path, target: &Path) -> Result<PathBuf, StoreError> {
    let mut name = target.as_os_str().to_owned();
    name.push(".reading");
    let copy = PathBuf::from(name);
    let pairs = with_side_files(damaged).into_iter().zip(with_side_files(&copy)).take(2);
    for (n, (from, to)) in pairs.enumerate() {
        match std::fs::read(&from) {
            Ok(bytes) => write_file(&to, &bytes)?,
            Err(error) if n == 0 => return Err(failed(&from, &error)),
            Err(_) => {}
        }
    }
    if let Ok(mut connection) = SqliteConnectOptions::new().filename(&copy).connect().await {
        let _ = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await;
        let _ = connection.close().await;
    }
    Ok(copy)
}

/// The root pages of the tables, by name, as far as the schema can be read.
fn roots(pages: &Pages) -> BTreeMap<String, u32> {
    let mut roots = BTreeMap::new();
    for leaf in pages.walk(SCHEMA_ROOT).leaves {
        for (_, row) in pages.rows(leaf, &mut 0) {
            if let Some([Cell::Text(kind), Cell::Text(name), _, Cell::Integer(root), ..]) =
                record::read(&row).as_deref()
                && kind == "table"
                && let Ok(root) = u32::try_from(*root)
            {
                roots.insert(name.clone(), root);
            }
        }
    }
    roots
}

/// The schema version of the damaged file, the newest where it does not say.
fn newest_version(pages: &Pages, roots: &BTreeMap<String, u32>, database: Database) -> i64 {
    let known = migrations(database).iter().map(|step| step.version).max().unwrap_or_default();
    let Some(root) = roots.get("_sqlx_migrations") else { return known };
    let rows = pages.walk(*root).leaves.into_iter().flat_map(|leaf| pages.rows(leaf, &mut 0));
    // The version is the table's own row number (INTEGER PRIMARY KEY is one, BIGINT is not).
    let version = |(row, record): (i64, Vec<u8>)| match record::read(&record)?.first()? {
        Cell::Integer(version) => Some(*version),
        _ => Some(row),
    };
    rows.filter_map(version).max().unwrap_or(known)
}

/// A new file with the schema of that version.
async fn made(target: &Path, database: Database, version: i64) -> Result<SqliteConnection, StoreError> {
    write_file(target, b"")?;
    let options = SqliteConnectOptions::new().filename(target).foreign_keys(false).page_size(8192);
    let mut connection = options.connect().await.map_err(|error| named(target, error))?;
    let steps = migrations(database).iter().filter(|step| step.version <= version).cloned().collect();
    let made = Migrator::with_migrations(steps).run_direct(None, &mut connection, false).await;
    made.map_err(|error| StoreError::Database(sqlx::Error::Migrate(Box::new(error))))?;
    Ok(connection)
}

async fn described(connection: &mut SqliteConnection) -> Result<Vec<Table>, sqlx::Error> {
    let mut described = Vec::new();
    for name in tables(connection).await? {
        if name == "_sqlx_migrations" {
            continue;
        }
        let read = sqlx::query("SELECT name, type, \"notnull\", pk FROM pragma_table_info($1)").bind(&name);
        let columns = read.fetch_all(&mut *connection).await?;
        let column = |row: &sqlx::sqlite::SqliteRow| {
            let (kind, notnull, pk): (String, i64, i64) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            Ok(Column {
                name: row.try_get(0)?,
                is_text: kind == "TEXT",
                is_required: notnull != 0 || pk != 0,
            })
        };
        let columns = columns.iter().map(column).collect::<Result<_, sqlx::Error>>()?;
        described.push(Table { name, columns });
    }
    Ok(described)
}

/// Writes all rows that can be read: those that a table leads to, then those that only fit.
async fn fill(
    connection: &mut SqliteConnection,
    pages: &Pages,
    roots: &BTreeMap<String, u32>,
    done: &mut Salvaged,
) -> Result<(), StoreError> {
    let tables = described(connection).await?;
    let mut seen = HashSet::from([SCHEMA_ROOT]);
    let mut is_whole = roots.len() >= tables.len();
    for root in roots.values() {
        seen.extend(pages.walk(*root).seen);
    }
    for table in &tables {
        let Some(root) = roots.get(&table.name) else {
            is_whole = false;
            continue;
        };
        let walk = pages.walk(*root);
        is_whole &= walk.lost == 0;
        done.lost += walk.lost;
        let mut rows = Vec::new();
        for leaf in walk.leaves {
            for (_, row) in pages.rows(leaf, &mut done.lost) {
                match record::read(&row).filter(|cells| table.fits(cells, 1)) {
                    Some(cells) => rows.push(cells),
                    None => done.lost += 1,
                }
            }
        }
        insert(connection, table, (rows, "REPLACE"), done).await?;
    }
    if is_whole {
        return Ok(());
    }
    seen.extend(pages.free());
    let astray = (2..=pages.count).filter(|page| !seen.contains(page) && pages.is_leaf(*page));
    let mut found: BTreeMap<usize, Vec<Vec<Cell>>> = BTreeMap::new();
    for leaf in astray {
        for (_, row) in pages.rows(leaf, &mut done.lost) {
            let cells = record::read(&row).unwrap_or_default();
            // Without its table's word for it, a row must be nearly as long as the table is wide.
            let fits = |table: &Table| table.fits(&cells, table.columns.len().saturating_sub(2));
            let fitting = tables.iter().enumerate().filter(|(_, table)| fits(table));
            match fitting.map(|(n, _)| n).collect::<Vec<_>>()[..] {
                [only] => found.entry(only).or_default().push(cells),
                _ => done.lost += 1,
            }
        }
    }
    for (table, rows) in found {
        insert(connection, &tables[table], (rows, "IGNORE"), done).await?;
    }
    Ok(())
}

async fn insert(
    connection: &mut SqliteConnection,
    table: &Table,
    (rows, conflict): (Vec<Vec<Cell>>, &str),
    done: &mut Salvaged,
) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    for cells in rows {
        let names: Vec<String> =
            table.columns.iter().take(cells.len()).map(|column| quoted(&column.name)).collect();
        let places: Vec<String> = (1..=cells.len()).map(|n| format!("${n}")).collect();
        let sql = format!(
            "INSERT OR {conflict} INTO {} ({}) VALUES ({})",
            quoted(&table.name),
            names.join(", "),
            places.join(", ")
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for cell in cells {
            query = match cell {
                Cell::Null => query.bind(None::<String>),
                Cell::Integer(number) => query.bind(number),
                Cell::Real(number) => query.bind(number),
                Cell::Text(text) => query.bind(text),
                Cell::Blob(bytes) => query.bind(bytes),
            };
        }
        match query.execute(&mut *transaction).await {
            Ok(written) => *done.rows.entry(table.name.clone()).or_default() += written.rows_affected(),
            Err(_) => done.lost += 1,
        }
    }
    Ok(transaction.commit().await?)
}

/// Brings the new file in order: no row without the row that it belongs to, and a revision after all others.
async fn mend(
    connection: &mut SqliteConnection,
    database: Database,
    done: &mut Salvaged,
) -> Result<(), sqlx::Error> {
    let orphans = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut *connection).await?;
    for row in orphans {
        let (table, row): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        let delete = format!("DELETE FROM {} WHERE rowid = $1", quoted(&table));
        sqlx::query(AssertSqlSafe(delete)).bind(row).execute(&mut *connection).await?;
        done.lost += 1;
    }
    if database == Database::Requests {
        return Ok(());
    }
    let tables = described(connection).await?;
    let has_chain = tables.iter().any(|table| table.name == "audit_head");
    for table in tables {
        if table.name != "revision" && table.columns.iter().any(|column| column.name == "revision") {
            let raise = format!(
                "UPDATE revision SET revision = MAX(revision, COALESCE((SELECT MAX(revision) FROM {}), 0))",
                quoted(&table.name)
            );
            sqlx::query(AssertSqlSafe(raise)).execute(&mut *connection).await?;
        }
    }
    let lost = |name: &str| !done.rows.contains_key(name);
    let mut warnings = Vec::new();
    if has_chain && sqlx::query(CONTINUE_CHAIN).execute(&mut *connection).await?.rows_affected() > 0 {
        warnings.push("the end of the audit log is lost: it goes on after the last entry that was found");
    }
    if lost("key_marker") {
        warnings.push("the mark of the keys is lost: a start with other keys is not noticed");
    }
    if lost("journal_position") && (!lost("wallet") || !lost("quota_window")) {
        warnings.push("the place in the journal is lost: move the directory `journal` away before a start, or what it holds is counted twice");
    }
    done.warnings.extend(warnings.into_iter().map(str::to_owned));
    Ok(())
}
