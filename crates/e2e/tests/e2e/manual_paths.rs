//! The debugging paths of earlier gateways' manuals, on the operator's listener.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::gateway::{Gateway, Options};
use testkit::http::{Answer, Request, call};

const ADMIN_TOKEN: &str = "planted-admin-token-of-more-than-32-characters";

struct Operator {
    gateway: Gateway,
    address: String,
}

impl Operator {
    async fn start() -> Result<Self> {
        let port = tokio::net::TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let options = Options::demo()
            .env("YUMEN_OPS_LISTEN", &address)
            .env("ADMIN_TOKEN", ADMIN_TOKEN)
            .env("OPENAI_API_KEY", "planted-provider-key")
            .env("LOG_LEVEL", "info");
        Ok(Self { gateway: Gateway::start(options).await?, address })
    }

    async fn get(&self, target: &str) -> Result<Answer> {
        call(&self.address, &Request::get(target)).await
    }
}

#[tokio::test]
async fn configurations_are_shown_without_a_secret() -> Result<()> {
    let operator = Operator::start().await?;
    for path in ["/mosng/config", "/console/config", "/mosng/config/query", "/mosng/config/query?name=env"] {
        let answer = operator.get(path).await?;
        ensure!(answer.status() == 200, "{path}: {} {}", answer.status(), answer.text());
        ensure!(!answer.text().contains("planted"), "{path}: {}", answer.text());
        let accounts = answer.json()["accounts"].clone();
        let known = |name: &str| accounts.as_array().into_iter().flatten().any(|one| one["name"] == name);
        ensure!(known("env-openai") && (known("demo") || path.contains("name=")), "{path}: {accounts}");
    }
    let all = operator.get("/mosng/config").await?.json();
    let token: Vec<&Value> =
        all["settings"].as_array().into_iter().flatten().filter(|one| one["name"] == "admin_token").collect();
    ensure!(token.len() == 1 && token[0]["value"] == "(secret)", "{token:?}");
    Ok(())
}

#[tokio::test]
async fn the_log_level_is_set_from_this_machine_alone() -> Result<()> {
    let operator = Operator::start().await?;
    let set = operator.get("/tool/setLogLevel?level=DEBUG").await?;
    ensure!(set.status() == 200 && set.json() == json!({"ok": true, "level": "DEBUG"}), "{}", set.text());
    let odd = operator.get("/tool/setLogLevel?level=chatty").await?;
    ensure!(odd.status() == 400 && odd.json()["code"] == "INVALID_REQUEST", "{}", odd.text());
    for (request, status, code) in [
        (Request::get("/tool/setLogLevel?level=INFO").header("host", "evil.example"), 403, "SCOPE_DENIED"),
        (Request::get("/mosng/config").header("host", "10.0.0.1"), 403, "SCOPE_DENIED"),
        (Request::post("/tool/setLogLevel?level=INFO", ""), 405, "METHOD_NOT_ALLOWED"),
    ] {
        let answer = call(&operator.address, &request).await?;
        ensure!(answer.status() == status && answer.json()["code"] == code, "{}", answer.text());
    }
    let log = operator.gateway.admin().await?.get("audit-log?limit=20").await?;
    let mut entries = log["items"].as_array().into_iter().flatten();
    let entry = entries.find(|entry| entry["verb"] == "settings.log-level");
    ensure!(entry.is_some_and(|entry| entry["actor"] == "operator"), "{log}");
    let nothing = operator.get("/v1/models").await?;
    ensure!(nothing.status() == 404 && nothing.json()["code"] == "NOT_FOUND", "{}", nothing.text());
    // Nothing of it is on the public socket.
    for path in ["/tool/setLogLevel?level=DEBUG", "/mosng/config", "/console/config"] {
        let answer = operator.gateway.call(&Request::get(path)).await?;
        ensure!(answer.status() == 404, "{path}: {} {}", answer.status(), answer.text());
    }
    let ready = operator.get("/actuator/readiness").await?;
    ensure!(ready.status() == 200 && ready.json()["status"] == "UP", "{}", ready.text());
    Ok(())
}
