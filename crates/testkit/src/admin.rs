//! The administrator of a gateway under test: signed in, speaking the administration API.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::http::{Answer, Request, call};
use crate::surface::Surface;

/// A signed-in administrator.
#[derive(Clone, Debug)]
pub struct Admin {
    address: String,
    token: String,
}

impl Admin {
    /// Signs in.
    ///
    /// # Errors
    /// When the gateway refuses the password.
    pub async fn sign_in(address: &str, email: &str, password: &str) -> Result<Self> {
        let body = json!({"email": email, "password": password}).to_string();
        let answer = call(address, &Request::post("/api/v1/auth/login", body)).await?;
        ensure!(answer.status() == 200, "login: {} {}", answer.status(), answer.text());
        let answer = answer.json();
        let token = answer["access_token"].as_str().context("login gave no access_token")?;
        Ok(Self::with_token(address, token))
    }

    /// Uses a token that is already there.
    #[must_use]
    pub fn with_token(address: &str, token: &str) -> Self {
        Self { address: address.to_owned(), token: token.to_owned() }
    }

    /// The access token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Sends a request to the administration API, whatever its answer.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn try_send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        let target = format!("/api/v1/admin/{path}");
        let mut request = Request::new(method, &target).bearer(&self.token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        call(&self.address, &request).await
    }

    /// Sends a request that must succeed, and gives the JSON of its answer.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let answer = self.try_send(method, path, body).await?;
        let success = (200..300).contains(&answer.status());
        ensure!(success, "{method} {path}: {} {}", answer.status(), answer.text());
        Ok(answer.json())
    }

    /// Reads.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.send("GET", path, None).await
    }

    /// Creates or acts.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.send("POST", path, Some(body)).await
    }

    /// Creates a key and gives its id and its text.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn create_key(&self, body: &Value) -> Result<(String, String)> {
        let created = self.post("api-keys", body).await?;
        let field =
            |name: &str| created[name].as_str().map(str::to_owned).context("api-keys: a field is missing");
        Ok((field("id")?, field("key")?))
    }

    /// Creates a key without limits.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn unlimited_key(&self, name: &str) -> Result<String> {
        let limits =
            json!({"rpm": null, "tpm": null, "rpd": null, "tpd": null, "concurrent": null, "burst": null});
        let (_, key) = self.create_key(&json!({"name": name, "rate_limit": limits})).await?;
        Ok(key)
    }

    /// Creates an account and gives its id.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn create_account(&self, body: &Value) -> Result<String> {
        let created = self.post("accounts", body).await?;
        Ok(created["id"].as_str().context("accounts: no id")?.to_owned())
    }
}

/// The credential of accounts that a test creates without naming one.
pub const UPSTREAM_CREDENTIAL: &str = "sk-upstream-0123456789abcdef";

/// An account at `origin` that serves one surface's dialect and offers `models`.
#[must_use]
pub fn account(name: &str, surface: &Surface, origin: &str, models: &Value) -> Value {
    json!({
        "name": name,
        "provider": surface.preset(),
        "base_url": surface.base_url(origin),
        "credential": {"type": "api_key", "api_key": UPSTREAM_CREDENTIAL},
        "models": models,
        "allow_private": true,
    })
}
