//! Writing records at a few microseconds each: many rows in one statement, prepared once.

use std::sync::{Arc, LazyLock};

use model::ResourceId;
use model::record::RequestRecord;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection};

use super::detail;
use crate::column::signed;
use crate::error::StoreError;
use crate::rows::{RowInsert, Style};

const COLUMNS: &[&str] = &[
    "request_id",
    "at_ms",
    "trace_id",
    "key_id",
    "user_id",
    "tenant_id",
    "model",
    "status",
    "code",
    "upstream",
    "input",
    "output",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "reasoning",
    "source",
    "cost_nano",
    "latency_ms",
    "first_byte_ms",
    "detail",
];

const CONFLICT: &str = "ON CONFLICT (request_id) DO NOTHING";

static INSERT: LazyLock<RowInsert> = LazyLock::new(|| insert(Style::Bare));
static INSERT_NUMBERED: LazyLock<RowInsert> = LazyLock::new(|| insert(Style::Numbered));

/// All sizes of the statement, in the style that both engines take.
pub(super) fn statements() -> impl Iterator<Item = &'static str> {
    INSERT_NUMBERED.texts()
}

fn insert(style: Style) -> RowInsert {
    RowInsert::new("request_record", COLUMNS, CONFLICT, style)
}

/// Inserts all of `records` and returns how many were new.
pub(super) async fn insert_batch(
    connection: &mut SqliteConnection,
    records: &[RequestRecord],
) -> Result<u64, StoreError> {
    let mut written = 0;
    for (sql, part) in INSERT.parts(records) {
        let query = part.iter().fold(sqlx::query(sql), bind);
        written += query.execute(&mut *connection).await?.rows_affected();
    }
    Ok(written)
}

/// An insert whose values are being bound.
type Insert = Query<'static, Sqlite, SqliteArguments>;

/// Binds the columns of one row, in the order of [`COLUMNS`]. Texts go in as shared slices: one
/// allocation each, none for those that are shared already.
fn bind(query: Insert, record: &RequestRecord) -> Insert {
    let own_trace = record.trace_id != record.request_id.into();
    let usage = &record.usage;
    query
        .bind(shared(std::str::from_utf8(&record.request_id.text()).expect("an id is hex digits")))
        .bind(signed(record.at))
        .bind(own_trace.then(|| shared(&record.trace_id.to_string())))
        .bind(record.key_id.as_ref().map(ResourceId::as_str).map(shared))
        .bind(record.user_id.as_ref().map(ResourceId::as_str).map(shared))
        .bind(record.tenant_id.clone())
        .bind(record.model.clone())
        .bind(i64::from(record.status))
        .bind(record.code.map(|code| shared(code.name())))
        .bind(record.upstream.clone())
        .bind(signed(usage.input))
        .bind(signed(usage.output))
        .bind(signed(usage.cache_read))
        .bind(signed(usage.cache_write_5m))
        .bind(signed(usage.cache_write_1h))
        .bind(signed(usage.reasoning))
        .bind(shared(usage.source.name()))
        .bind(record.cost.map(|cost| cost.0))
        .bind(i64::from(record.latency_ms))
        .bind(record.first_byte_ms.map(i64::from))
        .bind(detail::write(record))
}

fn shared(text: &str) -> Arc<str> {
    Arc::from(text)
}
