//! Accounts at providers. The credential is sealed before it reaches a statement and opened only here.

use model::clock::EpochMs;
use model::resource::Account;
use model::{ResourceId, Secret};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::cipher::{self, Place};
use crate::column::{Columns, json, later, signed};
use crate::error::StoreError;
use crate::keyring::KeyRing;
use crate::page::{Cursor, Page, PageRequest};
use crate::scope::Scope;
use crate::store::{Change, Store};

const TABLE: &str = "account";

const INSERT: &str = "INSERT INTO account (id, tenant_id, group_id, name, provider, base_url, api_version, \
     credential, models, priority, weight, concurrency, allow_private, enabled, created_at, updated_at, \
     family, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)";
const FIND: &str = "SELECT * FROM account WHERE tenant_id = $1 AND id = $2";
const LIST: &str = "SELECT * FROM account WHERE tenant_id = $1 AND (created_at, id) < ($2, $3) \
     AND (CAST($4 AS TEXT) IS NULL OR provider = $4) AND (CAST($5 AS BOOLEAN) IS NULL OR enabled = $5) \
     ORDER BY created_at DESC, id DESC LIMIT $6";
const UPDATE: &str = "UPDATE account SET group_id = $3, name = $4, provider = $5, base_url = $6, \
     api_version = $7, credential = $8, models = $9, priority = $10, weight = $11, concurrency = $12, \
     allow_private = $13, enabled = $14, updated_at = $15, family = $16, revision = $17 WHERE tenant_id = $1 AND id = $2";
const DELETE: &str = "DELETE FROM account WHERE tenant_id = $1 AND id = $2";

/// Of all tenants, those that a revision after the given one made or changed.
pub(crate) const CHANGED: &str = "SELECT * FROM account WHERE revision > $1";
/// Those that there are, of all tenants.
pub(crate) const PRESENT: &str = "SELECT id FROM account";

pub(crate) const STATEMENTS: &[&str] = &[INSERT, FIND, LIST, UPDATE, DELETE, CHANGED, PRESENT];

const NAME_TAKEN: &str = "an account with this name or id";
/// A credential shorter than this has no hint: four characters would be too much of it.
const SHORTEST_HINTED: usize = 12;

/// Which accounts of a tenant are wanted; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct AccountFilter {
    /// Only accounts of this preset.
    pub provider: Option<String>,
    /// Only accounts that are (or are not) switched on.
    pub enabled: Option<bool>,
}

/// The last four characters of an account's credential, to recognise it by; `None` when it has no
/// credential or one so short that they would reveal it.
#[must_use]
pub fn credential_hint(account: &Account) -> Option<String> {
    let text = account.credential.as_ref()?.expose();
    let start = text.len().checked_sub(4).filter(|_| text.len() >= SHORTEST_HINTED)?;
    text.get(start..).map(str::to_owned)
}

impl Store {
    /// Stores a new account. The scope's tenant is written, whatever the account says.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the tenant has an account of this name.
    pub async fn insert_account(&self, scope: &Scope, account: &Account) -> Result<(), StoreError> {
        let sealed = seal(&self.keys, scope, &account.id, account.credential.as_ref())?;
        let mut change =
            self.change(scope).await?.about("account.create", account.id.as_str(), account.created_at);
        sqlx::query(INSERT)
            .bind(account.id.as_str())
            .bind(&*scope.tenant_id)
            .bind(&account.group_id)
            .bind(&account.name)
            .bind(&account.provider)
            .bind(&account.base_url)
            .bind(&account.api_version)
            .bind(sealed)
            .bind(json(&account.models))
            .bind(i64::from(account.priority))
            .bind(i64::from(account.weight))
            .bind(account.concurrency.map(i64::from))
            .bind(account.allow_private)
            .bind(account.enabled)
            .bind(signed(account.created_at))
            .bind(signed(account.updated_at))
            .bind(&account.family)
            .bind(change.revision())
            .execute(change.connection())
            .await
            .map_err(|error| StoreError::conflict(error, NAME_TAKEN))?;
        change.commit().await
    }

    /// Reads one account, its credential opened; `None` when the tenant has none with this id.
    ///
    /// # Errors
    /// [`StoreError::Unsealable`] when its credential does not open in its place.
    pub async fn find_account(&self, scope: &Scope, id: &ResourceId) -> Result<Option<Account>, StoreError> {
        let mut connection = self.main.readers.acquire().await?;
        self.find_account_on(&mut connection, scope, id).await
    }

    /// Lists accounts, newest first, their credentials opened.
    ///
    /// # Errors
    /// [`StoreError::Unsealable`] when a credential does not open in its place.
    pub async fn list_accounts(
        &self,
        scope: &Scope,
        filter: &AccountFilter,
        page: &PageRequest,
    ) -> Result<Page<Account>, StoreError> {
        let (at, id) = page.position();
        let rows = sqlx::query(LIST)
            .bind(&*scope.tenant_id)
            .bind(at)
            .bind(id)
            .bind(&filter.provider)
            .bind(filter.enabled)
            .bind(page.fetch())
            .fetch_all(&self.main.readers)
            .await?;
        let read = |row| read(&self.keys, row);
        let accounts = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(accounts, page, |account| Cursor::new(account.created_at, account.id.as_str())))
    }

    /// Reads an account, lets `edit` change it and writes it back, in one transaction, with `now` as its
    /// `updated_at`. The id, the tenant and the time of creation stay as they are. Returns the account
    /// as it stands afterwards; `None` when the tenant has none with this id.
    ///
    /// # Errors
    /// Whatever `edit` refuses with, [`StoreError::Conflict`] for a name that is taken; then nothing
    /// changes.
    pub async fn update_account(
        &self,
        scope: &Scope,
        id: &ResourceId,
        now: EpochMs,
        edit: impl FnOnce(&mut Account) -> Result<(), StoreError> + Send,
    ) -> Result<Option<Account>, StoreError> {
        let mut change = self.change(scope).await?.about("account.update", id.as_str(), now);
        let Some(mut account) = self.find_account_on(change.connection(), scope, id).await? else {
            return Ok(None);
        };
        edit(&mut account)?;
        account.updated_at = later(now, account.updated_at);
        let sealed = seal(&self.keys, scope, id, account.credential.as_ref())?;
        write(&mut change, scope, id, (&account, sealed)).await?;
        change.commit().await?;
        // What `edit` may not change reads as stored, whatever it did.
        self.find_account(scope, id).await
    }

    /// Deletes an account; whether there was one.
    ///
    /// # Errors
    /// What the database said.
    pub async fn delete_account(&self, scope: &Scope, id: &ResourceId) -> Result<bool, StoreError> {
        let mut change = self.change(scope).await?.about("account.delete", id.as_str(), 0);
        let done = sqlx::query(DELETE)
            .bind(&*scope.tenant_id)
            .bind(id.as_str())
            .execute(change.connection())
            .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        change.note_deletion().await?;
        change.commit().await?;
        Ok(true)
    }

    async fn find_account_on(
        &self,
        connection: &mut SqliteConnection,
        scope: &Scope,
        id: &ResourceId,
    ) -> Result<Option<Account>, StoreError> {
        let row =
            sqlx::query(FIND).bind(&*scope.tenant_id).bind(id.as_str()).fetch_optional(connection).await?;
        row.as_ref().map(|row| read(&self.keys, row)).transpose()
    }
}

fn place<'a>(tenant: &'a str, id: &'a str) -> Place<'a> {
    Place { table: TABLE, id, column: "credential", tenant }
}

fn seal(
    keys: &KeyRing,
    scope: &Scope,
    id: &ResourceId,
    credential: Option<&Secret<String>>,
) -> Result<Option<String>, StoreError> {
    let place = place(&scope.tenant_id, id.as_str());
    credential.map(|secret| cipher::seal(keys, &place, secret.expose())).transpose()
}

async fn write(
    change: &mut Change<'_>,
    scope: &Scope,
    id: &ResourceId,
    (account, sealed): (&Account, Option<String>),
) -> Result<(), StoreError> {
    sqlx::query(UPDATE)
        .bind(&*scope.tenant_id)
        .bind(id.as_str())
        .bind(&account.group_id)
        .bind(&account.name)
        .bind(&account.provider)
        .bind(&account.base_url)
        .bind(&account.api_version)
        .bind(sealed)
        .bind(json(&account.models))
        .bind(i64::from(account.priority))
        .bind(i64::from(account.weight))
        .bind(account.concurrency.map(i64::from))
        .bind(account.allow_private)
        .bind(account.enabled)
        .bind(signed(account.updated_at))
        .bind(&account.family)
        .bind(change.revision())
        .execute(change.connection())
        .await
        .map_err(|error| StoreError::conflict(error, NAME_TAKEN))?;
    Ok(())
}

/// Reads a row of the table and opens its credential.
pub(crate) fn read(keys: &KeyRing, row: &SqliteRow) -> Result<Account, StoreError> {
    let columns = Columns { table: TABLE, row };
    let (id, tenant_id) = (columns.id("id")?, columns.text("tenant_id")?);
    let credential = columns
        .optional_text("credential")?
        .map(|sealed| cipher::open(keys, &place(&tenant_id, id.as_str()), &sealed))
        .transpose()?;
    let concurrency = columns.optional_number("concurrency")?;
    Ok(Account {
        name: columns.text("name")?,
        provider: columns.text("provider")?,
        base_url: columns.optional_text("base_url")?,
        api_version: columns.optional_text("api_version")?,
        credential,
        models: columns.json("models")?,
        priority: columns.small("priority")?,
        weight: columns.small("weight")?,
        concurrency: concurrency.map(|n| u32::try_from(n).unwrap_or(u32::MAX)),
        allow_private: columns.flag("allow_private")?,
        enabled: columns.flag("enabled")?,
        group_id: columns.text("group_id")?,
        family: columns.optional_text("family")?,
        created_at: columns.time("created_at")?,
        updated_at: columns.time("updated_at")?,
        id,
        tenant_id,
    })
}
