//! A core dump, whoever writes it, holds nothing of the process's memory.

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::gateway::{Options, Turn};
use testkit::oracle::has_none;
use testkit::trust::Proof;
use testkit::wait;
use tokio::process::Command;

use super::{ADMIN_TOKEN, CREDENTIAL, ENCRYPTION_KEY, KEYS};
use crate::stage::{Stage, with};

const PROOF: Proof =
    Proof::new("T58-core", "P9", "A core dump of a gateway that holds secrets has none of them in it");

/// Runs a program that may leave a dump of any size, where that is allowed.
const DUMPING: [&str; 2] = ["prlimit", "--core=unlimited"];

async fn may_dump() -> bool {
    let tried = Command::new(DUMPING[0]).args([DUMPING[1], "true"]).status().await;
    tried.is_ok_and(|status| status.success())
}

#[tokio::test]
async fn a_core_dump_has_no_memory_in_it() -> Result<()> {
    let options = Options::default().turn(Turn::Shared);
    let options = options.env("ADMIN_TOKEN", ADMIN_TOKEN).env("ENCRYPTION_KEY", ENCRYPTION_KEY);
    let options = if may_dump().await { options.under(&DUMPING) } else { options };
    let mut stage = Stage::start(options).await?;
    let account = json!({"name": "a", "provider": "openai", "models": ["m"]});
    stage.create(&with(account, "credential", json!({"type": "api_key", "api_key": CREDENTIAL}))).await?;
    let filter = std::fs::read_to_string(format!("/proc/{}/coredump_filter", stage.gateway.pid()))?;
    ensure!(filter.trim().chars().all(|digit| digit == '0'), "memory is dumped: {filter}");
    let session = stage.admin.token().to_owned();
    let secrets = [
        ("the account's credential", CREDENTIAL),
        ("the administrator's token", ADMIN_TOKEN),
        ("the encryption key", ENCRYPTION_KEY),
        ("the session's token", session.as_str()),
        ("the caller's key", stage.key.rsplit('-').next().unwrap_or_default()),
    ];
    stage.gateway.signal("ABRT").await?;
    let status = stage.gateway.ended(wait::PATIENCE).await?;
    ensure!(!status.success(), "it has not died");
    let mut dumps = 0;
    for entry in std::fs::read_dir(stage.gateway.data())? {
        let path = entry?.path();
        if path.is_dir() && path.ends_with(KEYS) {
            continue;
        }
        let bytes = if path.is_file() { std::fs::read(&path)? } else { Vec::new() };
        dumps += usize::from(bytes.starts_with(b"\x7fELF"));
        has_none(&path.display().to_string(), &bytes, &secrets)?;
    }
    PROOF.held(&format!(
        "no memory is written to a dump; {dumps} dump on this machine, {} secrets: 0 found",
        secrets.len()
    ))
}
