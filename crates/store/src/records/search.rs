//! Finding records: by id, by trace, or walking back from the newest.

use model::clock::EpochMs;
use model::{NanoUsd, ResourceId, Usage, UsageSource};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{RecordFilter, StoredRecord};
use crate::column::Columns;
use crate::error::StoreError;
use crate::page::{Cursor, Page, PageRequest};
use crate::scope::Scope;
use crate::store::Store;

/// A search whose rows are narrowed by `$narrowed`, which may use `$8`; everything else is shared, so
/// that all of them are bound alike.
macro_rules! search {
    ($narrowed:literal) => {
        concat!(
            "SELECT * FROM request_record WHERE tenant_id = $1 AND request_id < $2 AND request_id >= $3 ",
            "AND (CAST($4 AS TEXT) IS NULL OR model = $4) AND (CAST($5 AS BIGINT) IS NULL OR status = $5) ",
            "AND (CAST($6 AS TEXT) IS NULL OR code = $6) AND (CAST($9 AS TEXT) IS NULL OR key_id = $9) ",
            "AND (CAST($10 AS TEXT) IS NULL OR trace_id = $10 OR request_id = $10) AND ",
            $narrowed,
            " ORDER BY request_id DESC LIMIT $7"
        )
    };
}

const BY_ID: &str = search!("request_id = $8");
/// A request without a trace of its own is found by its id.
const BY_TRACE: &str = search!("(trace_id = $8 OR request_id = $8)");
const NEWEST: &str = search!("CAST($8 AS TEXT) IS NULL");

pub(super) const STATEMENTS: [&str; 3] = [BY_ID, BY_TRACE, NEWEST];

/// Sorts after every request id, in any collation.
const AFTER_ALL: &str = "s";

/// The text that divides the ids of requests accepted before `at` from those accepted at it or later.
pub(crate) fn id_at(at: EpochMs) -> String {
    format!("req-{at:012x}")
}

impl Store {
    /// Searches the tenant's records, newest first. By id and by trace it costs a look-up, else a walk
    /// from the newest on until the page is full: give a time range with a key, model, status or code
    /// that may be rare.
    ///
    /// # Errors
    /// What the database said.
    pub async fn search_records(
        &self,
        scope: &Scope,
        filter: &RecordFilter,
        page: &PageRequest,
    ) -> Result<Page<StoredRecord>, StoreError> {
        let (_, after) = page.position();
        let after = if after.is_empty() { AFTER_ALL } else { after };
        let before = filter.to.map(id_at);
        let below = before.as_deref().map_or(after, |before| before.min(after));
        let (sql, narrowed) = narrowest(filter);
        let rows = sqlx::query(sql)
            .bind(&*scope.tenant_id)
            .bind(below)
            .bind(filter.from.map(id_at).unwrap_or_default())
            .bind(&filter.model)
            .bind(filter.status.map(i64::from))
            .bind(&filter.code)
            .bind(page.fetch())
            .bind(narrowed)
            .bind(filter.key_id.as_ref().map(ResourceId::as_str))
            .bind(&filter.trace_id)
            .fetch_all(&self.requests.readers)
            .await?;
        let records = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(records, page, |record| Cursor::new(record.at, &record.request_id)))
    }
}

/// The statement that looks at the fewest rows, and what it looks for.
fn narrowest(filter: &RecordFilter) -> (&'static str, Option<&str>) {
    match (&filter.request_id, &filter.trace_id) {
        (Some(request), _) => (BY_ID, Some(request)),
        (None, Some(trace)) => (BY_TRACE, Some(trace)),
        (None, None) => (NEWEST, None),
    }
}

fn read(row: &SqliteRow) -> Result<StoredRecord, StoreError> {
    let columns = Columns { table: "request_record", row };
    let request_id = columns.text("request_id")?;
    let detail: serde_json::Value = columns.json("detail")?;
    let status = columns.number("status")?;
    let cost: Option<i64> = row.try_get("cost_nano").map_err(|_| columns.unreadable("cost_nano"))?;
    let first_byte = columns.optional_number("first_byte_ms")?;
    Ok(StoredRecord {
        trace_id: columns.optional_text("trace_id")?.unwrap_or_else(|| request_id.clone()),
        request_id,
        at: columns.time("at_ms")?,
        key_id: columns.optional_id("key_id")?,
        user_id: columns.optional_id("user_id")?,
        tenant_id: columns.text("tenant_id")?,
        model: columns.text("model")?,
        status: u16::try_from(status).map_err(|_| columns.unreadable("status"))?,
        code: columns.optional_text("code")?,
        upstream: columns.optional_text("upstream")?,
        usage: read_usage(&columns, &detail)?,
        cost: cost.map(NanoUsd),
        latency_ms: columns.small("latency_ms")?,
        first_byte_ms: first_byte.map(|ms| u32::try_from(ms).unwrap_or(u32::MAX)),
        detail,
    })
}

fn read_usage(columns: &Columns<'_>, detail: &serde_json::Value) -> Result<Usage, StoreError> {
    let rare = |name: &str| detail[name].as_u64().unwrap_or(0);
    let source = |name: &str| {
        [UsageSource::Measured, UsageSource::Estimated, UsageSource::None]
            .into_iter()
            .find(|source| source.name() == name)
    };
    Ok(Usage {
        input: columns.number("input")?,
        cache_read: columns.number("cache_read")?,
        cache_write_5m: columns.number("cache_write_5m")?,
        cache_write_1h: columns.number("cache_write_1h")?,
        output: columns.number("output")?,
        reasoning: columns.number("reasoning")?,
        audio_in: rare("audio_in"),
        audio_out: rare("audio_out"),
        web_searches: rare("web_searches"),
        source: columns.named("source", source)?,
    })
}
