//! API keys: never the secret, only its keyed hash.

use model::ResourceId;
use model::clock::EpochMs;
use model::resource::key::{ApiKey, KeyKind, KeyStatus};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::column::{Columns, hex, json, signed, unhex};
use crate::error::StoreError;
use crate::page::{Cursor, Page, PageRequest};
use crate::scope::Scope;
use crate::store::Store;

const TABLE: &str = "api_key";

const INSERT: &str = "INSERT INTO api_key (id, tenant_id, group_id, user_id, name, kind, status, secret_hmac, \
     hint, expires_at, models, allowed_ips, rate_limit, created_at, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
const FIND: &str = "SELECT * FROM api_key WHERE tenant_id = $1 AND id = $2";
const LIST: &str = "SELECT * FROM api_key WHERE tenant_id = $1 AND (created_at, id) < ($2, $3) \
     AND (CAST($4 AS TEXT) IS NULL OR status = $4) AND (CAST($5 AS TEXT) IS NULL OR user_id = $5) \
     AND (CAST($6 AS TEXT) IS NULL OR kind = $6) ORDER BY created_at DESC, id DESC LIMIT $7";
const UPDATE: &str = "UPDATE api_key SET group_id = $3, user_id = $4, name = $5, status = $6, \
     secret_hmac = $7, hint = $8, expires_at = $9, models = $10, allowed_ips = $11, rate_limit = $12, \
     updated_at = $13 WHERE tenant_id = $1 AND id = $2";

pub(crate) const STATEMENTS: &[&str] = &[INSERT, FIND, LIST, UPDATE];

/// Which keys of a tenant are wanted; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct KeyFilter {
    /// Only keys in this state.
    pub status: Option<KeyStatus>,
    /// Only keys of this user.
    pub user_id: Option<ResourceId>,
    /// Only keys of this kind.
    pub kind: Option<KeyKind>,
}

/// What takes the place of a key's secret when it is rotated.
#[derive(Clone)]
pub struct NewSecret {
    /// [`KeyRing::hmac_secret`](crate::KeyRing::hmac_secret) of the new secret.
    pub secret_hmac: [u8; 32],
    /// The last four characters of the new text.
    pub hint: String,
}

impl Store {
    /// Stores a new key. The scope's tenant is written, whatever the key says.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the id is taken.
    pub async fn insert_key(&self, scope: &Scope, key: &ApiKey) -> Result<(), StoreError> {
        let mut change = self.change(scope).await?;
        sqlx::query(INSERT)
            .bind(key.id.as_str())
            .bind(&*scope.tenant_id)
            .bind(&key.group_id)
            .bind(key.user_id.as_ref().map(ResourceId::as_str))
            .bind(&key.name)
            .bind(key.kind.name())
            .bind(key.status.name())
            .bind(hex(&key.secret_hmac))
            .bind(&key.hint)
            .bind(key.expires_at.map(signed))
            .bind(json(&key.models))
            .bind(json(&key.allowed_ips))
            .bind(json(&key.rate_limit))
            .bind(signed(key.created_at))
            .bind(signed(key.updated_at))
            .execute(change.connection())
            .await
            .map_err(|error| StoreError::conflict(error, "a key with this id"))?;
        change.commit().await
    }

    /// Reads one key; `None` when the tenant has none with this id.
    ///
    /// # Errors
    /// What the database said.
    pub async fn find_key(&self, scope: &Scope, id: &ResourceId) -> Result<Option<ApiKey>, StoreError> {
        let mut connection = self.main.readers.acquire().await?;
        find(&mut connection, scope, id).await
    }

    /// Lists keys, newest first.
    ///
    /// # Errors
    /// What the database said.
    pub async fn list_keys(
        &self,
        scope: &Scope,
        filter: &KeyFilter,
        page: &PageRequest,
    ) -> Result<Page<ApiKey>, StoreError> {
        let (at, id) = page.position();
        let rows = sqlx::query(LIST)
            .bind(&*scope.tenant_id)
            .bind(at)
            .bind(id)
            .bind(filter.status.map(KeyStatus::name))
            .bind(filter.user_id.as_ref().map(ResourceId::as_str))
            .bind(filter.kind.map(KeyKind::name))
            .bind(page.fetch())
            .fetch_all(&self.main.readers)
            .await?;
        let keys = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(keys, page, |key| Cursor::new(key.created_at, key.id.as_str())))
    }

    /// Reads a key, lets `edit` change it and writes it back, in one transaction, with `now` as its
    /// `updated_at`. The id, the tenant, the kind and the time of creation stay as they are. Returns the
    /// key as it stands afterwards; `None` when the tenant has none with this id.
    ///
    /// # Errors
    /// Whatever `edit` refuses with ([`StoreError::Stale`], [`StoreError::Refused`]); then nothing changes.
    pub async fn update_key(
        &self,
        scope: &Scope,
        id: &ResourceId,
        now: EpochMs,
        edit: impl FnOnce(&mut ApiKey) -> Result<(), StoreError> + Send,
    ) -> Result<Option<ApiKey>, StoreError> {
        let mut change = self.change(scope).await?;
        let Some(mut key) = find(change.connection(), scope, id).await? else {
            return Ok(None);
        };
        edit(&mut key)?;
        key.updated_at = now;
        write(change.connection(), scope, id, &key).await?;
        change.commit().await?;
        // What `edit` may not change reads as stored, whatever it did.
        self.find_key(scope, id).await
    }

    /// Gives a key a new secret; the old one stops working with this revision.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the key is revoked.
    pub async fn rotate_key(
        &self,
        scope: &Scope,
        id: &ResourceId,
        now: EpochMs,
        secret: NewSecret,
    ) -> Result<Option<ApiKey>, StoreError> {
        self.update_key(scope, id, now, |key| {
            if key.status == KeyStatus::Revoked {
                return Err(StoreError::Refused("a revoked key cannot be rotated"));
            }
            key.secret_hmac = secret.secret_hmac;
            key.hint = secret.hint;
            Ok(())
        })
        .await
    }

    /// Ends a key for good. Revoking a revoked key changes nothing but its time.
    ///
    /// # Errors
    /// What the database said.
    pub async fn revoke_key(
        &self,
        scope: &Scope,
        id: &ResourceId,
        now: EpochMs,
    ) -> Result<Option<ApiKey>, StoreError> {
        self.update_key(scope, id, now, |key| {
            key.status = KeyStatus::Revoked;
            Ok(())
        })
        .await
    }
}

async fn find(
    connection: &mut SqliteConnection,
    scope: &Scope,
    id: &ResourceId,
) -> Result<Option<ApiKey>, StoreError> {
    let row = sqlx::query(FIND).bind(&*scope.tenant_id).bind(id.as_str()).fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()
}

async fn write(
    connection: &mut SqliteConnection,
    scope: &Scope,
    id: &ResourceId,
    key: &ApiKey,
) -> Result<(), StoreError> {
    sqlx::query(UPDATE)
        .bind(&*scope.tenant_id)
        .bind(id.as_str())
        .bind(&key.group_id)
        .bind(key.user_id.as_ref().map(ResourceId::as_str))
        .bind(&key.name)
        .bind(key.status.name())
        .bind(hex(&key.secret_hmac))
        .bind(&key.hint)
        .bind(key.expires_at.map(signed))
        .bind(json(&key.models))
        .bind(json(&key.allowed_ips))
        .bind(json(&key.rate_limit))
        .bind(signed(key.updated_at))
        .execute(connection)
        .await?;
    Ok(())
}

/// Reads a row of the table.
pub(crate) fn read(row: &SqliteRow) -> Result<ApiKey, StoreError> {
    let columns = Columns { table: TABLE, row };
    Ok(ApiKey {
        id: columns.id("id")?,
        name: columns.text("name")?,
        secret_hmac: columns.named("secret_hmac", unhex)?,
        hint: columns.text("hint")?,
        kind: columns.named("kind", KeyKind::named)?,
        status: columns.named("status", KeyStatus::named)?,
        user_id: columns.optional_id("user_id")?,
        tenant_id: columns.text("tenant_id")?,
        group_id: columns.text("group_id")?,
        expires_at: columns.optional_number("expires_at")?,
        models: columns.json("models")?,
        allowed_ips: columns.json("allowed_ips")?,
        rate_limit: columns.json("rate_limit")?,
        created_at: columns.time("created_at")?,
        updated_at: columns.time("updated_at")?,
    })
}
