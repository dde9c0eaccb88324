//! The snapshot that the data plane works on, read at one revision.

use std::sync::Arc;

use model::resource::Configuration;
use model::resource::key::DEFAULT_TENANT;
use sqlx::Row;

use crate::column::unsigned;
use crate::error::StoreError;
use crate::store::{READ_REVISION, Store};
use crate::{accounts, keys, prices};

const KEYS: &str = "SELECT * FROM api_key";
const ACCOUNTS: &str = "SELECT * FROM account";

pub(crate) const STATEMENTS: &[&str] = &[KEYS, ACCOUNTS];

impl Store {
    /// Reads everything that the data plane needs, of all tenants, as it stood at one revision. Prices
    /// are those of the default tenant: the data plane knows one price list.
    ///
    /// # Errors
    /// What the database said, or which stored value cannot be read or opened.
    pub async fn configuration(&self) -> Result<Configuration, StoreError> {
        // A deferred read transaction sees one state of the database from its first read on.
        let mut transaction = self.main.readers.begin().await?;
        let revision = sqlx::query(READ_REVISION).fetch_one(&mut *transaction).await?;
        let keys = sqlx::query(KEYS).fetch_all(&mut *transaction).await?;
        let accounts = sqlx::query(ACCOUNTS).fetch_all(&mut *transaction).await?;
        let prices = sqlx::query(prices::LIST).bind(DEFAULT_TENANT).fetch_all(&mut *transaction).await?;
        transaction.rollback().await?;
        let account = |row| accounts::read(&self.keys, row).map(Arc::new);
        Ok(Configuration {
            revision: unsigned(revision.try_get(0)?),
            keys: keys.iter().map(|row| keys::read(row).map(Arc::new)).collect::<Result<_, _>>()?,
            accounts: accounts.iter().map(account).collect::<Result<_, _>>()?,
            prices: prices.iter().map(|row| prices::read(row).map(Arc::new)).collect::<Result<_, _>>()?,
        })
    }
}
