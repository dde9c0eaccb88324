//! The description of the administration API is true: schemathesis plays it against a running gateway.
//!
//! It sends what the schemas allow and what they forbid, and holds every answer against the document: its status, its
//! content type, its schema, and that nothing forbidden is taken. How much it tries is in
//! `tests/openapi/schemathesis.toml`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::admin::Admin;
use testkit::environment::{python, repository};
use testkit::gateway::{Gateway, Options};
use tokio::process::Command;

const ADMIN_TOKEN: &str = "openapi-test-token-0123456789abcdef";
/// How long it may take on a busy machine; alone it takes a minute.
const LIMIT: Duration = Duration::from_secs(400);
/// Fewer would mean that operations are missing from the document, or that nothing was tried.
const FEWEST_OPERATIONS: usize = 80;

#[tokio::test]
async fn schemathesis_finds_no_violation_of_the_description() -> Result<()> {
    let interpreter = python()?;
    let gateway = Gateway::start(Options::default().env("ADMIN_TOKEN", ADMIN_TOKEN)).await?;
    let folder = repository().join("tests/openapi");
    let mut command = Command::new(interpreter);
    command.args(["-m", "schemathesis.cli", "--config-file"]).arg(folder.join("schemathesis.toml"));
    command.arg("run").arg(format!("{}/api/openapi.json", gateway.url()));
    command.args(["--header", &format!("Authorization: Bearer {ADMIN_TOKEN}"), "--no-color", "--no-shrink"]);
    // It keeps what it found in its working directory.
    command.env_clear().current_dir(gateway.data()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.context("it takes too long")?;
    let output = output.context("schemathesis is missing: run cargo xtask setup")?;
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{}\n{out}\n{errors}", output.status);
    let tested = out.lines().find_map(|line| line.trim().strip_prefix("Tested: "));
    let tested: usize = tested.context("it does not say what it tested")?.trim().parse()?;
    ensure!(tested >= FEWEST_OPERATIONS, "{tested} operations:\n{out}");
    // Whatever was sent, the log of it is whole and the gateway still answers.
    let audit = Admin::with_token(gateway.address(), ADMIN_TOKEN).get("audit-log/verify").await?;
    ensure!(audit["ok"] == true, "{audit}");
    Ok(())
}
