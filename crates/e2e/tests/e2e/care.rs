//! `yumen db`: backups while requests run (T32), restores that start, damage, and migrations that are killed
//! (T38).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::canned;
use testkit::command::Commands;
use testkit::environment;
use testkit::gateway::{Folder, Gateway, Options, Turn};
use testkit::surface::CHAT;
use testkit::upstream::Upstream;

use crate::stage::{IN_FORCE, Stage, ensure_complete};

const CALLERS: usize = 4;

async fn ask_on(stage: Arc<Stage>, stop: Arc<AtomicBool>) -> Result<u64> {
    let mut asked = 0;
    while !stop.load(Ordering::SeqCst) {
        ensure_complete(&CHAT, false, &stage.ask(&CHAT, "m", false).await?)?;
        asked += 1;
    }
    Ok(asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_while_requests_run_restore_to_a_gateway_that_starts() -> Result<()> {
    let upstream = Upstream::always(canned::answer(&CHAT, "m", false)).await?;
    let stage = Arc::new(Stage::start(Options::default()).await?);
    stage.account("main", &CHAT, &upstream, "m").await?;
    let user = stage.admin.user_with_balance("ann@example.org", "5").await?;
    let (data, stop) = (stage.gateway.data().to_owned(), Arc::new(AtomicBool::new(false)));
    let callers: Vec<_> =
        (0..CALLERS).map(|_| tokio::spawn(ask_on(Arc::clone(&stage), Arc::clone(&stop)))).collect();
    let (elsewhere, commands) = (Folder::temporary()?, Commands::on(&data));
    let backup = |n: usize| elsewhere.path().join(format!("backup-{n}")).display().to_string();
    for n in 0..3 {
        let made = commands.json(&["db", "backup", &backup(n), "--with-keys"]).await?;
        ensure!(made["has_keys"] == true && made["revision"].as_u64() > Some(0), "{made}");
        commands.json(&["db", "check"]).await?;
        commands.json(&["db", "vacuum"]).await?;
    }
    stop.store(true, Ordering::SeqCst);
    let mut asked = 0;
    for caller in callers {
        asked += caller.await??;
    }
    ensure!(asked > 0 && !stage.gateway.log().contains("database is locked"), "{}", stage.gateway.log());
    let said = commands.refused(&["db", "restore", &backup(0)]).await?;
    ensure!(said.contains(&stage.gateway.pid().to_string()), "the running server is not named: {said}");
    let said = commands.refused(&["db", "backup", &backup(0)]).await?;
    ensure!(said.contains("there already"), "{said}");

    for n in 0..3 {
        let restored = Folder::temporary()?;
        let commands = Commands::on(restored.path());
        commands.json(&["db", "restore", &backup(n)]).await?;
        commands.json(&["db", "check"]).await?;
        let held = Options::default().data(restored.path()).turn(Turn::Held);
        let mut gateway = Gateway::start(held).await?;
        gateway.offers(&stage.key, &["m".to_owned()], IN_FORCE * 5).await?;
        let shown = commands.json(&["user", "show", &user]).await?;
        ensure!(shown["balance"] == "5", "{shown}");
        gateway.terminate().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_restore_without_the_keys_names_the_one_that_is_missing() -> Result<()> {
    let mut gateway = Gateway::start(Options::default()).await?;
    let (data, elsewhere) = (gateway.data().to_owned(), Folder::temporary()?);
    let commands = Commands::on(&data);
    let backup = elsewhere.path().join("backup").display().to_string();
    let made = commands.json(&["db", "backup", &backup]).await?;
    let key = made["key_id"].as_str().context("no key_id")?.to_owned();
    gateway.terminate().await?;
    let restored = elsewhere.path().join("data");
    let said =
        Commands::of(elsewhere.path()).env("YUMEN_DATA", "data").refused(&["db", "restore", &backup]).await?;
    ensure!(said.contains(&key) && !restored.join("yumen.db").exists(), "{said}");
    // In its own directory the keys are there, and what was there is kept.
    let done = commands.json(&["db", "restore", &backup]).await?;
    let aside = done["moved_to"].as_str().context("nothing was moved aside")?;
    ensure!(Path::new(aside).join("yumen.db").exists(), "{done}");
    Gateway::start(Options::default().data(&data).turn(Turn::Held)).await?.terminate().await?;
    // The main database alone, as `cp quota.db` was meant.
    let one = elsewhere.path().join("one.db").display().to_string();
    commands.json(&["db", "backup", &one]).await?;
    commands.json(&["db", "restore", &one]).await?;
    commands.json(&["db", "export", "--into", "export", "--format", "csv"]).await?;
    let exported = std::fs::read_to_string(data.join("export/user_account.csv"))?;
    ensure!(exported.contains("admin@localhost") && !exported.contains("argon2"), "{exported}");
    Ok(())
}

#[tokio::test]
async fn damage_is_found_and_the_rest_is_got_back() -> Result<()> {
    let mut gateway = Gateway::start(Options::default()).await?;
    let (data, admin) = (gateway.data().to_owned(), gateway.admin().await?);
    for n in 0..60 {
        admin
            .create_key(&json!({"name": format!("key {n}"), "models": ["a-model-with-a-long-name"]}))
            .await?;
    }
    gateway.terminate().await?;
    let (file, commands) = (data.join("yumen.db"), Commands::on(&data));
    let mut bytes = std::fs::read(&file)?;
    let at = bytes.windows(6).position(|window| window == b"key 30").context("no such row")? / 8192 * 8192;
    bytes[at..at + 8192].fill(0xa5);
    std::fs::write(&file, bytes)?;
    let said = commands.refused(&["db", "check"]).await?;
    ensure!(said.contains("yumen db salvage") && said.contains("yumen.db"), "{said}");
    let done = commands.json(&["db", "salvage", "yumen.db"]).await?;
    ensure!(done["salvaged"]["lost"].as_u64() > Some(0), "{done}");
    std::fs::rename(data.join("yumen.db.salvaged"), &file)?;
    for side in ["yumen.db-wal", "yumen.db-shm"] {
        let _ = std::fs::remove_file(data.join(side));
    }
    commands.json(&["db", "check"]).await?;
    let kept = commands.json(&["key", "list"]).await?["items"].as_array().map_or(0, Vec::len);
    ensure!((10..60).contains(&kept), "{kept} keys are left");
    Ok(())
}

/// Makes the first schema's database with many rows, as the first version left it.
const MAKE_FIRST: &str = r#"
import hashlib, sqlite3, sys
path, folder = sys.argv[1], sys.argv[2]
for name, file in (("main", "yumen.db"), ("requests", "requests.db")):
    sql = open(f"{folder}/{name}/0001_first.sql").read()
    c = sqlite3.connect(f"{path}/{file}")
    c.executescript(sql)
    c.execute("CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, "
              "installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, "
              "checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)")
    c.execute("INSERT INTO _sqlx_migrations VALUES (1, 'first', '2026-01-01', 1, ?, 0)",
              (hashlib.sha384(sql.encode()).digest(),))
    if name == "main":
        c.executemany("INSERT INTO user_account (id, tenant_id, email, name, role, created_at, updated_at) "
                      "VALUES (?, 'default', ?, 'n', 'viewer', 1, 1)",
                      ((f"{n:026d}".replace("0", "a").replace("1", "b").replace("8", "c").replace("9", "d"),
                        f"user{n}@example.org") for n in range(20000)))
    c.commit()
"#;

#[tokio::test]
async fn a_migration_that_is_killed_is_done_again_from_the_first_schema() -> Result<()> {
    let folder = Folder::temporary()?;
    let migrations = environment::repository().join("crates/store/migrations");
    std::fs::write(folder.path().join("make.py"), MAKE_FIRST)?;
    let commands = Commands::on(folder.path());
    let made = commands.shell(&format!("python3 make.py . {}", migrations.display())).await?;
    ensure!(made.code == Some(0), "{made:?}");
    let key = "77665544332211ff".repeat(4);
    let commands = commands.env("ENCRYPTION_KEY", &key);
    for delay in [2, 5, 10, 20, 30, 40, 60, 80] {
        let mut migrating = commands.start(&["db", "migrate"])?;
        let ended = tokio::time::timeout(Duration::from_millis(delay), migrating.wait()).await;
        if ended.is_err() {
            migrating.kill().await?;
        }
        let look = "python3 -c \"import sqlite3; c = sqlite3.connect('yumen.db'); \
                    print(c.execute('PRAGMA integrity_check').fetchone()[0], \
                    c.execute('SELECT COUNT(*) FROM user_account').fetchone()[0])\"";
        let looked = commands.shell(look).await?;
        ensure!(looked.out == "ok 20000", "after {delay} ms: {looked:?}");
    }
    let done = commands.json(&["db", "migrate"]).await?;
    ensure!(done["files"][0]["schema"].as_u64() > Some(1), "{done}");
    commands.json(&["db", "check"]).await?;
    let again = commands.json(&["db", "migrate"]).await?;
    ensure!(again["files"][0]["before"] == again["files"][0]["schema"], "{again}");
    let options = Options::default().data(folder.path()).env("ENCRYPTION_KEY", &key);
    Gateway::start(options).await?.terminate().await?;
    Ok(())
}

#[tokio::test]
async fn what_is_done_to_the_files_is_in_the_audit_log() -> Result<()> {
    let folder = Folder::temporary()?;
    let mut gateway = Gateway::start(Options::default().data(folder.path())).await?;
    let commands = Commands::on(folder.path());
    let elsewhere = Folder::temporary()?;
    let backup = elsewhere.path().join("backup").display().to_string();
    let export = elsewhere.path().join("export").display().to_string();
    commands.json(&["db", "backup", &backup]).await?;
    for arguments in [&["db", "vacuum"][..], &["db", "export", "--into", &export]] {
        let done = commands.json(arguments).await?;
        ensure!(done["audited"] == true, "{done}");
    }
    gateway.terminate().await?;
    let listed = async || commands.json(&["audit-log", "list", "--actor", "command-line"]).await;
    let entries = listed().await?;
    ensure!(
        entries["items"][0]["verb"] == "db.export" && entries["items"][0]["object"] == export,
        "{entries}"
    );
    ensure!(entries["items"][1]["verb"] == "db.vacuum", "{entries}");
    // What was restored has its own log, which begins with the restoring.
    ensure!(commands.json(&["db", "restore", &backup]).await?["audited"] == true);
    let entries = listed().await?;
    ensure!(
        entries["items"][0]["verb"] == "db.restore" && entries["items"][0]["object"] == backup,
        "{entries}"
    );
    ensure!(entries["items"].as_array().is_some_and(|items| items.len() == 1), "{entries}");
    let verified = commands.json(&["audit", "verify"]).await?;
    ensure!(verified["ok"] == true && verified["after"] == 0, "{verified}");
    // Without the keys it works, and says that it wrote no entry.
    std::fs::rename(folder.path().join("keys"), elsewhere.path().join("keys"))?;
    let done = commands.json(&["db", "vacuum"]).await?;
    ensure!(done["audited"] == false && !folder.path().join("keys").exists(), "{done}");
    Ok(())
}
