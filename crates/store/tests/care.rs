//! Care of the files: backups of a database that is written to, damage that is found, and rows that are got back.

#![allow(clippy::unwrap_used, reason = "in a test, also in what its cases share")]

mod scratch;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::resource::Role;
use scratch::{NOW, Scratch, account, id, key, keys, user};
use store::care::{self, Format};
use store::{Database, Scope, Store, StoreError};

const PAGE: usize = 8192;

async fn fill(store: &Store, count: u8) {
    let scope = Scope::system();
    for n in 0..count {
        store.insert_key(&scope, &key(n)).await.unwrap();
        store.insert_account(&scope, &account(n, "sk-canary-credential")).await.unwrap();
        store.insert_user(&scope, &user(n, Role::Viewer), None).await.unwrap();
    }
}

/// A data directory that was filled and closed.
async fn filled(count: u8) -> Scratch {
    let directory = Scratch::new();
    let store = directory.open().await;
    fill(&store, count).await;
    store.close().await;
    directory
}

fn main_file(directory: &Path) -> PathBuf {
    directory.join("yumen.db")
}

async fn reopened(directory: &Path) -> Store {
    Store::open(directory, keys()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_store_that_is_written_to_is_whole_and_restores() {
    let directory = Scratch::new();
    let store = Arc::new(directory.open().await);
    fill(&store, 20).await;
    let journal = directory.path().join("journal");
    fs::create_dir(&journal).unwrap();
    for (name, text) in [("0-1.log", "a segment"), ("reserve", "room")] {
        fs::write(journal.join(name), text).unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (writer, stopping) = (Arc::clone(&store), Arc::clone(&stop));
    let writing = tokio::spawn(async move {
        let mut count = 0_u64;
        while !stopping.load(Ordering::SeqCst) {
            let terms = model::resource::GatewayTerms::default();
            writer.set_gateway_terms(&Scope::system(), NOW + count, &terms, |_| Ok(())).await.unwrap();
            count += 1;
        }
        count
    });
    let mut revisions = Vec::new();
    for n in 0..3 {
        let target = directory.path().join(format!("backup-{n}"));
        let made = care::backup(directory.path(), &target, false).await.unwrap();
        assert!(made.key_id == keys().kek_id() && !target.join("journal/reserve").exists());
        revisions.push(made.revision);
        let again = care::backup(directory.path(), &target, false).await;
        assert!(again.is_err(), "a backup is never written over");
    }
    stop.store(true, Ordering::SeqCst);
    assert!(writing.await.unwrap() > 0);
    assert!(revisions.is_sorted() && revisions[0] >= 60 && revisions[2] > 60, "{revisions:?}");

    // Not while it runs.
    let locked =
        care::restore(&directory.path().join("backup-0"), directory.path(), NOW).await.err().unwrap();
    assert!(matches!(locked, StoreError::Locked { .. }), "{locked}");
    store.close().await;
    drop(store);
    let restored = care::restore(&directory.path().join("backup-0"), directory.path(), NOW).await.unwrap();
    assert_eq!(restored.restored, ["yumen.db", "requests.db", "journal"]);
    assert!(restored.moved_to.unwrap().join("yumen.db").exists());
    assert_eq!(fs::read(journal.join("0-1.log")).unwrap(), b"a segment");
    for database in Database::ALL {
        assert!(care::check(directory.path(), database).await.unwrap().faults.is_empty());
    }
    let store = reopened(directory.path()).await;
    assert_eq!(*store.changes().borrow(), u64::try_from(revisions[0]).unwrap());
    assert_eq!(store.configuration().await.unwrap().accounts.len(), 20);
}

#[tokio::test]
async fn a_backup_is_for_its_owner_and_has_the_keys_only_if_asked() {
    use std::os::unix::fs::MetadataExt as _;
    let directory = filled(1).await;
    fs::create_dir(directory.path().join("keys")).unwrap();
    fs::write(directory.path().join("keys/pepper"), "x").unwrap();
    for (name, with_keys) in [("without", false), ("with", true)] {
        let target = directory.path().join(name);
        care::backup(directory.path(), &target, with_keys).await.unwrap();
        assert_eq!(target.join("keys/pepper").exists(), with_keys);
        for path in [&target, &target.join("yumen.db")] {
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o077, 0, "{}", path.display());
        }
    }
    let one = directory.path().join("one.db");
    care::backup(directory.path(), &one, false).await.unwrap();
    assert_eq!(care::key_of(&one).await.unwrap(), keys().kek_id());
    care::restore(&one, directory.path(), NOW).await.unwrap();
    assert_eq!(reopened(directory.path()).await.configuration().await.unwrap().keys.len(), 1);
}

#[tokio::test]
async fn half_a_backup_is_none() {
    let directory = filled(5).await;
    let target = directory.path().join("backup");
    care::backup(directory.path(), &target, false).await.unwrap();
    let main = target.join("yumen.db");
    let good = fs::read(&main).unwrap();
    fs::write(&main, &good[..good.len() / 2]).unwrap();
    assert!(care::restore(&target, directory.path(), NOW).await.is_err());
    fs::write(&main, good).unwrap();
    fs::remove_file(target.join("manifest.json")).unwrap();
    let error = care::restore(&target, directory.path(), NOW).await.err().unwrap().to_string();
    assert!(error.contains("manifest.json"), "{error}");
    assert_eq!(reopened(directory.path()).await.configuration().await.unwrap().keys.len(), 5);
}

/// Overwrites pages of a file with what nobody wrote.
fn damage(path: &Path, pages: &[usize]) {
    let mut bytes = fs::read(path).unwrap();
    for page in pages {
        let at = (page - 1) * PAGE;
        bytes[at..at + PAGE].fill(0x5a);
    }
    fs::write(path, bytes).unwrap();
}

/// The pages of the file that hold rows of a table, and its root.
async fn pages_of(path: &Path, table: &str) -> (Vec<usize>, usize) {
    let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    let leaves = "SELECT pageno FROM dbstat WHERE name = $1 AND pagetype = 'leaf' ORDER BY pageno";
    let leaves: Vec<i64> = sqlx::query_scalar(leaves).bind(table).fetch_all(&pool).await.unwrap();
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = $1";
    let root: i64 = sqlx::query_scalar(root).bind(table).fetch_one(&pool).await.unwrap();
    pool.close().await;
    (leaves.into_iter().map(|page| usize::try_from(page).unwrap()).collect(), usize::try_from(root).unwrap())
}

/// Salvages the main database and puts the new file in its place; how many keys and accounts are left.
async fn salvaged(directory: &Path) -> (usize, usize, usize) {
    let (file, new) = (main_file(directory), directory.join("new.db"));
    let done = care::salvage(&file, &new, Database::Main).await.unwrap();
    assert!(done.lost > 0, "{done:?}");
    let left = fs::read_dir(directory)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains(".reading"));
    assert_eq!(left.count(), 0, "the copy that was read is gone");
    fs::rename(new, file).unwrap();
    assert!(care::check(directory, Database::Main).await.unwrap().faults.is_empty());
    let store = reopened(directory).await;
    let configuration = store.configuration().await.unwrap();
    let credentials = configuration.accounts.iter().filter(|account| account.credential.is_some()).count();
    let counts = (configuration.keys.len(), configuration.accounts.len(), credentials);
    // Life goes on: a revision after all others, and rows can be written.
    store.insert_key(&Scope::system(), &key(250)).await.unwrap();
    store.close().await;
    counts
}

#[tokio::test]
async fn rows_beside_a_damaged_leaf_are_got_back() {
    let directory = filled(200).await;
    let file = main_file(directory.path());
    let (leaves, _) = pages_of(&file, "api_key").await;
    assert!(leaves.len() > 5, "{leaves:?}");
    damage(&file, &[leaves[1], leaves[3], leaves[leaves.len() - 1]]);
    let found = care::check(directory.path(), Database::Main).await.unwrap();
    assert!(!found.faults.is_empty(), "damage that is not found");
    let (keys, accounts, credentials) = salvaged(directory.path()).await;
    let expected = 200 - 200 * 4 / leaves.len();
    assert!((expected..200).contains(&keys), "{keys} of {expected}");
    assert_eq!((accounts, credentials), (200, 200));
}

#[tokio::test]
async fn rows_below_a_damaged_root_are_got_back() {
    let directory = filled(200).await;
    let file = main_file(directory.path());
    let (_, root) = pages_of(&file, "account").await;
    damage(&file, &[root]);
    assert_eq!(salvaged(directory.path()).await, (200, 200, 200));
}

#[tokio::test]
async fn rows_of_a_file_without_its_first_page_are_got_back() {
    let directory = filled(200).await;
    let file = main_file(directory.path());
    damage(&file, &[1]);
    let error = Store::open(directory.path(), keys()).await.err().unwrap();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    let found = care::check(directory.path(), Database::Main).await.unwrap();
    assert!(!found.faults.is_empty());
    let (found_keys, accounts, credentials) = salvaged(directory.path()).await;
    assert_eq!((found_keys, accounts, credentials), (200, 200, 200));
}

#[tokio::test]
async fn a_file_of_noise_gives_nothing_and_does_no_harm() {
    let directory = Scratch::new();
    let file = directory.path().join("noise.db");
    let mut state = 7_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[2]
    })
    .take(40 * PAGE)
    .collect();
    for head in [&b""[..], b"SQLite format 3\0\x20\0"] {
        fs::write(&file, [head, &noise].concat()).unwrap();
        let new = directory.path().join(format!("new-{}.db", head.len()));
        let done = care::salvage(&file, &new, Database::Main).await.unwrap();
        assert!(done.rows.values().sum::<u64>() == 0, "{done:?}");
    }
    let (none, new) = (directory.path().join("none.db"), directory.path().join("n"));
    let missing = care::salvage(&none, &new, Database::Main);
    assert!(missing.await.is_err());
}

#[tokio::test]
async fn an_export_has_every_row_and_no_secret() {
    let directory = filled(30).await;
    for (format, ending) in [(Format::Jsonl, "jsonl"), (Format::Csv, "csv")] {
        let into = directory.path().join(ending);
        let of = (directory.path(), Database::Main);
        let written = care::export(of, &into, format, &[]).await.unwrap();
        let rows = |name: &str| written.iter().find(|(table, _)| table == name).map(|(_, rows)| *rows);
        assert_eq!((rows("api_key"), rows("account"), rows("key_marker")), (Some(30), Some(30), None));
        let mut text = String::new();
        for entry in fs::read_dir(&into).unwrap() {
            text += &fs::read_to_string(entry.unwrap().path()).unwrap();
        }
        assert!(text.contains("account 7") && text.contains(id(9).as_str()));
        for secret in ["credential", "secret_hmac", "password_hash", "v1."] {
            assert!(!text.contains(secret), "{ending}: {secret}");
        }
    }
    let (into, tables) = (directory.path().join("one"), ["party".to_owned()]);
    let only = care::export((directory.path(), Database::Main), &into, Format::Csv, &tables);
    assert_eq!(only.await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_vacuum_gives_room_back_while_the_store_is_open() {
    let directory = filled(200).await;
    let store = reopened(directory.path()).await;
    for n in 0..200 {
        store.delete_account(&Scope::system(), &id(n)).await.unwrap();
    }
    let before = care::check(directory.path(), Database::Main).await.unwrap();
    let done = care::vacuum(directory.path(), Database::Main).await.unwrap();
    let after = care::check(directory.path(), Database::Main).await.unwrap();
    assert!(before.free_bytes > 0 && after.free_bytes == 0 && done.after < done.before, "{done:?}");
    store.insert_account(&Scope::system(), &account(1, "sk-again-credential")).await.unwrap();
}

#[tokio::test]
async fn care_finds_a_main_database_of_any_name() {
    let directory = Scratch::new();
    store::name_main_file(directory.path(), "requests-of-all.db").unwrap();
    directory.open().await.close().await;
    let main = directory.path().join("requests-of-all.db");
    assert_eq!(Database::of_file(&main), Database::Main);
    assert_eq!(care::check(directory.path(), Database::Main).await.unwrap().file, "requests-of-all.db");
    assert_eq!(care::vacuum(directory.path(), Database::Main).await.unwrap().file, "requests-of-all.db");
    let backup = directory.path().join("backup");
    care::backup(directory.path(), &backup, false).await.unwrap();
    assert!(backup.join("yumen.db").exists(), "a backup may be restored under any name");
    let restored = care::restore(&backup, directory.path(), NOW).await.unwrap();
    assert_eq!(restored.restored[0], "requests-of-all.db");
    assert!(restored.moved_to.unwrap().join("requests-of-all.db").exists());
    reopened(directory.path()).await.ping().await.unwrap();
}
