//! Settings that change while the gateway runs: a name and a JSON value.

use model::clock::EpochMs;
use model::resource::GatewayTerms;
use serde_json::Value;
use sqlx::SqliteConnection;

use crate::column::{Columns, json, signed};
use crate::error::StoreError;
use crate::scope::Scope;
use crate::store::Store;

const SET: &str = "INSERT INTO setting (tenant_id, name, value, updated_at) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (tenant_id, name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at";
const FIND: &str = "SELECT value FROM setting WHERE tenant_id = $1 AND name = $2";
/// All of them: the names are ours, so there are few.
const LIST: &str = "SELECT name, value FROM setting WHERE tenant_id = $1 ORDER BY name";
const DELETE: &str = "DELETE FROM setting WHERE tenant_id = $1 AND name = $2";

pub(crate) const STATEMENTS: &[&str] = &[SET, FIND, LIST, DELETE];

const TABLE: &str = "setting";

/// The setting that holds the [`GatewayTerms`].
const GATEWAY_TERMS: &str = "limits";

impl Store {
    /// Sets or replaces a setting.
    ///
    /// # Errors
    /// What the database said.
    pub async fn set_setting(
        &self,
        scope: &Scope,
        name: &str,
        now: EpochMs,
        value: &Value,
    ) -> Result<(), StoreError> {
        let mut change = self.change(scope).await?.about("setting.set", name, now);
        sqlx::query(SET)
            .bind(&*scope.tenant_id)
            .bind(name)
            .bind(json(value))
            .bind(signed(now))
            .execute(change.connection())
            .await?;
        change.commit().await
    }

    /// Reads a setting; `None` when it was never set.
    ///
    /// # Errors
    /// What the database said.
    pub async fn find_setting(&self, scope: &Scope, name: &str) -> Result<Option<Value>, StoreError> {
        let row =
            sqlx::query(FIND).bind(&*scope.tenant_id).bind(name).fetch_optional(&self.main.readers).await?;
        row.as_ref().map(|row| Columns { table: TABLE, row }.json("value")).transpose()
    }

    /// Lists all settings, by name.
    ///
    /// # Errors
    /// What the database said.
    pub async fn list_settings(&self, scope: &Scope) -> Result<Vec<(String, Value)>, StoreError> {
        let rows = sqlx::query(LIST).bind(&*scope.tenant_id).fetch_all(&self.main.readers).await?;
        rows.iter()
            .map(|row| {
                let columns = Columns { table: TABLE, row };
                Ok((columns.text("name")?, columns.json("value")?))
            })
            .collect()
    }

    /// Removes a setting, so that its default holds again; whether there was one.
    ///
    /// # Errors
    /// What the database said.
    pub async fn delete_setting(&self, scope: &Scope, name: &str) -> Result<bool, StoreError> {
        let mut change = self.change(scope).await?.about("setting.delete", name, 0);
        let done =
            sqlx::query(DELETE).bind(&*scope.tenant_id).bind(name).execute(change.connection()).await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        change.commit().await?;
        Ok(true)
    }

    /// Reads the limits above keys and owners; the default ones when none were set.
    ///
    /// # Errors
    /// What the database said, or that what is stored cannot be read.
    pub async fn gateway_terms(&self, scope: &Scope) -> Result<GatewayTerms, StoreError> {
        let mut connection = self.main.readers.acquire().await?;
        find_terms(&mut connection, &scope.tenant_id).await
    }

    /// Replaces the limits above keys and owners. The data plane obeys those of the default tenant.
    ///
    /// # Errors
    /// What the database said.
    pub async fn set_gateway_terms(
        &self,
        scope: &Scope,
        now: EpochMs,
        terms: &GatewayTerms,
    ) -> Result<(), StoreError> {
        let value = serde_json::to_value(terms).expect("terms are text, numbers and lists of them");
        self.set_setting(scope, GATEWAY_TERMS, now, &value).await
    }
}

/// The terms of the gateway that a tenant set.
pub(crate) async fn find_terms(
    connection: &mut SqliteConnection,
    tenant_id: &str,
) -> Result<GatewayTerms, StoreError> {
    let row = sqlx::query(FIND).bind(tenant_id).bind(GATEWAY_TERMS).fetch_optional(connection).await?;
    let terms = row.map(|row| Columns { table: TABLE, row: &row }.json("value")).transpose()?;
    Ok(terms.unwrap_or_default())
}
