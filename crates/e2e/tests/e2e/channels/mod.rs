//! The channels: who may come in by which path with which credential, and what they get there.

mod carriers;
mod external;
mod internal;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::admin::Admin;
use testkit::gateway::Options;
use testkit::http::{Answer, Request};
use testkit::surface::CHAT;

use crate::stage::{IN_FORCE, Stage};

const ADMIN_TOKEN: &str = "an-admin-token-of-more-than-32-characters";
const PASSWORD: &str = "correct horse battery";

/// A gateway with the demo's provider and one credential of every kind.
struct Channels {
    stage: Stage,
    /// Of an internal key.
    internal: String,
    trial: String,
    /// The access token of a plain user, and the user.
    token: String,
    user: String,
    /// What an internal key was exchanged for.
    exchanged: String,
}

impl Channels {
    async fn start() -> Result<Self> {
        let stage = Stage::start(Options::demo().env("ADMIN_TOKEN", ADMIN_TOKEN)).await?;
        let key = async |kind: &str| -> Result<String> {
            Ok(stage.admin.create_key(&json!({"name": kind, "kind": kind})).await?.1)
        };
        let (trial, internal) = (key("trial").await?, key("internal").await?);
        stage.gateway.offers(&internal, &[], IN_FORCE).await?;
        let body = json!({"email": "ann@example.com", "password": PASSWORD, "balance": "0"});
        let user = stage.admin.create_user(&body).await?;
        let signed_in = Admin::sign_in(stage.gateway.address(), "ann@example.com", PASSWORD).await?;
        let token = signed_in.token().to_owned();
        let request = Request::post("/api/v1/auth/token", "").bearer(&internal);
        let exchanged = stage.gateway.call(&request).await?.json()["access_token"]
            .as_str()
            .map(str::to_owned)
            .context("the key is not exchanged")?;
        Ok(Self { stage, internal, trial, token, user, exchanged })
    }

    /// A chat request on the internal channel.
    async fn chat(&self, bearer: &str, body: &Value) -> Result<Answer> {
        let request = Request::post("/internal/v1/chat/completions", body.to_string()).bearer(bearer);
        self.stage.gateway.call(&request).await
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.stage.gateway.call(&Request::get(path).bearer(&self.internal)).await?;
        ensure!(answer.status() == 200, "{path}: {} {}", answer.status(), answer.text());
        Ok(answer.json())
    }
}

fn demo_chat(stream: bool) -> Value {
    CHAT.request(CHAT.demo_model, stream)
}

/// Checks an error in the gateway's own envelope.
fn ensure_native(answer: &Answer, status: u16, code: &str) -> Result<()> {
    let (body, shown) = (answer.json(), format!("{} {}", answer.status(), answer.text()));
    ensure!(answer.status() == status && answer.code() == Some(code), "not {status} {code}: {shown}");
    ensure!(body["code"] == code && body["message"].is_string() && body["hint"].is_string(), "{shown}");
    ensure!(body["trace_id"] == *answer.header("x-trace-id").unwrap_or_default(), "{shown}");
    Ok(())
}
