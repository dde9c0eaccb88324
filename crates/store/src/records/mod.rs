//! Request records: written behind, in batches; searched by whoever asks what became of a request.
//!
//! A request id is a UUIDv7 in hex, so the text order of ids is the order of time: pages, time ranges
//! and retention all go by the primary key, and no other time index is paid for.

mod detail;
mod insert;
mod search;

use model::clock::EpochMs;
use model::record::RequestRecord;
use model::{NanoUsd, ResourceId, Usage};
use serde_json::Value;
use sqlx::SqliteConnection;

use crate::error::StoreError;
use crate::store::Store;
use crate::usage;

pub(crate) use search::id_at;

const DELETE_BEFORE: &str = "DELETE FROM request_record WHERE request_id IN (SELECT request_id \
     FROM request_record WHERE request_id < $1 ORDER BY request_id LIMIT $2)";

/// All statements of this aggregate.
pub(crate) fn statements() -> Vec<&'static str> {
    let mut all = vec![DELETE_BEFORE];
    all.extend(insert::statements());
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
    /// Writes a batch of records and adds them to the daily usage, in one transaction; how many were
    /// new. A record that is there already changes nothing, so a batch may be sent again.
    ///
    /// # Errors
    /// What the database said; then nothing of the batch was written.
    pub async fn append_records(&self, records: &[RequestRecord]) -> Result<u64, StoreError> {
        if records.is_empty() {
            return Ok(0);
        }
        let mut transaction = self.requests.writer.begin_with("BEGIN IMMEDIATE").await?;
        let written = insert::insert_batch(&mut transaction, records).await?;
        if written == records.len() as u64 {
            usage::add(&mut transaction, records.iter()).await?;
            transaction.commit().await?;
            return Ok(written);
        }
        // Some were there: begin anew, one by one, to add only the new ones to the usage.
        transaction.rollback().await?;
        let mut transaction = self.requests.writer.begin_with("BEGIN IMMEDIATE").await?;
        let fresh = insert_singly(&mut transaction, records).await?;
        usage::add(&mut transaction, fresh.iter().copied()).await?;
        transaction.commit().await?;
        Ok(fresh.len() as u64)
    }

    /// Deletes at most `limit` records of requests accepted before `before`, of all tenants; how many.
    /// Call it again while it returns `limit`: small steps let writers in between. Daily usage stays.
    ///
    /// # Errors
    /// What the database said.
    pub async fn delete_records_before(&self, before: EpochMs, limit: u32) -> Result<u64, StoreError> {
        let done = sqlx::query(DELETE_BEFORE)
            .bind(id_at(before))
            .bind(i64::from(limit))
            .execute(&self.requests.writer)
            .await?;
        Ok(done.rows_affected())
    }
}

/// Inserts one by one and returns those that were new.
async fn insert_singly<'r>(
    connection: &mut SqliteConnection,
    records: &'r [RequestRecord],
) -> Result<Vec<&'r RequestRecord>, StoreError> {
    let mut fresh = Vec::with_capacity(records.len());
    for record in records {
        if insert::insert_batch(connection, std::slice::from_ref(record)).await? == 1 {
            fresh.push(record);
        }
    }
    Ok(fresh)
}
