//! People and services that sign in. A password is here only as the argon2id hash that `control` made.

use model::clock::EpochMs;
use model::resource::{Role, User};
use model::{ResourceId, Secret};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::column::{Columns, later, signed, unsigned};
use crate::error::StoreError;
use crate::page::{Cursor, Page, PageRequest};
use crate::parties::terms_text;
use crate::scope::Scope;
use crate::store::Store;

const TABLE: &str = "user_account";

const INSERT: &str = "INSERT INTO user_account (id, tenant_id, email, name, role, enabled, password_hash, \
     created_at, updated_at, terms, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
const FIND: &str = "SELECT * FROM user_account WHERE tenant_id = $1 AND id = $2";
const FIND_LOGIN: &str = "SELECT * FROM user_account WHERE email = $1";
const FIND_TENANT: &str = "SELECT tenant_id FROM user_account WHERE id = $1";
const LIST: &str = "SELECT * FROM user_account WHERE tenant_id = $1 AND (created_at, id) < ($2, $3) \
     ORDER BY created_at DESC, id DESC LIMIT $4";
const UPDATE: &str = "UPDATE user_account SET email = $3, name = $4, role = $5, enabled = $6, \
     updated_at = $7, terms = $8, revision = $9 WHERE tenant_id = $1 AND id = $2";
const SET_PASSWORD: &str = "UPDATE user_account SET password_hash = $3, updated_at = $4 \
     WHERE tenant_id = $1 AND id = $2";
const COUNT_OWNERS: &str =
    "SELECT COUNT(*) FROM user_account WHERE tenant_id = $1 AND role = 'owner' AND enabled = TRUE";

pub(crate) const STATEMENTS: &[&str] =
    &[INSERT, FIND, FIND_TENANT, FIND_LOGIN, LIST, UPDATE, SET_PASSWORD, COUNT_OWNERS];

const EMAIL_TAKEN: &str = "a user with this e-mail address";

/// What a sign-in is checked against.
#[derive(Clone)]
pub struct Login {
    /// Who signs in; may be switched off.
    pub user: User,
    /// The argon2id hash in PHC form; `None` for a user who cannot sign in with a password.
    pub password_hash: Option<Secret<String>>,
}

impl Store {
    /// Stores a new user. The scope's tenant is written, and the address in lower case.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the address is taken, in any tenant.
    pub async fn insert_user(
        &self,
        scope: &Scope,
        user: &User,
        password_hash: Option<&str>,
    ) -> Result<(), StoreError> {
        let mut change = self.change(scope).await?.about("user.create", user.id.as_str(), user.created_at);
        sqlx::query(INSERT)
            .bind(user.id.as_str())
            .bind(&*scope.tenant_id)
            .bind(user.email.to_lowercase())
            .bind(&user.name)
            .bind(user.role.name())
            .bind(user.enabled)
            .bind(password_hash)
            .bind(signed(user.created_at))
            .bind(signed(user.updated_at))
            .bind(terms_text(&user.terms))
            .bind(change.revision())
            .execute(change.connection())
            .await
            .map_err(|error| StoreError::conflict(error, EMAIL_TAKEN))?;
        change.commit().await
    }

    /// Reads one user; `None` when the tenant has none with this id.
    ///
    /// # Errors
    /// What the database said.
    pub async fn find_user(&self, scope: &Scope, id: &ResourceId) -> Result<Option<User>, StoreError> {
        let mut connection = self.main.readers.acquire().await?;
        find(&mut connection, scope, id).await
    }

    /// In which tenant a user is, for callers who see all of them; `None` when there is no such user.
    ///
    /// # Errors
    /// What the database said.
    pub async fn tenant_of_user(&self, id: &ResourceId) -> Result<Option<String>, StoreError> {
        let found = sqlx::query_scalar(FIND_TENANT).bind(id.as_str()).fetch_optional(&self.main.readers);
        Ok(found.await?)
    }

    /// Finds who signs in with `email`, in any case of letters. A read without a scope: the
    /// tenant is known only afterwards.
    ///
    /// # Errors
    /// What the database said.
    pub async fn find_login(&self, email: &str) -> Result<Option<Login>, StoreError> {
        let row =
            sqlx::query(FIND_LOGIN).bind(email.to_lowercase()).fetch_optional(&self.main.readers).await?;
        let Some(row) = row else { return Ok(None) };
        let hash = Columns { table: TABLE, row: &row }.optional_text("password_hash")?;
        Ok(Some(Login { user: read(&row)?, password_hash: hash.map(Secret::new) }))
    }

    /// Lists users, newest first.
    ///
    /// # Errors
    /// What the database said.
    pub async fn list_users(&self, scope: &Scope, page: &PageRequest) -> Result<Page<User>, StoreError> {
        let (at, id) = page.position();
        let rows = sqlx::query(LIST)
            .bind(&*scope.tenant_id)
            .bind(at)
            .bind(id)
            .bind(page.fetch())
            .fetch_all(&self.main.readers)
            .await?;
        let users = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(users, page, |user| Cursor::new(user.created_at, user.id.as_str())))
    }

    /// Reads a user, lets `edit` change it and writes it back, in one transaction, with `now` as its
    /// `updated_at`. The id, the tenant and the time of creation stay as they are. Returns the user as it
    /// stands afterwards; `None` when the tenant has none with this id.
    ///
    /// # Errors
    /// Whatever `edit` refuses with, [`StoreError::Conflict`] for an address that is taken,
    /// [`StoreError::Refused`] when no enabled owner would remain; then nothing changes.
    pub async fn update_user(
        &self,
        scope: &Scope,
        id: &ResourceId,
        now: EpochMs,
        edit: impl FnOnce(&mut User) -> Result<(), StoreError> + Send,
    ) -> Result<Option<User>, StoreError> {
        let mut change = self.change(scope).await?.about("user.update", id.as_str(), now);
        let Some(mut user) = find(change.connection(), scope, id).await? else {
            return Ok(None);
        };
        let was_owner = user.role == Role::Owner && user.enabled;
        edit(&mut user)?;
        sqlx::query(UPDATE)
            .bind(&*scope.tenant_id)
            .bind(id.as_str())
            .bind(user.email.to_lowercase())
            .bind(&user.name)
            .bind(user.role.name())
            .bind(user.enabled)
            .bind(signed(later(now, user.updated_at)))
            .bind(terms_text(&user.terms))
            .bind(change.revision())
            .execute(change.connection())
            .await
            .map_err(|error| StoreError::conflict(error, EMAIL_TAKEN))?;
        if was_owner && count_owners(change.connection(), scope).await? == 0 {
            return Err(StoreError::Refused("the last enabled owner must stay one"));
        }
        change.commit().await?;
        self.find_user(scope, id).await
    }

    /// Replaces a user's password hash (PHC text); whether there is such a user. Sessions stay: revoke
    /// them with [`Store::revoke_user_sessions`].
    ///
    /// # Errors
    /// What the database said.
    pub async fn set_password(
        &self,
        scope: &Scope,
        id: &ResourceId,
        now: EpochMs,
        password_hash: &str,
    ) -> Result<bool, StoreError> {
        let mut change = self.change(scope).await?.about("user.password", id.as_str(), now);
        let done = sqlx::query(SET_PASSWORD)
            .bind(&*scope.tenant_id)
            .bind(id.as_str())
            .bind(password_hash)
            .bind(signed(now))
            .execute(change.connection())
            .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        change.commit().await?;
        Ok(true)
    }

    /// Whether the tenant has an owner who may sign in; a first start makes one when it has none.
    ///
    /// # Errors
    /// What the database said.
    pub async fn has_owner(&self, scope: &Scope) -> Result<bool, StoreError> {
        let mut connection = self.main.readers.acquire().await?;
        Ok(count_owners(&mut connection, scope).await? > 0)
    }
}

async fn count_owners(connection: &mut SqliteConnection, scope: &Scope) -> Result<u64, StoreError> {
    let row = sqlx::query(COUNT_OWNERS).bind(&*scope.tenant_id).fetch_one(connection).await?;
    Ok(unsigned(row.try_get(0)?))
}

async fn find(
    connection: &mut SqliteConnection,
    scope: &Scope,
    id: &ResourceId,
) -> Result<Option<User>, StoreError> {
    let row = sqlx::query(FIND).bind(&*scope.tenant_id).bind(id.as_str()).fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &SqliteRow) -> Result<User, StoreError> {
    let columns = Columns { table: TABLE, row };
    Ok(User {
        id: columns.id("id")?,
        email: columns.text("email")?,
        name: columns.text("name")?,
        role: columns.named("role", Role::named)?,
        enabled: columns.flag("enabled")?,
        tenant_id: columns.text("tenant_id")?,
        terms: columns.json("terms")?,
        created_at: columns.time("created_at")?,
        updated_at: columns.time("updated_at")?,
    })
}
