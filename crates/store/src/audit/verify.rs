//! Whether the log is as it was written: reads all of it and computes the chain again.
//!
//! Entries are found altered, moved, inserted or missing, also at the end, for the head is sealed. Where retention
//! has cut the log, it is read from the signed checkpoint on that the log itself names. Who has the
//! pepper as well as the database can write a log of their own; against that, keep the checkpoints of the
//! stream of log lines elsewhere.

use std::path::Path;

use model::clock::EpochMs;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};

use super::chain::{ChainKeys, Covered, Head};
use super::retain;
use crate::column::{signed, unsigned};
use crate::error::StoreError;
use crate::keyring::KeyRing;
use crate::main_file::main_file;
use crate::store::Store;

const HEAD: &str = "SELECT seq, at, mac, checkpoints, checkpoint_at, seal FROM audit_head WHERE id = 1";
const ENTRIES: &str = "SELECT seq, at, tenant_id, actor, verb, object, request_id, source, fields, mac \
     FROM audit_log WHERE seq > $1 ORDER BY seq LIMIT $2";
/// The checkpoint behind which the log was cut: the one right before the first entry.
const CUT: &str = "SELECT number, seq, at, mac, signature FROM audit_checkpoint \
     WHERE seq = (SELECT MIN(seq) FROM audit_log) - 1 ORDER BY number DESC LIMIT 1";
const CHECKPOINTS: &str =
    "SELECT number, seq, at, mac, signature FROM audit_checkpoint WHERE number > $1 ORDER BY number LIMIT $2";

pub(super) const STATEMENTS: &[&str] = &[HEAD, ENTRIES, CUT, CHECKPOINTS];

/// Rows read in one step, so that a long log takes little memory.
const STEP: u64 = 1_000;

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// The last entry that retention has deleted; 0 where the log is read from its beginning.
    pub after: u64,
    /// Entries that are as they were written, from the one after that on.
    pub entries: u64,
    /// Checkpoints that are as they were signed, from the first one left on.
    pub checkpoints: u64,
    /// When the first entry was written.
    pub first_at: Option<EpochMs>,
    /// When the last of the good entries was written.
    pub last_at: Option<EpochMs>,
    /// The Ed25519 key that signs checkpoints, in hex.
    pub public_key: String,
    /// What is wrong first; `None` when nothing is.
    pub fault: Option<Fault>,
}

/// Where the log is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which entry or checkpoint: the first that does not fit.
    pub seq: u64,
    /// What is wrong with it.
    pub what: String,
}

impl Fault {
    fn new(seq: i64, what: impl Into<String>) -> Self {
        Self { seq: unsigned(seq), what: what.into() }
    }
}

impl Store {
    /// Verifies the log.
    ///
    /// # Errors
    /// What the database said. What is wrong with the log stands in the report.
    pub async fn verify_audit(&self) -> Result<AuditReport, StoreError> {
        let mut connection = self.main.readers.acquire().await?;
        verify(&mut connection, &self.keys).await
    }
}

/// Verifies the log of a data directory, also while a server works on it.
///
/// # Errors
/// The database cannot be opened or read.
pub async fn verify_directory(data: &Path, keys: &KeyRing) -> Result<AuditReport, StoreError> {
    let options = SqliteConnectOptions::new().filename(main_file(data)?).read_only(true);
    let mut connection = options.connect().await?;
    let report = verify(&mut connection, keys).await;
    connection.close().await?;
    report
}

async fn verify(connection: &mut SqliteConnection, keys: &KeyRing) -> Result<AuditReport, StoreError> {
    let keys = ChainKeys::of(keys)?;
    // One transaction, so that entries which are being written do not look like faults.
    let mut snapshot = connection.begin().await?;
    let mut walk = Walk::new(&keys);
    walk.fault = walk.read_head(&mut snapshot).await?.err();
    if walk.fault.is_none() {
        walk.fault = walk.cut(&mut snapshot).await?.err();
    }
    if walk.fault.is_none() {
        walk.fault = walk.entries(&mut snapshot).await?.err();
    }
    if walk.fault.is_none() {
        walk.fault = walk.checkpoints(&mut snapshot).await?.err();
    }
    snapshot.rollback().await?;
    Ok(AuditReport {
        after: unsigned(walk.after),
        entries: unsigned(walk.seq - walk.after),
        checkpoints: unsigned(walk.number - walk.before),
        first_at: walk.first_at,
        last_at: (walk.seq > walk.after).then(|| unsigned(walk.at)),
        public_key: keys.public_key(),
        fault: walk.fault,
    })
}

/// A step of the walk: what the database said outside, what the log is like inside.
type Step = Result<Result<(), Fault>, StoreError>;

/// The chain as far as it was found good.
struct Walk<'k> {
    keys: &'k ChainKeys,
    head: (i64, i64, String, i64, i64),
    seq: i64,
    at: i64,
    mac: String,
    first_at: Option<EpochMs>,
    /// The entry behind which the log was cut, and the last checkpoint that is gone; 0 where it was not.
    after: i64,
    before: i64,
    /// The cut that the entries tell of.
    told: i64,
    number: i64,
    checkpoint_at: i64,
    fault: Option<Fault>,
}

impl<'k> Walk<'k> {
    fn new(keys: &'k ChainKeys) -> Self {
        Self {
            keys,
            head: (0, 0, String::new(), 0, 0),
            seq: 0,
            at: 0,
            mac: String::new(),
            first_at: None,
            after: 0,
            before: 0,
            told: 0,
            number: 0,
            checkpoint_at: 0,
            fault: None,
        }
    }

    async fn read_head(&mut self, connection: &mut SqliteConnection) -> Step {
        let gone = || Fault::new(0, "the head of the log is gone");
        let Some(row) = sqlx::query(HEAD).fetch_optional(connection).await? else { return Ok(Err(gone())) };
        let read = || {
            let numbers = (number(&row, 0)?, number(&row, 1)?, number(&row, 3)?, number(&row, 4)?);
            Some((numbers, text(&row, 2)?, text(&row, 5)?))
        };
        let altered = || Fault::new(0, "the head of the log was altered");
        let Some(((seq, at, checkpoints, checkpoint_at), mac, seal)) = read() else {
            return Ok(Err(altered()));
        };
        let head = Head { seq, at, mac: &mac, checkpoints, checkpoint_at };
        let never_written = seq == 0 && mac.is_empty() && seal.is_empty() && checkpoints == 0;
        let good = never_written || self.keys.seal(&head) == seal;
        self.head = (seq, at, mac, checkpoints, checkpoint_at);
        Ok(if good { Ok(()) } else { Err(altered()) })
    }

    /// Begins behind the cut, if the log was cut. Whether it may have been, its entries tell.
    async fn cut(&mut self, connection: &mut SqliteConnection) -> Step {
        let Some(row) = sqlx::query(CUT).fetch_optional(connection).await? else { return Ok(Ok(())) };
        let Some((number, seq, at, mac, signature)) = signed_row(&row) else { return Ok(Ok(())) };
        if seq < 1 {
            return Ok(Ok(()));
        }
        if self.keys.sign(number, seq, at, &mac) != signature {
            return Ok(Err(Fault::new(number, "the checkpoint was altered or is missing")));
        }
        (self.after, self.before, self.number) = (seq, number - 1, number - 1);
        (self.seq, self.at, self.mac) = (seq, at, mac);
        Ok(Ok(()))
    }

    async fn entries(&mut self, connection: &mut SqliteConnection) -> Step {
        // From before the first place, so that nothing hides there.
        let mut after = i64::MIN;
        loop {
            let query = sqlx::query(ENTRIES).bind(after).bind(signed(STEP));
            let rows = query.fetch_all(&mut *connection).await?;
            for row in &rows {
                if let Err(fault) = self.entry(row) {
                    return Ok(Err(fault));
                }
            }
            if rows.is_empty() {
                return Ok(self.ends_at_the_head());
            }
            after = self.seq;
        }
    }

    fn entry(&mut self, row: &SqliteRow) -> Result<(), Fault> {
        let due = self.seq + 1;
        let seq = number(row, 0).ok_or_else(|| Fault::new(due, "the entry's number was altered"))?;
        if seq != due {
            return Err(Fault::new(due, format!("the entry is missing; the next one is {seq}")));
        }
        let altered = || Fault::new(due, "the entry was altered, moved or inserted");
        let at = number(row, 1).ok_or_else(altered)?;
        let mut texts = [""; 7];
        for (column, place) in (2..).zip(&mut texts) {
            *place = row.try_get(column).map_err(|_| altered())?;
        }
        let mac: &str = row.try_get(9).map_err(|_| altered())?;
        if self.keys.mac(&self.mac, &Covered { seq, at, texts }) != mac {
            return Err(altered());
        }
        if texts[2] == retain::VERB {
            self.told = texts[3].parse().map_err(|_| altered())?;
        }
        (self.seq, self.at, self.mac) = (seq, at, mac.to_owned());
        self.first_at.get_or_insert(unsigned(at));
        Ok(())
    }

    fn ends_at_the_head(&self) -> Result<(), Fault> {
        let (seq, at, mac, ..) = &self.head;
        if self.seq < *seq {
            let missing = seq - self.seq;
            return Err(Fault::new(self.seq + 1, format!("the log ends too early: {missing} are missing")));
        }
        if (self.seq, self.at, &self.mac) != (*seq, *at, mac) {
            return Err(Fault::new(self.seq, "the entry stands behind the end of the log"));
        }
        if self.told != self.after {
            let what = format!("the log begins here, but tells of a cut after {}", self.told);
            return Err(Fault::new(self.after + 1, what));
        }
        Ok(())
    }

    async fn checkpoints(&mut self, connection: &mut SqliteConnection) -> Step {
        let mut after = i64::MIN;
        loop {
            let query = sqlx::query(CHECKPOINTS).bind(after).bind(signed(STEP));
            let rows = query.fetch_all(&mut *connection).await?;
            for row in &rows {
                if let Err(fault) = self.checkpoint(row) {
                    return Ok(Err(fault));
                }
            }
            if rows.is_empty() {
                break;
            }
            after = self.number;
        }
        let (.., checkpoints, checkpoint_at) = self.head;
        let whole = (self.number, self.checkpoint_at) == (checkpoints, checkpoint_at);
        Ok(if whole { Ok(()) } else { Err(Fault::new(self.number + 1, "the checkpoint is missing")) })
    }

    fn checkpoint(&mut self, row: &SqliteRow) -> Result<(), Fault> {
        let due = self.number + 1;
        let altered = || Fault::new(due, "the checkpoint was altered or is missing");
        let (number, seq, at, mac, signature) = signed_row(row).ok_or_else(altered)?;
        if number != due || seq > self.seq || self.keys.sign(number, seq, at, &mac) != signature {
            return Err(altered());
        }
        (self.number, self.checkpoint_at) = (number, at);
        Ok(())
    }
}

/// A checkpoint: its number, the entry, its time and code, the signature.
fn signed_row(row: &SqliteRow) -> Option<(i64, i64, i64, String, String)> {
    Some((number(row, 0)?, number(row, 1)?, number(row, 2)?, text(row, 3)?, text(row, 4)?))
}

fn number(row: &SqliteRow, column: usize) -> Option<i64> {
    row.try_get(column).ok()
}

fn text(row: &SqliteRow, column: usize) -> Option<String> {
    row.try_get(column).ok()
}
