//! Answers that are kept for a caller who sends the same request again with its `Idempotency-Key`.
//!
//! Not configuration: a change here makes no revision. The key that the caller used is the authority, so
//! no scope is taken. Bodies are what a model said, so they are sealed.

use model::ResourceId;
use model::clock::EpochMs;
use sqlx::sqlite::SqliteRow;

use crate::cipher::{self, Place};
use crate::column::{Columns, hex, json, signed, unhex};
use crate::error::StoreError;
use crate::store::Store;

const TABLE: &str = "idempotent_answer";
const BODY: &str = "body";

/// The largest body that is kept, in bytes (reliability contract, R6).
pub const MOST_BYTES: usize = 1 << 20;
/// For how long an answer is kept, in milliseconds: a day (reliability contract, §1).
pub const KEPT_MS: u64 = 24 * 60 * 60 * 1_000;
/// Answers deleted in one transaction: up to 350 MB of sealed bodies, so that writers get in between.
const PURGE_STEP: i64 = 256;

const FIND: &str = "SELECT * FROM idempotent_answer WHERE key_id = $1 AND idempotency_key = $2 \
     AND created_at > $3";
/// The first answer stays, unless its time was over at `$8`.
const KEEP: &str = "INSERT INTO idempotent_answer \
     (key_id, idempotency_key, body_hash, status, headers, created_at, body) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (key_id, idempotency_key) DO UPDATE SET \
     body_hash = excluded.body_hash, status = excluded.status, headers = excluded.headers, \
     created_at = excluded.created_at, body = excluded.body WHERE idempotent_answer.created_at <= $8";
const PURGE: &str = "DELETE FROM idempotent_answer WHERE (key_id, idempotency_key) IN \
     (SELECT key_id, idempotency_key FROM idempotent_answer WHERE created_at < $1 \
     ORDER BY created_at LIMIT $2)";

const FORGET: &str = "DELETE FROM idempotent_answer WHERE key_id = $1 AND idempotency_key = $2";

pub(crate) const STATEMENTS: &[&str] = &[FIND, KEEP, PURGE, FORGET];

/// An answer as it was given.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// A digest of the request's body: the same key with another body is a mistake of the caller.
    pub body_hash: [u8; 32],
    /// The HTTP status.
    pub status: u16,
    /// The headers, in order: name and value.
    pub headers: Vec<(String, String)>,
    /// The body; at most [`MOST_BYTES`].
    pub body: Vec<u8>,
    /// When it was given. It is found for [`KEPT_MS`] from then on.
    pub created_at: EpochMs,
}

impl Store {
    /// The answer that was kept for the `idempotency_key` of a caller's key; `None` when there was none
    /// in the last 24 hours.
    ///
    /// # Errors
    /// [`StoreError::Unsealable`] when its body does not open in its place.
    pub async fn find_answer(
        &self,
        key_id: &ResourceId,
        idempotency_key: &str,
        now: EpochMs,
    ) -> Result<Option<KeptAnswer>, StoreError> {
        let row = sqlx::query(FIND)
            .bind(key_id.as_str())
            .bind(idempotency_key)
            .bind(oldest(now))
            .fetch_optional(&self.main.readers)
            .await?;
        let place = place_of(key_id, idempotency_key);
        row.map(|row| self.read_answer(&row, &Place { id: &place, ..PLACE })).transpose()
    }

    /// Keeps an answer, unless one of the last 24 hours is kept already; whether it was kept.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when its body is larger than [`MOST_BYTES`].
    pub async fn keep_answer(
        &self,
        key_id: &ResourceId,
        idempotency_key: &str,
        answer: &KeptAnswer,
    ) -> Result<bool, StoreError> {
        if answer.body.len() > MOST_BYTES {
            return Err(StoreError::Refused("an answer of more than 1 MiB is not kept"));
        }
        let place = place_of(key_id, idempotency_key);
        let body = cipher::seal_bytes(&self.keys, &Place { id: &place, ..PLACE }, &answer.body)?;
        let done = sqlx::query(KEEP)
            .bind(key_id.as_str())
            .bind(idempotency_key)
            .bind(hex(&answer.body_hash))
            .bind(i64::from(answer.status))
            .bind(json(&answer.headers))
            .bind(signed(answer.created_at))
            .bind(body)
            .bind(oldest(answer.created_at))
            .execute(&self.main.writer)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Forgets the answer that was kept under `idempotency_key`, so that the key can be used again.
    ///
    /// # Errors
    /// What the database said.
    pub async fn forget_answer(&self, key_id: &ResourceId, idempotency_key: &str) -> Result<(), StoreError> {
        let forget = sqlx::query(FORGET).bind(key_id.as_str()).bind(idempotency_key);
        forget.execute(&self.main.writer).await?;
        Ok(())
    }

    /// Deletes the answers given before `before`; how many.
    ///
    /// # Errors
    /// What the database said; what was deleted until then stays deleted.
    pub async fn purge_answers(&self, before: EpochMs) -> Result<u64, StoreError> {
        let mut purged = 0;
        loop {
            let purge = sqlx::query(PURGE).bind(signed(before)).bind(PURGE_STEP);
            match purge.execute(&self.main.writer).await?.rows_affected() {
                0 => return Ok(purged),
                some => purged += some,
            }
        }
    }

    fn read_answer(&self, row: &SqliteRow, place: &Place<'_>) -> Result<KeptAnswer, StoreError> {
        let columns = Columns { table: TABLE, row };
        let status = columns.small("status")?;
        Ok(KeptAnswer {
            body_hash: columns.named("body_hash", unhex)?,
            status: u16::try_from(status).map_err(|_| columns.unreadable("status"))?,
            headers: columns.json("headers")?,
            body: cipher::open_bytes(&self.keys, place, &columns.text(BODY)?)?.to_vec(),
            created_at: columns.time("created_at")?,
        })
    }
}

/// Where bodies are sealed, but for the row. Key ids are unique in all tenants.
const PLACE: Place<'static> = Place { table: TABLE, id: "", column: BODY, tenant: "" };

/// The row: the key's id has a fixed length, so no two rows have one text.
fn place_of(key_id: &ResourceId, idempotency_key: &str) -> String {
    format!("{key_id}/{idempotency_key}")
}

/// Answers given at this time or before are over at `now`.
fn oldest(now: EpochMs) -> i64 {
    signed(now.saturating_sub(KEPT_MS))
}
