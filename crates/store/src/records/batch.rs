//! A batch of records on its way to the database: everything that costs time and needs no database is done
//! here, on whichever thread has the time.

use std::borrow::Borrow;
use std::sync::{Arc, LazyLock};

use model::record::RequestRecord;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection};

use super::row;
use crate::error::StoreError;
use crate::rows::{RowInsert, Style};
use crate::sheet::Sheet;
use crate::usage::Sums;

/// Records per block: few enough to read a block for one of them, enough to make the row's own cost vanish.
const BLOCK: usize = 256;
/// Room for a record with two candidates and one attempt.
const USUAL_BYTES: usize = 224;

const BLOCK_COLUMNS: &[&str] = &["id", "last_id", "tenant_id", "records", "lines"];
const TRACE_COLUMNS: &[&str] = &["tenant_id", "trace_id", "request_id"];

static INSERT: LazyLock<[RowInsert; 2]> = LazyLock::new(|| inserts(Style::Bare));
static INSERT_NUMBERED: LazyLock<[RowInsert; 2]> = LazyLock::new(|| inserts(Style::Numbered));

/// All sizes of the statements, in the style that both engines take.
pub(super) fn statements() -> impl Iterator<Item = &'static str> {
    INSERT_NUMBERED.iter().flat_map(RowInsert::texts)
}

fn inserts(style: Style) -> [RowInsert; 2] {
    [
        RowInsert::new("request_block", BLOCK_COLUMNS, "ON CONFLICT (id) DO NOTHING", style),
        RowInsert::new(
            "request_trace",
            TRACE_COLUMNS,
            "ON CONFLICT (trace_id, request_id) DO NOTHING",
            style,
        ),
    ]
}

/// Records ready to be written.
pub struct RecordBatch(pub(super) Vec<Block>);

/// Records of one tenant and second; a row.
pub(super) struct Block {
    id: Arc<str>,
    last_id: Arc<str>,
    tenant_id: Arc<str>,
    pub(super) records: u64,
    lines: Arc<str>,
    traces: Vec<Trace>,
    pub(super) usage: Sums,
}

/// A record with a trace id of its own.
struct Trace {
    tenant_id: Arc<str>,
    trace_id: Arc<str>,
    request_id: Arc<str>,
}

impl RecordBatch {
    /// Prepares `records`. The same records in any order make the same batch.
    #[must_use]
    pub fn of<R: Borrow<RequestRecord>>(records: &[R]) -> Self {
        let mut records: Vec<&RequestRecord> = records.iter().map(Borrow::borrow).collect();
        records.sort_unstable_by(|one, other| {
            one.tenant_id.cmp(&other.tenant_id).then(one.request_id.cmp(&other.request_id))
        });
        let together = |one: &&RequestRecord, other: &&RequestRecord| {
            let second = |record: &RequestRecord| record.request_id.accepted_ms() / 1_000;
            second(one) == second(other) && one.tenant_id == other.tenant_id
        };
        let seconds = records.chunk_by(together);
        Self(seconds.flat_map(|second| second.chunks(BLOCK)).filter_map(Block::of).collect())
    }

    /// How many records it holds.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.iter().map(|block| block.records).sum()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Block {
    fn of(records: &[&RequestRecord]) -> Option<Self> {
        let (first, last) = (records.first()?, records.last()?);
        let mut sheet = Sheet::with_capacity(records.len() * USUAL_BYTES);
        records.iter().for_each(|record| row::write(&mut sheet, record));
        let own = records.iter().filter(|record| record.trace_id != record.request_id.into());
        Some(Self {
            id: first.request_id.to_string().into(),
            last_id: last.request_id.to_string().into(),
            tenant_id: Arc::clone(&first.tenant_id),
            records: records.len() as u64,
            lines: sheet.finish().into(),
            traces: own.map(|record| Trace::of(record)).collect(),
            usage: Sums::of(records),
        })
    }
}

impl Trace {
    fn of(record: &RequestRecord) -> Self {
        Self {
            tenant_id: Arc::clone(&record.tenant_id),
            trace_id: record.trace_id.to_string().into(),
            request_id: record.request_id.to_string().into(),
        }
    }
}

/// Inserts `blocks` with their traces and returns how many were new.
pub(super) async fn insert(connection: &mut SqliteConnection, blocks: &[Block]) -> Result<usize, StoreError> {
    let [block_insert, trace_insert] = &*INSERT;
    let mut written = 0;
    for (sql, part) in block_insert.parts(blocks) {
        let query = part.iter().fold(sqlx::query(sql), bind_block);
        written += query.execute(&mut *connection).await?.rows_affected();
    }
    for block in blocks {
        for (sql, part) in trace_insert.parts(&block.traces) {
            part.iter().fold(sqlx::query(sql), bind_trace).execute(&mut *connection).await?;
        }
    }
    Ok(usize::try_from(written).unwrap_or(usize::MAX))
}

/// An insert whose values are being bound.
type Insert = Query<'static, Sqlite, SqliteArguments>;

/// Binds the columns of a block, in the order of [`BLOCK_COLUMNS`].
fn bind_block(query: Insert, block: &Block) -> Insert {
    query
        .bind(block.id.clone())
        .bind(block.last_id.clone())
        .bind(block.tenant_id.clone())
        .bind(crate::column::signed(block.records))
        .bind(block.lines.clone())
}

/// Binds the columns of a trace, in the order of [`TRACE_COLUMNS`].
fn bind_trace(query: Insert, trace: &Trace) -> Insert {
    query.bind(trace.tenant_id.clone()).bind(trace.trace_id.clone()).bind(trace.request_id.clone())
}
