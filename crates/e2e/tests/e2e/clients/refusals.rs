//! Refusals as Claude Code and Codex understand them: shown in our words, and not repeated in vain.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::admin::quota;
use testkit::gateway::Options;
use testkit::http::{Answer, Request};
use testkit::script::Script;
use testkit::surface::{CHAT, MESSAGES, Surface};
use testkit::upstream::Upstream;

use crate::stage::{IN_FORCE, Stage};

/// Sends a small request as a program would.
async fn ask(
    stage: &Stage,
    key: &str,
    surface: &Surface,
    program: &[(&str, &str)],
    model: &str,
) -> Result<Answer> {
    let request = Request::post(surface.path, surface.request(model, false).to_string()).bearer(key);
    let named = program.iter().fold(request, |request, (name, value)| request.header(name, value));
    stage.gateway.call(&named).await
}

const CLAUDE_CODE: [(&str, &str); 2] =
    [("user-agent", "claude-cli/2.1.329 (external, cli)"), ("x-claude-code-session-id", "s")];
const CODEX: [(&str, &str); 2] = [("user-agent", "codex_exec/0.169.0"), ("originator", "codex_exec")];

#[tokio::test]
async fn a_spent_budget_and_a_denied_model_are_told_in_each_programs_terms() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let upstream = Upstream::always(Script::new().hold()).await?;
    for surface in [CHAT, MESSAGES] {
        stage.account(surface.name, &surface, &upstream, surface.name).await?;
    }
    let nothing = [quota("requests", "daily", "0")];
    let (_, spent) = stage.admin.key_with_quotas("spent", &nothing).await?;
    let only = json!({"name": "narrow", "models": ["another"]});
    let (_, narrow) = stage.admin.create_key(&only).await?;
    testkit::wait::until("the keys", IN_FORCE, async || {
        let answer = ask(&stage, &narrow, &CHAT, &[], CHAT.name).await?;
        Ok((answer.status() == 403).then_some(()))
    })
    .await?;

    let told = ask(&stage, &spent, &MESSAGES, &CLAUDE_CODE, MESSAGES.name).await?;
    expect(&told, 429, "billing_error", "QUOTA_DAILY_EXCEEDED")?;
    ensure!(told.header("x-should-retry") == Some("false"), "{:?}", told.head.headers);
    let told = ask(&stage, &narrow, &MESSAGES, &CLAUDE_CODE, MESSAGES.name).await?;
    expect(&told, 400, "invalid_request_error", "MODEL_NOT_ALLOWED")?;
    let told = ask(&stage, "yk-wrong", &MESSAGES, &CLAUDE_CODE, MESSAGES.name).await?;
    expect(&told, 401, "authentication_error", "INVALID_API_KEY")?;
    ensure!(told.header("x-should-retry") == Some("false"), "{:?}", told.head.headers);

    let told = ask(&stage, &spent, &CHAT, &CODEX, CHAT.name).await?;
    expect(&told, 429, "usage_limit_reached", "QUOTA_DAILY_EXCEEDED")?;
    ensure!(told.json()["error"]["resets_at"].is_u64(), "{}", told.text());
    ensure!(told.header("x-codex-promo-message").is_some(), "{:?}", told.head.headers);
    ensure!(told.header("x-codex-primary-used-percent") == Some("100.00"), "{:?}", told.head.headers);
    ensure!(told.header("x-codex-primary-window-minutes") == Some("1440"), "{:?}", told.head.headers);
    ensure!(told.header("x-codex-primary-reset-at").is_some(), "{:?}", told.head.headers);
    let told = ask(&stage, &narrow, &CHAT, &CODEX, CHAT.name).await?;
    expect(&told, 404, "permission_error", "MODEL_NOT_ALLOWED")?;
    // What Codex speaks.
    let responses = Surface { path: "/v1/responses", ..CHAT };
    let told = ask(&stage, &spent, &responses, &CODEX, CHAT.name).await?;
    expect(&told, 429, "usage_limit_reached", "QUOTA_DAILY_EXCEEDED")?;
    let told = ask(&stage, &narrow, &responses, &CODEX, CHAT.name).await?;
    expect(&told, 404, "permission_error", "MODEL_NOT_ALLOWED")?;

    // Everybody else is told as the dialect has it.
    let told = ask(&stage, &spent, &CHAT, &[], CHAT.name).await?;
    ensure!(told.header("x-codex-primary-used-percent").is_none(), "{:?}", told.head.headers);
    let told = ask(&stage, &spent, &MESSAGES, &[], MESSAGES.name).await?;
    ensure!(told.status() == 403, "{}", told.text());
    ensure!(upstream.count() == 0, "a refused request reached the provider");
    Ok(())
}

fn expect(answer: &Answer, status: u16, kind: &str, code: &str) -> Result<()> {
    let error: Value = answer.json()["error"].clone();
    ensure!(answer.status() == status, "{} {}", answer.status(), answer.text());
    ensure!(error["type"] == kind, "{}", answer.text());
    ensure!(error["message"].as_str().is_some_and(|words| !words.is_empty()), "{}", answer.text());
    ensure!(answer.code() == Some(code), "{:?}", answer.head.headers);
    Ok(())
}
