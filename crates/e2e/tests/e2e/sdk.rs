//! The official SDKs, unmodified, against a running gateway: what they send is served, and what they
//! are refused they raise as their own typed errors.
//!
//! The scripts are in `tests/sdk`; each takes the gateway's address, keys and models from its
//! arguments as one JSON object and exits with 0 when all its checks hold.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::environment::{node_scripts, python, repository};
use testkit::gateway::Options;
use testkit::script::Script;
use testkit::surface::{CHAT, MESSAGES};
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
    let plan = json!({
        "url": stage.gateway.url(), "key": stage.key, "narrow_key": narrow,
        "chat_model": "demo-chat", "embedding_model": "demo-embed", "moderation_model": "demo-moderation",
        "silent_chat": "silent-openai_chat", "off_chat": "off-openai_chat",
        "silent_messages": "silent-anthropic_messages", "off_messages": "off-anthropic_messages",
    });
    Ok((stage, silent, plan))
}

async fn run(program: &Path, script: &Path, plan: &Value) -> Result<()> {
    let mut command = Command::new(program);
    command.arg(script).arg(plan.to_string()).kill_on_drop(true);
    for name in
        ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"]
    {
        command.env_remove(name);
    }
    let output =
        tokio::time::timeout(SCRIPT_LIMIT, command.output()).await.context("the script takes too long")??;
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{out}");
    ensure!(output.status.success(), "{}: {}\n{out}\n{errors}", script.display(), output.status);
    Ok(())
}

async fn run_python(name: &str) -> Result<()> {
    let interpreter = python()?;
    let (_stage, _silent, plan) = prepare().await?;
    run(&interpreter, &repository().join("tests/sdk/python").join(name), &plan).await
}

async fn run_node(name: &str) -> Result<()> {
    let folder = node_scripts()?;
    let (_stage, _silent, plan) = prepare().await?;
    run(Path::new("node"), &folder.join(name), &plan).await
}

#[tokio::test]
async fn the_openai_python_sdk_is_served_and_refused_in_its_own_terms() -> Result<()> {
    run_python("openai_sdk.py").await
}

#[tokio::test]
async fn the_anthropic_python_sdk_is_served_and_refused_in_its_own_terms() -> Result<()> {
    run_python("anthropic_sdk.py").await
}

#[tokio::test]
async fn the_openai_node_sdk_works() -> Result<()> {
    run_node("openai.mjs").await
}

#[tokio::test]
async fn the_anthropic_node_sdk_works() -> Result<()> {
    run_node("anthropic.mjs").await
}
