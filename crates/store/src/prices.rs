//! Prices that an administrator set in place of the catalogue's.

use model::resource::PriceOverride;
use sqlx::sqlite::SqliteRow;

use crate::column::{Columns, json, signed};
use crate::error::StoreError;
use crate::scope::Scope;
use crate::store::Store;

const SET: &str = "INSERT INTO price_override (tenant_id, model, lines, updated_at, revision) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant_id, model) DO UPDATE SET lines = excluded.lines, \
     updated_at = excluded.updated_at, revision = excluded.revision";
const FIND: &str = "SELECT * FROM price_override WHERE tenant_id = $1 AND model = $2";
/// All of them: there are as many as models that somebody priced by hand.
const LIST: &str = "SELECT * FROM price_override WHERE tenant_id = $1 ORDER BY model";
const DELETE: &str = "DELETE FROM price_override WHERE tenant_id = $1 AND model = $2";
/// Those that a revision after the given one set.
pub(crate) const CHANGED: &str = "SELECT * FROM price_override WHERE tenant_id = $1 AND revision > $2";
/// The models that have one.
pub(crate) const PRESENT: &str = "SELECT model FROM price_override WHERE tenant_id = $1";

pub(crate) const STATEMENTS: &[&str] = &[SET, FIND, LIST, DELETE, CHANGED, PRESENT];

impl Store {
    /// Sets or replaces the price of a model.
    ///
    /// # Errors
    /// What the database said.
    pub async fn set_price(&self, scope: &Scope, price: &PriceOverride) -> Result<(), StoreError> {
        let mut change = self.change(scope).await?.about("price.set", &price.model, price.updated_at);
        sqlx::query(SET)
            .bind(&*scope.tenant_id)
            .bind(&price.model)
            .bind(json(&price.lines))
            .bind(signed(price.updated_at))
            .bind(change.revision())
            .execute(change.connection())
            .await?;
        change.commit().await
    }

    /// Reads the override of a model, if there is one.
    ///
    /// # Errors
    /// What the database said.
    pub async fn find_price(&self, scope: &Scope, model: &str) -> Result<Option<PriceOverride>, StoreError> {
        let row =
            sqlx::query(FIND).bind(&*scope.tenant_id).bind(model).fetch_optional(&self.main.readers).await?;
        row.as_ref().map(read).transpose()
    }

    /// Lists all overrides, by model name.
    ///
    /// # Errors
    /// What the database said.
    pub async fn list_prices(&self, scope: &Scope) -> Result<Vec<PriceOverride>, StoreError> {
        let rows = sqlx::query(LIST).bind(&*scope.tenant_id).fetch_all(&self.main.readers).await?;
        rows.iter().map(read).collect()
    }

    /// Removes the override of a model, so that the catalogue's price holds again; whether there was one.
    ///
    /// # Errors
    /// What the database said.
    pub async fn delete_price(&self, scope: &Scope, model: &str) -> Result<bool, StoreError> {
        let mut change = self.change(scope).await?.about("price.delete", model, 0);
        let done =
            sqlx::query(DELETE).bind(&*scope.tenant_id).bind(model).execute(change.connection()).await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        change.note_deletion().await?;
        change.commit().await?;
        Ok(true)
    }
}

/// Reads a row of the table.
pub(crate) fn read(row: &SqliteRow) -> Result<PriceOverride, StoreError> {
    let columns = Columns { table: "price_override", row };
    Ok(PriceOverride {
        model: columns.text("model")?,
        lines: columns.json("lines")?,
        updated_at: columns.time("updated_at")?,
    })
}
