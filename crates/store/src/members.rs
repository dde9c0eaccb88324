//! Users as the data plane knows them: those who are limited, pay, or are switched off.

use model::resource::{Member, OwnerTerms};
use sqlx::sqlite::SqliteRow;

use crate::column::Columns;
use crate::error::StoreError;

/// Of all tenants, users whom a revision after the given one made or changed. Those who matter are few, so
/// a load from the start leaves the others out; later loads need them, for they may have mattered before.
pub(crate) const CHANGED: &str = "SELECT id, terms, enabled FROM user_account WHERE revision > $1 \
     AND ($1 > 0 OR enabled = FALSE OR terms <> '{}')";

pub(crate) const STATEMENTS: &[&str] = &[CHANGED];

/// Whether the data plane needs to know of the user.
pub(crate) fn matters(member: &Member) -> bool {
    !member.enabled || member.terms != OwnerTerms::default()
}

/// Reads a row of [`CHANGED`].
pub(crate) fn read(row: &SqliteRow) -> Result<Member, StoreError> {
    let columns = Columns { table: "user_account", row };
    Ok(Member { id: columns.id("id")?, terms: columns.json("terms")?, enabled: columns.flag("enabled")? })
}
