//! What requests add up to, per key, model and UTC day. Written with the records, in their transaction;
//! kept when the records are deleted.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use model::clock::{EpochMs, utc_day};
use model::record::RequestRecord;
use model::{NanoUsd, ResourceId, UsageSource};
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Row, Sqlite, SqliteConnection};

use crate::column::{Columns, signed};
use crate::error::StoreError;
use crate::rows::{RowInsert, Style};
use crate::scope::Scope;
use crate::store::Store;

const COLUMNS: &[&str] = &[
    "tenant_id",
    "day",
    "key_id",
    "model",
    "requests",
    "input",
    "output",
    "cache_read",
    "cache_write",
    "reasoning",
    "cost_nano",
    "unpriced",
    "updated_at",
];
const CONFLICT: &str = "ON CONFLICT (key_id, day, model, tenant_id) DO UPDATE SET \
     requests = usage_daily.requests + excluded.requests, input = usage_daily.input + excluded.input, \
     output = usage_daily.output + excluded.output, cache_read = usage_daily.cache_read + excluded.cache_read, \
     cache_write = usage_daily.cache_write + excluded.cache_write, \
     reasoning = usage_daily.reasoning + excluded.reasoning, \
     cost_nano = usage_daily.cost_nano + excluded.cost_nano, \
     unpriced = usage_daily.unpriced + excluded.unpriced, updated_at = excluded.updated_at";
const OF_KEY: &str = "SELECT * FROM usage_daily WHERE tenant_id = $1 AND key_id = $2 AND day >= $3 AND day <= $4 \
     ORDER BY day DESC, model";
const OF_DAY: &str = "SELECT key_id, CAST(SUM(requests) AS BIGINT) AS requests, \
     CAST(SUM(input + output + cache_read + cache_write) AS BIGINT) AS tokens, MAX(updated_at) AS updated_at \
     FROM usage_daily WHERE tenant_id = $1 AND day = $2 AND key_id <> '' \
     AND (CAST($3 AS TEXT) IS NULL OR key_id = $3) \
     GROUP BY key_id ORDER BY key_id LIMIT $4";
const DELETE: &str = "DELETE FROM usage_daily WHERE day < $1";
/// The newest day with which, and all after it, there are more rows than may be kept.
const BEYOND: &str = "SELECT day FROM (SELECT day, SUM(COUNT(*)) OVER (ORDER BY day DESC) AS so_far \
     FROM usage_daily GROUP BY day) AS days WHERE so_far > $1 ORDER BY day DESC LIMIT 1";
/// Keys of one day in one answer: ten pages of a list.
const MOST_KEYS: i64 = 2_000;

static ADD: LazyLock<RowInsert> = LazyLock::new(|| add_rows(Style::Bare));
static ADD_NUMBERED: LazyLock<RowInsert> = LazyLock::new(|| add_rows(Style::Numbered));

/// All statements of this aggregate.
pub(crate) fn statements() -> Vec<&'static str> {
    ADD_NUMBERED.texts().chain([OF_KEY, OF_DAY, DELETE, BEYOND]).collect()
}

fn add_rows(style: Style) -> RowInsert {
    RowInsert::new("usage_daily", COLUMNS, CONFLICT, style)
}

/// What one key used of one model on one UTC day. Only requests that reached an upstream count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DailyUsage {
    /// The UTC day, `YYYY-MM-DD`.
    pub day: String,
    /// The model, by the name asked for.
    pub model: String,
    /// Requests.
    pub requests: u64,
    /// Prompt tokens outside any cache.
    pub input: u64,
    /// Tokens of answers.
    pub output: u64,
    /// Prompt tokens read from a cache.
    pub cache_read: u64,
    /// Prompt tokens written to a cache.
    pub cache_write: u64,
    /// Part of `output` spent on reasoning.
    pub reasoning: u64,
    /// What the priced requests cost.
    pub cost: NanoUsd,
    /// Requests whose model had no price.
    pub unpriced: u64,
}

/// What one key used on one UTC day, of all models together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDay {
    /// The key.
    pub key_id: ResourceId,
    /// Requests.
    pub requests: u64,
    /// Tokens of all kinds.
    pub tokens: u64,
    /// When that last grew.
    pub updated_at: EpochMs,
}

impl Store {
    /// Deletes the sums of UTC days (`YYYY-MM-DD`) before `day`, of all tenants; how many.
    ///
    /// # Errors
    /// What the database said.
    pub async fn delete_usage_before(&self, day: &str) -> Result<u64, StoreError> {
        let deleted = sqlx::query(DELETE).bind(day).execute(&self.requests.writer).await?;
        Ok(deleted.rows_affected())
    }

    /// The newest UTC day (`YYYY-MM-DD`) that is not kept when at most `rows` sums are, of all tenants and whole days
    /// only; none while all fit. Reads the table once.
    ///
    /// # Errors
    /// What the database said.
    pub async fn usage_beyond(&self, rows: u32) -> Result<Option<String>, StoreError> {
        let found = sqlx::query_scalar(BEYOND).bind(i64::from(rows));
        Ok(found.fetch_optional(&self.requests.readers).await?)
    }

    /// What the keys of a tenant used on one UTC day (`YYYY-MM-DD`), by key; of one key alone where it is
    /// named. At most 2,000 keys.
    ///
    /// # Errors
    /// What the database said.
    pub async fn usage_of_day(
        &self,
        scope: &Scope,
        day: &str,
        key_id: Option<&ResourceId>,
    ) -> Result<Vec<KeyDay>, StoreError> {
        let rows = sqlx::query(OF_DAY)
            .bind(&*scope.tenant_id)
            .bind(day)
            .bind(key_id.map(ResourceId::as_str))
            .bind(MOST_KEYS)
            .fetch_all(&self.requests.readers)
            .await?;
        rows.iter()
            .map(|row| {
                let columns = Columns { table: "usage_daily", row };
                Ok(KeyDay {
                    key_id: columns.id("key_id")?,
                    requests: columns.number("requests")?,
                    tokens: columns.number("tokens")?,
                    updated_at: columns.number("updated_at")?,
                })
            })
            .collect()
    }

    /// The usage of a key from `from_day` to `to_day`, both included (`YYYY-MM-DD`, UTC): newest day
    /// first, then by model. Give a range that is bounded: one row per day and model comes back.
    ///
    /// # Errors
    /// What the database said.
    pub async fn usage(
        &self,
        scope: &Scope,
        key_id: &ResourceId,
        from_day: &str,
        to_day: &str,
    ) -> Result<Vec<DailyUsage>, StoreError> {
        let rows = sqlx::query(OF_KEY)
            .bind(&*scope.tenant_id)
            .bind(key_id.as_str())
            .bind(from_day)
            .bind(to_day)
            .fetch_all(&self.requests.readers)
            .await?;
        rows.iter()
            .map(|row| {
                let columns = Columns { table: "usage_daily", row };
                let cost = row.try_get("cost_nano").map_err(|_| columns.unreadable("cost_nano"))?;
                Ok(DailyUsage {
                    day: columns.text("day")?,
                    model: columns.text("model")?,
                    requests: columns.number("requests")?,
                    input: columns.number("input")?,
                    output: columns.number("output")?,
                    cache_read: columns.number("cache_read")?,
                    cache_write: columns.number("cache_write")?,
                    reasoning: columns.number("reasoning")?,
                    cost: NanoUsd(cost),
                    unpriced: columns.number("unpriced")?,
                })
            })
            .collect()
    }
}

/// Whose and which usage a sum is.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Heading {
    tenant_id: Arc<str>,
    day: u64,
    key_id: Option<ResourceId>,
    model: Arc<str>,
}

impl Heading {
    fn of(record: &RequestRecord) -> Self {
        Self {
            tenant_id: Arc::clone(&record.tenant_id),
            day: record.at / DAY_MS,
            key_id: record.key_id.clone(),
            model: Arc::clone(&record.model),
        }
    }

    fn is_of(&self, record: &RequestRecord) -> bool {
        self.key_id == record.key_id
            && self.model == record.model
            && self.day == record.at / DAY_MS
            && self.tenant_id == record.tenant_id
    }

    fn key(&self) -> &str {
        self.key_id.as_ref().map_or("", ResourceId::as_str)
    }
}

#[derive(Clone, Copy, Default)]
struct Sum {
    requests: u64,
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
    reasoning: u64,
    cost: i64,
    unpriced: u64,
    updated_at: EpochMs,
}

impl Sum {
    fn of(record: &RequestRecord) -> Self {
        let usage = &record.usage;
        Self {
            requests: 1,
            input: usage.input,
            output: usage.output,
            cache_read: usage.cache_read,
            cache_write: usage.cache_write(),
            reasoning: usage.reasoning,
            cost: record.cost.map_or(0, |cost| cost.0),
            unpriced: u64::from(record.cost.is_none()),
            updated_at: record.at.saturating_add(record.latency_ms.into()),
        }
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.input = self.input.saturating_add(other.input);
        self.output = self.output.saturating_add(other.output);
        self.cache_read = self.cache_read.saturating_add(other.cache_read);
        self.cache_write = self.cache_write.saturating_add(other.cache_write);
        self.reasoning = self.reasoning.saturating_add(other.reasoning);
        self.cost = self.cost.saturating_add(other.cost);
        self.unpriced += other.unpriced;
        self.updated_at = self.updated_at.max(other.updated_at);
    }
}

const DAY_MS: EpochMs = 86_400_000;

/// What some records add up to. A heading may stand there more than once.
pub(crate) struct Sums(Vec<(Heading, Sum)>);

impl Sums {
    /// Adds up runs of records with one heading; [`add`] does the rest, once per run.
    pub(crate) fn of(records: &[&RequestRecord]) -> Self {
        let mut sums: Vec<(Heading, Sum)> = Vec::new();
        for record in records.iter().filter(|record| reached_upstream(record)) {
            match sums.last_mut() {
                Some((heading, sum)) if heading.is_of(record) => sum.add(&Sum::of(record)),
                _ => sums.push((Heading::of(record), Sum::of(record))),
            }
        }
        Self(sums)
    }
}

/// Adds to the daily sums: added up here first, then written many sums at a time.
pub(crate) async fn add(
    connection: &mut SqliteConnection,
    parts: impl Iterator<Item = &Sums>,
) -> Result<(), StoreError> {
    let mut sums: HashMap<&Heading, Sum> = HashMap::new();
    for (heading, sum) in parts.flat_map(|part| &part.0) {
        sums.entry(heading).or_default().add(sum);
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    // In the order of the primary key, so that neighbours are found on one page.
    sums.sort_unstable_by_key(|(heading, _)| (heading.key(), heading.day, &*heading.model));
    for (sql, part) in ADD.parts(&sums) {
        let query = part.iter().fold(sqlx::query(sql), bind);
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// An insert whose values are being bound.
type Insert = Query<'static, Sqlite, SqliteArguments>;

/// Binds the columns of one sum, in the order of [`COLUMNS`].
fn bind(query: Insert, (heading, sum): &(&Heading, Sum)) -> Insert {
    query
        .bind(heading.tenant_id.clone())
        .bind(utc_day(heading.day * DAY_MS))
        .bind(heading.key().to_owned())
        .bind(heading.model.clone())
        .bind(signed(sum.requests))
        .bind(signed(sum.input))
        .bind(signed(sum.output))
        .bind(signed(sum.cache_read))
        .bind(signed(sum.cache_write))
        .bind(signed(sum.reasoning))
        .bind(sum.cost)
        .bind(signed(sum.unpriced))
        .bind(signed(sum.updated_at))
}

/// Neither refusals nor answers of the gateway's own are usage.
fn reached_upstream(record: &RequestRecord) -> bool {
    record.usage.source != UsageSource::None
}
