//! The audit log: what is written with a change, and that nothing of it can be altered unnoticed.

#![allow(clippy::unwrap_used, reason = "in a test, also in what its cases share")]

mod scratch;

use model::resource::Role;
use scratch::{NOW, Scratch, account, id, key, keys, user};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use store::{AuditFilter, AuditReport, Note, PageRequest, Scope, Store};
use testkit::trust::Proof;

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
            key.name = "new".into();
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

const COLUMNS: [&str; 10] =
    ["seq", "at", "tenant_id", "actor", "verb", "object", "request_id", "source", "fields", "mac"];

/// What stands in a column of an entry.
async fn text_of(connection: &mut SqliteConnection, seq: u64, column: &str) -> String {
    let read = format!("SELECT CAST({column} AS TEXT) FROM audit_log WHERE seq = {seq}");
    sqlx::query(AssertSqlSafe(read)).fetch_one(connection).await.unwrap().get(0)
}

/// Flips the byte `at` of what stands in a column of an entry, looks whether that is found, and flips it back.
/// `false` when there is no such flip: the number would be none, or another entry's.
async fn flip(directory: &Scratch, connection: &mut SqliteConnection, place: (u64, &str), at: usize) -> bool {
    let (seq, column) = place;
    let text = text_of(&mut *connection, seq, column).await;
    let mut bytes = text.clone().into_bytes();
    bytes[at] ^= 1;
    let changed = String::from_utf8(bytes).unwrap();
    let numeric = matches!(column, "seq" | "at");
    if numeric && !changed.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let set = |to: &str, seq: &str| {
        let to = to.replace('\'', "''");
        format!("UPDATE OR IGNORE audit_log SET {column} = '{to}' WHERE seq = {seq}")
    };
    let seq = seq.to_string();
    if run(connection, &set(&changed, &seq)).await == 0 {
        return false;
    }
    is_found(directory, &format!("byte {at} of {column} of entry {seq}")).await;
    let now = if column == "seq" { &changed } else { &seq };
    assert_eq!(run(connection, &set(&text, now)).await, 1);
    true
}

const ENTRIES: u64 = 1_000;

#[tokio::test]
async fn a_flip_in_any_entry_and_of_any_byte_is_found() {
    let (directory, store) = filled(ENTRIES).await;
    let whole = report(&store).await;
    assert_eq!((whole.entries, whole.fault.as_ref()), (ENTRIES, None));
    assert_eq!(whole.checkpoints, 3, "one at the start, one after five minutes, one at the thousandth entry");
    store.close().await;
    let mut connection = edit(&directory).await;
    let (mut every_byte, mut every_entry) = (0, 0);
    for seq in [1, 500, ENTRIES] {
        for column in COLUMNS {
            for at in 0..text_of(&mut connection, seq, column).await.len() {
                every_byte += usize::from(flip(&directory, &mut connection, (seq, column), at).await);
            }
        }
    }
    // A byte of every entry (of every tenth on every commit): the next one of the next column each time, but the number, which is another's.
    let step = if testkit::environment::nightly() { 1 } else { 10 };
    for seq in (1..=ENTRIES).step_by(step) {
        let column = COLUMNS[1 + usize::try_from(seq).unwrap() % (COLUMNS.len() - 1)];
        let length = text_of(&mut connection, seq, column).await.len();
        // The last digit of a time stays one when it is flipped.
        let at = if column == "at" { length - 1 } else { usize::try_from(seq).unwrap() % length };
        every_entry += usize::from(flip(&directory, &mut connection, (seq, column), at).await);
    }
    assert!(every_byte > 300 && every_entry == 1_000 / step, "{every_byte} {every_entry}");
    connection.close().await.unwrap();
    let whole = store::verify_directory(directory.path(), &keys()).await.unwrap();
    assert_eq!((whole.entries, whole.fault), (ENTRIES, None), "all is as it was");
    let proof =
        Proof::new("T62", "P12", "A flip of a byte in any of 1,000 entries of the audit log is found");
    let figure = format!(
        "{every_entry} flips, each in another entry, and {every_byte}, each byte of three: all found"
    );
    proof.held(&figure).unwrap();
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
    let what = "A deletion, an exchange, an insertion and a truncation of 1,000 entries are found";
    let (proof, count) = (Proof::new("T62-order", "P12", what), ALTERATIONS.len());
    proof.held(&format!("{count} of {count} alterations found")).unwrap();
}

const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// A store whose log has 1,000 entries of the first six minutes, and two of a year later.
async fn old() -> (Scratch, Store) {
    let (directory, store) = filled(1_000).await;
    for n in 0..2 {
        let note = Note::new("thing.change", NOW + 365 * DAY_MS + n);
        store.write_audit(&Scope::system().noted(&note)).await.unwrap();
    }
    (directory, store)
}

#[tokio::test]
async fn what_retention_leaves_verifies_from_the_checkpoint_on() {
    let (directory, store) = old().await;
    let now = NOW + 365 * DAY_MS + 10;
    assert_eq!(store.retain_audit(NOW + DAY_MS, now).await.unwrap(), 0, "not before there is a day's worth");
    let whole = report(&store).await;
    assert_eq!((whole.after, whole.entries, whole.fault), (0, 1_002, None));
    assert_eq!(store.retain_audit(NOW + 30 * DAY_MS, now).await.unwrap(), 1_000);
    assert_eq!(store.retain_audit(NOW + 30 * DAY_MS, now).await.unwrap(), 0, "what is left is younger");
    let left = report(&store).await;
    assert_eq!((left.after, left.entries, left.fault.as_ref()), (1_000, 3, None));
    assert_eq!((left.first_at, left.last_at), (Some(NOW + 365 * DAY_MS), Some(now)));
    assert_eq!(left.checkpoints, 2, "the one that the log now begins with, and the one of a year later");
    let page = PageRequest::default();
    let newest = store.list_audit(&Scope::system(), true, &AuditFilter::default(), &page).await.unwrap();
    assert_eq!(
        (newest.items[0].verb.as_str(), newest.items[0].object.as_str()),
        ("audit-log.retain", "1000")
    );
    assert_eq!(left, store::verify_directory(directory.path(), &keys()).await.unwrap());
}

/// After a cut the log begins at 1,001 and ends at 1,003.
const ALTERATIONS_OF_A_CUT: [&str; 7] = [
    "DELETE FROM audit_log WHERE seq = 1001",
    "DELETE FROM audit_log WHERE seq <= 1002",
    "DELETE FROM audit_checkpoint WHERE seq = 1000",
    "UPDATE audit_checkpoint SET mac = UPPER(mac) WHERE seq = 1000",
    "UPDATE audit_log SET object = '999' WHERE seq = 1003",
    "UPDATE audit_log SET verb = 'nothing' WHERE seq = 1003",
    "INSERT INTO audit_log SELECT 1000, at, tenant_id, actor, verb, object, request_id, source, fields, mac \
     FROM audit_log WHERE seq = 1001",
];

#[tokio::test]
async fn a_cut_log_can_be_cut_no_further_by_others() {
    let (directory, store) = old().await;
    store.retain_audit(NOW + 30 * DAY_MS, NOW + 365 * DAY_MS + 10).await.unwrap();
    store.close().await;
    for sql in ALTERATIONS_OF_A_CUT {
        let mut connection = edit(&directory).await;
        let mut transaction = connection.begin().await.unwrap();
        assert!(run(&mut transaction, sql).await > 0, "{sql}");
        transaction.commit().await.unwrap();
        connection.close().await.unwrap();
        is_found(&directory, sql).await;
        let (restored, store) = old().await;
        store.retain_audit(NOW + 30 * DAY_MS, NOW + 365 * DAY_MS + 10).await.unwrap();
        store.close().await;
        std::fs::copy(restored.path().join("yumen.db"), directory.path().join("yumen.db")).unwrap();
    }
}

#[tokio::test]
async fn nothing_is_forgotten_of_an_altered_log() {
    let (directory, store) = old().await;
    let mut connection = edit(&directory).await;
    run(&mut connection, "UPDATE audit_log SET actor = 'nobody' WHERE seq = 7").await;
    let refused = store.retain_audit(NOW + 30 * DAY_MS, NOW + 365 * DAY_MS).await;
    assert!(refused.is_err());
    assert_eq!(run(&mut connection, "UPDATE audit_log SET actor = 'somebody' WHERE seq = 7").await, 1);
}

#[tokio::test]
async fn a_command_outside_adds_its_entry_only_with_the_keys_of_the_log() {
    let (directory, store) = filled(2).await;
    let note = ("db.vacuum", "yumen.db");
    assert!(store::note_in_directory(directory.path(), &keys(), note, NOW + 1_000).await.unwrap());
    let seen = report(&store).await;
    assert_eq!((seen.entries, seen.fault), (3, None), "beside a store that is open");
    let page = PageRequest::default();
    let newest = store.list_audit(&Scope::system(), true, &AuditFilter::default(), &page).await.unwrap();
    assert_eq!(
        (newest.items[0].verb.as_str(), newest.items[0].actor.as_str()),
        ("db.vacuum", "command-line")
    );
    let other = store::KeyRing::derive([9; 32]).unwrap();
    assert!(!store::note_in_directory(directory.path(), &other, note, NOW).await.unwrap());
    assert_eq!(report(&store).await.entries, 3);
}
