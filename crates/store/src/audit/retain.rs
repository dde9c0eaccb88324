//! Forgetting the oldest entries, so that what is left still verifies.
//!
//! The log is cut behind a checkpoint, whose signature then stands for everything before it, and the cut is an
//! entry of its own: who has the database alone can neither cut the log nor hide that it was cut.

use model::clock::EpochMs;
use sqlx::Row;

use super::{NewEntry, chain};
use crate::column::{signed, unsigned};
use crate::error::StoreError;
use crate::scope::Scope;
use crate::store::Store;

const OLDEST: &str = "SELECT seq, at FROM audit_log ORDER BY seq LIMIT 1";
/// The last checkpoint of a time before, that is not too far from the beginning.
const CUT: &str = "SELECT number, seq FROM audit_checkpoint WHERE at < $1 AND seq >= $2 AND seq <= $3 \
     ORDER BY number DESC LIMIT 1";
/// When the newest entry was made that so many others follow.
const BEYOND: &str = "SELECT at FROM audit_log WHERE seq <= (SELECT seq FROM audit_head WHERE id = 1) - $1 \
     ORDER BY seq DESC LIMIT 1";
const FORGET_ENTRIES: &str = "DELETE FROM audit_log WHERE seq <= $1";
const FORGET_CHECKPOINTS: &str = "DELETE FROM audit_checkpoint WHERE number < $1";

pub(super) const STATEMENTS: &[&str] = &[OLDEST, CUT, BEYOND, FORGET_ENTRIES, FORGET_CHECKPOINTS];

/// What the entry of a cut is called. Its object is the last entry that is gone.
pub(super) const VERB: &str = "audit-log.retain";

/// A cut is an entry itself, so it waits until a day's worth can go.
const DAY_MS: u64 = 24 * 3_600 * 1_000;
/// At most so many entries go in one transaction. Checkpoints are never further apart than a tenth of it.
const STEP: i64 = 10 * chain::CHECKPOINT_ENTRIES.cast_signed();

impl Store {
    /// When the newest entry was made that `entries` others follow; `None` where there are no more than those.
    ///
    /// # Errors
    /// What the database said.
    pub async fn audit_beyond(&self, entries: u32) -> Result<Option<EpochMs>, StoreError> {
        let found = sqlx::query_scalar(BEYOND).bind(i64::from(entries));
        let at: Option<i64> = found.fetch_optional(&self.main.readers).await?;
        Ok(at.map(unsigned))
    }

    /// Forgets entries from before `before`, once the oldest is a day older than that; how many. What is younger
    /// than the last checkpoint before then stays. To be called again while it gives some.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the log is not as it was written: nothing of it may be lost then. What the
    /// database said.
    pub async fn retain_audit(&self, before: EpochMs, now: EpochMs) -> Result<u64, StoreError> {
        let readers = &self.main.readers;
        let Some(row) = sqlx::query(OLDEST).fetch_optional(readers).await? else { return Ok(0) };
        let (oldest, at): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        if unsigned(at).saturating_add(DAY_MS) >= before {
            return Ok(0);
        }
        let found = sqlx::query(CUT).bind(signed(before)).bind(oldest).bind(oldest.saturating_add(STEP - 1));
        let Some(row) = found.fetch_optional(readers).await? else { return Ok(0) };
        let (number, last): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        // Not within the transaction: a long log takes seconds, and is only added to meanwhile.
        if self.verify_audit().await?.fault.is_some() {
            return Err(StoreError::Refused(
                "the audit log is not as it was written; run `yumen audit verify`",
            ));
        }
        let mut transaction = self.main.writer.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query(FORGET_ENTRIES).bind(last).execute(&mut *transaction).await?;
        sqlx::query(FORGET_CHECKPOINTS).bind(number).execute(&mut *transaction).await?;
        let (scope, object) = (Scope::system(), last.to_string());
        let entry = NewEntry {
            at: now,
            tenant_id: &scope.tenant_id,
            actor: &scope.actor,
            verb: VERB,
            object: &object,
            request_id: "",
            source: "",
            fields: "[]".to_owned(),
        };
        chain::append(&mut transaction, &self.keys, &entry).await?;
        transaction.commit().await?;
        Ok(unsigned(last - oldest + 1))
    }
}
