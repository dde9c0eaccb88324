//! Secrets change their key while requests run (T61): none fails, a start names the key that is missing, a
//! ciphertext that was moved opens nowhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::admin::{UPSTREAM_CREDENTIAL, account};
use testkit::canned;
use testkit::command::Commands;
use testkit::gateway::{Folder, Gateway, Options, Turn};
use testkit::surface::CHAT;
use testkit::trust::Proof;
use testkit::upstream::Upstream;

use crate::stage::{IN_FORCE, Stage, ensure_complete};

/// Callers that ask without a pause while the keys change.
const CALLERS: usize = 4;
const OLD: &str = "11223344556677889900aabbccddeeff11223344556677889900aabbccddeeff";
const NEW: &str = "ffeeddccbbaa00998877665544332211ffeeddccbbaa00998877665544332211";

/// Asks until told to stop; how often, all of it answered whole.
async fn ask_on(stage: Arc<Stage>, stop: Arc<AtomicBool>, asked: Arc<AtomicU64>) -> Result<()> {
    while !stop.load(Ordering::SeqCst) {
        ensure_complete(&CHAT, false, &stage.ask(&CHAT, "m", false).await?)?;
        asked.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}

/// Rotates three times under load, with accounts changed in between; the ids of the keys.
async fn rotate_under_load(stage: &Arc<Stage>, commands: &Commands) -> Result<Vec<String>> {
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| tokio::spawn(ask_on(Arc::clone(stage), Arc::clone(&stop), Arc::clone(&asked))))
        .collect();
    let mut ids = Vec::new();
    for n in 0..3 {
        let begun = asked.load(Ordering::SeqCst);
        let rotated = commands.json(&["secrets", "rotate"]).await?;
        ensure!(rotated["unopened"] == json!([]), "{rotated}");
        ids.push(rotated["key_id"].as_str().context("no key_id")?.to_owned());
        commands.json(&["account", "update", "a", "--priority", &n.to_string()]).await?;
        testkit::wait::until("requests after the rotation", IN_FORCE * 20, async || {
            let more = asked.load(Ordering::SeqCst) > begun + 20;
            Ok((more || callers.iter().any(tokio::task::JoinHandle::is_finished)).then_some(()))
        })
        .await?;
    }
    stop.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await??;
    }
    Ok(ids)
}

async fn staged(folder: &Folder, options: Options, upstream: &Upstream) -> Result<Arc<Stage>> {
    let stage = Stage::start(options.data(folder.path())).await?;
    for name in ["a", "b"] {
        let model = if name == "a" { "m" } else { "other" };
        stage.create(&account(name, &CHAT, &upstream.url(), &json!([model]))).await?;
    }
    Ok(Arc::new(stage))
}

async fn stopped(stage: Arc<Stage>) -> Result<()> {
    let stage = Arc::into_inner(stage).context("the stage is still in use")?;
    let mut gateway = stage.gateway;
    ensure!(gateway.terminate().await?.success(), "{}", gateway.log());
    Ok(())
}

fn key_file(folder: &Folder, id: &str) -> PathBuf {
    folder.path().join("keys").join(format!("kek-{id}"))
}

fn copied(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_the_keys_change_and_a_missing_one_is_named() -> Result<()> {
    let folder = Folder::temporary()?;
    let upstream = Upstream::always(canned::answer(&CHAT, "m", false)).await?;
    let stage = staged(&folder, Options::default(), &upstream).await?;
    let commands = Commands::on(folder.path());
    let ids = rotate_under_load(&stage, &commands).await?;
    let received = upstream.received();
    let bearer = format!("Bearer {UPSTREAM_CREDENTIAL}");
    ensure!(received.iter().all(|request| request.header("authorization") == Some(bearer.as_str())));
    let log = stage.gateway.log();
    stopped(stage).await?;
    ensure!(!log.contains(UPSTREAM_CREDENTIAL));

    // Without the current key nothing starts, and nothing is touched.
    let database = folder.path().join("yumen.db");
    let (current, away) = (key_file(&folder, &ids[2]), folder.path().join("away"));
    let before = std::fs::read(&database)?;
    std::fs::rename(&current, &away)?;
    let held = Options::default().data(folder.path()).turn(Turn::Held);
    let (status, said) = Gateway::refusal(held.clone()).await?;
    ensure!(status.code() == Some(1) && said.contains(&ids[2]), "{status} {said}");
    ensure!(std::fs::read(&database)? == before, "a refused start changed the database");
    std::fs::rename(&away, &current)?;
    let shown = commands.json(&["secrets", "status"]).await?;
    ensure!(shown["current"] == json!(ids[2]) && shown["sealed_by_older"] == 0, "{shown}");
    Gateway::start(held).await?.terminate().await?;
    let what =
        "The key of stored credentials changes three times under load; a missing one is named at the start";
    let figure = format!(
        "{} changes, 0 of {} requests failed; the start named the missing key",
        ids.len(),
        received.len()
    );
    Proof::new("T61", "P9", what).held(&figure)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encryption_key_is_replaced_under_load_without_a_restart() -> Result<()> {
    let folder = Folder::temporary()?;
    let upstream = Upstream::always(canned::answer(&CHAT, "m", false)).await?;
    let with = |key: &str| Options::default().env("ENCRYPTION_KEY", key);
    let stage = staged(&folder, with(OLD), &upstream).await?;
    let commands = Commands::on(folder.path());
    std::fs::write(folder.path().join("new-key"), NEW)?;
    rotate_under_load(&stage, &commands).await?;
    let replaced = commands.json(&["secrets", "rotate", "--new-encryption-key-file", "new-key"]).await?;
    let id = replaced["key_id"].as_str().context("no key_id")?;
    ensure_complete(&CHAT, false, &stage.ask(&CHAT, "m", false).await?)?;
    let key = stage.key.clone();
    stopped(stage).await?;
    let held = |key: &str| with(key).data(folder.path()).turn(Turn::Held);
    let (status, said) = Gateway::refusal(held(OLD)).await?;
    ensure!(status.code() == Some(1) && said.contains(id), "{status} {said}");
    let gateway = Gateway::start(held(NEW)).await?;
    // The keys of callers are hashed under a pepper that stayed.
    gateway.offers(&key, &["m".to_owned()], IN_FORCE * 5).await
}

#[tokio::test]
async fn a_backup_from_before_a_rotation_starts_and_a_moved_secret_does_not() -> Result<()> {
    let folder = Folder::temporary()?;
    let upstream = Upstream::always(canned::answer(&CHAT, "m", false)).await?;
    let stage = staged(&folder, Options::default(), &upstream).await?;
    let key = stage.key.clone();
    for name in ["one", "two"] {
        stage.admin.post("api-keys", &json!({"name": name, "signing": "hmac-v1"})).await?;
    }
    stopped(stage).await?;
    let (database, backup) = (folder.path().join("yumen.db"), folder.path().join("backup"));
    copied(&database, &backup)?;
    let commands = Commands::on(folder.path());
    commands.json(&["secrets", "rotate"]).await?;
    let rotated = folder.path().join("rotated");
    copied(&database, &rotated)?;
    copied(&backup, &database)?;
    let held = || Options::default().data(folder.path()).turn(Turn::Held);
    let mut gateway = Gateway::start(held()).await?;
    gateway.offers(&key, &["m".to_owned()], IN_FORCE * 5).await?;
    gateway.terminate().await?;

    // Rows change places, as somebody with write access to the file would do it.
    let signs = |which: &str| format!("(SELECT {which}(id) FROM api_key WHERE signing_secret IS NOT NULL)");
    let another = format!("(SELECT signing_secret FROM api_key WHERE id = {})", signs("MAX"));
    let exchanges = [
        "account SET credential = (SELECT b.credential FROM account b WHERE b.name = 'b') WHERE name = 'a'"
            .to_owned(),
        "account SET tenant_id = 'other' WHERE name = 'a'".to_owned(),
        format!("api_key SET signing_secret = {another} WHERE id = {}", signs("MIN")),
    ];
    for exchange in &exchanges {
        copied(&rotated, &database)?;
        let sql = format!(
            "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1])\nassert c.execute(\"UPDATE {exchange}\").rowcount == 1\nc.commit()"
        );
        let script = folder.path().join("swap.py");
        std::fs::write(&script, sql)?;
        let line = format!("python3 {} {}", script.display(), database.display());
        let ended = commands.shell(&line).await?;
        ensure!(ended.code == Some(0), "{ended:?}");
        let (status, said) = Gateway::refusal(held()).await?;
        ensure!(status.code() == Some(1) && said.contains("does not open"), "{exchange}: {status} {said}");
    }
    let what = "Ciphertext that changes its row or its tenant is found at the start; a backup from before a rotation \
                starts";
    Proof::new("T61-bound", "P9", what).held(&format!(
        "{0} of {0} exchanges found; the backup served its keys and accounts",
        exchanges.len()
    ))
}
