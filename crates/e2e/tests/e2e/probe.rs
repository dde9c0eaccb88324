//! `POST /api/v1/admin/accounts/{id}/test`: what an administrator is told of an account's upstream.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::admin::{UPSTREAM_CREDENTIAL, account};
use testkit::canned;
use testkit::gateway::Options;
use testkit::surface::{CHAT, MESSAGES, Surface};
use testkit::upstream::{ClosedPort, Upstream};

use crate::stage::{Stage, with};

async fn tested(stage: &Stage, id: &str, body: &Value) -> Result<Value> {
    let answer = stage.admin.try_send("POST", &format!("accounts/{id}/test"), Some(body)).await?;
    ensure!(answer.status() == 200, "{}", answer.text());
    ensure!(!answer.text().contains(UPSTREAM_CREDENTIAL), "{}", answer.text());
    let told: Value = serde_json::from_str(&answer.text())?;
    ensure!(told["latency_ms"].is_u64() && told["message"].is_string(), "{told}");
    Ok(told)
}

#[tokio::test]
async fn each_answer_of_an_upstream_has_its_code() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let upstream = Upstream::always(canned::json_answer(200, &[], r#"{"data":[]}"#)).await?;
    let id = stage.account("a", &CHAT, &upstream, "m").await?;
    let echo = format!(r#"{{"error":{{"message":"no {UPSTREAM_CREDENTIAL} here","type":"x"}}}}"#);
    for (status, body, code) in [
        (200, r#"{"data":[]}"#, None),
        (200, "<html>", Some("UPSTREAM_INVALID_RESPONSE")),
        (401, echo.as_str(), Some("INVALID_API_KEY")),
        (403, echo.as_str(), Some("INVALID_API_KEY")),
        (402, echo.as_str(), Some("INSUFFICIENT_BALANCE")),
        (429, echo.as_str(), Some("RATE_LIMIT_UPSTREAM")),
        (404, echo.as_str(), Some("NOT_FOUND")),
        (500, echo.as_str(), Some("UPSTREAM_ERROR")),
        (302, "", Some("UPSTREAM_ERROR")),
    ] {
        upstream.next([canned::json_answer(status, &[], body)]);
        let told = tested(&stage, &id, &json!({})).await?;
        ensure!(told["ok"] == code.is_none() && told["status"] == status, "{told}");
        ensure!(told["code"].as_str() == code && told["phase"].is_null(), "{told}");
    }
    for received in upstream.received() {
        ensure!(
            (received.method.as_str(), received.target.as_str()) == ("GET", "/v1/models"),
            "{received:?}"
        );
        let sent = received.header("authorization");
        ensure!(sent == Some(format!("Bearer {UPSTREAM_CREDENTIAL}").as_str()), "{received:?}");
    }
    // Neither the 401 nor the 500 has blocked it.
    upstream.next([canned::answer(&CHAT, "m", false)]);
    let answer = stage.ask(&CHAT, "m", false).await?;
    ensure!(answer.status() == 200, "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn a_named_model_is_asked_for_one_token() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let ask = async |surface: &'static Surface, most: &str| -> Result<()> {
        let upstream = Upstream::always(canned::answer(surface, "real", false)).await?;
        let models = json!([{"name": "m", "upstream": "real"}]);
        let id = stage.create(&account(surface.path, surface, &upstream.url(), &models)).await?;
        let told = tested(&stage, &id, &json!({"model": "m"})).await?;
        ensure!(told["ok"] == true, "{told}");
        let received = upstream.received();
        ensure!(received.len() == 1 && received[0].target == surface.path, "{received:?}");
        let sent = received[0].json();
        ensure!(sent["model"] == "real" && sent[most] == 1, "{sent}");
        Ok(())
    };
    ask(&CHAT, "max_tokens").await?;
    ask(&MESSAGES, "max_tokens").await
}

#[tokio::test]
async fn failures_to_connect_name_their_phase() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let silent = Upstream::always(canned::json_answer(200, &[], "{}")).await?;
    let tls = silent.url().replace("http://", "https://");
    let closed = ClosedPort::take()?.url()?;
    for (name, url, private, phase) in [
        ("closed", closed.as_str(), true, "connect"),
        ("no-tls", tls.as_str(), true, "tls"),
        ("private", "https://127.0.0.1:1/v1", true, "connect"),
        ("unnamed", "https://no-such-host.invalid/v1", false, "resolve"),
        ("denied", "https://localhost:1/v1", false, "denied"),
    ] {
        let body = with(account(name, &CHAT, url, &json!(["m"])), "allow_private", json!(private));
        let id = stage.admin.create_account(&body).await?;
        let told = tested(&stage, &id, &json!({})).await?;
        ensure!(told["ok"] == false && told["status"].is_null() && told["phase"] == phase, "{name}: {told}");
        ensure!(told["code"].is_string(), "{told}");
    }
    Ok(())
}

#[tokio::test]
async fn the_demo_works_and_bedrock_needs_a_model() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let demo = stage.admin.create_account(&json!({"name": "d", "provider": "demo"})).await?;
    for body in [json!({}), json!({"model": "demo-chat"})] {
        let told = tested(&stage, &demo, &body).await?;
        ensure!(told["ok"] == true, "{told}");
    }
    let credential = json!({"type": "api_key", "api_key": UPSTREAM_CREDENTIAL});
    let body = json!({"name": "b", "provider": "bedrock", "credential": credential});
    let id = stage.admin.create_account(&body).await?;
    for (path, body, status) in [
        (id.as_str(), json!({}), 400),
        (id.as_str(), json!({"models": "m"}), 400),
        ("agm4fyq3zxeuxpzr4mwkq2v3ca", json!({}), 404),
    ] {
        let answer = stage.admin.try_send("POST", &format!("accounts/{path}/test"), Some(&body)).await?;
        ensure!(answer.status() == status, "{body}: {}", answer.text());
    }
    Ok(())
}
