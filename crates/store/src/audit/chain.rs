//! How entries hang together: each carries an HMAC over the one before and its own text, the head is sealed, and
//! every so often a checkpoint is signed.
//!
//! The keys come from the pepper, so that whoever has the database alone cannot write an entry.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use model::clock::EpochMs;
use sqlx::{Row, SqliteConnection};

use super::NewEntry;
use crate::column::{hex, signed, unsigned};
use crate::error::StoreError;
use crate::keyring::KeyRing;

/// Takes the next place. The first statement of every entry: on PostgreSQL it also makes others wait.
const TAKE: &str = "UPDATE audit_head SET seq = seq + 1 WHERE id = 1 \
     RETURNING seq, at, mac, checkpoints, checkpoint_at";
const INSERT: &str = "INSERT INTO audit_log \
     (seq, at, tenant_id, actor, verb, object, request_id, source, fields, mac) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const SEAL: &str = "UPDATE audit_head SET at = $1, mac = $2, checkpoints = $3, checkpoint_at = $4, seal = $5 \
     WHERE id = 1";
const CHECKPOINT: &str =
    "INSERT INTO audit_checkpoint (number, seq, at, mac, signature) VALUES ($1, $2, $3, $4, $5)";

pub(super) const STATEMENTS: &[&str] = &[TAKE, INSERT, SEAL, CHECKPOINT];

/// A checkpoint at least every so many entries, and at least so often while entries come (reliability
/// contract, R21).
pub(super) const CHECKPOINT_ENTRIES: u64 = 1_000;
const CHECKPOINT_MS: u64 = 5 * 60 * 1_000;

/// The keys of the chain.
pub(super) struct ChainKeys {
    chain: hmac::Key,
    checkpoint: Ed25519KeyPair,
}

/// Everything of an entry that the chain covers.
pub(super) struct Covered<'e> {
    pub(super) seq: i64,
    pub(super) at: i64,
    pub(super) texts: [&'e str; 7],
}

/// Everything of the head that its seal covers.
#[derive(Clone, Copy)]
pub(super) struct Head<'h> {
    pub(super) seq: i64,
    pub(super) at: i64,
    pub(super) mac: &'h str,
    pub(super) checkpoints: i64,
    pub(super) checkpoint_at: i64,
}

impl ChainKeys {
    pub(super) fn of(keys: &KeyRing) -> Result<Self, StoreError> {
        let seed = keys.hmac_secret("yumen audit checkpoint");
        let checkpoint = Ed25519KeyPair::from_seed_unchecked(&seed)
            .map_err(|_| StoreError::Crypto("the key of the audit log's checkpoints"))?;
        let chain = hmac::Key::new(hmac::HMAC_SHA256, &keys.hmac_secret("yumen audit chain"));
        Ok(Self { chain, checkpoint })
    }

    /// What chains an entry to the one before, whose own is `previous`.
    pub(super) fn mac(&self, previous: &str, entry: &Covered<'_>) -> String {
        // JSON keeps the texts apart, whatever they contain.
        let canonical = crate::column::json(&("entry", previous, entry.seq, entry.at, entry.texts));
        hex(hmac::sign(&self.chain, canonical.as_bytes()).as_ref())
    }

    pub(super) fn seal(&self, head: &Head<'_>) -> String {
        let Head { seq, at, mac, checkpoints, checkpoint_at } = head;
        let canonical = crate::column::json(&("head", seq, at, mac, checkpoints, checkpoint_at));
        hex(hmac::sign(&self.chain, canonical.as_bytes()).as_ref())
    }

    /// The signature of a checkpoint. It is the same each time, so it is checked by making it again.
    pub(super) fn sign(&self, number: i64, seq: i64, at: i64, mac: &str) -> String {
        let canonical = crate::column::json(&("checkpoint", number, seq, at, mac));
        hex(self.checkpoint.sign(canonical.as_bytes()).as_ref())
    }

    /// What others check signatures with.
    pub(super) fn public_key(&self) -> String {
        hex(self.checkpoint.public_key().as_ref())
    }
}

/// Adds an entry to the end of the log, within a transaction that writes.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    keys: &KeyRing,
    entry: &NewEntry<'_>,
) -> Result<(), StoreError> {
    let keys = ChainKeys::of(keys)?;
    let lost = || StoreError::Refused("the head of the audit log is gone; run `yumen audit verify`");
    let row = sqlx::query(TAKE).fetch_optional(&mut *connection).await?.ok_or_else(lost)?;
    let (seq, last_at, previous): (i64, i64, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let (checkpoints, checkpoint_at): (i64, i64) = (row.try_get(3)?, row.try_get(4)?);
    // A change that does not know the time comes right after the one before.
    let at = if entry.at == 0 { last_at } else { signed(entry.at) };
    let texts = [
        entry.tenant_id,
        entry.actor,
        entry.verb,
        entry.object,
        entry.request_id,
        entry.source,
        entry.fields.as_str(),
    ];
    let mac = keys.mac(&previous, &Covered { seq, at, texts });
    let mut insert = sqlx::query(INSERT).bind(seq).bind(at);
    for text in texts {
        insert = insert.bind(text);
    }
    insert.bind(&mac).execute(&mut *connection).await?;
    let mut head = Head { seq, at, mac: &mac, checkpoints, checkpoint_at };
    if is_due(seq, at, checkpoint_at) {
        head = Head { checkpoints: checkpoints + 1, checkpoint_at: at, ..head };
        checkpoint(connection, &keys, &head).await?;
    }
    sqlx::query(SEAL)
        .bind(at)
        .bind(&mac)
        .bind(head.checkpoints)
        .bind(head.checkpoint_at)
        .bind(keys.seal(&head))
        .execute(connection)
        .await?;
    Ok(())
}

fn is_due(seq: i64, at: i64, last: i64) -> bool {
    unsigned(seq).is_multiple_of(CHECKPOINT_ENTRIES) || at.saturating_sub(last) >= signed(CHECKPOINT_MS)
}

/// Signs the log as it stands and tells the stream of log lines, where somebody else may keep it.
async fn checkpoint(
    connection: &mut SqliteConnection,
    keys: &ChainKeys,
    head: &Head<'_>,
) -> Result<(), StoreError> {
    let signature = keys.sign(head.checkpoints, head.seq, head.at, head.mac);
    sqlx::query(CHECKPOINT)
        .bind(head.checkpoints)
        .bind(head.seq)
        .bind(head.at)
        .bind(head.mac)
        .bind(&signature)
        .execute(connection)
        .await?;
    let at: EpochMs = unsigned(head.at);
    let (number, seq, mac) = (head.checkpoints, head.seq, head.mac);
    if seq == 1 {
        // Of a log with one entry there is nothing to keep elsewhere yet.
        tracing::debug!(target: "audit", number, seq, at, mac, signature, "audit checkpoint");
    } else {
        tracing::info!(target: "audit", number, seq, at, mac, signature, "audit checkpoint");
    }
    Ok(())
}
