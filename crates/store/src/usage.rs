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
];
const CONFLICT: &str = "ON CONFLICT (key_id, day, model, tenant_id) DO UPDATE SET \
     requests = usage_daily.requests + excluded.requests, input = usage_daily.input + excluded.input, \
     output = usage_daily.output + excluded.output, cache_read = usage_daily.cache_read + excluded.cache_read, \
     cache_write = usage_daily.cache_write + excluded.cache_write, \
     reasoning = usage_daily.reasoning + excluded.reasoning, \
     cost_nano = usage_daily.cost_nano + excluded.cost_nano, \
     unpriced = usage_daily.unpriced + excluded.unpriced";
const OF_KEY: &str = "SELECT * FROM usage_daily WHERE tenant_id = $1 AND key_id = $2 AND day >= $3 AND day <= $4 \
     ORDER BY day DESC, model";

static ADD: LazyLock<RowInsert> = LazyLock::new(|| add_rows(Style::Bare));
static ADD_NUMBERED: LazyLock<RowInsert> = LazyLock::new(|| add_rows(Style::Numbered));

/// All statements of this aggregate.
pub(crate) fn statements() -> Vec<&'static str> {
    ADD_NUMBERED.texts().chain([OF_KEY]).collect()
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

impl Store {
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
#[derive(PartialEq, Eq, Hash)]
struct Heading<'r> {
    tenant_id: &'r Arc<str>,
    day: u64,
    key_id: &'r str,
    model: &'r Arc<str>,
}

#[derive(Default)]
struct Sum {
    requests: u64,
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
    reasoning: u64,
    cost: i64,
    unpriced: u64,
}

const DAY_MS: EpochMs = 86_400_000;

/// Adds records to the daily sums: added up here first, then written many sums at a time.
pub(crate) async fn add(
    connection: &mut SqliteConnection,
    records: impl Iterator<Item = &RequestRecord>,
) -> Result<(), StoreError> {
    let mut sums: Vec<_> = summed(records).into_iter().collect();
    // In the order of the primary key, so that neighbours are found on one page.
    sums.sort_unstable_by_key(|(heading, _)| (heading.key_id, heading.day, heading.model));
    for (sql, part) in ADD.parts(&sums) {
        let query = part.iter().fold(sqlx::query(sql), bind);
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// An insert whose values are being bound.
type Insert = Query<'static, Sqlite, SqliteArguments>;

/// Binds the columns of one sum, in the order of [`COLUMNS`].
fn bind(query: Insert, (heading, sum): &(Heading<'_>, Sum)) -> Insert {
    query
        .bind(heading.tenant_id.clone())
        .bind(utc_day(heading.day * DAY_MS))
        .bind(heading.key_id.to_owned())
        .bind(heading.model.clone())
        .bind(signed(sum.requests))
        .bind(signed(sum.input))
        .bind(signed(sum.output))
        .bind(signed(sum.cache_read))
        .bind(signed(sum.cache_write))
        .bind(signed(sum.reasoning))
        .bind(sum.cost)
        .bind(signed(sum.unpriced))
}

fn summed<'r>(records: impl Iterator<Item = &'r RequestRecord>) -> HashMap<Heading<'r>, Sum> {
    let mut sums: HashMap<Heading<'_>, Sum> = HashMap::new();
    for record in records.filter(|record| reached_upstream(record)) {
        let heading = Heading {
            tenant_id: &record.tenant_id,
            day: record.at / DAY_MS,
            key_id: record.key_id.as_ref().map_or("", ResourceId::as_str),
            model: &record.model,
        };
        let (sum, usage) = (sums.entry(heading).or_default(), &record.usage);
        sum.requests += 1;
        sum.input = sum.input.saturating_add(usage.input);
        sum.output = sum.output.saturating_add(usage.output);
        sum.cache_read = sum.cache_read.saturating_add(usage.cache_read);
        sum.cache_write = sum.cache_write.saturating_add(usage.cache_write());
        sum.reasoning = sum.reasoning.saturating_add(usage.reasoning);
        sum.cost = sum.cost.saturating_add(record.cost.map_or(0, |cost| cost.0));
        sum.unpriced += u64::from(record.cost.is_none());
    }
    sums
}

/// Neither refusals nor answers of the gateway's own are usage.
fn reached_upstream(record: &RequestRecord) -> bool {
    record.usage.source != UsageSource::None
}
