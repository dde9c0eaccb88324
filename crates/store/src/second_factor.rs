//! The second factor of users who sign in: its secret sealed, its recovery codes as keyed hashes.
//!
//! A code works once: the step of the last one is kept, and only a later one is taken.

use model::clock::EpochMs;
use model::{ResourceId, Secret};
use sqlx::SqliteConnection;

use crate::audit::Pending;
use crate::cipher::{self, Place};
use crate::column::{Columns, hex, json, signed};
use crate::error::StoreError;
use crate::scope::Scope;
use crate::store::Store;

const TABLE: &str = "second_factor";

/// Begins anew as long as it was not confirmed.
const ENROL: &str = "INSERT INTO second_factor \
     (user_id, tenant_id, secret, confirmed, last_step, recovery, created_at) \
     VALUES ($1, $2, $3, FALSE, 0, '[]', $4) ON CONFLICT (user_id) DO UPDATE SET \
     secret = excluded.secret, created_at = excluded.created_at WHERE second_factor.confirmed = FALSE";
const FIND: &str = "SELECT * FROM second_factor WHERE tenant_id = $1 AND user_id = $2";
const CONFIRM: &str = "UPDATE second_factor SET confirmed = TRUE, last_step = $3, recovery = $4 \
     WHERE tenant_id = $1 AND user_id = $2 AND confirmed = FALSE";
const USE_STEP: &str = "UPDATE second_factor SET last_step = $3 \
     WHERE tenant_id = $1 AND user_id = $2 AND confirmed = TRUE AND last_step < $3";
const SET_RECOVERY: &str = "UPDATE second_factor SET recovery = $3 WHERE tenant_id = $1 AND user_id = $2";
const DELETE: &str = "DELETE FROM second_factor WHERE tenant_id = $1 AND user_id = $2";

pub(crate) const STATEMENTS: &[&str] = &[ENROL, FIND, CONFIRM, USE_STEP, SET_RECOVERY, DELETE];

/// A user's second factor.
pub struct SecondFactor {
    /// The secret in base32.
    pub secret: Secret<String>,
    /// Whether it is asked for.
    pub confirmed: bool,
    /// How many recovery codes are left.
    pub recovery_left: usize,
}

impl Store {
    /// The user's second factor, confirmed or not.
    ///
    /// # Errors
    /// [`StoreError::Unsealable`] when its secret does not open in its place.
    pub async fn find_second_factor(
        &self,
        scope: &Scope,
        user: &ResourceId,
    ) -> Result<Option<SecondFactor>, StoreError> {
        let query = sqlx::query(FIND).bind(&*scope.tenant_id).bind(user.as_str());
        let Some(row) = query.fetch_optional(&self.main.readers).await? else { return Ok(None) };
        let columns = Columns { table: TABLE, row: &row };
        let recovery: Vec<String> = columns.json("recovery")?;
        Ok(Some(SecondFactor {
            secret: cipher::open(&self.keys, &place(scope, user), &columns.text("secret")?)?,
            confirmed: columns.flag("confirmed")?,
            recovery_left: recovery.len(),
        }))
    }

    /// Keeps a secret that is to be confirmed; `false` when the user has a confirmed one.
    ///
    /// # Errors
    /// What the database said.
    pub async fn enrol_second_factor(
        &self,
        scope: &Scope,
        user: &ResourceId,
        now: EpochMs,
        secret: &Secret<String>,
    ) -> Result<bool, StoreError> {
        let sealed = cipher::seal(&self.keys, &place(scope, user), secret.expose())?;
        let query =
            sqlx::query(ENROL).bind(user.as_str()).bind(&*scope.tenant_id).bind(sealed).bind(signed(now));
        self.noted(scope, ("totp.enrol", user, now), async |connection| {
            Ok(query.execute(connection).await?.rows_affected() > 0)
        })
        .await
    }

    /// Confirms the secret with a code of `step`; from then on it is asked for. `recovery` are the keyed hashes
    /// of its recovery codes. `false` when there is nothing to confirm.
    ///
    /// # Errors
    /// What the database said.
    pub async fn confirm_second_factor(
        &self,
        scope: &Scope,
        user: &ResourceId,
        (now, step): (EpochMs, u64),
        recovery: &[[u8; 32]],
    ) -> Result<bool, StoreError> {
        let recovery: Vec<String> = recovery.iter().map(|hash| hex(hash)).collect();
        let query = sqlx::query(CONFIRM)
            .bind(&*scope.tenant_id)
            .bind(user.as_str())
            .bind(signed(step))
            .bind(json(&recovery));
        self.noted(scope, ("totp.confirm", user, now), async |connection| {
            Ok(query.execute(connection).await?.rows_affected() > 0)
        })
        .await
    }

    /// Spends the code of a step; `false` when it, or a later one, was spent before.
    ///
    /// # Errors
    /// What the database said.
    pub async fn use_step(&self, scope: &Scope, user: &ResourceId, step: u64) -> Result<bool, StoreError> {
        let query = sqlx::query(USE_STEP).bind(&*scope.tenant_id).bind(user.as_str()).bind(signed(step));
        Ok(query.execute(&self.main.writer).await?.rows_affected() > 0)
    }

    /// Spends a recovery code, given as its keyed hash; `false` when it is none, or was spent before.
    ///
    /// # Errors
    /// What the database said.
    pub async fn use_recovery(
        &self,
        scope: &Scope,
        user: &ResourceId,
        presented: &[u8; 32],
    ) -> Result<bool, StoreError> {
        let mut transaction = self.main.writer.begin_with("BEGIN IMMEDIATE").await?;
        let query = sqlx::query(FIND).bind(&*scope.tenant_id).bind(user.as_str());
        let Some(row) = query.fetch_optional(&mut *transaction).await? else { return Ok(false) };
        let columns = Columns { table: TABLE, row: &row };
        let mut left: Vec<String> = columns.json("recovery")?;
        let (presented, before) = (hex(presented), left.len());
        left.retain(|hash| *hash != presented);
        if left.len() == before || !columns.flag("confirmed")? {
            return Ok(false);
        }
        let query = sqlx::query(SET_RECOVERY).bind(&*scope.tenant_id).bind(user.as_str()).bind(json(&left));
        query.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Removes the second factor; whether there was one.
    ///
    /// # Errors
    /// What the database said.
    pub async fn delete_second_factor(
        &self,
        scope: &Scope,
        user: &ResourceId,
        now: EpochMs,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(DELETE).bind(&*scope.tenant_id).bind(user.as_str());
        self.noted(scope, ("totp.disable", user, now), async |connection| {
            Ok(query.execute(connection).await?.rows_affected() > 0)
        })
        .await
    }

    /// Makes a change that is no configuration, with its entry in the audit log; none where nothing changed.
    async fn noted(
        &self,
        scope: &Scope,
        (verb, user, now): (&'static str, &ResourceId, EpochMs),
        change: impl AsyncFnOnce(&mut SqliteConnection) -> Result<bool, StoreError>,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.main.writer.begin_with("BEGIN IMMEDIATE").await?;
        if !change(&mut transaction).await? {
            return Ok(false);
        }
        let mut audit = Pending::of(scope);
        audit.about(verb, user.as_str(), now);
        self.commit_noted(transaction, &audit).await?;
        Ok(true)
    }
}

fn place<'a>(scope: &'a Scope, user: &'a ResourceId) -> Place<'a> {
    Place { table: TABLE, id: user.as_str(), column: "secret", tenant: &scope.tenant_id }
}
