//! Sign-ins and the refresh tokens that descend from them. A token works once; using one again ends
//! the whole session, for then two parties hold it (access contract, §3).
//!
//! Not configuration: a change here makes no revision. Tokens are stored as keyed hashes only.

use model::ResourceId;
use model::clock::EpochMs;
use sqlx::{Row, Sqlite, SqliteConnection, Transaction};

use crate::audit::Pending;
use crate::column::{Columns, hex, signed};
use crate::error::StoreError;
use crate::scope::Scope;
use crate::store::Store;

const INSERT_SESSION: &str = "INSERT INTO session (id, tenant_id, user_id, created_at, expires_at) \
     VALUES ($1, $2, $3, $4, $5)";
const INSERT_TOKEN: &str = "INSERT INTO refresh_token (token_hmac, tenant_id, session_id, issued_at, expires_at) \
     VALUES ($1, $2, $3, $4, $5)";
const FIND_TOKEN: &str = "SELECT t.session_id, t.tenant_id, t.expires_at, t.used_at, s.user_id, s.revoked_at \
     FROM refresh_token t JOIN session s ON s.id = t.session_id WHERE t.token_hmac = $1";
const USE_TOKEN: &str = "UPDATE refresh_token SET used_at = $2 WHERE token_hmac = $1";
const EXTEND_SESSION: &str = "UPDATE session SET expires_at = $2 WHERE id = $1";
const REVOKE_SESSION: &str = "UPDATE session SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
const REVOKE_OF_USER: &str =
    "UPDATE session SET revoked_at = $3 WHERE tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL";
const DELETE_EXPIRED: &str = "DELETE FROM session WHERE id IN \
     (SELECT id FROM session WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)";

pub(crate) const STATEMENTS: &[&str] = &[
    INSERT_SESSION,
    INSERT_TOKEN,
    FIND_TOKEN,
    USE_TOKEN,
    EXTEND_SESSION,
    REVOKE_SESSION,
    REVOKE_OF_USER,
    DELETE_EXPIRED,
];

/// A refresh token to be stored.
#[derive(Clone)]
pub struct NewToken {
    /// [`KeyRing::hmac_secret`](crate::KeyRing::hmac_secret) of the token.
    pub token_hmac: [u8; 32],
    /// When it is issued.
    pub issued_at: EpochMs,
    /// When it stops working.
    pub expires_at: EpochMs,
}

/// A sign-in to be stored, with its first token.
#[derive(Clone)]
pub struct NewSession {
    /// The session's id: the family of all tokens that follow.
    pub id: ResourceId,
    /// Who signed in.
    pub user_id: ResourceId,
    /// The first token.
    pub token: NewToken,
}

/// What became of a presented refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenUse {
    /// It was good, is spent now, and the new token took its place.
    Rotated {
        /// The session.
        session_id: ResourceId,
        /// Whose session it is. Check that the user may still sign in.
        user_id: ResourceId,
        /// The user's tenant.
        tenant_id: String,
    },
    /// It had been used before: the whole session is revoked now.
    Reused {
        /// The session that ended.
        session_id: ResourceId,
        /// Whose session it was.
        user_id: ResourceId,
    },
    /// Its time is over.
    Expired,
    /// Its session was ended.
    Revoked,
    /// There is no such token.
    Unknown,
}

struct StoredToken {
    session_id: ResourceId,
    user_id: ResourceId,
    tenant_id: String,
    expires_at: EpochMs,
    used: bool,
    revoked: bool,
}

impl Store {
    /// Stores a sign-in and its first refresh token.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the id or the token exists.
    pub async fn create_session(&self, scope: &Scope, session: &NewSession) -> Result<(), StoreError> {
        let conflict = |error| StoreError::conflict(error, "a session with this id or token");
        let mut transaction = self.main.writer.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query(INSERT_SESSION)
            .bind(session.id.as_str())
            .bind(&*scope.tenant_id)
            .bind(session.user_id.as_str())
            .bind(signed(session.token.issued_at))
            .bind(signed(session.token.expires_at))
            .execute(&mut *transaction)
            .await
            .map_err(conflict)?;
        insert_token(&mut transaction, &scope.tenant_id, &session.id, &session.token).await?;
        let mut audit = Pending::of(scope);
        audit.about("auth.login", session.user_id.as_str(), session.token.issued_at);
        self.commit_noted(transaction, &audit).await
    }

    /// Spends the presented token and stores `next` in its place, or says why not. Of two callers with
    /// the same token, exactly one is given [`TokenUse::Rotated`]; the other ends the session. The
    /// token itself is the authority: the scope only says who is written down.
    ///
    /// # Errors
    /// What the database said.
    pub async fn rotate_session(
        &self,
        scope: &Scope,
        presented: &[u8; 32],
        next: &NewToken,
    ) -> Result<TokenUse, StoreError> {
        let now = next.issued_at;
        let mut transaction = self.main.writer.begin_with("BEGIN IMMEDIATE").await?;
        let Some(token) = find_token(&mut transaction, presented).await? else {
            return Ok(TokenUse::Unknown);
        };
        if token.revoked {
            return Ok(TokenUse::Revoked);
        }
        if token.used {
            revoke(&mut transaction, &token.session_id, now).await?;
            let audit = token.audit(scope, "auth.refresh.reused", now);
            self.commit_noted(transaction, &audit).await?;
            return Ok(TokenUse::Reused { session_id: token.session_id, user_id: token.user_id });
        }
        if token.expires_at <= now {
            return Ok(TokenUse::Expired);
        }
        sqlx::query(USE_TOKEN).bind(hex(presented)).bind(signed(now)).execute(&mut *transaction).await?;
        insert_token(&mut transaction, &token.tenant_id, &token.session_id, next).await?;
        sqlx::query(EXTEND_SESSION)
            .bind(token.session_id.as_str())
            .bind(signed(next.expires_at))
            .execute(&mut *transaction)
            .await?;
        self.commit_noted(transaction, &token.audit(scope, "auth.refresh", now)).await?;
        Ok(TokenUse::Rotated {
            session_id: token.session_id,
            user_id: token.user_id,
            tenant_id: token.tenant_id,
        })
    }

    /// Ends the session that the presented token belongs to; whether there was one to end.
    ///
    /// # Errors
    /// What the database said.
    pub async fn revoke_session(
        &self,
        scope: &Scope,
        presented: &[u8; 32],
        now: EpochMs,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.main.writer.begin_with("BEGIN IMMEDIATE").await?;
        let Some(token) = find_token(&mut transaction, presented).await? else {
            return Ok(false);
        };
        let ended = revoke(&mut transaction, &token.session_id, now).await?;
        self.commit_noted(transaction, &token.audit(scope, "auth.logout", now)).await?;
        Ok(ended)
    }

    /// Ends all sessions of a user (password changed, user switched off); how many.
    ///
    /// # Errors
    /// What the database said.
    pub async fn revoke_user_sessions(
        &self,
        scope: &Scope,
        user_id: &ResourceId,
        now: EpochMs,
    ) -> Result<u64, StoreError> {
        let mut transaction = self.main.writer.begin_with("BEGIN IMMEDIATE").await?;
        let done = sqlx::query(REVOKE_OF_USER)
            .bind(&*scope.tenant_id)
            .bind(user_id.as_str())
            .bind(signed(now))
            .execute(&mut *transaction)
            .await?;
        // A change of the user wrote the entry before; without a note this one is a change of its own.
        let mut audit = Pending::of(scope);
        audit.about("user.sign-out", user_id.as_str(), now);
        self.commit_noted(transaction, &audit).await?;
        Ok(done.rows_affected())
    }

    pub(crate) async fn commit_noted(
        &self,
        mut transaction: Transaction<'static, Sqlite>,
        audit: &Pending,
    ) -> Result<(), StoreError> {
        audit.write(&mut transaction, &self.keys).await?;
        transaction.commit().await?;
        audit.written();
        Ok(())
    }

    /// Deletes at most `limit` sessions whose last token expired before `before`; how many. A job's
    /// work, for all tenants.
    ///
    /// # Errors
    /// What the database said.
    pub async fn delete_expired_sessions(&self, before: EpochMs, limit: u32) -> Result<u64, StoreError> {
        let done = sqlx::query(DELETE_EXPIRED)
            .bind(signed(before))
            .bind(i64::from(limit))
            .execute(&self.main.writer)
            .await?;
        Ok(done.rows_affected())
    }
}

impl StoredToken {
    /// The entry about this token's sign-in, by its user.
    fn audit(&self, scope: &Scope, verb: &'static str, now: EpochMs) -> Pending {
        if let Some(note) = &scope.note {
            note.verb(verb);
            note.actor(format!("user:{}", self.user_id));
        }
        let mut audit = Pending::of(&Scope { tenant_id: self.tenant_id.as_str().into(), ..scope.clone() });
        audit.about(verb, self.user_id.as_str(), now);
        audit
    }
}

async fn insert_token(
    connection: &mut SqliteConnection,
    tenant_id: &str,
    session_id: &ResourceId,
    token: &NewToken,
) -> Result<(), StoreError> {
    sqlx::query(INSERT_TOKEN)
        .bind(hex(&token.token_hmac))
        .bind(tenant_id)
        .bind(session_id.as_str())
        .bind(signed(token.issued_at))
        .bind(signed(token.expires_at))
        .execute(connection)
        .await
        .map_err(|error| StoreError::conflict(error, "a refresh token like this"))?;
    Ok(())
}

async fn find_token(
    connection: &mut SqliteConnection,
    presented: &[u8; 32],
) -> Result<Option<StoredToken>, StoreError> {
    let row = sqlx::query(FIND_TOKEN).bind(hex(presented)).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    let columns = Columns { table: "refresh_token", row: &row };
    Ok(Some(StoredToken {
        session_id: columns.id("session_id")?,
        user_id: columns.id("user_id")?,
        tenant_id: columns.text("tenant_id")?,
        expires_at: columns.time("expires_at")?,
        used: row.try_get::<Option<i64>, _>("used_at")?.is_some(),
        revoked: row.try_get::<Option<i64>, _>("revoked_at")?.is_some(),
    }))
}

async fn revoke(
    connection: &mut SqliteConnection,
    session_id: &ResourceId,
    now: EpochMs,
) -> Result<bool, StoreError> {
    let done =
        sqlx::query(REVOKE_SESSION).bind(session_id.as_str()).bind(signed(now)).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}
