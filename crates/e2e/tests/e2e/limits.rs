//! Limits of a key: exact under concurrency, told with their numbers, and free again afterwards.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::gateway::{Gateway, Options};
use testkit::http::{Answer, Request};
use testkit::script::Script;
use testkit::surface::{CHAT, Dialect, MESSAGES, Surface};
use testkit::upstream::Upstream;

use crate::stage::{IN_FORCE, Stage, ensure_error};

async fn key_with(stage: &Stage, name: &str, limits: Value) -> Result<String> {
    let (_, key) = stage.admin.create_key(&json!({"name": name, "rate_limit": limits})).await?;
    stage.gateway.offers(&key, &[], IN_FORCE).await?;
    Ok(key)
}

async fn ask(gateway: &Gateway, surface: &Surface, key: &str) -> Result<Answer> {
    let body = surface.request(surface.demo_model, false).to_string();
    gateway.call(&Request::post(surface.path, body).bearer(key)).await
}

fn number(answer: &Answer, name: &str) -> Result<u64> {
    let value = answer.header(name);
    Ok(value.with_context(|| format!("no {name}: {:?}", answer.head))?.parse()?)
}

#[tokio::test]
async fn requests_per_minute_are_exact_among_concurrent_callers() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let key = key_with(&stage, "rpm", json!({"rpm": 40})).await?;
    // Listing models may count or not; what is left is told.
    let first = ask(&stage.gateway, &CHAT, &key).await?;
    let left = usize::try_from(number(&first, "x-ratelimit-remaining")?)?;
    ensure!(number(&first, "x-ratelimit-limit")? == 40, "{:?}", first.head);
    let calls: Vec<_> = (0..80)
        .map(|_| {
            let (address, key) = (stage.gateway.address().to_owned(), key.clone());
            let body = CHAT.request(CHAT.demo_model, false).to_string();
            tokio::spawn(async move {
                testkit::http::call(&address, &Request::post(CHAT.path, body).bearer(&key)).await
            })
        })
        .collect();
    let mut admitted = 0;
    for call in calls {
        let answer = call.await??;
        match answer.status() {
            200 => admitted += 1,
            _ => ensure_error(Dialect::OpenAi, &answer, 429, "RATE_LIMIT_RPM")?,
        }
    }
    ensure!(admitted == left, "{admitted} admitted, {left} were left");
    Ok(())
}

#[tokio::test]
async fn each_dimension_refuses_with_its_own_code_and_numbers() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let cases = [
        ("rpm", json!({"rpm": 0}), "RATE_LIMIT_RPM"),
        ("tpm", json!({"tpm": 0}), "RATE_LIMIT_TPM"),
        ("rpd", json!({"rpd": 0}), "RATE_LIMIT_RPD"),
        ("tpd", json!({"tpd": 0}), "RATE_LIMIT_TPD"),
        ("concurrent", json!({"concurrent": 0}), "RATE_LIMIT_CONCURRENT"),
        ("burst", json!({"burst": 0}), "RATE_LIMIT_BURST"),
    ];
    for (name, limits, code) in cases {
        let (_, key) = stage.admin.create_key(&json!({"name": name, "rate_limit": limits})).await?;
        for surface in [CHAT, MESSAGES] {
            let answer = testkit::wait::until("the key", IN_FORCE, async || {
                let answer = ask(&stage.gateway, &surface, &key).await?;
                Ok((answer.status() != 401).then_some(answer))
            })
            .await?;
            ensure_error(surface.dialect, &answer, 429, code)?;
            ensure!(number(&answer, "retry-after")? >= 1, "{:?}", answer.head);
            ensure!(number(&answer, "x-ratelimit-limit")? == 0, "{name}: {:?}", answer.head);
            number(&answer, "x-ratelimit-reset")?;
            // A name that says what it counts says nothing else.
            let counted = if name.starts_with('t') { ["requests", "tokens"] } else { ["tokens", "requests"] };
            let stated = |what: &str| match surface.dialect {
                Dialect::OpenAi | Dialect::Gemini => answer.header(&format!("x-ratelimit-limit-{what}")),
                Dialect::Anthropic => answer.header(&format!("anthropic-ratelimit-{what}-limit")),
            };
            ensure!(counted.map(stated) == [None, Some("0")], "{name}: {:?}", answer.head);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_place_among_concurrent_requests_is_given_back() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let upstream = Upstream::always(Script::new().hold()).await?;
    stage.account("a", &CHAT, &upstream, "m").await?;
    let key = key_with(&stage, "one", json!({"concurrent": 1, "rpm": null})).await?;
    let request = Request::post(CHAT.path, CHAT.request("m", false).to_string()).bearer(&key);
    for round in 1..=3 {
        let mut waiting = stage.gateway.connect().await?;
        waiting.send(&request).await?;
        upstream.wait_for(round).await?;
        let answer = stage.gateway.call(&request).await?;
        ensure_error(Dialect::OpenAi, &answer, 429, "RATE_LIMIT_CONCURRENT")?;
        drop(waiting);
        upstream.wait_abandoned(round, IN_FORCE).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_changed_limit_is_in_force_within_a_second() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let (id, key) = stage.admin.create_key(&json!({"name": "changing"})).await?;
    stage.gateway.offers(&key, &[], IN_FORCE).await?;
    ensure!(ask(&stage.gateway, &CHAT, &key).await?.status() == 200, "refused without a limit");
    stage.admin.send("PUT", &format!("api-keys/{id}/rate-limit"), Some(&json!({"rpm": 0}))).await?;
    testkit::wait::until("the limit", IN_FORCE, async || {
        Ok((ask(&stage.gateway, &CHAT, &key).await?.code() == Some("RATE_LIMIT_RPM")).then_some(()))
    })
    .await
}
