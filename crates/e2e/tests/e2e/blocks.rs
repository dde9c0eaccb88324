//! What an account's own answers cost it: shown to administrators, and ended by what mends it.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::canned;
use testkit::gateway::Options;
use testkit::surface::CHAT;
use testkit::upstream::Upstream;

use crate::stage::{Stage, ensure_complete};

async fn shown(stage: &Stage, id: &str) -> Result<Value> {
    Ok(stage.admin.get(&format!("accounts/{id}")).await?["blocks"].clone())
}

fn refusal(status: u16) -> testkit::script::Script {
    let body = canned::error_body(CHAT.dialect, "some_error", "no");
    canned::json_answer(status, &[("retry-after", "600")], &body)
}

/// Accounts contract, §3: block reasons and ends are visible, and none ends by a restart alone.
#[tokio::test]
async fn a_new_credential_ends_the_block_that_the_old_one_brought() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let upstream = Upstream::always(canned::answer(&CHAT, "m", false)).await?;
    let id = stage.account("a", &CHAT, &upstream, "m").await?;
    ensure!(shown(&stage, &id).await? == json!([]), "blocked from the start");

    for (status, reason, has_end) in [(401, "credential_refused", false), (429, "rate_limited", true)] {
        upstream.next([refusal(status)]);
        stage.ask(&CHAT, "m", false).await?;
        let asked = upstream.count();
        let blocked = stage.ask(&CHAT, "m", false).await?;
        ensure!(blocked.status() == 503 && upstream.count() == asked, "{status}: asked again");
        let blocks = shown(&stage, &id).await?;
        ensure!(blocks[0]["reason"] == reason && blocks[0]["model"].is_null(), "{status}: {blocks}");
        ensure!(blocks[0]["until"].is_string() == has_end, "{status}: {blocks}");

        stage.admin.send("PATCH", &format!("accounts/{id}"), Some(&json!({"weight": 2}))).await?;
        ensure!(shown(&stage, &id).await? == blocks, "{status}: another change ended the block");
        let credential = json!({"type": "api_key", "api_key": format!("sk-after-{status}")});
        let change = json!({"credential": credential});
        stage.admin.send("PATCH", &format!("accounts/{id}"), Some(&change)).await?;
        ensure_complete(&CHAT, false, &stage.ask(&CHAT, "m", false).await?)?;
        ensure!(shown(&stage, &id).await? == json!([]), "{status}: still shown");
    }
    Ok(())
}
