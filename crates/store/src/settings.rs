//! Settings that change while the gateway runs: a name and a JSON value.

use model::clock::EpochMs;
use model::resource::GatewayTerms;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::SqliteConnection;

use crate::column::{Columns, json, later, signed};
use crate::error::StoreError;
use crate::scope::Scope;
use crate::store::Store;

const SET: &str = "INSERT INTO setting (tenant_id, name, value, updated_at) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (tenant_id, name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at";
const FIND: &str = "SELECT value, updated_at FROM setting WHERE tenant_id = $1 AND name = $2";
/// All of them: the names are ours, so there are few.
const LIST: &str = "SELECT name, value FROM setting WHERE tenant_id = $1 ORDER BY name";
const DELETE: &str = "DELETE FROM setting WHERE tenant_id = $1 AND name = $2";

pub(crate) const STATEMENTS: &[&str] = &[SET, FIND, LIST, DELETE];

const TABLE: &str = "setting";

/// The setting that holds the [`GatewayTerms`].
const GATEWAY_TERMS: &str = "limits";

impl Store {
    /// Sets or replaces a setting, if `may` allows it for what was last changed when it is told, 0 for never;
    /// when that is now.
    ///
    /// # Errors
    /// What `may` refuses with; then nothing changes. What the database said.
    pub async fn set_setting(
        &self,
        scope: &Scope,
        (name, value): (&str, &Value),
        now: EpochMs,
        may: impl FnOnce(EpochMs) -> Result<(), StoreError> + Send,
    ) -> Result<EpochMs, StoreError> {
        let mut change = self.change(scope).await?.about("setting.set", name, now);
        let before = find::<Value>(change.connection(), (&scope.tenant_id, name)).await?;
        let before = before.map_or(0, |(_, at)| at);
        may(before)?;
        let at = later(now, before);
        sqlx::query(SET)
            .bind(&*scope.tenant_id)
            .bind(name)
            .bind(json(value))
            .bind(signed(at))
            .execute(change.connection())
            .await?;
        change.commit().await?;
        Ok(at)
    }

    /// Reads a setting, and when it was last changed; `None` when it was never set.
    ///
    /// # Errors
    /// What the database said.
    pub async fn find_setting(
        &self,
        scope: &Scope,
        name: &str,
    ) -> Result<Option<(Value, EpochMs)>, StoreError> {
        let mut connection = self.main.readers.acquire().await?;
        find(&mut connection, (&scope.tenant_id, name)).await
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

    /// Reads the limits above keys and owners, and when they were last changed; the default ones, at 0, when
    /// none were set.
    ///
    /// # Errors
    /// What the database said, or that what is stored cannot be read.
    pub async fn gateway_terms(&self, scope: &Scope) -> Result<(GatewayTerms, EpochMs), StoreError> {
        let mut connection = self.main.readers.acquire().await?;
        dated_terms(&mut connection, &scope.tenant_id).await
    }

    /// Replaces the limits above keys and owners as [`Store::set_setting`] does. The data plane obeys those of
    /// the default tenant.
    ///
    /// # Errors
    /// What `may` refuses with; what the database said.
    pub async fn set_gateway_terms(
        &self,
        scope: &Scope,
        now: EpochMs,
        terms: &GatewayTerms,
        may: impl FnOnce(EpochMs) -> Result<(), StoreError> + Send,
    ) -> Result<EpochMs, StoreError> {
        let value = serde_json::to_value(terms).expect("terms are text, numbers and lists of them");
        self.set_setting(scope, (GATEWAY_TERMS, &value), now, may).await
    }
}

/// The terms of the gateway that a tenant set.
pub(crate) async fn find_terms(
    connection: &mut SqliteConnection,
    tenant_id: &str,
) -> Result<GatewayTerms, StoreError> {
    Ok(dated_terms(connection, tenant_id).await?.0)
}

async fn dated_terms(
    connection: &mut SqliteConnection,
    tenant_id: &str,
) -> Result<(GatewayTerms, EpochMs), StoreError> {
    Ok(find(connection, (tenant_id, GATEWAY_TERMS)).await?.unwrap_or_default())
}

/// A tenant's setting and when it was last changed.
async fn find<T: DeserializeOwned>(
    connection: &mut SqliteConnection,
    (tenant_id, name): (&str, &str),
) -> Result<Option<(T, EpochMs)>, StoreError> {
    let Some(row) = sqlx::query(FIND).bind(tenant_id).bind(name).fetch_optional(connection).await? else {
        return Ok(None);
    };
    let columns = Columns { table: TABLE, row: &row };
    Ok(Some((columns.json("value")?, columns.time("updated_at")?)))
}
