//! The ledger as the database knows it: entries, what is used of quotas, wallets, and how far the journal
//! has been projected. The journal is the source; everything here is brought in by [`Store::project`], each
//! projection in one transaction.
//!
//! Entries lie together in blocks of up to 256, as request records do: what a row costs is paid once per
//! block. A projection's entries are sorted by request, so that a block covers a short stretch of requests;
//! what happened first is told by the number that each entry has within its projection.

mod batch;
mod line;
mod row;
mod search;
mod sums;

use model::NanoUsd;
use model::entry::{Balance, JournalPosition, Projection, WindowUse};
use model::quota::{Owner, OwnerKind, Period, Unit};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::column::{Columns, signed};
use crate::error::StoreError;
use crate::store::Store;

pub use search::LedgerFilter;

const BALANCES: &str = "SELECT owner_kind, owner_id, balance_nano FROM wallet";
const WINDOWS: &str = "SELECT owner_kind, owner_id, unit, period, began, used FROM quota_window";
const POSITIONS: &str = "SELECT shard, segment, bytes FROM journal_position ORDER BY shard";
const POSITION: &str = "SELECT shard, segment, bytes FROM journal_position WHERE shard = $1";
const MOVE: &str = "INSERT INTO journal_position (shard, segment, bytes) VALUES ($1, $2, $3) \
     ON CONFLICT (shard) DO UPDATE SET segment = excluded.segment, bytes = excluded.bytes";
const NEXT_BATCH: &str = "UPDATE ledger_head SET batch = batch + 1 WHERE id = 1 RETURNING batch";

/// All statements of this aggregate.
pub(crate) fn statements() -> Vec<&'static str> {
    let mut all = vec![BALANCES, WINDOWS, POSITIONS, POSITION, MOVE, NEXT_BATCH];
    all.extend(batch::statements());
    all.extend(search::STATEMENTS);
    all.extend(sums::statements());
    all
}

/// What the database knows of money, without the entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerState {
    /// Every wallet.
    pub balances: Vec<Balance>,
    /// The newest period of every quota that was ever used.
    pub windows: Vec<WindowUse>,
    /// How far each shard of the journal is in all of this, by shard.
    pub positions: Vec<JournalPosition>,
}

impl Store {
    /// Reads all balances, windows and positions as they stood at one moment.
    ///
    /// # Errors
    /// What the database said, or which stored value cannot be read.
    pub async fn ledger_state(&self) -> Result<LedgerState, StoreError> {
        // A deferred read transaction sees one state of the database from its first read on.
        let mut transaction = self.main.readers.begin().await?;
        let balances = sqlx::query(BALANCES)
            .try_map(|row: SqliteRow| Ok(read_balance(&row)))
            .fetch_all(&mut *transaction)
            .await?;
        let windows = sqlx::query(WINDOWS)
            .try_map(|row: SqliteRow| Ok(read_window(&row)))
            .fetch_all(&mut *transaction)
            .await?;
        let positions = sqlx::query(POSITIONS).fetch_all(&mut *transaction).await?;
        transaction.rollback().await?;
        Ok(LedgerState {
            balances: balances.into_iter().collect::<Result<_, _>>()?,
            windows: windows.into_iter().collect::<Result<_, _>>()?,
            positions: positions.iter().map(read_position).collect::<Result<_, _>>()?,
        })
    }

    /// Brings a stretch of the journal into the database, in one transaction: the entries, the changes of
    /// windows and balances, and the new position. A projection whose end the database has reached already
    /// changes nothing, so the same one may be given again when it is not known whether it arrived.
    ///
    /// Of a window, the newest period counts: changes of the same period are added, a newer period takes
    /// the place of an older one, an older one is ignored.
    ///
    /// # Errors
    /// [`StoreError::Gap`] when it does not begin where the database stands. [`StoreError::is_retryable`]
    /// tells the rest. Nothing was changed then, unless the answer to the commit was lost: give it again.
    pub async fn project(&self, projection: &Projection) -> Result<(), StoreError> {
        let entries = batch::Batch::of(&projection.entries);
        let sums = sums::Sums::of(projection);
        let mut transaction = self.main.writer.begin_with("BEGIN IMMEDIATE").await?;
        let batch: i64 = sqlx::query(NEXT_BATCH).fetch_one(&mut *transaction).await?.try_get(0)?;
        if !is_next(&mut transaction, projection).await? {
            return Ok(transaction.rollback().await?);
        }
        entries.insert(&mut transaction, batch).await?;
        sums.add(&mut transaction).await?;
        let to = &projection.to;
        sqlx::query(MOVE)
            .bind(i64::from(to.shard))
            .bind(signed(to.segment))
            .bind(signed(to.offset))
            .execute(&mut *transaction)
            .await?;
        telemetry::failpoint::pass("projection_inside");
        Ok(transaction.commit().await?)
    }
}

/// Whether the database stands where the projection begins, and not at or beyond its end.
async fn is_next(connection: &mut SqliteConnection, projection: &Projection) -> Result<bool, StoreError> {
    let Projection { from, to, .. } = projection;
    let place = |position: &JournalPosition| (position.segment, position.offset);
    if from.is_some_and(|from| from.shard != to.shard || place(&from) > place(to)) {
        return Err(StoreError::Refused("a projection must end in its shard, not before it begins"));
    }
    let row = sqlx::query(POSITION).bind(i64::from(to.shard)).fetch_optional(connection).await?;
    let stands = row.as_ref().map(read_position).transpose()?;
    if stands.is_some_and(|stands| place(&stands) >= place(to)) {
        return Ok(false);
    }
    if stands != *from {
        return Err(StoreError::Gap { stands, begins: *from });
    }
    Ok(true)
}

fn read_balance(row: &SqliteRow) -> Result<Balance, StoreError> {
    let columns = Columns { table: "wallet", row };
    Ok(Balance { owner: read_owner(&columns)?, amount: NanoUsd(columns.signed("balance_nano")?) })
}

fn read_window(row: &SqliteRow) -> Result<WindowUse, StoreError> {
    let columns = Columns { table: "quota_window", row };
    Ok(WindowUse {
        owner: read_owner(&columns)?,
        unit: columns.named("unit", Unit::named)?,
        period: columns.named("period", Period::named)?,
        began: columns.time("began")?,
        used: columns.signed("used")?,
    })
}

fn read_owner(columns: &Columns<'_>) -> Result<Owner, StoreError> {
    let id = columns.named("owner_id", |id| Some(id.into()))?;
    Ok(Owner { kind: columns.named("owner_kind", OwnerKind::named)?, id })
}

fn read_position(row: &SqliteRow) -> Result<JournalPosition, StoreError> {
    let columns = Columns { table: "journal_position", row };
    Ok(JournalPosition {
        shard: columns.small("shard")?,
        segment: columns.number("segment")?,
        offset: columns.number("bytes")?,
    })
}
