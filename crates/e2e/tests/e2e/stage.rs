//! The usual set-up: a gateway, its administrator, a key without limits, and accounts at test upstreams.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::admin::{Admin, account};
use testkit::gateway::{Gateway, Options};
use testkit::http::{Answer, Connection, Request};
use testkit::outcome::Outcome;
use testkit::surface::{CHAT, Dialect, Surface};
use testkit::upstream::Upstream;

/// How soon a change of the configuration must be in force.
pub(crate) const IN_FORCE: Duration = Duration::from_secs(1);

pub(crate) struct Stage {
    pub(crate) gateway: Gateway,
    pub(crate) admin: Admin,
    pub(crate) key: String,
}

impl Stage {
    pub(crate) async fn start(options: Options) -> Result<Self> {
        let gateway = Gateway::start(options).await?;
        let admin = gateway.admin().await?;
        let key = admin.unlimited_key("stage").await?;
        gateway.offers(&key, &[], Duration::from_secs(5)).await?;
        Ok(Self { gateway, admin, key })
    }

    /// Opens streams of a model on as many connections, each with its head read.
    pub(crate) async fn open_streams(&self, model: &str, count: usize) -> Result<Vec<Connection>> {
        let request = self.request(&CHAT, &CHAT.request(model, true));
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            let mut connection = self.gateway.connect().await?;
            connection.send(&request).await?;
            connection.arriving().await?;
            connections.push(connection);
        }
        Ok(connections)
    }

    /// Creates an account as given and waits until its models are offered.
    pub(crate) async fn create(&self, body: &Value) -> Result<String> {
        let id = self.admin.create_account(body).await?;
        let models: Vec<String> = public_names(&body["models"]);
        self.gateway.offers(&self.key, &models, IN_FORCE).await?;
        Ok(id)
    }

    /// Creates an account at an upstream that offers one model.
    pub(crate) async fn account(
        &self,
        name: &str,
        surface: &Surface,
        at: &Upstream,
        model: &str,
    ) -> Result<String> {
        self.create(&account(name, surface, &at.url(), &json!([surface.model(model)]))).await
    }

    /// Sends a small request to a surface.
    pub(crate) async fn ask(&self, surface: &Surface, model: &str, stream: bool) -> Result<Answer> {
        let body = surface.request(model, stream).to_string();
        let request = Request::post(&surface.path_for(model, stream), body).bearer(&self.key);
        self.gateway.call(&request).await
    }

    /// Sends a body to a surface.
    pub(crate) async fn send(&self, surface: &Surface, body: &Value) -> Result<Answer> {
        self.gateway.call(&self.request(surface, body)).await
    }

    pub(crate) fn request(&self, surface: &Surface, body: &Value) -> Request {
        Request::post(surface.path, body.to_string()).bearer(&self.key)
    }

    pub(crate) async fn record(&self, answer: &Answer) -> Result<Value> {
        self.gateway.record(&self.admin, answer).await
    }
}

/// The time that many seconds from now, as the administration API writes times.
#[expect(clippy::disallowed_methods, reason = "the gateway under test reads the real clock too")]
pub(crate) fn in_seconds(seconds: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let ms = u64::try_from(now.as_millis()).unwrap_or_default();
    model::clock::rfc3339(ms + seconds * 1_000)
}

fn public_names(models: &Value) -> Vec<String> {
    let name = |model: &Value| model["name"].as_str().or(model.as_str()).map(str::to_owned);
    models.as_array().into_iter().flatten().filter_map(name).collect()
}

/// Changes a field of an account's JSON.
pub(crate) fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

pub(crate) fn ensure_complete(surface: &Surface, stream: bool, answer: &Answer) -> Result<()> {
    let outcome = Outcome::of(surface.dialect, stream, answer);
    ensure!(
        outcome == Outcome::Complete,
        "{} {outcome:?}: {} {}",
        surface.name,
        answer.status(),
        answer.text()
    );
    Ok(())
}

/// Checks an error's status, code and envelope against its dialect.
pub(crate) fn ensure_error(dialect: Dialect, answer: &Answer, status: u16, code: &str) -> Result<()> {
    let shown = format!("{} {:?} {}", answer.status(), answer.head.headers, answer.text());
    ensure!(answer.status() == status, "status is not {status}: {shown}");
    ensure!(answer.code() == Some(code), "x-yumen-code is not {code}: {shown}");
    let body = answer.json();
    let typed = dialect == Dialect::Gemini || body["error"]["type"].is_string();
    ensure!(body["error"]["message"].is_string() && typed, "no error: {shown}");
    match dialect {
        Dialect::OpenAi => ensure!(body["error"]["code"] == code, "error.code is not {code}: {shown}"),
        Dialect::Gemini => ensure!(body["error"]["status"].is_string(), "no error.status: {shown}"),
        Dialect::Anthropic => {
            ensure!(body["type"] == "error", "type is not error: {shown}");
            ensure!(body["request_id"] == answer.request_id()?, "request_id differs: {shown}");
            ensure!(
                answer.header("request-id") == answer.header("x-request-id"),
                "request-id differs: {shown}"
            );
        }
    }
    Ok(())
}
