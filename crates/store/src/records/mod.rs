//! Request records: written behind, in batches; searched by whoever asks what became of a request.
//!
//! A request id is a UUIDv7 in hex, so the text order of ids is the order of time: pages, time ranges
//! and retention all go by it. Records lie together in blocks of up to 256, one row each: what a row costs
//! is paid once per block, and a search reads blocks.

mod batch;
mod block;
mod line;
mod row;
mod search;

use std::borrow::Borrow;

use model::clock::EpochMs;
use model::record::RequestRecord;
use model::{NanoUsd, ResourceId, Usage};
use serde_json::Value;
use sqlx::Row;

use crate::column::unsigned;
use crate::error::StoreError;
use crate::store::Store;
use crate::usage;

pub use batch::RecordBatch;
pub(crate) use search::id_at;

const OLDEST: &str =
    "SELECT id, records FROM request_block WHERE id < $1 AND last_id < $1 ORDER BY id LIMIT $2";
const BYTES: &str = "SELECT CAST(COALESCE(SUM(OCTET_LENGTH(lines)), 0) AS BIGINT) FROM request_block";
const NEWEST: &str = "SELECT MAX(id) FROM request_block";
const DELETE_BLOCK: &str = "DELETE FROM request_block WHERE id = $1 RETURNING lines";
const DELETE_TRACE: &str = "DELETE FROM request_trace WHERE trace_id = $1 AND request_id = $2";

/// All statements of this aggregate.
pub(crate) fn statements() -> Vec<&'static str> {
    let mut all = vec![OLDEST, BYTES, NEWEST, DELETE_BLOCK, DELETE_TRACE];
    all.extend(batch::statements());
    all.extend(search::STATEMENTS);
    all
}

/// Which records of a tenant are wanted; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct RecordFilter {
    /// The request with this id (`req-…`).
    pub request_id: Option<String>,
    /// The requests of this trace id (`req-…`).
    pub trace_id: Option<String>,
    /// Requests made with this key.
    pub key_id: Option<ResourceId>,
    /// Requests for this model, by the name asked for.
    pub model: Option<String>,
    /// Requests answered with this HTTP status.
    pub status: Option<u16>,
    /// Requests that ended with this code.
    pub code: Option<String>,
    /// Requests accepted at or after this time.
    pub from: Option<EpochMs>,
    /// Requests accepted before this time.
    pub to: Option<EpochMs>,
}

/// A record as read back.
#[derive(Clone, Debug)]
pub struct StoredRecord {
    /// The request's id, `req-` and 32 hex digits.
    pub request_id: String,
    /// Its trace id, in the same form.
    pub trace_id: String,
    /// When it was accepted.
    pub at: EpochMs,
    /// The key used.
    pub key_id: Option<ResourceId>,
    /// The key's owner.
    pub user_id: Option<ResourceId>,
    /// The tenant.
    pub tenant_id: String,
    /// The model asked for.
    pub model: String,
    /// The HTTP status the caller saw.
    pub status: u16,
    /// The code of the refusal or failure.
    pub code: Option<String>,
    /// The account that answered, by name.
    pub upstream: Option<String>,
    /// What was used.
    pub usage: Usage,
    /// What it costs; `None` when the model had no price.
    pub cost: Option<NanoUsd>,
    /// Milliseconds to the end.
    pub latency_ms: u32,
    /// Milliseconds to the first byte of the answer.
    pub first_byte_ms: Option<u32>,
    /// The rest of the story, an object: `route`, `surface`, `stream`, `client_ip`, `upstream_model`,
    /// `cause`, `checks`, `candidates`, `attempts`, `bytes_in`, `bytes_out`, `own_us`, `revision`.
    /// What was unknown or empty is absent.
    pub detail: Value,
}

impl Store {
    /// Prepares and writes records: see [`RecordBatch::of`] and [`Self::append_batch`].
    ///
    /// # Errors
    /// What the database said; then nothing was written.
    pub async fn append_records<R: Borrow<RequestRecord>>(&self, records: &[R]) -> Result<u64, StoreError> {
        let batch = RecordBatch::of(records);
        self.append_batch(&batch).await
    }

    /// Writes a batch of records and adds them to the daily usage, in one transaction; how many were
    /// new. A block of records that is there already changes nothing, so the same batch may be written
    /// again when it is not known whether it was.
    ///
    /// # Errors
    /// What the database said; then nothing of the batch was written.
    pub async fn append_batch(&self, batch: &RecordBatch) -> Result<u64, StoreError> {
        if batch.is_empty() {
            return Ok(0);
        }
        let mut transaction = self.requests.writer.begin_with("BEGIN IMMEDIATE").await?;
        if batch::insert(&mut transaction, &batch.0).await? == batch.0.len() {
            usage::add(&mut transaction, batch.0.iter().map(|block| &block.usage)).await?;
            transaction.commit().await?;
            return Ok(batch.len());
        }
        // Some were there: begin anew, one by one, to add only the new ones to the usage.
        transaction.rollback().await?;
        let mut transaction = self.requests.writer.begin_with("BEGIN IMMEDIATE").await?;
        let mut written = 0;
        for block in &batch.0 {
            if batch::insert(&mut transaction, std::slice::from_ref(block)).await? == 1 {
                usage::add(&mut transaction, std::iter::once(&block.usage)).await?;
                written += block.records;
            }
        }
        transaction.commit().await?;
        Ok(written)
    }

    /// How many bytes the records of all tenants have.
    ///
    /// # Errors
    /// What the database said.
    pub async fn record_bytes(&self) -> Result<u64, StoreError> {
        let bytes: i64 = sqlx::query_scalar(BYTES).fetch_one(&self.requests.readers).await?;
        Ok(unsigned(bytes))
    }

    /// When the newest block of records begins; 0 where there is none.
    pub(crate) async fn newest_record(&self) -> Result<EpochMs, StoreError> {
        // Asked at the start, where the writer's connection is open and no reader's is.
        let id: Option<String> = sqlx::query_scalar(NEWEST).fetch_one(&self.requests.writer).await?;
        Ok(id.map_or(0, |id| search::at_of(&id)))
    }

    /// Deletes records of requests accepted before `before`, of all tenants, until `limit` or a block
    /// more are deleted; how many. Records go by blocks, so one may stay up to a second longer. Call it
    /// again while it returns at least `limit`: small steps let writers in between. Daily usage stays.
    ///
    /// # Errors
    /// What the database said.
    pub async fn delete_records_before(&self, before: EpochMs, limit: u32) -> Result<u64, StoreError> {
        let mut transaction = self.requests.writer.begin_with("BEGIN IMMEDIATE").await?;
        let oldest = sqlx::query(OLDEST)
            .bind(id_at(before))
            .bind(i64::from(limit))
            .fetch_all(&mut *transaction)
            .await?;
        let mut deleted = 0;
        for row in &oldest {
            let (id, records): (&str, i64) = (row.try_get(0)?, row.try_get(1)?);
            let lines: String =
                sqlx::query_scalar(DELETE_BLOCK).bind(id).fetch_one(&mut *transaction).await?;
            for (request_id, trace_id) in block::Block::of(&lines)?.own_traces() {
                let delete = sqlx::query(DELETE_TRACE).bind(trace_id).bind(request_id);
                delete.execute(&mut *transaction).await?;
            }
            deleted += unsigned(records);
            if deleted >= u64::from(limit) {
                break;
            }
        }
        transaction.commit().await?;
        Ok(deleted)
    }
}
