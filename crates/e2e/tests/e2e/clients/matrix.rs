//! Every client dialect at every provider dialect, judged by the official SDKs: what the SDK parses must be
//! what the scripted provider said, and what the provider was asked must hold what the case needs.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use testkit::admin::UPSTREAM_CREDENTIAL;
use testkit::environment::{node_scripts, openai_schema, python, repository, without_settings};
use testkit::gateway::Options;
use testkit::scripted::{CASES, Provider};
use testkit::upstream::Upstream;
use tokio::process::Command;

use super::live::row;
use crate::stage::Stage;

/// How long one SDK may take for all its cases.
const SCRIPT_LIMIT: Duration = Duration::from_secs(300);

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

/// The languages whose SDKs judge.
#[derive(Clone, Copy, Debug)]
enum Language {
    Python,
    Node,
}

impl Language {
    /// The interpreter with its script.
    fn command(self) -> Result<Command> {
        let (interpreter, script) = match self {
            Self::Python => (python()?, repository().join("tests/sdk/python/matrix.py")),
            Self::Node => ("node".into(), node_scripts()?.join("matrix.mjs")),
        };
        let mut command = Command::new(interpreter);
        command.arg(script);
        Ok(command)
    }

    /// The package that speaks a dialect.
    fn package(self, client: &str) -> String {
        let name = match (self, client) {
            (Self::Python, "anthropic_messages") => "anthropic",
            (Self::Python, "gemini") => "google-genai",
            (Self::Node, "anthropic_messages") => "@anthropic-ai/sdk",
            (Self::Node, "gemini") => "@google/genai",
            _ => "openai",
        };
        format!("{name} ({self:?})")
    }
}

/// Lets one SDK play all cases at all providers; returns what it printed.
async fn play(stage: &Stage, language: Language, clients: &[&str]) -> Result<Vec<Value>> {
    let providers = Provider::ALL.map(Provider::name);
    let plan = json!({
        "url": stage.gateway.url(), "key": stage.key,
        "clients": clients, "providers": providers, "cases": CASES,
        "schema": openai_schema(),
    });
    let mut command = language.command()?;
    command.arg(plan.to_string()).kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    without_settings(&mut command);
    let output =
        tokio::time::timeout(SCRIPT_LIMIT, command.output()).await.context("the SDK takes too long")??;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

async fn check(language: Language, clients: &[&str]) -> Result<()> {
    let (stage, _upstreams) = stage().await?;
    let lines = play(&stage, language, clients).await?;
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
            row(&language.package(client), version, (client, provider), &format!("{cases} of {cases} cases"));
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_openai_python_sdk_reads_every_provider_as_chat_and_as_responses() -> Result<()> {
    check(Language::Python, &["openai_chat", "openai_responses"]).await
}

#[tokio::test]
async fn the_anthropic_python_sdk_reads_every_provider() -> Result<()> {
    check(Language::Python, &["anthropic_messages"]).await
}

#[tokio::test]
async fn the_google_python_sdk_reads_every_provider() -> Result<()> {
    check(Language::Python, &["gemini"]).await
}

#[tokio::test]
async fn the_openai_node_sdk_reads_every_provider_as_chat_and_as_responses() -> Result<()> {
    check(Language::Node, &["openai_chat", "openai_responses"]).await
}

#[tokio::test]
async fn the_anthropic_node_sdk_reads_every_provider() -> Result<()> {
    check(Language::Node, &["anthropic_messages"]).await
}

#[tokio::test]
async fn the_google_node_sdk_reads_every_provider() -> Result<()> {
    check(Language::Node, &["gemini"]).await
}
