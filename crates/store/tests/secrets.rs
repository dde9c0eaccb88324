//! Rotating the key-encryption key: nothing is lost, everything is wrapped anew, and the old key still opens
//! what is restored from before.

#![allow(clippy::unwrap_used, reason = "in a test, also in what its cases share")]

mod scratch;

use std::fs;
use std::path::Path;

use model::resource::{Role, Signing};
use model::{ResourceId, Secret};
use scratch::{NOW, Scratch, account, id, key, user};
use sqlx::sqlite::SqlitePool;
use store::{KeptAnswer, KeyRing, Scope, Store, StoreError};

const CANARY: &str = "sk-canary-77aa";

async fn open(directory: &Scratch, key: Option<[u8; 32]>) -> Result<Store, StoreError> {
    let keys = match key {
        Some(key) => KeyRing::unlock(directory.path(), key)?,
        None => KeyRing::load_or_create(directory.path())?,
    };
    Store::open(directory.path(), keys).await
}

async fn fill(store: &Store) {
    for n in 0..150 {
        store.insert_account(&Scope::system(), &account(n, CANARY)).await.unwrap();
        store.keep_answer(&id(n), "once", &answer()).await.unwrap();
    }
    store.insert_account(&Scope::new("other", "test"), &account(200, CANARY)).await.unwrap();
}

fn answer() -> KeptAnswer {
    let headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
    KeptAnswer { body_hash: [3; 32], status: 200, headers, body: b"canary".to_vec(), created_at: NOW }
}

async fn check(store: &Store) {
    let scope = Scope::system();
    for n in 0..150 {
        let found = store.find_account(&scope, &id(n)).await.unwrap().unwrap();
        assert_eq!(found.credential.unwrap().expose(), CANARY);
        assert!(store.find_answer(&id(n), "once", NOW).await.unwrap().unwrap() == answer());
    }
}

async fn raw(directory: &Scratch) -> SqlitePool {
    let url = format!("sqlite:{}", directory.path().join("yumen.db").display());
    SqlitePool::connect(&url).await.unwrap()
}

async fn credential(pool: &SqlitePool, id: &ResourceId) -> String {
    let read = sqlx::query_scalar("SELECT credential FROM account WHERE id = $1").bind(id.as_str());
    read.fetch_one(pool).await.unwrap()
}

async fn put(pool: &SqlitePool, id: &ResourceId, sealed: &str) {
    let write = sqlx::query("UPDATE account SET credential = $2 WHERE id = $1").bind(id.as_str());
    write.bind(sealed).execute(pool).await.unwrap();
}

/// No text of any table says that this key sealed it.
async fn nothing_is_sealed_by(directory: &Scratch, key_id: &str) {
    let pool = raw(directory).await;
    let tables: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .fetch_all(&pool)
        .await
        .unwrap();
    for table in tables {
        let columns = sqlx::query_scalar("SELECT name FROM pragma_table_info($1)").bind(&table);
        let columns: Vec<String> = columns.fetch_all(&pool).await.unwrap();
        for column in columns {
            let sql = format!("SELECT COUNT(*) FROM \"{table}\" WHERE \"{column}\" LIKE $1");
            let count = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(format!("%v1.{key_id}.%"));
            let count: i64 = count.fetch_one(&pool).await.unwrap();
            assert_eq!(count, 0, "{table}.{column} is not in the list of sealed columns");
        }
    }
    pool.close().await;
}

#[tokio::test]
async fn three_rotations_wrap_everything_anew_and_lose_nothing() {
    for key in [None, Some([5; 32])] {
        let directory = Scratch::new();
        let store = open(&directory, key).await.unwrap();
        fill(&store).await;
        let mut ids = vec![store.key_ring().kek_id()];
        for _ in 0..3 {
            let rotation = store.rotate_secrets(None).await.unwrap();
            assert_eq!((rotation.rewrapped, rotation.unopened.len()), (301, 0));
            assert!(!ids.contains(&rotation.key_id));
            nothing_is_sealed_by(&directory, ids.last().unwrap()).await;
            ids.push(rotation.key_id);
            check(&store).await;
        }
        store.close().await;
        drop(store);
        let store = open(&directory, key).await.unwrap();
        check(&store).await;
        let mut known = store.secrets().await.unwrap();
        known.sort_by_key(|key| ids.iter().position(|id| *id == key.id));
        assert_eq!(known.iter().map(|key| key.sealed).collect::<Vec<_>>(), [0, 0, 0, 301]);
        assert!(known[3].is_current && known.iter().all(|key| key.is_loaded));
    }
}

#[tokio::test]
async fn a_rotation_that_was_cut_off_is_ended_by_the_next_start() {
    let directory = Scratch::new();
    let store = open(&directory, None).await.unwrap();
    fill(&store).await;
    let pool = raw(&directory).await;
    let (before, old) = (credential(&pool, &id(1)).await, store.key_ring().kek_id());
    store.rotate_secrets(None).await.unwrap();
    put(&pool, &id(1), &before).await;
    pool.close().await;
    check(&store).await;
    store.close().await;
    drop(store);
    let store = open(&directory, None).await.unwrap();
    check(&store).await;
    nothing_is_sealed_by(&directory, &old).await;
}

#[tokio::test]
async fn a_missing_key_is_named_and_nothing_is_touched() {
    let directory = Scratch::new();
    let store = open(&directory, None).await.unwrap();
    fill(&store).await;
    let pool = raw(&directory).await;
    let (before, old) = (credential(&pool, &id(1)).await, store.key_ring().kek_id());
    let new = store.rotate_secrets(None).await.unwrap().key_id;
    store.close().await;
    drop(store);
    let file = |id: &str| directory.path().join("keys").join(format!("kek-{id}"));
    let away = directory.path().join("away");
    // The current key; then a former one that a restored row still needs.
    fs::rename(file(&new), &away).unwrap();
    let bytes = fs::read(directory.path().join("yumen.db")).unwrap();
    let error = open(&directory, None).await.err().unwrap();
    assert!(matches!(&error, StoreError::WrongKey { sealed_by, .. } if *sealed_by == new), "{error}");
    assert!(error.to_string().contains(&old), "{error}");
    assert_eq!(fs::read(directory.path().join("yumen.db")).unwrap(), bytes);
    fs::rename(&away, file(&new)).unwrap();
    put(&pool, &id(1), &before).await;
    pool.close().await;
    fs::rename(file(&old), &away).unwrap();
    let error = open(&directory, None).await.err().unwrap();
    assert!(matches!(&error, StoreError::WrongKey { sealed_by, .. } if *sealed_by == old), "{error}");
    fs::rename(&away, file(&old)).unwrap();
    check(&open(&directory, None).await.unwrap()).await;
}

#[tokio::test]
async fn a_backup_from_before_a_rotation_opens_with_the_ring_of_today() {
    for key in [None, Some([6; 32])] {
        let directory = Scratch::new();
        let store = open(&directory, key).await.unwrap();
        fill(&store).await;
        store.close().await;
        drop(store);
        let (file, backup) = (directory.path().join("yumen.db"), directory.path().join("backup"));
        fs::copy(&file, &backup).unwrap();
        let store = open(&directory, key).await.unwrap();
        store.rotate_secrets(None).await.unwrap();
        store.close().await;
        drop(store);
        fs::copy(&backup, &file).unwrap();
        let store = open(&directory, key).await.unwrap();
        check(&store).await;
        assert_eq!(store.secrets().await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_new_encryption_key_takes_the_place_of_the_old_one_or_of_the_files() {
    for old in [None, Some([1; 32])] {
        let directory = Scratch::new();
        let store = open(&directory, old).await.unwrap();
        fill(&store).await;
        let hashed = store.key_ring().hmac_secret("a key");
        store.rotate_secrets(None).await.unwrap();
        store.rotate_secrets(Some([2; 32])).await.unwrap();
        store.rotate_secrets(None).await.unwrap();
        check(&store).await;
        store.close().await;
        drop(store);
        let error = open(&directory, old).await.err();
        assert!(matches!(error, Some(StoreError::WrongKey { .. } | StoreError::KeyFile { .. })), "{error:?}");
        let store = open(&directory, Some([2; 32])).await.unwrap();
        check(&store).await;
        assert!(store.key_ring().hmac_secret("a key") == hashed, "keys of callers still work");
    }
}

#[tokio::test]
async fn every_swap_is_found_and_left_as_it_is() {
    let directory = Scratch::new();
    let store = open(&directory, None).await.unwrap();
    fill(&store).await;
    let pool = raw(&directory).await;
    let (one, other) = (credential(&pool, &id(1)).await, credential(&pool, &id(200)).await);
    let body = "SELECT body FROM idempotent_answer WHERE key_id = $1";
    let body: String = sqlx::query_scalar(body).bind(id(3).as_str()).fetch_one(&pool).await.unwrap();
    // Another row, another tenant, another table.
    for (n, sealed) in [(2, &one), (3, &other), (4, &body)] {
        put(&pool, &id(n), sealed).await;
        let error = store.find_account(&Scope::system(), &id(n)).await.err().unwrap();
        assert!(matches!(error, StoreError::Unsealable { .. }), "{error}");
    }
    let rotation = store.rotate_secrets(None).await.unwrap();
    let named = |n: u8| rotation.unopened.iter().any(|place| place.contains(id(n).as_str()));
    assert!(rotation.unopened.len() == 3 && [2, 3, 4].map(named) == [true; 3], "{:?}", rotation.unopened);
    assert_eq!(credential(&pool, &id(2)).await, one);
    pool.close().await;
}

/// A sealed column: its table, the column, and what names a row.
type Sealed = (&'static str, &'static str, &'static str);

const SEALED: [Sealed; 3] = [
    ("account", "credential", "id"),
    ("api_key", "signing_secret", "id"),
    ("second_factor", "secret", "user_id"),
];

async fn sealed(pool: &SqlitePool, (table, column, name): Sealed, id: &ResourceId) -> String {
    let sql = format!("SELECT {column} FROM {table} WHERE {name} = $1");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(id.as_str()).fetch_one(pool).await.unwrap()
}

async fn set(pool: &SqlitePool, (table, _, name): Sealed, id: &ResourceId, (column, value): (&str, &str)) {
    let sql = format!("UPDATE {table} SET {column} = $2 WHERE {name} = $1");
    let write = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.as_str()).bind(value);
    assert_eq!(write.execute(pool).await.unwrap().rows_affected(), 1);
}

/// Whether what is sealed in the row opens there.
async fn opens(store: &Store, table: &str, tenant: &str, id: &ResourceId) -> Result<(), StoreError> {
    let scope = Scope::new(tenant, "test");
    match table {
        "account" => store.find_account(&scope, id).await.map(|found| assert!(found.is_some())),
        "api_key" => store.find_key(&scope, id).await.map(|found| assert!(found.is_some())),
        _ => store.find_second_factor(&scope, id).await.map(|found| assert!(found.is_some())),
    }
}

#[tokio::test]
async fn a_swap_between_rows_tenants_or_columns_is_found_in_every_column() {
    let directory = Scratch::new();
    let store = open(&directory, None).await.unwrap();
    let scope = Scope::system();
    for n in [1, 2] {
        store.insert_account(&scope, &account(n, CANARY)).await.unwrap();
        let mut signer = key(n);
        signer.access.signing = Signing::HmacV1;
        signer.access.renew_signing(Secret::new(CANARY.to_owned()), None, NOW);
        store.insert_key(&scope, &signer).await.unwrap();
        store.insert_user(&scope, &user(n, Role::User), None).await.unwrap();
        let secret = Secret::new("JBSWY3DPEHPK3PXP".to_owned());
        assert!(store.enrol_second_factor(&scope, &id(n), NOW, &secret).await.unwrap());
    }
    let pool = raw(&directory).await;
    let mut tried = 0;
    for into in SEALED {
        let (table, column, _) = into;
        let own = sealed(&pool, into, &id(1)).await;
        opens(&store, table, "default", &id(1)).await.unwrap();
        for from in SEALED {
            let foreign = sealed(&pool, from, &id(2)).await;
            set(&pool, into, &id(1), (column, &foreign)).await;
            let error = opens(&store, table, "default", &id(1)).await.err().unwrap();
            assert!(matches!(error, StoreError::Unsealable { .. }), "{from:?} in {into:?}: {error}");
            tried += 1;
        }
        set(&pool, into, &id(1), (column, &own)).await;
        opens(&store, table, "default", &id(1)).await.unwrap();
        set(&pool, into, &id(1), ("tenant_id", "other")).await;
        let error = opens(&store, table, "other", &id(1)).await.err().unwrap();
        assert!(matches!(error, StoreError::Unsealable { .. }), "{into:?} in another tenant: {error}");
        set(&pool, into, &id(1), ("tenant_id", "default")).await;
        tried += 1;
    }
    assert_eq!(tried, 12);
    pool.close().await;
}

#[test]
fn an_altered_ring_file_is_refused_by_name() {
    let directory = Scratch::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = open(&directory, Some([7; 32])).await.unwrap();
        store.rotate_secrets(None).await.unwrap();
        store.close().await;
    });
    let ring = fs::read_dir(directory.path().join("keys")).unwrap().map(|entry| entry.unwrap().path());
    let path = ring.into_iter().find(|path| name(path).starts_with("ring-")).unwrap();
    let good = fs::read_to_string(&path).unwrap();
    for bad in [good.replace("pepper", "peppex"), good[..good.len() / 2].to_owned(), String::new()] {
        fs::write(&path, bad).unwrap();
        let error = KeyRing::unlock(directory.path(), [7; 32]).err().unwrap().to_string();
        assert!(error.contains("ring-") && error.contains("backup"), "{error}");
    }
    fs::write(&path, good).unwrap();
    assert_eq!(KeyRing::unlock(directory.path(), [7; 32]).unwrap().ids().len(), 2);
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}
