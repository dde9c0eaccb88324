//! `yumen audit verify` beside a running server: it finds the log good, and names the entry that somebody with write
//! access to the database changed.

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::command::Commands;
use testkit::gateway::{Gateway, Options};

/// Changes one byte of one entry as no part of the gateway would: `columns` of the entry `seq`.
const CHANGE: &str = r"
import sqlite3, sys
c = sqlite3.connect('yumen.db', timeout=30)
seq, column = int(sys.argv[1]), sys.argv[2]
before, = c.execute(f'SELECT {column} FROM audit_log WHERE seq = ?', (seq,)).fetchone()
after = chr(ord(before[0]) ^ 1) + before[1:]
c.execute(f'UPDATE audit_log SET {column} = ? WHERE seq = ?', (after, seq))
c.commit()
";

#[tokio::test]
async fn a_changed_byte_of_the_audit_log_is_found_beside_a_running_server() -> Result<()> {
    let gateway = Gateway::start(Options::default()).await?;
    let admin = gateway.admin().await?;
    for name in ["one", "two", "three"] {
        admin.create_key(&json!({"name": name})).await?;
    }
    let commands = Commands::on(gateway.data());
    let good = commands.json(&["audit", "verify"]).await?;
    let entries = good["entries"].as_u64().unwrap_or_default();
    ensure!(good["ok"] == true && entries >= 3, "{good}");

    let script = gateway.data().join("change.py");
    std::fs::write(&script, CHANGE)?;
    for (seq, column) in [(entries, "verb"), (entries - 1, "fields"), (2, "actor")] {
        let line = format!("python3 {} {seq} {column}", script.display());
        // Twice is once and back.
        ensure!(commands.shell(&line).await?.code == Some(0), "the change of {seq} failed");
        let ended = commands.run(&["audit", "verify"]).await?;
        let named = ended.err.contains(&format!("at {seq}:"));
        ensure!(ended.code == Some(1) && named, "{seq} {column}: {ended:?}");
        let seen = admin.get("audit-log/verify").await?;
        ensure!(seen["ok"] == false, "{seen}");
        ensure!(commands.shell(&line).await?.code == Some(0), "the change of {seq} was not undone");
        ensure!(commands.run(&["audit", "verify"]).await?.code == Some(0), "{seq} {column} is as it was");
    }
    Ok(())
}

#[tokio::test]
async fn what_changes_no_row_is_not_confirmed_without_its_entry() -> Result<()> {
    const RENAME: &str = "python3 -c \"import sqlite3,sys; c = sqlite3.connect('yumen.db', timeout=30); \
        c.execute(f'ALTER TABLE {sys.argv[1]} RENAME TO {sys.argv[2]}'); c.commit()\"";
    let gateway = Gateway::start(Options::default()).await?;
    let admin = gateway.admin().await?;
    let commands = Commands::on(gateway.data());
    let rename = async |from: &str, to: &str| -> Result<()> {
        let ended = commands.shell(&format!("{RENAME} {from} {to}")).await?;
        ensure!(ended.code == Some(0), "{ended:?}");
        Ok(())
    };
    let level = json!({"level": "debug"});
    rename("audit_log", "elsewhere").await?;
    let told = admin.try_send("POST", "settings/log-level", Some(&level)).await?;
    rename("elsewhere", "audit_log").await?;
    ensure!(
        told.status() == 503 && told.code() == Some("SERVICE_DEGRADED"),
        "{} {}",
        told.status(),
        told.text()
    );
    admin.post("settings/log-level", &level).await?;
    let entries = admin.get("audit-log?verb=settings.log-level").await?;
    ensure!(entries["items"].as_array().is_some_and(|items| items.len() == 1), "{entries}");
    Ok(())
}
