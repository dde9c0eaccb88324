//! Data of every earlier schema is kept and works, whatever version wrote it.

#![allow(clippy::unwrap_used, reason = "in a test, also in what its cases share")]

mod scratch;

use model::resource::{KeyTerms, OwnerTerms, Role};
use scratch::{NOW, Scratch, account, id, key, user};
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use store::{Database, PageRequest, PartyKind, Scope, migrations};

/// What schema 1 held: a key, an account whose credential nobody sealed, a user who is switched off, one who is
/// not, and a setting.
const FIRST: [&str; 6] = [
    "INSERT INTO api_key (id, tenant_id, kind, status, detail, created_at, revision) \
     VALUES ($1, 'default', 'standard', 'active', $2, $3, 1)",
    "INSERT INTO account (id, tenant_id, group_id, name, provider, models, priority, weight, created_at, updated_at, \
     revision) VALUES ($1, 'default', 'gold', 'main', 'openai', '[]', 50, 1, $3, $3 + LENGTH($2) * 0, 2)",
    "INSERT INTO user_account (id, tenant_id, email, name, role, enabled, created_at, updated_at) \
     VALUES ($1, 'default', 'off@example.test', 'off', 'user', FALSE, $3, $3 + LENGTH($2) * 0)",
    "INSERT INTO user_account (id, tenant_id, email, name, role, created_at, updated_at) \
     VALUES ($1 || '', 'other', 'on@example.test', 'on', 'user', $3, $3 + LENGTH($2) * 0)",
    "INSERT INTO setting (tenant_id, name, value, updated_at) VALUES ('default', $1, '{}', $3 + LENGTH($2) * 0)",
    "UPDATE revision SET revision = 5 WHERE $1 <> $2 AND $3 > 0",
];

/// The detail of a key as the first version wrote it.
const DETAIL: &str = r#"{"id":"ID","tenant_id":"default","kind":"standard","status":"active","name":"old key","group_id":"gold","secret_hmac":"0707070707070707070707070707070707070707070707070707070707070707","hint":"abcd","rate_limit":{"rpm":5},"created_at":1,"updated_at":1}"#;

/// Makes a database at the schema of `version`, filled as that version would have.
async fn make(directory: &Scratch, version: usize) {
    let file = directory.path().join("yumen.db");
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let steps = migrations(Database::Main).iter().take(version).cloned().collect();
    Migrator::with_migrations(steps).run(&pool).await.unwrap();
    for (n, sql) in (1..).zip(FIRST) {
        let id = id(n);
        sqlx::query(sql)
            .bind(id.as_str())
            .bind(DETAIL.replace("ID", id.as_str()))
            .bind(i64::try_from(NOW).unwrap())
            .execute(&pool)
            .await
            .unwrap();
    }
    if version > 1 {
        // From the second schema on users are written with the revision that made them.
        sqlx::query("UPDATE user_account SET revision = 5").execute(&pool).await.unwrap();
    }
    pool.close().await;
}

#[tokio::test]
async fn what_every_earlier_schema_holds_is_kept_and_works() {
    let newest = migrations(Database::Main).iter().count();
    for version in 1..newest {
        let (directory, scope) = (Scratch::new(), Scope::system());
        make(&directory, version).await;
        let store = directory.open().await;
        let configuration = store.configuration().await.unwrap();
        assert_eq!(
            (configuration.revision, configuration.keys.len(), configuration.accounts.len()),
            (5, 1, 1)
        );
        let old = &configuration.keys[0];
        assert_eq!((&*old.name, &old.terms), ("old key", &KeyTerms::default()));
        assert!(configuration.tenants.is_empty() && configuration.groups.is_empty());
        let [off] = &configuration.members[..] else { panic!("{:?}", configuration.members) };
        assert_eq!((&off.id, &off.terms, off.enabled), (&id(3), &OwnerTerms::default(), false));
        assert_eq!(store.find_user(&scope, &id(3)).await.unwrap().unwrap().terms, OwnerTerms::default());
        assert_eq!(store.list_settings(&scope).await.unwrap().len(), 1);
        for kind in [PartyKind::Tenant, PartyKind::Group] {
            let parties = store.list_parties(&scope, kind, &PageRequest::default()).await.unwrap().items;
            assert_eq!(parties.iter().map(|party| party.id.as_str()).collect::<Vec<_>>(), ["default"]);
        }
        assert!(store.ledger_state().await.unwrap().positions.is_empty());
        store.insert_key(&scope, &key(9)).await.unwrap();
        store.insert_account(&scope, &account(9, "sk-upstream-credential")).await.unwrap();
        store.insert_user(&scope, &user(9, Role::Owner), None).await.unwrap();
        let later = store.configuration_after(&configuration).await.unwrap();
        assert_eq!((later.revision, later.keys.len(), later.members.len()), (8, 2, 1));
        store.close().await;
        drop(store);
        directory.open().await.ping().await.unwrap();
    }
}
