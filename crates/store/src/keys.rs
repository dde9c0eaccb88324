//! API keys: of the secret only its keyed hash; the secrets that requests are signed with sealed, because
//! checking a signature needs them in clear.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use model::clock::EpochMs;
use model::resource::key::{ApiKey, KeyKind, KeyStatus, RateLimit};
use model::resource::{KeyAccess, KeyTerms, SigningSecret};
use model::{ResourceId, Secret};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::cipher::{self, Place};
use crate::column::{hex, json, later, signed, unhex};
use crate::error::StoreError;
use crate::keyring::KeyRing;
use crate::page::{Cursor, Page, PageRequest};
use crate::scope::Scope;
use crate::store::{Change, Store};

const TABLE: &str = "api_key";
/// The column of the sealed signing secrets.
const SECRET: &str = "signing_secret";

const INSERT: &str = "INSERT INTO api_key (id, tenant_id, user_id, kind, status, detail, created_at, revision, \
     signing_secret) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const FIND: &str = "SELECT detail, signing_secret FROM api_key WHERE tenant_id = $1 AND id = $2";
const FIND_TENANT: &str = "SELECT tenant_id FROM api_key WHERE id = $1";
const LIST: &str = "SELECT detail FROM api_key WHERE tenant_id = $1 AND (created_at, id) < ($2, $3) \
     AND (CAST($4 AS TEXT) IS NULL OR status = $4) AND (CAST($5 AS TEXT) IS NULL OR user_id = $5) \
     AND (CAST($6 AS TEXT) IS NULL OR kind = $6) ORDER BY created_at DESC, id DESC LIMIT $7";
/// Of all tenants, those that a revision after the given one made or changed, many lines to a row: handing
/// a row over from SQLite's thread wakes the reader, which costs more than reading it.
const CHANGED: &str = "SELECT string_agg(detail, CAST($2 AS TEXT)) FROM api_key \
     WHERE revision > $1 GROUP BY revision / 1000";
/// The sealed secrets of those keys that have any, likewise.
const CHANGED_SECRETS: &str = "SELECT id, tenant_id, signing_secret FROM api_key \
     WHERE revision > $1 AND signing_secret IS NOT NULL";
const UPDATE: &str = "UPDATE api_key SET user_id = $3, status = $4, detail = $5, revision = $6, \
     signing_secret = $7 WHERE tenant_id = $1 AND id = $2";

pub(crate) const STATEMENTS: &[&str] = &[INSERT, FIND, FIND_TENANT, LIST, CHANGED, CHANGED_SECRETS, UPDATE];

/// A whole key. What searches ask for has a column besides.
#[derive(Serialize, Deserialize)]
struct Detail<'k> {
    #[serde(borrow)]
    id: Cow<'k, str>,
    #[serde(borrow)]
    tenant_id: Cow<'k, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_id: Option<Cow<'k, str>>,
    kind: KeyKind,
    status: KeyStatus,
    #[serde(borrow)]
    name: Cow<'k, str>,
    #[serde(borrow)]
    group_id: Cow<'k, str>,
    /// In lower-case hex.
    #[serde(borrow)]
    secret_hmac: Cow<'k, str>,
    #[serde(borrow)]
    hint: Cow<'k, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<EpochMs>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    models: Cow<'k, [String]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    allowed_ips: Cow<'k, [String]>,
    #[serde(default)]
    rate_limit: RateLimit,
    #[serde(default, skip_serializing_if = "is_default")]
    terms: KeyTerms,
    #[serde(default, skip_serializing_if = "KeyAccess::is_plain")]
    access: KeyAccess,
    created_at: EpochMs,
    updated_at: EpochMs,
}

/// A signing secret within its sealed column.
#[derive(Serialize, Deserialize)]
struct SealedSecret<'s> {
    secret: Cow<'s, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<EpochMs>,
}

/// Nearly all keys have no terms of their own; writing them out would be a fifth of what a start loads.
fn is_default(terms: &KeyTerms) -> bool {
    *terms == KeyTerms::default()
}

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
        let sealed = seal(&self.keys, scope, key)?;
        let mut change = self.change(scope).await?.about("api-key.create", key.id.as_str(), key.created_at);
        sqlx::query(INSERT)
            .bind(key.id.as_str())
            .bind(&*scope.tenant_id)
            .bind(key.user_id.as_ref().map(ResourceId::as_str))
            .bind(key.kind.name())
            .bind(key.status.name())
            .bind(detail(scope, &key.id, key))
            .bind(signed(key.created_at))
            .bind(change.revision())
            .bind(sealed)
            .execute(change.connection())
            .await
            .map_err(|error| StoreError::conflict(error, "a key with this id"))?;
        change.commit().await
    }

    /// Reads one key, its signing secrets opened; `None` when the tenant has none with this id.
    ///
    /// # Errors
    /// [`StoreError::Unsealable`] when its signing secrets do not open in their place.
    pub async fn find_key(&self, scope: &Scope, id: &ResourceId) -> Result<Option<ApiKey>, StoreError> {
        let mut connection = self.main.readers.acquire().await?;
        find(&self.keys, &mut connection, scope, id).await
    }

    /// In which tenant a key is, for callers who see all of them; `None` when there is no such key.
    ///
    /// # Errors
    /// What the database said.
    pub async fn tenant_of_key(&self, id: &ResourceId) -> Result<Option<String>, StoreError> {
        let found = sqlx::query_scalar(FIND_TENANT).bind(id.as_str()).fetch_optional(&self.main.readers);
        Ok(found.await?)
    }

    /// Lists keys, newest first, without their signing secrets.
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
        let mut change = self.change(scope).await?.about("api-key.update", id.as_str(), now);
        let Some(mut key) = find(&self.keys, change.connection(), scope, id).await? else {
            return Ok(None);
        };
        let (kind, created_at) = (key.kind, key.created_at);
        edit(&mut key)?;
        (key.kind, key.created_at, key.updated_at) = (kind, created_at, later(now, key.updated_at));
        key.id = id.clone();
        let sealed = seal(&self.keys, scope, &key)?;
        write(&mut change, scope, &key, sealed).await?;
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
            key.hint = secret.hint.into();
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
    keys: &KeyRing,
    connection: &mut SqliteConnection,
    scope: &Scope,
    id: &ResourceId,
) -> Result<Option<ApiKey>, StoreError> {
    let row = sqlx::query(FIND).bind(&*scope.tenant_id).bind(id.as_str()).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    let mut key = read(&row)?;
    let sealed: Option<String> =
        row.try_get(1).map_err(|_| StoreError::Unreadable { table: TABLE, column: SECRET })?;
    if let Some(sealed) = sealed {
        key.access.secrets = open(keys, &scope.tenant_id, id.as_str(), &sealed)?;
    }
    Ok(Some(key))
}

/// Keys of all tenants that a revision after `since` made or changed, their signing secrets opened.
pub(crate) async fn changed(
    keys: &KeyRing,
    connection: &mut SqliteConnection,
    since: i64,
) -> Result<Vec<Result<ApiKey, StoreError>>, StoreError> {
    let found: Vec<String> =
        sqlx::query_scalar(CHANGED).bind(since).bind("\n").fetch_all(&mut *connection).await?;
    let sealed: Vec<(String, String, String)> =
        sqlx::query_as(CHANGED_SECRETS).bind(since).fetch_all(connection).await?;
    let mut secrets = HashMap::with_capacity(sealed.len());
    for (id, tenant, sealed) in sealed {
        let opened = open(keys, &tenant, &id, &sealed)?;
        secrets.insert(id, opened);
    }
    let (mut texts, mut limits) = (HashSet::new(), HashSet::new());
    let mut complete = |mut key: ApiKey| {
        key.access.secrets = secrets.remove(key.id.as_str()).unwrap_or_default();
        share(&mut key.tenant_id, &mut texts);
        share(&mut key.group_id, &mut texts);
        share(&mut key.rate_limit, &mut limits);
        key
    };
    let read = found.iter().flat_map(|lines| lines.lines()).map(parse);
    Ok(read.map(|key| key.map(&mut complete)).collect())
}

/// Lets `one` be that of `known` that says the same; remembered there if none does.
fn share<T: Eq + Hash + ?Sized>(one: &mut Arc<T>, known: &mut HashSet<Arc<T>>) {
    match known.get(one) {
        Some(same) => *one = Arc::clone(same),
        None => _ = known.insert(Arc::clone(one)),
    }
}

async fn write(
    change: &mut Change<'_>,
    scope: &Scope,
    key: &ApiKey,
    sealed: Option<String>,
) -> Result<(), StoreError> {
    sqlx::query(UPDATE)
        .bind(&*scope.tenant_id)
        .bind(key.id.as_str())
        .bind(key.user_id.as_ref().map(ResourceId::as_str))
        .bind(key.status.name())
        .bind(detail(scope, &key.id, key))
        .bind(change.revision())
        .bind(sealed)
        .execute(change.connection())
        .await?;
    Ok(())
}

fn place<'a>(tenant: &'a str, id: &'a str) -> Place<'a> {
    Place { table: TABLE, id, column: SECRET, tenant }
}

/// All signing secrets of a key as one sealed value; `None` when it has none.
fn seal(keys: &KeyRing, scope: &Scope, key: &ApiKey) -> Result<Option<String>, StoreError> {
    if key.access.secrets.is_empty() {
        return Ok(None);
    }
    let of = |held: &'_ SigningSecret| SealedSecret {
        secret: Cow::Owned(held.secret.expose().clone()),
        until: held.until,
    };
    let plain: Vec<SealedSecret<'_>> = key.access.secrets.iter().map(of).collect();
    let plain = Secret::new(json(&plain));
    cipher::seal(keys, &place(&scope.tenant_id, key.id.as_str()), plain.expose()).map(Some)
}

/// Opens what [`seal`] made.
fn open(keys: &KeyRing, tenant: &str, id: &str, sealed: &str) -> Result<Vec<SigningSecret>, StoreError> {
    let plain = cipher::open(keys, &place(tenant, id), sealed)?;
    let held: Vec<SealedSecret<'_>> = serde_json::from_str(plain.expose())
        .map_err(|_| StoreError::Unreadable { table: TABLE, column: SECRET })?;
    let one = |held: SealedSecret<'_>| SigningSecret {
        secret: Secret::new(held.secret.into_owned()),
        until: held.until,
    };
    Ok(held.into_iter().map(one).collect())
}

fn detail(scope: &Scope, id: &ResourceId, key: &ApiKey) -> String {
    json(&Detail {
        id: id.as_str().into(),
        tenant_id: (&*scope.tenant_id).into(),
        user_id: key.user_id.as_ref().map(|id| id.as_str().into()),
        kind: key.kind,
        status: key.status,
        name: (&*key.name).into(),
        group_id: (&*key.group_id).into(),
        secret_hmac: hex(&key.secret_hmac).into(),
        hint: (&*key.hint).into(),
        expires_at: key.expires_at,
        models: (&*key.models).into(),
        allowed_ips: (&*key.allowed_ips).into(),
        rate_limit: *key.rate_limit,
        terms: key.terms.clone(),
        access: KeyAccess { secrets: Vec::new(), ..key.access.clone() },
        created_at: key.created_at,
        updated_at: key.updated_at,
    })
}

/// Reads the first column of a row.
fn read(row: &SqliteRow) -> Result<ApiKey, StoreError> {
    let text = row.try_get(0).map_err(|_| StoreError::Unreadable { table: TABLE, column: "detail" })?;
    parse(text)
}

/// Reads a key as it is stored.
fn parse(text: &str) -> Result<ApiKey, StoreError> {
    let unreadable = || StoreError::Unreadable { table: TABLE, column: "detail" };
    let detail: Detail<'_> = serde_json::from_str(text).map_err(|_| unreadable())?;
    let id = |text: &str| ResourceId::parse(text).ok_or_else(unreadable);
    Ok(ApiKey {
        id: id(&detail.id)?,
        tenant_id: (&*detail.tenant_id).into(),
        user_id: detail.user_id.as_deref().map(id).transpose()?,
        kind: detail.kind,
        status: detail.status,
        created_at: detail.created_at,
        name: detail.name.into(),
        group_id: (&*detail.group_id).into(),
        secret_hmac: unhex(&detail.secret_hmac).ok_or_else(unreadable)?,
        hint: detail.hint.into(),
        expires_at: detail.expires_at,
        models: detail.models.into_owned().into(),
        allowed_ips: detail.allowed_ips.into_owned().into(),
        rate_limit: Arc::new(detail.rate_limit),
        terms: detail.terms,
        access: detail.access,
        updated_at: detail.updated_at,
    })
}
