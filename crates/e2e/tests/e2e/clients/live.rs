//! Real client programs, each doing a real tool loop against a provider of another vendor's dialect: the
//! program asks, the provider calls a tool, the program runs it on a real file, the provider tells what it
//! said. Only with `cargo xtask test --clients`, which installs the programs; the results become
//! docs/clients.md.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::admin::UPSTREAM_CREDENTIAL;
use testkit::environment::{clients, inherited};
use testkit::gateway::{Folder, Options};
use testkit::scripted::Provider;
use testkit::upstream::Upstream;
use tokio::process::Command;

use crate::stage::Stage;

/// What only the file says.
const WORD: &str = "xyzzy-4711";
/// How long a program may take.
const LIMIT: Duration = Duration::from_secs(120);

/// A gateway with one account, whose provider works with real tools, and a folder with a file in it.
struct Scene {
    stage: Stage,
    _upstream: Upstream,
    folder: Folder,
    model: String,
}

impl Scene {
    async fn set(provider: Provider, models: &[&str], tool: &'static str, args: Value) -> Result<Self> {
        let stage = Stage::start(Options::default()).await?;
        let folder = Folder::temporary()?;
        let file = folder.path().join("word.txt");
        std::fs::write(&file, format!("The word is {WORD}\n"))?;
        let path = file.to_string_lossy().into_owned();
        let args: Value = serde_json::from_str(&args.to_string().replace("$FILE", &path))?;
        let upstream = Upstream::start(move |received| provider.work(received, tool, &args, WORD)).await?;
        let mut account = provider.account(&upstream.url(), UPSTREAM_CREDENTIAL);
        account["models"] = models.iter().map(|model| provider.model(model, model)).collect();
        stage.create(&account).await?;
        Ok(Self {
            stage,
            _upstream: upstream,
            folder,
            model: (*models.first().context("no model")?).to_owned(),
        })
    }

    /// Runs a program in the folder, with nothing of this process's environment but the path.
    async fn run(&self, program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<String> {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path()).env_clear().kill_on_drop(true);
        command.env("PATH", inherited("PATH").unwrap_or_default()).env("HOME", self.folder.path());
        command.envs(environment.iter().copied()).stdin(Stdio::null());
        let output = tokio::time::timeout(LIMIT, command.output()).await.context("it takes too long")??;
        let (out, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let log = self.stage.gateway.log();
        let tail = log.get(log.len().saturating_sub(2000)..).unwrap_or_default();
        ensure!(output.status.success(), "{}: {out}\n{errors}\n{tail}", output.status);
        ensure!(out.contains(WORD), "it does not tell the word: {out}\n{errors}\n{tail}");
        Ok(out.into_owned())
    }

    /// What the gateway says of the requests for its first model.
    async fn records(&self) -> Result<Vec<Value>> {
        self.stage.gateway.records(&self.stage.admin, &format!("model={}", self.model), 2).await
    }
}

/// Prints a row of the table, which `xtask` collects.
pub(super) fn row(client: &str, version: &str, dialects: (&str, Provider), verdict: &str) {
    println!("CLIENT | {client} | {version} | {} | {} | {verdict} |", dialects.0, dialects.1.name());
}

async fn version(program: &Path) -> Result<String> {
    let output = Command::new(program).arg("--version").output().await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    Ok(text.split_whitespace().find(number).unwrap_or("unknown").to_owned())
}

/// The program of that name; `None` when clients are not to be run.
fn installed(name: &str) -> Option<std::path::PathBuf> {
    let folder = clients();
    if folder.is_none() {
        println!("skipped: run with cargo xtask test --clients");
    }
    folder.map(|folder| folder.join("node_modules/.bin").join(name))
}

#[tokio::test]
async fn claude_code_reads_a_file_by_models_of_other_vendors() -> Result<()> {
    let Some(program) = installed("claude") else { return Ok(()) };
    let version = version(&program).await?;
    for provider in Provider::ALL {
        let scene = Scene::set(provider, &["claude-live"], "Read", json!({"file_path": "$FILE"})).await?;
        let url = scene.stage.gateway.url();
        let environment = [
            ("ANTHROPIC_BASE_URL", url.as_str()),
            ("ANTHROPIC_AUTH_TOKEN", scene.stage.key.as_str()),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("ANTHROPIC_SMALL_FAST_MODEL", "claude-live"),
            ("DISABLE_AUTOUPDATER", "1"),
        ];
        let question = "Read word.txt and tell me the word in it.";
        let arguments =
            ["-p", question, "--output-format", "json", "--model", "claude-live", "--allowedTools", "Read"];
        scene.run(&program, &arguments, &environment).await?;
        let records = scene.records().await?;
        ensure!(records.iter().all(|record| record["status"] == 200), "{records:?}");
        ensure!(records.iter().all(|record| record["program"]["program"] == "claude-cli"), "{records:?}");
        row("Claude Code", &version, ("anthropic_messages", provider), "tool loop");
    }
    Ok(())
}

#[tokio::test]
async fn codex_runs_a_command_by_models_of_other_vendors() -> Result<()> {
    let Some(program) = installed("codex") else { return Ok(()) };
    let version = version(&program).await?;
    for provider in Provider::ALL {
        let scene =
            Scene::set(provider, &["codex-live"], "exec_command", json!({"cmd": "cat $FILE"})).await?;
        let url = format!("{}/codex/v1", scene.stage.gateway.url());
        let configuration = format!(
            "model = \"codex-live\"\nmodel_provider = \"gw\"\n[model_providers.gw]\nname = \"gw\"\n\
             base_url = \"{url}\"\nenv_key = \"GATEWAY_KEY\"\nwire_api = \"responses\"\n"
        );
        let home = scene.folder.path().join(".codex");
        std::fs::create_dir_all(&home)?;
        std::fs::write(home.join("config.toml"), configuration)?;
        let environment = [("GATEWAY_KEY", scene.stage.key.as_str())];
        let question = "Print the file word.txt and tell me the word in it.";
        let arguments = [
            "exec",
            "--skip-git-repo-check",
            "--dangerously-bypass-approvals-and-sandbox",
            "--json",
            question,
        ];
        let out = scene.run(&program, &arguments, &environment).await?;
        ensure!(out.contains("turn.completed"), "{out}");
        let records = scene.records().await?;
        ensure!(records.iter().all(|record| record["status"] == 200), "{records:?}");
        ensure!(records.iter().all(|record| record["program"]["thread"].is_string()), "{records:?}");
        row("Codex", &version, ("openai_responses", provider), "tool loop");
    }
    Ok(())
}

/// What Gemini CLI asks which model suits a question, before it asks that one (clients reference §1.4).
const GEMINI_ROUTER: &str = "gemini-3.5-flash-lite";
/// That, and what it chooses by the answer: the second for simple questions.
const GEMINI_MODELS: [&str; 3] = [GEMINI_ROUTER, "gemini-3.8-flash", "gemini-3.1-pro-preview"];

/// Without a model named it routes by a call of its own; the key comes in both headers.
#[tokio::test]
async fn gemini_cli_reads_a_file_by_models_of_other_vendors() -> Result<()> {
    let Some(program) = installed("gemini") else { return Ok(()) };
    let version = version(&program).await?;
    for provider in Provider::ALL {
        let args = json!({"file_path": "$FILE"});
        let scene = Scene::set(provider, &GEMINI_MODELS, "read_file", args).await?;
        let home = scene.folder.path().join(".gemini");
        std::fs::create_dir_all(&home)?;
        let settings = json!({
            "security": {"auth": {"selectedType": "gemini-api-key"}},
            "privacy": {"usageStatisticsEnabled": false}, "general": {"enableAutoUpdate": false},
        });
        std::fs::write(home.join("settings.json"), settings.to_string())?;
        let url = scene.stage.gateway.url();
        let environment = [
            ("GOOGLE_GEMINI_BASE_URL", url.as_str()),
            ("GEMINI_API_KEY", scene.stage.key.as_str()),
            ("GEMINI_API_KEY_AUTH_MECHANISM", "bearer"),
            ("GEMINI_CLI_TRUST_WORKSPACE", "true"),
        ];
        let question = "Read word.txt and tell me the word in it.";
        let arguments = ["-p", question, "--approval-mode", "yolo", "--output-format", "json"];
        let out = scene.run(&program, &arguments, &environment).await?;
        let told: Value = serde_json::from_str(&out).context("it prints no JSON")?;
        ensure!(told["stats"]["tools"]["totalSuccess"] == 1, "{out}");
        let scene = &scene;
        let records = |model: &'static str, count| {
            let filter = format!("model={model}");
            async move { scene.stage.gateway.records(&scene.stage.admin, &filter, count).await }
        };
        let (routed, asked) = (records(GEMINI_MODELS[0], 1).await?, records(GEMINI_MODELS[1], 2).await?);
        ensure!(routed.len() == 1 && asked.len() == 2, "{routed:?} {asked:?}");
        ensure!(routed.iter().chain(&asked).all(|record| record["status"] == 200), "{routed:?} {asked:?}");
        row("Gemini CLI", &version, ("gemini", provider), "routing call and tool loop");
    }
    Ok(())
}

/// Its title and its turn are asked for at one time.
#[tokio::test]
async fn opencode_reads_a_file_by_models_of_other_vendors() -> Result<()> {
    let Some(program) = installed("opencode") else { return Ok(()) };
    let version = version(&program).await?;
    for provider in Provider::ALL {
        let scene = Scene::set(provider, &["open-live"], "read", json!({"filePath": "$FILE"})).await?;
        let configuration = json!({
            "autoupdate": false, "share": "disabled",
            "provider": {"gw": {
                "npm": "@ai-sdk/openai-compatible",
                "options": {"baseURL": format!("{}/v1", scene.stage.gateway.url()), "apiKey": scene.stage.key},
                "models": {"open-live": {"tool_call": true}},
            }},
        });
        std::fs::write(scene.folder.path().join("opencode.json"), configuration.to_string())?;
        let environment = [("OPENCODE_DISABLE_AUTOUPDATE", "1"), ("OPENCODE_DISABLE_MODELS_FETCH", "1")];
        let question = "Read word.txt and tell me the word in it.";
        scene.run(&program, &["run", "--model", "gw/open-live", question], &environment).await?;
        let records = scene.records().await?;
        ensure!(records.iter().all(|record| record["status"] == 200), "{records:?}");
        row("opencode", &version, ("openai_chat", provider), "tool loop");
    }
    Ok(())
}

/// It calls no tools: the file is in what it asks with, and the answer is streamed.
#[tokio::test]
async fn aider_asks_about_a_file_at_models_of_other_vendors() -> Result<()> {
    let Some(folder) = clients() else {
        println!("skipped: run with cargo xtask test --clients");
        return Ok(());
    };
    let program = folder.join("aider/bin/aider");
    let version = version(&program).await?;
    for provider in Provider::ALL {
        let scene = Scene::set(provider, &["aid-live"], "none", json!({})).await?;
        let url = format!("{}/v1", scene.stage.gateway.url());
        let environment = [("OPENAI_API_BASE", url.as_str()), ("OPENAI_API_KEY", scene.stage.key.as_str())];
        let arguments = [
            "--model=openai/aid-live",
            "--message=Which word is in the file?",
            "--chat-mode=ask",
            "--yes-always",
            "--no-git",
            "--no-check-update",
            "--analytics-disable",
            "--no-show-model-warnings",
            "word.txt",
        ];
        scene.run(&program, &arguments, &environment).await?;
        let records = scene.stage.gateway.records(&scene.stage.admin, "model=aid-live", 1).await?;
        ensure!(records.iter().all(|record| record["status"] == 200), "{records:?}");
        row("aider", &version, ("openai_chat", provider), "question about a file, streamed");
    }
    Ok(())
}

/// Frameworks that bring their own clients: a tool loop each, streamed and whole.
#[tokio::test]
async fn langchain_and_litellm_work_at_every_provider() -> Result<()> {
    let Some(folder) = clients() else {
        println!("skipped: run with cargo xtask test --clients");
        return Ok(());
    };
    let script = testkit::environment::repository().join("tests/clients/frameworks.py");
    for provider in Provider::ALL {
        let scene = Scene::set(provider, &["loop-live"], "read_file", json!({"path": "$FILE"})).await?;
        let plan = json!({"url": scene.stage.gateway.url(), "key": scene.stage.key, "model": "loop-live"});
        let (script, plan) = (script.to_string_lossy().into_owned(), plan.to_string());
        let out = scene.run(&folder.join("venv/bin/python"), &[&script, &plan], &[]).await?;
        for line in out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            row(
                &text("client"),
                &text("version"),
                (&text("dialect"), provider),
                "tool loop, streamed and whole",
            );
        }
    }
    Ok(())
}
