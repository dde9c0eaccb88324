//! The audit log: what is written with a change, and that nothing of it can be altered unnoticed.

#![allow(clippy::unwrap_used, reason = "in a test, also in what its cases share")]

mod scratch;

use model::resource::Role;
use scratch::{NOW, Scratch, account, id, key, keys, user};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use store::{AuditFilter, AuditReport, Note, PageRequest, Scope, Store};

async fn edit(directory: &Scratch) -> SqliteConnection {
    SqliteConnectOptions::new().filename(directory.path().join("yumen.db")).connect().await.unwrap()
}

async fn run(connection: &mut SqliteConnection, sql: &str) -> u64 {
    sqlx::query(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap().rows_affected()
}

/// A store whose log has `count` entries.
async fn filled(count: u64) -> (Scratch, Store) {
    let directory = Scratch::new();
    let store = directory.open().await;
    for n in 0..count {
        let note = Note::new("thing.change", NOW + n * 400);
        note.object(&format!("thing-{n}"));
        note.request(format!("req-{n}"), Some("192.0.2.7".to_owned()));
        note.fields(vec!["name".to_owned()]);
        store.write_audit(&Scope::system().noted(&note)).await.unwrap();
    }
    (directory, store)
}

async fn report(store: &Store) -> AuditReport {
    store.verify_audit().await.unwrap()
}

#[tokio::test]
async fn every_change_writes_one_entry_also_without_a_note() {
    let directory = Scratch::new();
    let store = directory.open().await;
    let scope = Scope::new("default", "command-line");
    store.insert_key(&scope, &key(1)).await.unwrap();
    store
        .update_key(&scope, &id(1), NOW + 1, |key| {
            key.name = "new".to_owned();
            Ok(())
        })
        .await
        .unwrap();
    store.insert_account(&scope, &account(1, "sk-canary-credential")).await.unwrap();
    store.delete_account(&scope, &id(1)).await.unwrap();
    let note = Note::new("user.create", NOW);
    let noted = scope.clone().noted(&note);
    store.insert_user(&noted, &user(1, Role::Owner), None).await.unwrap();
    store.set_password(&noted, &id(1), NOW, "hash-canary").await.unwrap();
    store.write_audit(&noted).await.unwrap();
    let page =
        store.list_audit(&scope, false, &AuditFilter::default(), &PageRequest::default()).await.unwrap();
    let seen: Vec<_> = page.items.iter().rev().map(|entry| entry.verb.as_str()).collect();
    assert_eq!(
        seen,
        ["api-key.create", "api-key.update", "account.create", "account.delete", "user.create"],
        "two changes under one note are one entry"
    );
    assert!(page.items.iter().all(|entry| entry.actor == "command-line" && entry.object == id(1).as_str()));
    assert!(!format!("{page:?}").contains("canary"));
    // A change that is refused leaves nothing.
    let refused = store.update_key(&scope, &id(1), NOW, |_| Err(store::StoreError::Stale)).await;
    assert!(refused.is_err());
    let whole = report(&store).await;
    assert_eq!((whole.entries, whole.checkpoints, whole.fault), (5, 1, None));
}

#[tokio::test]
async fn a_log_is_read_by_page_and_filter() {
    let (_directory, store) = filled(120).await;
    let scope = Scope::system();
    let list = async |filter: AuditFilter, page: PageRequest| {
        store.list_audit(&scope, true, &filter, &page).await.unwrap()
    };
    let first = list(AuditFilter::default(), PageRequest::first(100)).await;
    assert_eq!((first.items.len(), first.items[0].seq), (100, 120));
    let next = PageRequest { after: first.next, limit: 100 };
    let rest = list(AuditFilter::default(), next).await;
    assert_eq!((rest.items.len(), rest.items[0].seq, rest.next), (20, 20, None));
    for (filter, expected) in [
        (AuditFilter { object: Some("thing-7".into()), ..AuditFilter::default() }, 1),
        (AuditFilter { actor: Some("system".into()), ..AuditFilter::default() }, 100),
        (AuditFilter { verb: Some("nothing".into()), ..AuditFilter::default() }, 0),
        (AuditFilter { request_id: Some("req-3".into()), ..AuditFilter::default() }, 1),
        (AuditFilter { from: Some(NOW), to: Some(NOW + 4_000), ..AuditFilter::default() }, 10),
    ] {
        assert_eq!(list(filter.clone(), PageRequest::first(100)).await.items.len(), expected, "{filter:?}");
    }
    let (other, all, page) = (Scope::new("other", "a"), AuditFilter::default(), PageRequest::default());
    let seen = store.list_audit(&other, false, &all, &page).await.unwrap();
    assert!(seen.items.is_empty(), "another tenant's log is another");
}

/// Fails unless the log of the directory is found to be altered.
async fn is_found(directory: &Scratch, what: &str) {
    let seen = store::verify_directory(directory.path(), &keys()).await.unwrap();
    assert!(seen.fault.is_some(), "{what} is not found");
}

/// How often a byte of `column` of the entry `seq` could be flipped; each time it must be found.
async fn flip(directory: &Scratch, connection: &mut SqliteConnection, seq: u64, column: &str) -> u32 {
    let read = format!("SELECT CAST({column} AS TEXT) FROM audit_log WHERE seq = {seq}");
    let row = sqlx::query(AssertSqlSafe(read)).fetch_one(&mut *connection).await.unwrap();
    let text: String = row.get(0);
    let numeric = matches!(column, "seq" | "at");
    let mut tried = 0;
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let changed = String::from_utf8(bytes).unwrap();
        if numeric && !changed.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let set = |to: &str, seq: &str| {
            let to = to.replace('\'', "''");
            format!("UPDATE OR IGNORE audit_log SET {column} = '{to}' WHERE seq = {seq}")
        };
        let seq = seq.to_string();
        if run(connection, &set(&changed, &seq)).await == 0 {
            continue; // The number is another entry's: refused by the table.
        }
        tried += 1;
        is_found(directory, &format!("byte {at} of {column} of entry {seq}")).await;
        let now = if column == "seq" { &changed } else { &seq };
        assert_eq!(run(connection, &set(&text, now)).await, 1);
    }
    tried
}

#[tokio::test]
async fn a_flip_of_any_byte_is_found() {
    const ENTRIES: u64 = 1_000;
    let columns =
        ["seq", "at", "tenant_id", "actor", "verb", "object", "request_id", "source", "fields", "mac"];
    let (directory, store) = filled(ENTRIES).await;
    let whole = report(&store).await;
    assert_eq!((whole.entries, whole.fault.as_ref()), (ENTRIES, None));
    assert_eq!(whole.checkpoints, 3, "one at the start, one after five minutes, one at the thousandth entry");
    store.close().await;
    let mut connection = edit(&directory).await;
    let mut tried = 0;
    for seq in [1, 500, ENTRIES] {
        for column in columns {
            tried += flip(&directory, &mut connection, seq, column).await;
        }
    }
    assert!(tried > 300, "{tried}");
}

const ALTERATIONS: [&str; 16] = [
    "DELETE FROM audit_log WHERE seq = 1",
    "DELETE FROM audit_log WHERE seq = 500",
    "DELETE FROM audit_log WHERE seq = 1000",
    "DELETE FROM audit_log WHERE seq > 900",
    "DELETE FROM audit_log",
    "DELETE FROM audit_head",
    "DELETE FROM audit_checkpoint WHERE number = 3",
    "DELETE FROM audit_checkpoint WHERE number = 1",
    "UPDATE audit_checkpoint SET seq = seq - 1 WHERE number = 3",
    "UPDATE audit_checkpoint SET signature = UPPER(signature) WHERE number = 2",
    "UPDATE audit_log SET seq = CASE seq WHEN 10 THEN -11 ELSE -10 END WHERE seq IN (10, 11)",
    "INSERT INTO audit_log SELECT 1001, at, tenant_id, actor, verb, object, request_id, source, fields, mac \
     FROM audit_log WHERE seq = 1000",
    "INSERT INTO audit_log SELECT 0, at, tenant_id, actor, verb, object, request_id, source, fields, mac \
     FROM audit_log WHERE seq = 1",
    "UPDATE audit_head SET seq = 999, mac = (SELECT mac FROM audit_log WHERE seq = 999)",
    "UPDATE audit_head SET checkpoints = 2",
    "UPDATE audit_head SET seal = UPPER(seal)",
];

#[tokio::test]
async fn a_deletion_an_exchange_an_insertion_and_a_truncation_are_found() {
    let (directory, store) = filled(1_000).await;
    store.close().await;
    let (file, copy) = (directory.path().join("yumen.db"), directory.path().join("copy.db"));
    std::fs::copy(&file, &copy).unwrap();
    for sql in ALTERATIONS {
        for rest in ["yumen.db-wal", "yumen.db-shm"] {
            let _ = std::fs::remove_file(directory.path().join(rest));
        }
        std::fs::copy(&copy, &file).unwrap();
        let mut connection = edit(&directory).await;
        assert!(run(&mut connection, sql).await > 0, "{sql}");
        connection.close().await.unwrap();
        is_found(&directory, sql).await;
    }
}
