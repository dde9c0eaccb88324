//! Reading the log, newest first.

use model::clock::EpochMs;
use sqlx::sqlite::SqliteRow;

use super::AuditEntry;
use crate::column::{Columns, signed};
use crate::error::StoreError;
use crate::page::{Cursor, Page, PageRequest};
use crate::scope::Scope;
use crate::store::Store;

const LIST: &str = "SELECT * FROM audit_log WHERE seq < $1 AND at >= $2 AND at < $3 \
     AND (CAST($4 AS TEXT) IS NULL OR tenant_id = $4) AND (CAST($5 AS TEXT) IS NULL OR actor = $5) \
     AND (CAST($6 AS TEXT) IS NULL OR verb = $6) AND (CAST($7 AS TEXT) IS NULL OR object = $7) \
     AND (CAST($8 AS TEXT) IS NULL OR request_id = $8) ORDER BY seq DESC LIMIT $9";

pub(super) const STATEMENTS: &[&str] = &[LIST];

/// Which entries are wanted; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only by this actor.
    pub actor: Option<String>,
    /// Only of this verb.
    pub verb: Option<String>,
    /// Only about this object.
    pub object: Option<String>,
    /// Only of this request.
    pub request_id: Option<String>,
    /// Only from this time on.
    pub from: Option<EpochMs>,
    /// Only before this time.
    pub to: Option<EpochMs>,
}

impl Store {
    /// Lists entries, newest first: those of the scope's tenant, or with `all` those of every tenant.
    ///
    /// # Errors
    /// What the database said.
    pub async fn list_audit(
        &self,
        scope: &Scope,
        all: bool,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditEntry>, StoreError> {
        let rows = sqlx::query(LIST)
            .bind(page.position().0)
            .bind(signed(filter.from.unwrap_or(0)))
            .bind(filter.to.map_or(i64::MAX, signed))
            .bind((!all).then_some(&*scope.tenant_id))
            .bind(&filter.actor)
            .bind(&filter.verb)
            .bind(&filter.object)
            .bind(&filter.request_id)
            .bind(page.fetch())
            .fetch_all(&self.main.readers)
            .await?;
        let entries = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(entries, page, |entry| Cursor::new(entry.seq, "")))
    }
}

fn read(row: &SqliteRow) -> Result<AuditEntry, StoreError> {
    let columns = Columns { table: "audit_log", row };
    let given = |name| Ok::<_, StoreError>(Some(columns.text(name)?).filter(|text| !text.is_empty()));
    Ok(AuditEntry {
        seq: columns.number("seq")?,
        at: columns.time("at")?,
        tenant_id: columns.text("tenant_id")?,
        actor: columns.text("actor")?,
        verb: columns.text("verb")?,
        object: columns.text("object")?,
        request_id: given("request_id")?,
        source: given("source")?,
        fields: columns.json("fields")?,
        mac: columns.text("mac")?,
    })
}
