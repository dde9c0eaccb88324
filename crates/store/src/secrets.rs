//! Every column that holds sealed values, and giving them another key-encryption key while everything runs.
//!
//! A rotation keeps the new key safe first, then makes it the one that the database names, then wraps the data
//! keys anew, a few rows at a time. A value keeps its own ciphertext, so nothing that reads has to know: the old
//! key stays in the ring and opens what is not wrapped anew yet. A rotation that was cut off is ended by the
//! next start.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqlitePool};

use crate::cipher::{self, Place};
use crate::error::StoreError;
use crate::store::{MARKER, MARKER_TEXT, Store};

/// Rows that are wrapped anew at a time; other writers get in between.
const STEP: i64 = 64;
/// Passes over all columns: what was sealed with the old key just before the new one was chosen may be written
/// just after the first.
const PASSES: usize = 2;

/// A column that holds sealed values. Its statements name rows by two columns, `''` where one is enough.
struct Sealed {
    table: &'static str,
    column: &'static str,
    /// The next rows after `($1, $2)`, at most `$3`: `one`, `two`, `tenant`, `value`.
    read: &'static str,
    /// Puts `$1` in place of `$4` in the row `($2, $3)`.
    write: &'static str,
    /// Which keys sealed how many: `key`, `count`.
    count: &'static str,
    /// Whether a start must find every key of it: answers kept for a day are not worth refusing for.
    is_needed: bool,
}

const ACCOUNTS: &str = "SELECT id AS one, '' AS two, tenant_id AS tenant, credential AS value FROM account \
     WHERE credential IS NOT NULL AND (id, '') > ($1, $2) ORDER BY id LIMIT $3";
const WRITE_ACCOUNT: &str =
    "UPDATE account SET credential = $1 WHERE id = $2 AND $3 = '' AND credential = $4";
const COUNT_ACCOUNTS: &str = "SELECT SUBSTR(credential, 4, 8) AS key, COUNT(*) AS count FROM account \
     WHERE credential IS NOT NULL GROUP BY SUBSTR(credential, 4, 8)";
const SIGNING: &str = "SELECT id AS one, '' AS two, tenant_id AS tenant, signing_secret AS value FROM api_key \
     WHERE signing_secret IS NOT NULL AND (id, '') > ($1, $2) ORDER BY id LIMIT $3";
const WRITE_SIGNING: &str =
    "UPDATE api_key SET signing_secret = $1 WHERE id = $2 AND $3 = '' AND signing_secret = $4";
const COUNT_SIGNING: &str = "SELECT SUBSTR(signing_secret, 4, 8) AS key, COUNT(*) AS count FROM api_key \
     WHERE signing_secret IS NOT NULL GROUP BY SUBSTR(signing_secret, 4, 8)";
const ANSWERS: &str = "SELECT key_id AS one, idempotency_key AS two, '' AS tenant, body AS value \
     FROM idempotent_answer WHERE (key_id, idempotency_key) > ($1, $2) \
     ORDER BY key_id, idempotency_key LIMIT $3";
const WRITE_ANSWER: &str = "UPDATE idempotent_answer SET body = $1 \
     WHERE key_id = $2 AND idempotency_key = $3 AND body = $4";
const COUNT_ANSWERS: &str = "SELECT SUBSTR(body, 4, 8) AS key, COUNT(*) AS count FROM idempotent_answer \
     GROUP BY SUBSTR(body, 4, 8)";
const FACTORS: &str = "SELECT user_id AS one, '' AS two, tenant_id AS tenant, secret AS value FROM second_factor \
     WHERE (user_id, '') > ($1, $2) ORDER BY user_id LIMIT $3";
const WRITE_FACTOR: &str =
    "UPDATE second_factor SET secret = $1 WHERE user_id = $2 AND $3 = '' AND secret = $4";
const COUNT_FACTORS: &str = "SELECT SUBSTR(secret, 4, 8) AS key, COUNT(*) AS count FROM second_factor \
     GROUP BY SUBSTR(secret, 4, 8)";
const WRITE_MARKER: &str = "UPDATE key_marker SET key_id = $1, sealed = $2 WHERE id = 1";

pub(crate) const STATEMENTS: &[&str] = &[
    ACCOUNTS,
    WRITE_ACCOUNT,
    COUNT_ACCOUNTS,
    SIGNING,
    WRITE_SIGNING,
    COUNT_SIGNING,
    ANSWERS,
    WRITE_ANSWER,
    COUNT_ANSWERS,
    FACTORS,
    WRITE_FACTOR,
    COUNT_FACTORS,
    WRITE_MARKER,
];

/// The list: whoever seals into a column adds it here, or it is left behind by the first rotation.
const COLUMNS: &[Sealed] = &[
    Sealed {
        table: "account",
        column: "credential",
        read: ACCOUNTS,
        write: WRITE_ACCOUNT,
        count: COUNT_ACCOUNTS,
        is_needed: true,
    },
    Sealed {
        table: "second_factor",
        column: "secret",
        read: FACTORS,
        write: WRITE_FACTOR,
        count: COUNT_FACTORS,
        is_needed: true,
    },
    Sealed {
        table: "api_key",
        column: "signing_secret",
        read: SIGNING,
        write: WRITE_SIGNING,
        count: COUNT_SIGNING,
        is_needed: true,
    },
    Sealed {
        table: "idempotent_answer",
        column: "body",
        read: ANSWERS,
        write: WRITE_ANSWER,
        count: COUNT_ANSWERS,
        is_needed: false,
    },
];

/// What a rotation did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// The key that seals now.
    pub key_id: String,
    /// Values whose data key it wraps now.
    pub rewrapped: u64,
    /// Values that do not open in their place and were left as they are, as `table.column id`.
    pub unopened: Vec<String>,
}

/// A key of the ring and what it sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// Its id.
    pub id: String,
    /// Whether it seals now.
    pub is_current: bool,
    /// Whether it is at hand; one that is not has sealed something that cannot be opened.
    pub is_loaded: bool,
    /// Values that it sealed.
    pub sealed: u64,
}

impl Store {
    /// Makes a new key-encryption key, derived from `encryption_key` if one is given, and wraps every data key
    /// with it.
    ///
    /// # Errors
    /// [`StoreError::KeyFile`] when the key cannot be kept; nothing is changed then. What the database said; the
    /// next start then ends the rotation.
    pub async fn rotate_secrets(&self, encryption_key: Option<[u8; 32]>) -> Result<Rotation, StoreError> {
        let _turn = self.rotating.lock().await;
        let kek = self.keys.add(encryption_key)?;
        let sealed = cipher::seal_with(&kek, &MARKER, MARKER_TEXT.as_bytes())?;
        sqlx::query(WRITE_MARKER).bind(kek.id()).bind(sealed).execute(&self.main.writer).await?;
        self.keys.choose(kek.id())?;
        self.rewrap().await
    }

    /// Wraps every data key with the current key.
    ///
    /// # Errors
    /// What the database said.
    pub(crate) async fn rewrap(&self) -> Result<Rotation, StoreError> {
        let mut done = Rotation { key_id: self.keys.kek_id(), ..Rotation::default() };
        for _ in 0..PASSES {
            done.unopened.clear();
            for sealed in COLUMNS {
                self.rewrap_column(sealed, &mut done).await?;
            }
        }
        Ok(done)
    }

    async fn rewrap_column(&self, sealed: &Sealed, done: &mut Rotation) -> Result<(), StoreError> {
        let (mut one, mut two) = (String::new(), String::new());
        loop {
            let rows = sqlx::query(sealed.read).bind(&one).bind(&two).bind(STEP);
            let rows = rows.fetch_all(&self.main.readers).await?;
            let mut changed = Vec::new();
            for row in &rows {
                let (id, value) = ((row.try_get("one")?, row.try_get("two")?), row.try_get("value")?);
                match self.rewrapped(sealed, row, &id, value) {
                    Ok(Some(anew)) => changed.push((id.clone(), value.to_owned(), anew)),
                    Ok(None) => {}
                    Err(_) => done.unopened.push(format!("{}.{} {}", sealed.table, sealed.column, id.0)),
                }
                (one, two) = id;
            }
            done.rewrapped += self.write_anew(sealed, changed).await?;
            if rows.len() < usize::try_from(STEP).unwrap_or(usize::MAX) {
                return Ok(());
            }
        }
    }

    fn rewrapped(
        &self,
        sealed: &Sealed,
        row: &SqliteRow,
        (one, two): &(String, String),
        value: &str,
    ) -> Result<Option<String>, StoreError> {
        let id = if two.is_empty() { one.clone() } else { format!("{one}/{two}") };
        let tenant = row.try_get("tenant")?;
        let place = Place { table: sealed.table, id: &id, column: sealed.column, tenant };
        cipher::rewrap(&self.keys, &place, value)
    }

    /// Writes the values that nobody has changed since they were read; how many.
    async fn write_anew(
        &self,
        sealed: &Sealed,
        changed: Vec<((String, String), String, String)>,
    ) -> Result<u64, StoreError> {
        if changed.is_empty() {
            return Ok(0);
        }
        let mut written = 0;
        let mut transaction = self.main.writer.begin_with("BEGIN IMMEDIATE").await?;
        for ((one, two), before, anew) in changed {
            let write = sqlx::query(sealed.write).bind(anew).bind(one).bind(two).bind(before);
            written += write.execute(&mut *transaction).await?.rows_affected();
        }
        transaction.commit().await?;
        Ok(written)
    }

    /// Every key that is at hand or has sealed something.
    ///
    /// # Errors
    /// What the database said.
    pub async fn secrets(&self) -> Result<Vec<KeyUse>, StoreError> {
        let current = self.keys.kek_id();
        let loaded = self.keys.ids();
        let mut sealed: BTreeMap<String, u64> = loaded.iter().map(|id| (id.clone(), 0)).collect();
        for column in COLUMNS {
            for (id, count) in counted(&self.main.readers, column).await? {
                *sealed.entry(id).or_default() += count;
            }
        }
        let of = |(id, sealed): (String, u64)| KeyUse {
            is_current: id == current,
            is_loaded: loaded.contains(&id),
            sealed,
            id,
        };
        Ok(sealed.into_iter().map(of).collect())
    }

    /// Refuses to begin when a key is missing that sealed what cannot be done without, and ends a rotation that
    /// was cut off.
    pub(crate) async fn check_secrets(&self) -> Result<(), StoreError> {
        let (current, mut is_behind) = (self.keys.kek_id(), false);
        for column in COLUMNS.iter().filter(|column| column.is_needed) {
            // By the connection that is open in any case.
            for (id, _) in counted(&self.main.writer, column).await? {
                // A value without a key's name is said to be unreadable by whoever reads it.
                if id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    self.keys.find(&id)?;
                    is_behind |= id != current;
                }
            }
        }
        if is_behind {
            self.rewrap().await?;
        }
        Ok(())
    }
}

/// How many values of a column each key sealed.
async fn counted(pool: &SqlitePool, column: &Sealed) -> Result<Vec<(String, u64)>, StoreError> {
    let rows = sqlx::query(column.count).fetch_all(pool).await?;
    rows.iter().map(|row| Ok((row.try_get("key")?, crate::column::unsigned(row.try_get("count")?)))).collect()
}
