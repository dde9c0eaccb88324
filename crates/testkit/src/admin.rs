//! The administrator of a gateway under test: signed in, speaking the administration API.

use anyhow::{Context, Result, ensure};
use model::NanoUsd;
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
        let (_, key) = self.create_key(&json!({"name": name, "rate_limit": unlimited()})).await?;
        Ok(key)
    }

    /// Creates a key without limits but with these quotas ([`quota`] makes one), and gives its id and its
    /// text.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn key_with_quotas(&self, name: &str, quotas: &[Value]) -> Result<(String, String)> {
        self.create_key(&json!({"name": name, "rate_limit": unlimited(), "quota": quotas})).await
    }

    /// Creates a key without limits that spends a user's money and quotas, and gives its id and its text.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn key_of(&self, user: &str, name: &str) -> Result<(String, String)> {
        self.create_key(&json!({"name": name, "user_id": user, "rate_limit": unlimited()})).await
    }

    /// Creates a user whose wallet holds `balance`, a decimal of US dollars, and gives their id.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn user_with_balance(&self, email: &str, balance: &str) -> Result<String> {
        self.create_user(&json!({"email": email, "balance": balance})).await
    }

    /// Creates a user and gives their id.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn create_user(&self, body: &Value) -> Result<String> {
        let created = self.post("users", body).await?;
        Ok(created["id"].as_str().context("users: no id")?.to_owned())
    }

    /// Puts money into a user's wallet, or takes some out, and gives the new balance.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn adjust_balance(&self, user: &str, amount: &str, reason: &str) -> Result<NanoUsd> {
        let body = json!({"amount": amount, "reason": reason});
        let changed = self.post(&format!("users/{user}/balance"), &body).await?;
        money(&changed["balance"])
    }

    /// What a user's wallet holds, and how much of it running requests hold.
    ///
    /// # Errors
    /// When the answer is not a success, or the user has no wallet.
    pub async fn wallet(&self, user: &str) -> Result<(NanoUsd, NanoUsd)> {
        let shown = self.get(&format!("users/{user}")).await?;
        Ok((money(&shown["balance"])?, money(&shown["held"])?))
    }

    /// The windows of a key's own quotas, in the order of the quotas.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn windows(&self, key: &str) -> Result<Vec<Value>> {
        let shown = self.get(&format!("api-keys/{key}")).await?;
        shown["windows"].as_array().cloned().context("api-keys: no windows")
    }

    /// Every entry of the ledger that a filter such as `key_id=…` finds, newest first.
    ///
    /// # Errors
    /// When an answer is not a success.
    pub async fn ledger(&self, filter: &str) -> Result<Vec<Value>> {
        let (mut entries, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("ledger?limit={LARGEST_PAGE}&{filter}{cursor}")).await?;
            entries.extend(page["items"].as_array().context("ledger: no items")?.iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(entries),
            }
        }
    }

    /// Replaces the limits above keys and owners.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn set_limits(&self, limits: &Value) -> Result<Value> {
        self.send("PUT", "settings/limits", Some(limits)).await
    }

    /// Creates a tenant with what `more` says of it, such as its `rate_limit`.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn create_tenant(&self, id: &str, more: &Value) -> Result<Value> {
        self.create_party("tenants", id, more).await
    }

    /// Creates a group with what `more` says of it, such as its `quota`.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn create_group(&self, id: &str, more: &Value) -> Result<Value> {
        self.create_party("groups", id, more).await
    }

    async fn create_party(&self, noun: &str, id: &str, more: &Value) -> Result<Value> {
        let mut body = json!({"id": id});
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
            body.extend(more.clone());
        }
        self.post(noun, &body).await
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

/// The most entries that the administration API puts on a page.
const LARGEST_PAGE: u32 = 200;

/// A rate limit that limits nothing.
#[must_use]
pub fn unlimited() -> Value {
    json!({"rpm": null, "tpm": null, "rpd": null, "tpd": null, "concurrent": null, "burst": null})
}

/// A quota as bodies write it: `quota("cost", "daily", "0.5")`.
#[must_use]
pub fn quota(unit: &str, period: &str, limit: &str) -> Value {
    json!({"unit": unit, "period": period, "limit": limit})
}

fn money(value: &Value) -> Result<NanoUsd> {
    let text = value.as_str().with_context(|| format!("{value} is not an amount"))?;
    NanoUsd::parse(text).with_context(|| format!("{text} is not an amount"))
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
