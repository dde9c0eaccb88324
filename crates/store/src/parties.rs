//! Tenants and groups: names with terms, to which keys, users and accounts refer.
//!
//! Their ids are unique in the whole gateway, whichever tenant a group was made in: the data plane knows
//! one list of each.

use model::clock::EpochMs;
use model::resource::key::DEFAULT_TENANT;
use model::resource::{OwnerTerms, Party};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::column::{Columns, json, later, signed};
use crate::error::StoreError;
use crate::page::{Cursor, Page, PageRequest};
use crate::scope::Scope;
use crate::store::Store;

const TABLE: &str = "party";

const INSERT: &str = "INSERT INTO party (kind, id, tenant_id, name, terms, created_at, updated_at, revision) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const FIND: &str = "SELECT * FROM party WHERE tenant_id = $1 AND kind = $2 AND id = $3";
const LIST: &str = "SELECT * FROM party WHERE tenant_id = $1 AND kind = $2 AND (created_at, id) < ($3, $4) \
     ORDER BY created_at DESC, id DESC LIMIT $5";
const UPDATE: &str = "UPDATE party SET name = $4, terms = $5, updated_at = $6, revision = $7 \
     WHERE tenant_id = $1 AND kind = $2 AND id = $3";
const DELETE: &str = "DELETE FROM party WHERE tenant_id = $1 AND kind = $2 AND id = $3";
/// Revoked keys are kept for good and do not count.
const REFERS_TO_TENANT: &str = "SELECT \
     (SELECT COUNT(*) FROM api_key WHERE tenant_id = $1 AND status <> 'revoked') \
     + (SELECT COUNT(*) FROM account WHERE tenant_id = $1) \
     + (SELECT COUNT(*) FROM user_account WHERE tenant_id = $1)";
/// A key's group stands in its JSON, so `$2` is the pattern that finds it there: names within the text have
/// their quotes escaped and cannot look like it.
const REFERS_TO_GROUP: &str = "SELECT \
     (SELECT COUNT(*) FROM api_key WHERE detail LIKE $2 ESCAPE '!' AND status <> 'revoked') \
     + (SELECT COUNT(*) FROM account WHERE group_id = $1)";

/// Of all tenants, those of a kind that a revision after the given one made or changed.
pub(crate) const CHANGED: &str = "SELECT * FROM party WHERE kind = $1 AND revision > $2";
/// Those of a kind that there are, of all tenants.
pub(crate) const PRESENT: &str = "SELECT id FROM party WHERE kind = $1";

/// What stands for terms that limit nothing, without being written out.
pub(crate) const NO_TERMS: &str = "{}";

pub(crate) const STATEMENTS: &[&str] =
    &[INSERT, FIND, LIST, UPDATE, DELETE, REFERS_TO_TENANT, REFERS_TO_GROUP, CHANGED, PRESENT];

/// Which of the two a [`Party`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PartyKind {
    /// To which keys, users and accounts belong.
    Tenant,
    /// Whose accounts a key uses.
    Group,
}

impl PartyKind {
    /// The name in SQL.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Group => "group",
        }
    }

    /// What the audit log calls a change.
    fn verb(self, tenant: &'static str, group: &'static str) -> &'static str {
        match self {
            Self::Tenant => tenant,
            Self::Group => group,
        }
    }
}

impl Store {
    /// Stores a new tenant or group.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the id is taken, by whichever tenant.
    pub async fn insert_party(
        &self,
        scope: &Scope,
        kind: PartyKind,
        party: &Party,
    ) -> Result<(), StoreError> {
        let taken = match kind {
            PartyKind::Tenant => "a tenant with this id",
            PartyKind::Group => "a group with this id",
        };
        let mut change = self.change(scope).await?.about(
            kind.verb("tenant.create", "group.create"),
            &party.id,
            party.created_at,
        );
        sqlx::query(INSERT)
            .bind(kind.name())
            .bind(&party.id)
            .bind(&*scope.tenant_id)
            .bind(&party.name)
            .bind(terms_text(&party.terms))
            .bind(signed(party.created_at))
            .bind(signed(party.updated_at))
            .bind(change.revision())
            .execute(change.connection())
            .await
            .map_err(|error| StoreError::conflict(error, taken))?;
        change.commit().await
    }

    /// Reads one tenant or group; `None` when the scope's tenant has none with this id.
    ///
    /// # Errors
    /// What the database said.
    pub async fn find_party(
        &self,
        scope: &Scope,
        kind: PartyKind,
        id: &str,
    ) -> Result<Option<Party>, StoreError> {
        let mut connection = self.main.readers.acquire().await?;
        find(&mut connection, scope, (kind, id)).await
    }

    /// Lists tenants or groups, newest first.
    ///
    /// # Errors
    /// What the database said.
    pub async fn list_parties(
        &self,
        scope: &Scope,
        kind: PartyKind,
        page: &PageRequest,
    ) -> Result<Page<Party>, StoreError> {
        let (at, id) = page.position();
        let rows = sqlx::query(LIST)
            .bind(&*scope.tenant_id)
            .bind(kind.name())
            .bind(at)
            .bind(id)
            .bind(page.fetch())
            .fetch_all(&self.main.readers)
            .await?;
        let parties = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(parties, page, |party| Cursor::new(party.created_at, &party.id)))
    }

    /// Reads a tenant or group, lets `edit` change it and writes it back, in one transaction, with `now` as
    /// its `updated_at`. The id and the time of creation stay as they are. Returns it as it stands
    /// afterwards; `None` when the scope's tenant has none with this id.
    ///
    /// # Errors
    /// Whatever `edit` refuses with; then nothing changes.
    pub async fn update_party(
        &self,
        scope: &Scope,
        (kind, id): (PartyKind, &str),
        now: EpochMs,
        edit: impl FnOnce(&mut Party) -> Result<(), StoreError> + Send,
    ) -> Result<Option<Party>, StoreError> {
        let mut change = self.change(scope).await?.about(kind.verb("tenant.update", "group.update"), id, now);
        let Some(mut party) = find(change.connection(), scope, (kind, id)).await? else {
            return Ok(None);
        };
        edit(&mut party)?;
        sqlx::query(UPDATE)
            .bind(&*scope.tenant_id)
            .bind(kind.name())
            .bind(id)
            .bind(&party.name)
            .bind(terms_text(&party.terms))
            .bind(signed(later(now, party.updated_at)))
            .bind(change.revision())
            .execute(change.connection())
            .await?;
        change.commit().await?;
        self.find_party(scope, kind, id).await
    }

    /// Deletes a tenant or group; whether there was one. What it has used of quotas stays, so that making
    /// it anew gives it no second budget.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for the default ones, and while a key that is not revoked, a user or an
    /// account refers to it.
    pub async fn delete_party(&self, scope: &Scope, kind: PartyKind, id: &str) -> Result<bool, StoreError> {
        // The default tenant and the default group have the same id.
        if id == DEFAULT_TENANT {
            return Err(StoreError::Refused("the default tenant and the default group stay"));
        }
        let mut change = self.change(scope).await?.about(kind.verb("tenant.delete", "group.delete"), id, 0);
        let done = sqlx::query(DELETE)
            .bind(&*scope.tenant_id)
            .bind(kind.name())
            .bind(id)
            .execute(change.connection())
            .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        if refers_to(change.connection(), kind, id).await? {
            return Err(StoreError::Refused(match kind {
                PartyKind::Tenant => "the tenant still has keys, users or accounts",
                PartyKind::Group => "the group still has keys or accounts",
            }));
        }
        change.note_deletion().await?;
        change.commit().await?;
        Ok(true)
    }
}

async fn find(
    connection: &mut SqliteConnection,
    scope: &Scope,
    (kind, id): (PartyKind, &str),
) -> Result<Option<Party>, StoreError> {
    let query = sqlx::query(FIND).bind(&*scope.tenant_id).bind(kind.name()).bind(id);
    query.fetch_optional(connection).await?.as_ref().map(read).transpose()
}

async fn refers_to(connection: &mut SqliteConnection, kind: PartyKind, id: &str) -> Result<bool, StoreError> {
    let query = match kind {
        PartyKind::Tenant => sqlx::query(REFERS_TO_TENANT).bind(id),
        PartyKind::Group => sqlx::query(REFERS_TO_GROUP).bind(id).bind(in_detail(id)),
    };
    let references: i64 = query.fetch_one(connection).await?.try_get(0)?;
    Ok(references > 0)
}

/// The pattern that finds the group in the JSON of a key.
fn in_detail(group: &str) -> String {
    let group = json(&group).replace('!', "!!").replace('_', "!_").replace('%', "!%");
    format!("%\"group!_id\":{group}%")
}

/// The terms as JSON, in the short form when there are none.
pub(crate) fn terms_text(terms: &OwnerTerms) -> String {
    if *terms == OwnerTerms::default() { NO_TERMS.to_owned() } else { json(terms) }
}

/// Reads a row of the table.
pub(crate) fn read(row: &SqliteRow) -> Result<Party, StoreError> {
    let columns = Columns { table: TABLE, row };
    Ok(Party {
        id: columns.text("id")?,
        name: columns.text("name")?,
        terms: columns.json("terms")?,
        created_at: columns.time("created_at")?,
        updated_at: columns.time("updated_at")?,
    })
}
