//! Entries of commands that work on a data directory from outside, also while a server runs on it.

use std::path::Path;

use model::clock::EpochMs;
use sqlx::{Connection, Row};

use super::{NewEntry, chain};
use crate::care;
use crate::error::StoreError;
use crate::keyring::KeyRing;
use crate::main_file::main_file;
use crate::scope::Scope;

const HAS_LOG: &str = "SELECT COUNT(*) FROM sqlite_schema WHERE name = 'audit_head'";

/// Writes an entry that the command line did `verb` to `object` at `now`; whether it could. It cannot where the
/// keys are not those that the chain was begun with, nor in a database from before there was a log.
///
/// # Errors
/// What the database said.
pub async fn note_in_directory(
    data: &Path,
    keys: &KeyRing,
    (verb, object): (&'static str, &str),
    now: EpochMs,
) -> Result<bool, StoreError> {
    let path = main_file(data)?;
    if !keys.ids().contains(&care::key_of(&path).await?) {
        return Ok(false);
    }
    let mut connection = care::open(&path).await?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let tables: i64 = sqlx::query(HAS_LOG).fetch_one(&mut *transaction).await?.try_get(0)?;
    if tables > 0 {
        let scope = Scope::new(model::resource::key::DEFAULT_TENANT, "command-line");
        let entry = NewEntry {
            at: now,
            tenant_id: &scope.tenant_id,
            actor: &scope.actor,
            verb,
            object,
            request_id: "",
            source: "",
            fields: "[]".to_owned(),
        };
        chain::append(&mut transaction, keys, &entry).await?;
    }
    transaction.commit().await?;
    connection.close().await?;
    Ok(tables > 0)
}
