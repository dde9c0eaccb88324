//! Every client dialect at every provider dialect, judged by the official SDKs: what the SDK parses must be
//! what the scripted provider said, and what the provider was asked must hold what the case needs.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use testkit::admin::UPSTREAM_CREDENTIAL;
use testkit::environment::{python, repository};
use testkit::gateway::Options;
use testkit::scripted::{CASES, Provider};
use testkit::upstream::Upstream;
use tokio::process::Command;

use super::live::row;
use crate::stage::Stage;

/// How long one SDK may take for all its cases.
const SCRIPT_LIMIT: Duration = Duration::from_secs(240);

/// A gateway with an account at every scripted provider.
pub(super) async fn stage() -> Result<(Stage, Vec<Upstream>)> {
    let stage = Stage::start(Options::default()).await?;
    let mut upstreams = Vec::new();
    for provider in Provider::ALL {
        let upstream = Upstream::start(move |received| provider.answer(received)).await?;
        stage.create(&provider.account(&upstream.url(), UPSTREAM_CREDENTIAL)).await?;
        upstreams.push(upstream);
    }
    Ok((stage, upstreams))
}

/// Lets one SDK play all cases at all providers; returns what it printed.
async fn play(stage: &Stage, clients: &[&str]) -> Result<Vec<Value>> {
    let providers = Provider::ALL.map(Provider::name);
    let plan = json!({
        "url": stage.gateway.url(), "key": stage.key,
        "clients": clients, "providers": providers, "cases": CASES,
    });
    let mut command = Command::new(python()?);
    command.arg(repository().join("tests/sdk/python/matrix.py")).arg(plan.to_string()).kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in [
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "GEMINI_API_KEY",
        "GOOGLE_API_KEY",
        "HTTP_PROXY",
        "HTTPS_PROXY",
    ] {
        command.env_remove(name);
    }
    let output =
        tokio::time::timeout(SCRIPT_LIMIT, command.output()).await.context("the SDK takes too long")??;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

async fn check(clients: &[&str]) -> Result<()> {
    let (stage, _upstreams) = stage().await?;
    let lines = play(&stage, clients).await?;
    let expected = clients.len() * Provider::ALL.len() * CASES.len() * 2;
    ensure!(lines.len() == expected, "{} of {expected}", lines.len());
    let failed: Vec<String> = lines
        .iter()
        .filter(|line| !line["why"].is_null())
        .map(|line| {
            let how = if line["stream"] == true { "stream" } else { "whole" };
            let where_ = line["where"].as_str().unwrap_or_default();
            format!(
                "{} at {}, {} {how}: {}\n{where_}",
                line["client"], line["provider"], line["case"], line["why"]
            )
        })
        .collect();
    println!("{} combinations, {} failures", lines.len(), failed.len());
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
    }
    for client in clients {
        let version = lines.iter().find(|line| line["client"] == **client).map(|line| &line["version"]);
        let version = version.and_then(Value::as_str).unwrap_or("unknown");
        for provider in Provider::ALL {
            let cases = CASES.len() * 2;
            row(sdk(client), version, (client, provider), &format!("{cases} of {cases} cases"));
        }
    }
    Ok(())
}

/// The package that speaks a dialect.
fn sdk(client: &str) -> &'static str {
    match client {
        "anthropic_messages" => "anthropic (Python)",
        "gemini" => "google-genai (Python)",
        _ => "openai (Python)",
    }
}

#[tokio::test]
async fn the_openai_sdk_reads_every_provider_as_chat_and_as_responses() -> Result<()> {
    check(&["openai_chat", "openai_responses"]).await
}

#[tokio::test]
async fn the_anthropic_sdk_reads_every_provider() -> Result<()> {
    check(&["anthropic_messages"]).await
}

#[tokio::test]
async fn the_google_sdk_reads_every_provider() -> Result<()> {
    check(&["gemini"]).await
}
