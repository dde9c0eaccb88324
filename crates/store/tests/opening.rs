//! Starting on data: kept across restarts, and refused with a named cause when something is wrong.

#![allow(clippy::unwrap_used, reason = "in a test, also in what its cases share")]

mod scratch;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use scratch::{Scratch, account, id, key, keys};
use sqlx::{Connection, SqliteConnection};
use store::{KeyRing, Scope, Store, StoreError};

const CANARY: &str = "sk-canary-4f1d9a7c";

async fn refusal(path: &Path, keys: KeyRing) -> StoreError {
    Store::open(path, keys).await.err().expect("opening should have been refused")
}

#[tokio::test]
async fn a_restart_keeps_the_data_and_the_revision() {
    let (directory, scope) = (Scratch::new(), Scope::system());
    let keys = KeyRing::load_or_create(directory.path()).unwrap();
    let store = Store::open(directory.path(), keys).await.unwrap();
    store.insert_key(&scope, &key(1)).await.unwrap();
    store.insert_account(&scope, &account(2, CANARY)).await.unwrap();
    store.close().await;
    drop(store);
    let keys = KeyRing::load_or_create(directory.path()).unwrap();
    let store = Store::open(directory.path(), keys).await.unwrap();
    assert_eq!(*store.changes().borrow(), 2);
    let account = store.find_account(&scope, &id(2)).await.unwrap().unwrap();
    assert_eq!(account.credential.unwrap().expose(), CANARY);
    store.ping().await.unwrap();
}

#[tokio::test]
async fn the_log_becomes_small_again_once_a_long_reader_has_ended() {
    const MIB: u64 = 1 << 20;
    let (directory, scope) = (Scratch::new(), Scope::system());
    let store = directory.open().await;
    let file = directory.path().join("yumen.db");
    let log = || fs::metadata(file.with_extension("db-wal")).unwrap().len();
    let large = "x".repeat(256 << 10);
    let mut reader = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    // From its first statement on it reads what was there then, and nothing of that may be overwritten.
    sqlx::query("BEGIN").execute(&mut reader).await.unwrap();
    sqlx::query("SELECT COUNT(*) FROM account").fetch_one(&mut reader).await.unwrap();
    let mut n = 0;
    while log() < 24 * MIB {
        store.insert_account(&scope, &account(n, &large)).await.unwrap();
        n += 1;
    }
    sqlx::query("COMMIT").execute(&mut reader).await.unwrap();
    for more in 0..3 {
        store.insert_account(&scope, &account(n + more, "small")).await.unwrap();
    }
    assert!(log() <= 16 * MIB, "{} bytes are left", log());
    assert!(store.find_account(&scope, &id(0)).await.unwrap().is_some());
}

#[tokio::test]
async fn no_credential_is_in_any_file_in_clear() {
    let (directory, scope) = (Scratch::new(), Scope::system());
    let store = directory.open().await;
    store.insert_account(&scope, &account(2, CANARY)).await.unwrap();
    let holds_canary = || {
        let files = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.is_file()).any(|path| contains(&fs::read(path).unwrap(), CANARY.as_bytes()))
    };
    assert!(!holds_canary(), "while open, in the write-ahead log");
    store.close().await;
    assert!(!holds_canary(), "after closing");
    let file = fs::read(directory.path().join("yumen.db")).unwrap();
    assert!(contains(&file, b"account 2"), "the row itself is there");
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test]
async fn the_wrong_key_is_refused_by_name_and_nothing_changes() {
    let directory = Scratch::new();
    let store = directory.open().await;
    store.insert_account(&Scope::system(), &account(2, CANARY)).await.unwrap();
    store.close().await;
    drop(store);
    let before = fs::read(directory.path().join("yumen.db")).unwrap();
    let wrong = KeyRing::derive([8; 32]).unwrap();
    let error = refusal(directory.path(), wrong.clone()).await.to_string();
    assert!(error.contains(&keys().kek_id()) && error.contains(&wrong.kek_id()), "{error}");
    assert_eq!(fs::read(directory.path().join("yumen.db")).unwrap(), before);
    directory.open().await.ping().await.unwrap();
}

#[tokio::test]
async fn a_second_process_on_the_same_directory_is_told_who_holds_it() {
    let directory = Scratch::new();
    let store = directory.open().await;
    let error = refusal(directory.path(), keys()).await.to_string();
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    drop(store);
    directory.open().await.ping().await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let directory = Scratch::new();
    directory.open().await.close().await;
    let url = format!("sqlite:{}", directory.path().join("yumen.db").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (999, 'later', TRUE, X'00', 0)",
    )
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
    let error = refusal(directory.path(), keys()).await;
    assert!(matches!(error, StoreError::NewerSchema { version: 999, .. }), "{error}");
}

#[tokio::test]
async fn a_damaged_file_is_named() {
    let directory = Scratch::new();
    fs::write(directory.path().join("yumen.db"), [0x5a; 8192]).unwrap();
    let error = refusal(directory.path(), keys()).await;
    assert!(matches!(&error, StoreError::Damaged { path } if path.ends_with("yumen.db")), "{error}");
}

#[tokio::test]
async fn a_database_that_is_gone_is_reported_and_every_call_still_ends() {
    let (directory, scope) = (Scratch::new(), Scope::system());
    let store = directory.open().await;
    fs::remove_dir_all(directory.path()).unwrap();
    let gone = store.ping().await.unwrap_err();
    assert!(matches!(gone, StoreError::Unavailable(_)) && gone.is_retryable(), "{gone}");
    assert!(gone.to_string().contains("yumen.db"), "{gone}");
    // No connection reads yet, so the first read opens the file. The writer has it open.
    let unread = store.configuration().await.err().unwrap();
    assert!(unread.is_retryable(), "{unread}");
    let unread = store.ledger_state().await.unwrap_err();
    assert!(unread.is_retryable(), "{unread}");
    if let Err(error) = store.insert_key(&scope, &key(1)).await {
        assert!(error.is_retryable(), "{error}");
    }
    store.close().await;
    let closed = store.insert_key(&scope, &key(1)).await.unwrap_err();
    assert!(matches!(closed, StoreError::Unavailable(_)), "{closed}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let directory = Scratch::new();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = refusal(&file.join("data"), keys()).await;
    assert!(matches!(&error, StoreError::Directory { path, .. } if path.ends_with("file/data")), "{error}");
}

fn key_file_error(directory: &Scratch) -> String {
    let error = KeyRing::load_or_create(directory.path()).err().expect("the keys should have been refused");
    assert!(matches!(error, StoreError::KeyFile { .. }), "{error}");
    error.to_string()
}

#[test]
fn key_files_are_made_once_for_their_owner_only() {
    let directory = Scratch::new();
    let first = KeyRing::load_or_create(directory.path()).unwrap();
    let second = KeyRing::load_or_create(directory.path()).unwrap();
    assert_eq!(first.kek_id(), second.kek_id());
    assert_eq!(first.hmac_secret("secret"), second.hmac_secret("secret"));
    assert_ne!(first.hmac_secret("secret"), keys().hmac_secret("secret"));
    let keys_dir = directory.path().join("keys");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&keys_dir), 0o700);
    for name in ["pepper".to_owned(), format!("kek-{}", first.kek_id())] {
        assert_eq!(mode(&keys_dir.join(name)), 0o600);
    }
}

#[test]
fn a_key_file_that_others_may_read_is_refused() {
    let directory = Scratch::new();
    KeyRing::load_or_create(directory.path()).unwrap();
    let pepper = directory.path().join("keys/pepper");
    fs::set_permissions(&pepper, fs::Permissions::from_mode(0o644)).unwrap();
    let error = key_file_error(&directory);
    assert!(error.contains("keys/pepper") && error.contains("644"), "{error}");
}

#[test]
fn a_missing_short_or_foreign_key_file_is_refused() {
    let directory = Scratch::new();
    let ring = KeyRing::load_or_create(directory.path()).unwrap();
    let keys_dir = directory.path().join("keys");
    let kek = keys_dir.join(format!("kek-{}", ring.kek_id()));
    let good = fs::read(&kek).unwrap();
    fs::write(&kek, [1; 32]).unwrap();
    assert!(key_file_error(&directory).contains(&ring.kek_id()));
    fs::write(&kek, [1; 31]).unwrap();
    assert!(key_file_error(&directory).contains("32 bytes"));
    fs::remove_file(&kek).unwrap();
    assert!(key_file_error(&directory).contains("kek-"));
    fs::write(&kek, good).unwrap();
    fs::set_permissions(&kek, fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(keys_dir.join("pepper")).unwrap();
    assert!(key_file_error(&directory).contains("keys/pepper"));
}

#[tokio::test]
async fn keys_that_are_gone_while_data_exists_are_not_made_anew() {
    let directory = Scratch::new();
    let ring = KeyRing::load_or_create(directory.path()).unwrap();
    Store::open(directory.path(), ring).await.unwrap().close().await;
    fs::remove_dir_all(directory.path().join("keys")).unwrap();
    assert!(key_file_error(&directory).contains("ENCRYPTION_KEY"));
    assert!(!directory.path().join("keys").exists());
}

#[tokio::test]
async fn the_main_database_has_the_name_that_it_was_begun_with() {
    let directory = Scratch::new();
    store::name_main_file(directory.path(), "quota.db").unwrap();
    let store = directory.open().await;
    store.insert_key(&Scope::system(), &key(1)).await.unwrap();
    store.close().await;
    drop(store);
    assert!(directory.path().join("quota.db").exists() && !directory.path().join("yumen.db").exists());
    // Who says nothing finds it, and who says something else is refused, rather than given an empty one.
    assert_eq!(directory.open().await.configuration().await.unwrap().keys.len(), 1);
    for name in ["yumen.db", "other.db"] {
        let error = store::name_main_file(directory.path(), name).unwrap_err();
        assert!(
            matches!(&error, StoreError::OtherDatabase { path, .. } if path.ends_with("quota.db")),
            "{error}"
        );
    }
    // A file that was renamed is the same database.
    fs::rename(directory.path().join("quota.db"), directory.path().join("other.db")).unwrap();
    store::name_main_file(directory.path(), "other.db").unwrap();
    assert_eq!(directory.open().await.configuration().await.unwrap().keys.len(), 1);
    fs::write(directory.path().join("yumen.database"), "../elsewhere.db\n").unwrap();
    let error = refusal(directory.path(), keys()).await;
    assert!(
        matches!(&error, StoreError::Directory { path, .. } if path.ends_with("yumen.database")),
        "{error}"
    );
}

#[tokio::test]
async fn another_programs_database_is_refused_and_not_touched() {
    let directory = Scratch::new();
    let path = directory.path().join("yumen.db");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}?mode=rwc", path.display())).await.unwrap();
    sqlx::query("CREATE TABLE quota (id TEXT)").execute(&pool).await.unwrap();
    pool.close().await;
    let before = fs::read(&path).unwrap();
    let error = refusal(directory.path(), keys()).await;
    assert!(matches!(&error, StoreError::ForeignDatabase { path } if path.ends_with("yumen.db")), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}
