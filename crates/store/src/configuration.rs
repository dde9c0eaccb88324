//! The snapshot that the data plane works on, read at one revision, and what later revisions change of it.

use std::collections::HashSet;
use std::sync::Arc;

use model::resource::key::DEFAULT_TENANT;
use model::resource::{Account, ApiKey, Configuration, GatewayTerms, Member, Party, PriceOverride};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::column::{signed, unsigned};
use crate::error::StoreError;
use crate::parties::PartyKind;
use crate::store::Store;
use crate::{accounts, keys, members, parties, prices, settings};

const READ: &str = "SELECT revision, deleted FROM revision WHERE id = 1";

pub(crate) const STATEMENTS: &[&str] = &[READ];

impl Store {
    /// Reads everything that the data plane needs, of all tenants, as it stood at one revision: keys by
    /// id, accounts by age, prices by model, users, tenants and groups by id. Prices and the terms of the
    /// gateway are those of the default tenant: the data plane knows one list of them.
    ///
    /// # Errors
    /// What the database said, or which stored value cannot be read or opened.
    pub async fn configuration(&self) -> Result<Configuration, StoreError> {
        self.configuration_after(&Configuration::default()).await
    }

    /// The same as [`Self::configuration`], but reads only what changed after `previous`, a configuration
    /// of this store. What did not change is shared with it.
    ///
    /// # Errors
    /// What the database said, or which stored value cannot be read or opened.
    pub async fn configuration_after(&self, previous: &Configuration) -> Result<Configuration, StoreError> {
        // A deferred read transaction sees one state of the database from its first read on.
        let mut transaction = self.main.readers.begin().await?;
        let row = sqlx::query(READ).fetch_one(&mut *transaction).await?;
        let (revision, deleted) = (unsigned(row.try_get(0)?), unsigned(row.try_get(1)?));
        if revision == previous.revision {
            transaction.rollback().await?;
            return Ok(previous.clone());
        }
        let mut next = self.changed_after(&mut transaction, previous).await?;
        if deleted > previous.revision {
            forget_deleted(&mut transaction, &mut next).await?;
        }
        transaction.rollback().await?;
        Ok(Configuration { revision, ..next })
    }

    /// `previous` with every row that was made or changed after it.
    async fn changed_after(
        &self,
        connection: &mut SqliteConnection,
        previous: &Configuration,
    ) -> Result<Configuration, StoreError> {
        let since = signed(previous.revision);
        let keys = keys::changed(&self.keys, connection, since).await?;
        let accounts = sqlx::query(accounts::CHANGED)
            .bind(since)
            .try_map(|row: SqliteRow| Ok(accounts::read(&self.keys, &row)))
            .fetch_all(&mut *connection)
            .await?;
        let prices = sqlx::query(prices::CHANGED)
            .bind(DEFAULT_TENANT)
            .bind(since)
            .try_map(|row: SqliteRow| Ok(prices::read(&row)))
            .fetch_all(&mut *connection)
            .await?;
        let members = sqlx::query(members::CHANGED)
            .bind(since)
            .try_map(|row: SqliteRow| Ok(members::read(&row)))
            .fetch_all(&mut *connection)
            .await?;
        let mut members = merged(&previous.members, members)?;
        members.retain(|member| members::matters(member));
        Ok(Configuration {
            revision: previous.revision,
            keys: merged(&previous.keys, keys)?,
            accounts: merged(&previous.accounts, accounts)?,
            prices: merged(&previous.prices, prices)?,
            members,
            tenants: changed_parties(connection, &previous.tenants, (PartyKind::Tenant, since)).await?,
            groups: changed_parties(connection, &previous.groups, (PartyKind::Group, since)).await?,
            gateway: gateway(connection, &previous.gateway).await?,
        })
    }
}

async fn changed_parties(
    connection: &mut SqliteConnection,
    previous: &[Arc<Party>],
    (kind, since): (PartyKind, i64),
) -> Result<Vec<Arc<Party>>, StoreError> {
    let changed = sqlx::query(parties::CHANGED)
        .bind(kind.name())
        .bind(since)
        .try_map(|row: SqliteRow| Ok(parties::read(&row)))
        .fetch_all(connection)
        .await?;
    merged(previous, changed)
}

/// The terms of the gateway: one row, so it is read each time.
async fn gateway(
    connection: &mut SqliteConnection,
    previous: &Arc<GatewayTerms>,
) -> Result<Arc<GatewayTerms>, StoreError> {
    let terms = settings::find_terms(connection, DEFAULT_TENANT).await?;
    Ok(if terms == **previous { Arc::clone(previous) } else { Arc::new(terms) })
}

/// Removes what the database no longer has. Keys and users are never deleted.
async fn forget_deleted(
    connection: &mut SqliteConnection,
    configuration: &mut Configuration,
) -> Result<(), StoreError> {
    let present = sqlx::query_scalar(accounts::PRESENT).fetch_all(&mut *connection).await?;
    let present: HashSet<String> = present.into_iter().collect();
    configuration.accounts.retain(|account| present.contains(account.id.as_str()));
    let present =
        sqlx::query_scalar(prices::PRESENT).bind(DEFAULT_TENANT).fetch_all(&mut *connection).await?;
    let present: HashSet<String> = present.into_iter().collect();
    configuration.prices.retain(|price| present.contains(&price.model));
    let Configuration { tenants, groups, .. } = configuration;
    for (kind, list) in [(PartyKind::Tenant, tenants), (PartyKind::Group, groups)] {
        let present =
            sqlx::query_scalar(parties::PRESENT).bind(kind.name()).fetch_all(&mut *connection).await?;
        let present: HashSet<String> = present.into_iter().collect();
        list.retain(|party| present.contains(&party.id));
    }
    Ok(())
}

/// Something with a place in its list that no change moves.
trait Placed {
    type Place<'a>: Ord
    where
        Self: 'a;

    fn place(&self) -> Self::Place<'_>;
}

impl Placed for ApiKey {
    type Place<'a> = &'a str;

    fn place(&self) -> &str {
        self.id.as_str()
    }
}

impl Placed for Account {
    type Place<'a> = (u64, &'a str);

    fn place(&self) -> (u64, &str) {
        (self.created_at, self.id.as_str())
    }
}

impl Placed for Member {
    type Place<'a> = &'a str;

    fn place(&self) -> &str {
        self.id.as_str()
    }
}

impl Placed for Party {
    type Place<'a> = &'a str;

    fn place(&self) -> &str {
        &self.id
    }
}

impl Placed for PriceOverride {
    type Place<'a> = &'a str;

    fn place(&self) -> &str {
        &self.model
    }
}

/// `previous`, which is in order, with the `changed` put in or in place of what they were.
fn merged<T: Placed>(
    previous: &[Arc<T>],
    changed: Vec<Result<T, StoreError>>,
) -> Result<Vec<Arc<T>>, StoreError> {
    let mut changed = changed.into_iter().map(|row| row.map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
    changed.sort_unstable_by(|one, other| one.place().cmp(&other.place()));
    let mut all = Vec::with_capacity(previous.len() + changed.len());
    let mut rest = previous;
    for item in changed {
        let (before, after) = match rest.binary_search_by(|known| known.place().cmp(&item.place())) {
            Ok(at) => (&rest[..at], &rest[at + 1..]),
            Err(at) => (&rest[..at], &rest[at..]),
        };
        all.extend_from_slice(before);
        all.push(item);
        rest = after;
    }
    all.extend_from_slice(rest);
    Ok(all)
}
