//! Every statement and every migration, so that a test can prepare each on both engines.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use crate::{
    accounts, answers, audit, configuration, keys, ledger, members, parties, prices, records, second_factor,
    secrets, sessions, settings, store, usage, users,
};

/// Which database a statement belongs to. On PostgreSQL both are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// Configuration, sign-ins and the ledger.
    Main,
    /// Request records and what they add up to.
    Requests,
}

/// A list of one-line entries: all statements that this crate ever sends.
#[must_use]
pub fn statements() -> Vec<(Database, &'static str)> {
    let main = [
        store::STATEMENTS,
        configuration::STATEMENTS,
        keys::STATEMENTS,
        accounts::STATEMENTS,
        users::STATEMENTS,
        sessions::STATEMENTS,
        prices::STATEMENTS,
        settings::STATEMENTS,
        members::STATEMENTS,
        parties::STATEMENTS,
        answers::STATEMENTS,
        second_factor::STATEMENTS,
        secrets::STATEMENTS,
    ];
    let requests = [records::statements(), usage::statements()];
    let main = main.into_iter().flatten().copied().chain(ledger::statements()).chain(audit::statements());
    let main = main.map(|sql| (Database::Main, sql));
    let requests = requests.into_iter().flatten().map(|sql| (Database::Requests, sql));
    main.chain(requests).collect()
}

/// The schema of a database as numbered, forward-only steps; the same text for both engines.
#[must_use]
pub fn migrations(database: Database) -> Migrator {
    let steps: &[(i64, &'static str, &'static str)] = match database {
        Database::Main => &[
            (1, "first", include_str!("../migrations/main/0001_first.sql")),
            (2, "ledger", include_str!("../migrations/main/0002_ledger.sql")),
            (3, "signing", include_str!("../migrations/main/0003_signing.sql")),
            (4, "audit", include_str!("../migrations/main/0004_audit.sql")),
            (5, "family", include_str!("../migrations/main/0005_family.sql")),
        ],
        Database::Requests => &[
            (1, "first", include_str!("../migrations/requests/0001_first.sql")),
            (6, "usage updated", include_str!("../migrations/requests/0006_usage_updated.sql")),
        ],
    };
    let steps = steps.iter().map(|(version, name, sql)| {
        let name = Cow::Borrowed(*name);
        Migration::new(*version, name, MigrationType::Simple, (*sql).into_sql_str(), false)
    });
    Migrator::with_migrations(steps.collect())
}
