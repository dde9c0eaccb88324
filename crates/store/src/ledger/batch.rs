//! The entries of a projection on their way to the database: everything that costs time and needs no
//! database is done here, before the transaction begins.

use std::sync::{Arc, LazyLock};

use model::ResourceId;
use model::entry::LedgerEntry;
use sqlx::SqliteConnection;

use super::row;
use crate::error::StoreError;
use crate::rows::{RowInsert, Style};
use crate::sheet::Sheet;

/// Entries per block: few enough to read a block for one of them, enough to make the row's own cost vanish.
const BLOCK: usize = 256;
/// Room for an entry with a key, a user and an account.
const USUAL_BYTES: usize = 96;

const BLOCK_COLUMNS: &[&str] =
    &["batch", "part", "tenant_id", "first_request", "last_request", "entries", "lines"];
const SUBJECT_COLUMNS: &[&str] = &["era", "subject"];
/// When an era has this many entries, the next projection begins another. A search by key reads whole eras, of
/// about 8 MB each, and looks into each era there is: this keeps both to milliseconds.
const ERA: i64 = 32_768;
const NEWEST_ERA: &str = "SELECT era, entries FROM ledger_era ORDER BY era DESC LIMIT 1";
const EXTEND_ERA: &str = "INSERT INTO ledger_era (era, entries) VALUES ($1, $2) \
     ON CONFLICT (era) DO UPDATE SET entries = ledger_era.entries + excluded.entries";

static INSERT: LazyLock<[RowInsert; 2]> = LazyLock::new(|| inserts(Style::Bare));
static INSERT_NUMBERED: LazyLock<[RowInsert; 2]> = LazyLock::new(|| inserts(Style::Numbered));

/// All sizes of the statements, in the style that both engines take.
pub(super) fn statements() -> impl Iterator<Item = &'static str> {
    INSERT_NUMBERED.iter().flat_map(RowInsert::texts).chain([NEWEST_ERA, EXTEND_ERA])
}

fn inserts(style: Style) -> [RowInsert; 2] {
    [
        RowInsert::new("ledger_block", BLOCK_COLUMNS, "", style),
        RowInsert::new("ledger_subject", SUBJECT_COLUMNS, "ON CONFLICT (era, subject) DO NOTHING", style),
    ]
}

/// The number by which a key or user is found: the last sixty bits of its id, which are chance.
pub(super) fn subject(id: &ResourceId) -> i64 {
    id.as_str().bytes().rev().take(12).fold(0, |number, letter| {
        let five = if letter.is_ascii_digit() { letter - b'2' + 26 } else { letter - b'a' };
        number << 5 | i64::from(five)
    })
}

/// Entries ready to be written.
pub(super) struct Batch {
    blocks: Vec<Block>,
    subjects: Vec<i64>,
}

/// Entries of one tenant; a row.
struct Block {
    tenant_id: Arc<str>,
    first_request: String,
    last_request: String,
    entries: i64,
    lines: String,
}

/// An entry and its number within the projection.
type Numbered<'e> = (usize, &'e LedgerEntry);

impl Batch {
    pub(super) fn of(entries: &[LedgerEntry]) -> Self {
        let mut sorted: Vec<Numbered<'_>> = entries.iter().enumerate().collect();
        sorted.sort_unstable_by(|(number, entry), (other_number, other)| {
            let by_request = entry.request_id.cmp(&other.request_id);
            entry.tenant_id.cmp(&other.tenant_id).then(by_request).then(number.cmp(other_number))
        });
        let together = |(_, one): &Numbered<'_>, (_, other): &Numbered<'_>| {
            one.request_id.is_some() == other.request_id.is_some() && one.tenant_id == other.tenant_id
        };
        let alike = sorted.chunk_by(together);
        Self {
            blocks: alike.flat_map(|part| part.chunks(BLOCK)).filter_map(Block::of).collect(),
            subjects: subjects(entries),
        }
    }

    /// Inserts the entries as those of the projection number `batch`.
    pub(super) async fn insert(
        &self,
        connection: &mut SqliteConnection,
        batch: i64,
    ) -> Result<(), StoreError> {
        let [block_insert, subject_insert] = &*INSERT;
        let mut part_number = 0_i64;
        for (sql, blocks) in block_insert.parts(&self.blocks) {
            let mut query = sqlx::query(sql);
            for block in blocks {
                query = query.bind(batch).bind(part_number).bind(&*block.tenant_id);
                query = query.bind(&block.first_request).bind(&block.last_request);
                query = query.bind(block.entries).bind(&block.lines);
                part_number += 1;
            }
            query.execute(&mut *connection).await?;
        }
        let entries = self.blocks.iter().map(|block| block.entries).sum();
        let era = extend_era(connection, batch, entries).await?;
        for (sql, subjects) in subject_insert.parts(&self.subjects) {
            let query = sqlx::query(sql);
            let query = subjects.iter().fold(query, |query, subject| query.bind(era).bind(*subject));
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }
}

/// Adds the projection number `batch` to the newest era, or to a new one when that is full; which one.
async fn extend_era(connection: &mut SqliteConnection, batch: i64, entries: i64) -> Result<i64, StoreError> {
    let newest: Option<(i64, i64)> = sqlx::query_as(NEWEST_ERA).fetch_optional(&mut *connection).await?;
    let era = newest.filter(|(_, entries)| *entries < ERA).map_or(batch, |(era, _)| era);
    sqlx::query(EXTEND_ERA).bind(era).bind(entries).execute(connection).await?;
    Ok(era)
}

/// The keys and users of the entries, each once and in order.
fn subjects(entries: &[LedgerEntry]) -> Vec<i64> {
    let ids = entries.iter().flat_map(|entry| [&entry.key_id, &entry.user_id]);
    let mut subjects: Vec<i64> = ids.flatten().map(subject).collect();
    subjects.sort_unstable();
    subjects.dedup();
    subjects
}

impl Block {
    fn of(entries: &[Numbered<'_>]) -> Option<Self> {
        let ((_, first), (_, last)) = (entries.first()?, entries.last()?);
        let mut sheet = Sheet::with_capacity(entries.len() * USUAL_BYTES);
        for (number, entry) in entries {
            row::write(&mut sheet, *number, entry);
        }
        let request = |entry: &LedgerEntry| entry.request_id.map(|id| id.to_string()).unwrap_or_default();
        Some(Self {
            tenant_id: Arc::clone(&first.tenant_id),
            first_request: request(first),
            last_request: request(last),
            entries: i64::try_from(entries.len()).unwrap_or(i64::MAX),
            lines: sheet.finish(),
        })
    }
}
