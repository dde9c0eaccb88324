//! `docs/runbooks.md`: every command of the page is run, and works.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::command::Commands;
use testkit::environment;
use testkit::gateway::{Gateway, Options};
use testkit::http::Request;

const ADMIN_TOKEN: &str = "runbooks-test-token-0123456789abcdef";

/// What to type, from the second column of the page's tables.
fn commands(page: &str) -> Result<Vec<String>> {
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| the manual"));
    let command = |row: &str| {
        // The first column may hold `|` in a command of the manual, so the last cell is taken.
        let cell = row.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap_or_default();
        let command = cell.trim().strip_prefix('`').and_then(|cell| cell.strip_suffix('`'));
        command.map(str::to_owned).with_context(|| format!("no command in {row}"))
    };
    rows.map(command).collect()
}

#[tokio::test]
async fn every_command_of_the_runbooks_works() -> Result<()> {
    let docs = environment::repository().join("docs");
    let page = commands(&std::fs::read_to_string(docs.join("runbooks.md"))?)?;
    ensure!(page.len() > 35, "{}", page.len());
    let twin = commands(&std::fs::read_to_string(docs.join("runbooks.zh-CN.md"))?)?;
    ensure!(page == twin, "both pages say the same");

    let options = Options::demo().env("ADMIN_TOKEN", ADMIN_TOKEN).env("LOG_FORMAT", "json");
    let gateway = Gateway::start(options).await?;
    let (data, admin) = (gateway.data(), gateway.admin().await?);
    let quota = json!([{"unit": "requests", "period": "never", "limit": 100}]);
    let (id, key) = admin.create_key(&json!({"name": "runbooks", "quota": quota})).await?;
    let trial = json!({"name": "trial", "kind": "trial"});
    let (_, trial) = admin.create_key(&trial).await?;
    let body = json!({"model": "demo-chat", "messages": [{"role": "user", "content": "hello"}]}).to_string();
    let asked = gateway.call(&Request::post("/v1/chat/completions", body).bearer(&key)).await?;
    ensure!(asked.status() == 200, "{}", asked.text());
    gateway.records(&admin, &format!("key_id={id}"), 1).await?;
    let log = data.join("gateway.log");
    std::fs::write(&log, gateway.log())?;
    let shell = Commands::on(data)
        .env("URL", &gateway.url())
        .env("DATA", &data.display().to_string())
        .env("LOG", &log.display().to_string())
        .env("ADMIN_TOKEN", ADMIN_TOKEN)
        .env("KEY", &key)
        .env("KEY_ID", &id)
        .env("TRIAL_KEY", &trial);
    let mut failed = Vec::new();
    for command in page {
        let ended = shell.shell(&command).await?;
        if ended.code != Some(0) {
            failed.push(format!("{command}\n  {ended:?}"));
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}
