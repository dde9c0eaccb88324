//! Changes made through the administration API reach the data plane within a second, without restart.

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::admin::{UPSTREAM_CREDENTIAL, account};
use testkit::canned;
use testkit::gateway::Options;
use testkit::surface::CHAT;
use testkit::upstream::Upstream;
use testkit::wait;

use crate::stage::{IN_FORCE, Stage, with};

#[tokio::test]
async fn accounts_come_change_and_go_without_a_restart() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let (one, two) = (
        Upstream::always(canned::answer(&CHAT, "m", false)).await?,
        Upstream::always(canned::answer(&CHAT, "m", false)).await?,
    );
    let id = stage.account("moving", &CHAT, &one, "m").await?;
    ensure!(stage.ask(&CHAT, "m", false).await?.status() == 200, "not served");
    let path = format!("accounts/{id}");
    let base_url = CHAT.base_url(&two.url());
    let moved = json!({"base_url": base_url});
    // A credential belongs to the address it was given for.
    let refused = stage.admin.try_send("PATCH", &path, Some(&moved)).await?;
    ensure!(refused.status() == 400, "the credential moved along: {}", refused.text());
    let credential = json!({"type": "api_key", "api_key": UPSTREAM_CREDENTIAL});
    stage.admin.send("PATCH", &path, Some(&with(moved, "credential", credential))).await?;
    wait::until("calls at the new address", IN_FORCE, async || {
        stage.ask(&CHAT, "m", false).await?;
        Ok((two.count() > 0).then_some(()))
    })
    .await?;
    stage.admin.send("PATCH", &path, Some(&json!({"models": ["other"]}))).await?;
    stage.gateway.offers(&stage.key, &["other".to_owned()], IN_FORCE).await?;
    ensure!(stage.ask(&CHAT, "m", false).await?.status() == 404, "the old model is still served");
    for (verb, status) in [("disable", 503), ("enable", 200)] {
        stage.admin.post(&format!("{path}/{verb}"), &json!({})).await?;
        wait::until(verb, IN_FORCE, async || {
            Ok((stage.ask(&CHAT, "other", false).await?.status() == status).then_some(()))
        })
        .await?;
    }
    stage.admin.send("DELETE", &path, None).await?;
    wait::until("the account to be gone", IN_FORCE, async || {
        Ok((stage.ask(&CHAT, "other", false).await?.status() == 404).then_some(()))
    })
    .await
}

#[tokio::test]
async fn keys_stop_working_within_a_second() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    for (verb, code) in [("revoke", "API_KEY_REVOKED"), ("disable", "INVALID_API_KEY")] {
        let (id, key) = stage.admin.create_key(&json!({"name": verb})).await?;
        stage.gateway.offers(&key, &[], IN_FORCE).await?;
        stage.admin.post(&format!("api-keys/{id}/{verb}"), &json!({})).await?;
        let answer = wait::until(verb, IN_FORCE, async || {
            let body = CHAT.request("demo-chat", false).to_string();
            let request = testkit::http::Request::post(CHAT.path, body).bearer(&key);
            let answer = stage.gateway.call(&request).await?;
            Ok((answer.status() == 401).then_some(answer))
        })
        .await?;
        ensure!(answer.code() == Some(code) || verb == "disable", "{verb}: {:?}", answer.code());
    }
    Ok(())
}

#[tokio::test]
async fn requests_do_not_fail_while_the_configuration_changes() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let change = async {
        for number in 0..50 {
            stage.admin.create_key(&json!({"name": format!("k{number}")})).await?;
        }
        anyhow::Ok(())
    };
    let ask = async {
        let mut connection = stage.gateway.connect().await?;
        for _ in 0..300 {
            let answer = connection.call(&stage.request(&CHAT, &CHAT.request("demo-chat", false))).await?;
            ensure!(answer.status() == 200, "{} {}", answer.status(), answer.text());
        }
        Ok(())
    };
    let (changed, asked) = tokio::join!(change, ask);
    changed.and(asked)
}

#[tokio::test]
async fn a_base_url_that_would_reach_inside_is_refused() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let urls = [
        "http://127.0.0.1:9",
        "https://127.0.0.1",
        "http://169.254.169.254/latest",
        "https://[::1]/v1",
        "http://example.com/v1",
        "ftp://example.com",
        "https://user:pass@example.com/v1",
        "file:///etc/passwd",
        "demo://demo",
        "not a url",
        "https://localhost/v1",
        "https://10.0.0.1/v1",
    ];
    for url in urls {
        let mut body = account("inside", &CHAT, "http://x", &json!(["m"]));
        body["base_url"] = json!(url);
        body["allow_private"] = json!(false);
        let answer = stage.admin.try_send("POST", "accounts", Some(&body)).await?;
        if answer.status() == 201 {
            // A name is judged only when it is resolved: the call must then be refused, not made.
            let asked = stage.ask(&CHAT, "m", false).await?;
            ensure!(asked.status() >= 400, "{url} was called");
            let id = answer.json()["id"].as_str().unwrap_or_default().to_owned();
            stage.admin.send("DELETE", &format!("accounts/{id}"), None).await?;
        } else {
            ensure!(answer.status() == 400, "{url}: {} {}", answer.status(), answer.text());
        }
    }
    Ok(())
}
