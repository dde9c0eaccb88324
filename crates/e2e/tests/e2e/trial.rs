//! The small deployment: what the environment alone makes, keys for trial users, and what they may do.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::canned;
use testkit::environment::{binary, python, repository};
use testkit::gateway::{Folder, Gateway, Options, Turn};
use testkit::http::{Answer, Request, call};
use testkit::surface::CHAT;
use testkit::upstream::Upstream;
use tokio::process::Command;

use crate::stage::ensure_error;

const ADMIN_TOKEN: &str = "an-admin-token-of-more-than-32-characters";
/// A model of the preset `deepseek`, and one of `openai`.
const MODELS: [&str; 2] = ["deepseek-chat", "gpt-4o-mini"];
/// Access contract, §6.
const MOST_RESIDENT_KB: u64 = 64 << 10;
/// A start on an empty data directory (docs/trial-deployment.md).
const START_LIMIT: Duration = Duration::from_secs(1);
/// Starts that are measured. The fastest counts: what else the machine does can only make one slower.
const STARTS: usize = 3;

struct Deployment {
    gateway: Gateway,
    upstream: Upstream,
}

impl Deployment {
    async fn start() -> Result<Self> {
        Self::start_in(Turn::default()).await
    }

    async fn start_in(turn: Turn) -> Result<Self> {
        let upstream = Upstream::always(canned::answer(&CHAT, "m", false)).await?;
        let base = format!("{}/v1", upstream.url());
        let mut options = Options::default().env("ADMIN_TOKEN", ADMIN_TOKEN).env("LOG_LEVEL", "WARNING");
        for provider in ["OPENAI", "DEEPSEEK"] {
            options = options
                .env(&format!("{provider}_API_KEY"), &format!("sk-{provider}-secret"))
                .env(&format!("{provider}_BASE_URL"), &base);
        }
        Ok(Self { gateway: Gateway::start(options.turn(turn)).await?, upstream })
    }

    async fn admin(&self, request: Request) -> Result<Answer> {
        self.gateway.call(&request.bearer(ADMIN_TOKEN)).await
    }

    /// A new key: its id and its text.
    async fn key(&self, body: &Value) -> Result<(String, String)> {
        let made = self.admin(Request::post("/admin/keys", body.to_string())).await?;
        ensure!(made.status() == 201, "{} {}", made.status(), made.text());
        let field = |name: &str| made.json()[name].as_str().map(str::to_owned).context("a field is missing");
        Ok((field("id")?, field("key")?))
    }

    async fn ask(&self, key: &str, model: &str) -> Result<Answer> {
        let body = CHAT.request(model, false).to_string();
        self.gateway.call(&Request::post(CHAT.path, body).bearer(key)).await
    }

    async fn check(&self, key: &str) -> Result<Answer> {
        self.gateway.call(&Request::get("/v1/quota/check").header("x-trial-key", key)).await
    }
}

#[tokio::test]
async fn a_trial_key_serves_its_quota_and_no_more() -> Result<()> {
    let deployment = Deployment::start().await?;
    let alive = deployment.gateway.call(&Request::get("/healthz")).await?;
    ensure!(alive.text() == r#"{"ok":true}"#, "{}", alive.text());

    let body = json!({"quota": 2, "expires_in": 3600, "label": "ann"});
    let (id, key) = deployment.key(&body).await?;
    for (used, model) in MODELS.into_iter().enumerate() {
        let standing = deployment.check(&key).await?;
        ensure!(standing.status() == 200 && standing.json()["valid"] == true, "{}", standing.text());
        ensure!(standing.json()["used"] == used && standing.json()["quota"] == 2, "{}", standing.text());
        let answer = deployment.ask(&key, model).await?;
        ensure!(answer.status() == 200, "{model}: {} {}", answer.status(), answer.text());
    }
    let received = deployment.upstream.received();
    let sent: Vec<_> = received.iter().filter_map(|request| request.header("authorization")).collect();
    ensure!(sent == ["Bearer sk-DEEPSEEK-secret", "Bearer sk-OPENAI-secret"], "{sent:?}");

    let refused = deployment.ask(&key, MODELS[0]).await?;
    ensure_error(CHAT.dialect, &refused, 403, "QUOTA_REQUEST_EXCEEDED")?;
    ensure!(deployment.upstream.count() == 2, "a refused request reached the upstream");
    let standing = deployment.check(&key).await?;
    ensure!(standing.status() == 200, "{}", standing.status());
    let expected = json!({"valid": false, "unit": "requests", "quota": 2, "used": 2, "remaining": 0});
    for (name, value) in expected.as_object().into_iter().flatten() {
        ensure!(standing.json()[name] == *value, "{name}: {}", standing.text());
    }

    let listed = deployment.admin(Request::get("/admin/keys")).await?;
    let item = &listed.json()["items"][0];
    ensure!(item["id"] == id && item["label"] == "ann" && item["status"] == "exhausted", "{}", listed.text());
    ensure!(!listed.text().contains(&key), "a key is shown in clear");
    let usage = testkit::wait::until("the usage", Duration::from_secs(5), async || {
        let usage = deployment.admin(Request::get(&format!("/admin/usage?key={id}"))).await?.json();
        Ok((usage["items"][0]["req_count"] == 2).then_some(usage))
    })
    .await?;
    ensure!(usage["mode"] == "sqlite" && usage["items"][0]["tokens"].as_u64() > Some(0), "{usage}");

    let ended = deployment.admin(Request::new("DELETE", &format!("/admin/keys/{id}"))).await?;
    ensure!(ended.status() == 204, "{}", ended.status());
    ensure_error(CHAT.dialect, &deployment.ask(&key, MODELS[0]).await?, 401, "API_KEY_REVOKED")?;
    ensure!(deployment.check(&key).await?.json()["valid"] == false, "a revoked key is valid");
    Ok(())
}

#[tokio::test]
async fn tokens_are_counted_where_the_quota_says_so() -> Result<()> {
    let deployment = Deployment::start().await?;
    let (_, key) = deployment.key(&json!({"quota": 1000, "unit": "tokens"})).await?;
    ensure!(deployment.ask(&key, MODELS[0]).await?.status() == 200, "the first is within the quota");
    let used = deployment.check(&key).await?.json();
    ensure!(used["unit"] == "tokens" && used["used"].as_i64() > Some(0) && used["valid"] == true, "{used}");
    let (_, little) = deployment.key(&json!({"quota": 1, "unit": "tokens"})).await?;
    ensure_error(CHAT.dialect, &deployment.ask(&little, MODELS[0]).await?, 403, "QUOTA_TOKEN_EXCEEDED")
}

#[tokio::test]
async fn who_is_not_known_here_is_told_so_in_the_right_envelope() -> Result<()> {
    let deployment = Deployment::start().await?;
    let (_, key) = deployment.key(&json!({"quota": 1, "expires_in": 1})).await?;
    let unknown = deployment.check("trial_unknown").await?;
    ensure!(unknown.status() == 401 && unknown.json()["code"] == "INVALID_API_KEY", "{}", unknown.text());
    ensure!(unknown.json()["trace_id"].is_string(), "{}", unknown.text());
    // The manuals' administrator has the token and nothing else.
    for token in ["", "wrong", &key] {
        let refused = deployment.gateway.call(&Request::get("/admin/keys").bearer(token)).await?;
        ensure!(refused.status() == 401 && refused.json()["code"] == "TOKEN_INVALID", "{}", refused.text());
    }
    testkit::wait::until("the end of the key", Duration::from_secs(5), async || {
        let standing = deployment.check(&key).await?;
        ensure!(standing.status() == 200, "{}", standing.text());
        Ok((standing.json()["valid"] == false).then_some(()))
    })
    .await?;
    ensure_error(CHAT.dialect, &deployment.ask(&key, MODELS[0]).await?, 401, "API_KEY_EXPIRED")
}

#[tokio::test]
async fn it_is_small_and_starts_soon() -> Result<()> {
    let mut started = Duration::MAX;
    for _ in 1..STARTS {
        started = started.min(Deployment::start_in(Turn::Alone).await?.gateway.started_in());
    }
    let deployment = Deployment::start_in(Turn::Alone).await?;
    started = started.min(deployment.gateway.started_in());
    let (_, key) = deployment.key(&json!({"quota": 1000})).await?;
    for _ in 0..200 {
        ensure!(deployment.ask(&key, MODELS[0]).await?.status() == 200, "a call failed");
    }
    let resident = deployment.gateway.rss_kb()?;
    println!("ready after {} ms, {resident} KiB resident after 200 calls", started.as_millis());
    ensure!(started < START_LIMIT, "{started:?}");
    ensure!(resident < MOST_RESIDENT_KB, "{resident} KiB");
    Ok(())
}

/// A port that is free now.
async fn free_port() -> Result<u16> {
    Ok(tokio::net::TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port())
}

#[tokio::test]
async fn a_file_of_variables_in_the_working_directory_is_enough() -> Result<()> {
    let upstream = Upstream::always(canned::answer(&CHAT, "m", false)).await?;
    let (folder, port) = (Folder::temporary()?, free_port().await?);
    let file = format!(
        "# the small deployment\nADMIN_TOKEN={ADMIN_TOKEN}\nPORT={port}\nDATABASE_URL=sqlite:./data/quota.sqlite3\n\
         LOG_LEVEL=INFO\nDEEPSEEK_API_KEY=sk-file\nDEEPSEEK_BASE_URL={}/v1\nYUMEN_OPS_LISTEN=off\n",
        upstream.url()
    );
    std::fs::write(folder.path().join(".env"), file)?;
    let mut command = Command::new(binary()?);
    command.arg("serve").env_clear().current_dir(folder.path()).kill_on_drop(true);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let address = format!("127.0.0.1:{port}");
    let made = testkit::wait::until("the gateway", START_LIMIT, async || {
        let body = json!({"quota": 1}).to_string();
        Ok(call(&address, &Request::post("/admin/keys", body).bearer(ADMIN_TOKEN)).await.ok())
    })
    .await?;
    let key = made.json()["key"].as_str().context("no key")?.to_owned();
    let request = Request::post(CHAT.path, CHAT.request(MODELS[0], false).to_string()).bearer(&key);
    let answer = call(&address, &request).await?;
    ensure!(answer.status() == 200, "{} {}", answer.status(), answer.text());
    ensure!(upstream.received()[0].header("authorization") == Some("Bearer sk-file"), "another credential");
    let files =
        ["data/quota.sqlite3", "data/keys", "data/journal"].map(|name| folder.path().join(name).exists());
    ensure!(files == [true; 3] && !folder.path().join("data/yumen.db").exists(), "{files:?}");
    let mut command = Command::new(binary()?);
    command.args(["db", "check", "--json"]).env_clear().current_dir(folder.path());
    let checked = String::from_utf8(command.output().await?.stdout)?;
    ensure!(checked.contains("\"file\":\"quota.sqlite3\""), "the command looks elsewhere: {checked}");
    child.kill().await?;
    Ok(())
}

#[tokio::test]
async fn the_openai_python_sdk_works_with_a_trial_key() -> Result<()> {
    let interpreter = python()?;
    let deployment = Deployment::start().await?;
    let (_, key) = deployment.key(&json!({"quota": 2})).await?;
    let (_, spent) = deployment.key(&json!({"quota": 1, "unit": "tokens"})).await?;
    let plan = json!({"url": deployment.gateway.url(), "key": key, "spent_key": spent, "models": MODELS});
    let script = repository().join("tests/sdk/python/trial_sdk.py");
    let mut command = Command::new(interpreter);
    command.arg(script).arg(plan.to_string()).env_remove("OPENAI_API_KEY").kill_on_drop(true);
    let output = command.output().await?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    Ok(())
}
