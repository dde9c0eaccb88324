//! The official SDKs, unmodified, against a running gateway: what they send is served, and what they
//! are refused they raise as their own typed errors.
//!
//! The scripts are in `tests/sdk`; each takes the gateway's address, keys and models from its
//! arguments as one JSON object and exits with 0 when all its checks hold.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::admin::quota;
use testkit::environment::{node_scripts, python, repository, without_settings};
use testkit::gateway::Options;
use testkit::script::Script;
use testkit::surface::{CHAT, MESSAGES};
use testkit::trust::Proof;
use testkit::upstream::Upstream;
use tokio::process::Command;

use crate::stage::{IN_FORCE, Stage};

/// How long a script may take.
const SCRIPT_LIMIT: Duration = Duration::from_secs(120);

/// A gateway on which every status that the SDKs are asked about has a real cause.
async fn prepare() -> Result<(Stage, Upstream, Value)> {
    let stage = Stage::start(Options::demo().timer("first_byte", 500)).await?;
    let silent = Upstream::always(Script::new().hold()).await?;
    for surface in [CHAT, MESSAGES] {
        for name in ["silent", "off"] {
            let model = format!("{name}-{}", surface.name);
            let id = stage.account(&model, &surface, &silent, &model).await?;
            if name == "off" {
                stage.admin.post(&format!("accounts/{id}/disable"), &json!({})).await?;
            }
        }
    }
    let (_, narrow) = stage.admin.create_key(&json!({"name": "narrow", "models": ["demo-embed"]})).await?;
    stage.gateway.offers(&narrow, &["demo-embed".to_owned()], IN_FORCE).await?;
    let spent = without_anything_left(&stage, &silent).await?;
    let mut plan = json!({
        "url": stage.gateway.url(), "key": stage.key, "narrow_key": narrow,
        "chat_model": "demo-chat", "embedding_model": "demo-embed", "moderation_model": "demo-moderation",
        "silent_chat": "silent-openai_chat", "off_chat": "off-openai_chat",
        "silent_messages": "silent-anthropic_messages", "off_messages": "off-anthropic_messages",
    });
    for (name, value) in spent.as_object().into_iter().flatten() {
        plan[name] = value.clone();
    }
    Ok((stage, silent, plan))
}

/// A key whose user has no money for a model that costs some, one without quota, one without rate.
async fn without_anything_left(stage: &Stage, silent: &Upstream) -> Result<Value> {
    for surface in [CHAT, MESSAGES] {
        let model = format!("paid-{}", surface.name);
        stage.account(&model, &surface, silent, &model).await?;
        stage.admin.send("PUT", &format!("prices/{model}"), Some(&json!({"in": "1", "out": "1"}))).await?;
    }
    let user = stage.admin.user_with_balance("poor@example.com", "0").await?;
    let (_, poor) = stage.admin.key_of(&user, "poor").await?;
    let nothing = [quota("requests", "never", "0")];
    let (_, spent) = stage.admin.key_with_quotas("spent", &nothing).await?;
    let (_, slow) = stage.admin.create_key(&json!({"name": "slow", "rate_limit": {"rpm": 0}})).await?;
    // Keys are published in order: when the last is known, all are, and the prices before them.
    testkit::wait::until("the keys", IN_FORCE, async || {
        let body = CHAT.request("demo-chat", false).to_string();
        let request = testkit::http::Request::post(CHAT.path, body).bearer(&slow);
        Ok((stage.gateway.call(&request).await?.status() == 429).then_some(()))
    })
    .await?;
    Ok(json!({
        "poor_key": poor, "spent_key": spent, "slow_key": slow,
        "paid_chat": "paid-openai_chat", "paid_messages": "paid-anthropic_messages",
    }))
}

const REFUSED: [Proof; 4] = [
    Proof::new("SDK-openai-python", "P1, P2", "402, 403 quota and 429 raise the SDK's own classes"),
    Proof::new("SDK-anthropic-python", "P1, P2", "402, 403 quota and 429 raise the SDK's own classes"),
    Proof::new("SDK-openai-node", "P1, P2", "402, 403 quota and 429 raise the SDK's own classes"),
    Proof::new("SDK-anthropic-node", "P1, P2", "402, 403 quota and 429 raise the SDK's own classes"),
];

async fn run(program: &Path, script: &Path, plan: &Value) -> Result<()> {
    let mut command = Command::new(program);
    command.arg(script).arg(plan.to_string()).kill_on_drop(true);
    without_settings(&mut command);
    let output =
        tokio::time::timeout(SCRIPT_LIMIT, command.output()).await.context("the script takes too long")??;
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{out}");
    ensure!(output.status.success(), "{}: {}\n{out}\n{errors}", script.display(), output.status);
    Ok(())
}

/// Accounts of every dialect that are this gateway's own demo, seen from outside: calls to them are
/// translated once and relayed once. Their models by name.
async fn through_every_dialect(stage: &Stage) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (name, provider, base) in [
        ("by-chat", "openai-compatible", "/v1"),
        ("by-responses", "openai", "/v1"),
        ("by-messages", "anthropic-compatible", ""),
        ("by-gemini", "gemini", ""),
    ] {
        stage
            .create(&json!({
                "name": name, "provider": provider, "base_url": format!("{}{base}", stage.gateway.url()),
                "credential": {"type": "api_key", "api_key": stage.key}, "allow_private": true,
                "models": [{"name": name, "upstream": "demo-chat"}],
            }))
            .await?;
        names.push(name.to_owned());
    }
    Ok(names)
}

async fn run_python(name: &str) -> Result<()> {
    let interpreter = python()?;
    let (stage, _silent, mut plan) = prepare().await?;
    plan["translated"] = json!(through_every_dialect(&stage).await?);
    run(&interpreter, &repository().join("tests/sdk/python").join(name), &plan).await
}

async fn run_node(name: &str) -> Result<()> {
    let folder = node_scripts()?;
    let (stage, _silent, mut plan) = prepare().await?;
    plan["translated"] = json!(through_every_dialect(&stage).await?);
    run(Path::new("node"), &folder.join(name), &plan).await
}

#[tokio::test]
async fn the_openai_python_sdk_is_served_and_refused_in_its_own_terms() -> Result<()> {
    run_python("openai_sdk.py").await?;
    REFUSED[0].held("all three, with their codes")
}

#[tokio::test]
async fn the_anthropic_python_sdk_is_served_and_refused_in_its_own_terms() -> Result<()> {
    run_python("anthropic_sdk.py").await?;
    REFUSED[1].held("all three, with their codes")
}

#[tokio::test]
async fn the_openai_node_sdk_works() -> Result<()> {
    run_node("openai.mjs").await?;
    REFUSED[2].held("all three, with their codes")
}

#[tokio::test]
async fn the_anthropic_node_sdk_works() -> Result<()> {
    run_node("anthropic.mjs").await?;
    REFUSED[3].held("all three, with their codes")
}

#[tokio::test]
async fn the_openai_python_sdk_has_its_responses() -> Result<()> {
    run_python("openai_responses.py").await
}

#[tokio::test]
async fn the_google_python_sdk_is_served_and_refused_in_its_own_terms() -> Result<()> {
    run_python("google_genai.py").await
}

#[tokio::test]
async fn the_google_node_sdk_works() -> Result<()> {
    run_node("google.mjs").await
}
