//! Every endpoint answers, in its own shape, with the ids and headers of the contract.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::gateway::{Gateway, Options};
use testkit::http::{Answer, Request};
use testkit::sse;
use testkit::surface::{self, ALL, CHAT, Dialect, MESSAGES};

use crate::stage::{Stage, ensure_complete, ensure_error};

fn is_request_id(text: &str) -> bool {
    let digits = text.strip_prefix("req-").unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn ensure_ids(dialect: Dialect, answer: &Answer) -> Result<()> {
    let id = answer.request_id()?;
    ensure!(is_request_id(id), "x-request-id {id}");
    ensure!(answer.header("x-trace-id") == Some(id), "x-trace-id is not the request id");
    let anthropic = (dialect == Dialect::Anthropic).then_some(id);
    ensure!(answer.header("request-id") == anthropic, "request-id {:?}", answer.header("request-id"));
    Ok(())
}

#[tokio::test]
async fn every_surface_answers_with_the_demo_provider() -> Result<()> {
    let gateway = Gateway::start(Options::demo()).await?;
    for surface in ALL {
        for stream in [false, true] {
            if stream && !surface.streams {
                continue;
            }
            let body = surface.request(surface.demo_model, stream).to_string();
            let answer = gateway.call(&Request::post(surface.path, body).bearer(gateway.key())).await?;
            ensure_complete(&surface, stream, &answer)?;
            ensure_ids(surface.dialect, &answer)?;
            let kind = if stream { "text/event-stream" } else { "application/json" };
            let stated = answer.header("content-type").unwrap_or_default();
            ensure!(stated.starts_with(kind), "{} {stated}", surface.name);
            for name in ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"] {
                let value = answer.header(name).with_context(|| format!("{} has no {name}", surface.name))?;
                ensure!(value.parse::<u64>().is_ok(), "{name}: {value}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_demo_says_what_the_dialects_prescribe() -> Result<()> {
    let gateway = Gateway::start(Options::demo()).await?;
    let ask = async |surface: surface::Surface, stream| {
        let body = surface.request(surface.demo_model, stream).to_string();
        gateway.call(&Request::post(surface.path, body).bearer(gateway.key())).await
    };
    let chat = ask(CHAT, false).await?.json();
    ensure!(chat["choices"][0]["message"]["content"].is_string(), "{chat}");
    ensure!(chat["usage"]["prompt_tokens"].as_u64() > Some(0), "{chat}");
    let message = ask(MESSAGES, false).await?.json();
    ensure!(message["content"][0]["text"].is_string() && message["stop_reason"] == "end_turn", "{message}");
    let events = sse::events(&ask(MESSAGES, true).await?.body);
    ensure!(
        events.iter().all(|event| event.name.as_deref() == event.json()["type"].as_str()),
        "event ≠ type"
    );
    let events = sse::events(&ask(CHAT, true).await?.body);
    let first = events.first().context("no event")?.json();
    ensure!(first["choices"][0]["delta"]["role"] == "assistant", "{first}");
    let usage_unasked = events.iter().any(|event| event.json()["usage"].is_object());
    ensure!(!usage_unasked, "a usage chunk came although nobody asked");
    let embeddings = ask(surface::EMBEDDINGS, false).await?.json();
    ensure!(embeddings["data"][0]["embedding"].is_array(), "{embeddings}");
    let moderation = ask(surface::MODERATIONS, false).await?.json();
    ensure!(moderation["results"][0]["flagged"].is_boolean(), "{moderation}");
    let ranked = ask(surface::RERANK, false).await?.json();
    ensure!(ranked["results"][0]["relevance_score"].is_number(), "{ranked}");
    let count = ask(surface::COUNT_TOKENS, false).await?.json();
    ensure!(count["input_tokens"].as_u64() > Some(0), "{count}");
    Ok(())
}

#[tokio::test]
async fn paths_that_real_clients_use_are_accepted() -> Result<()> {
    let gateway = Gateway::start(Options::demo()).await?;
    let cases = [
        ("/chat/completions", CHAT),
        ("/v1/messages?beta=true", MESSAGES),
        ("/anthropic/v1/messages", MESSAGES),
        ("/anthropic/v1/messages/count_tokens", surface::COUNT_TOKENS),
    ];
    for (path, surface) in cases {
        let body = surface.request(surface.demo_model, false).to_string();
        let answer = gateway.call(&Request::post(path, body).bearer(gateway.key())).await?;
        ensure_complete(&surface, false, &answer).context(path)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_valid_traceparent_becomes_the_trace_id() -> Result<()> {
    let gateway = Gateway::start(Options::demo()).await?;
    let body = CHAT.request(CHAT.demo_model, false).to_string();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = Request::post(CHAT.path, body).bearer(gateway.key());
    let with = |value: &str| request.clone().header("traceparent", value);
    let answer = gateway.call(&with(&format!("00-{trace}-00f067aa0ba902b7-01"))).await?;
    ensure!(answer.header("x-trace-id") == Some(&format!("req-{trace}")), "{:?}", answer.head);
    ensure!(answer.request_id()? != format!("req-{trace}"), "the request id is the caller's");
    for bad in ["junk", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
        let answer = gateway.call(&with(bad)).await?;
        ensure!(answer.header("x-trace-id") == answer.header("x-request-id"), "{bad}: {:?}", answer.head);
    }
    Ok(())
}

#[tokio::test]
async fn a_callers_own_request_id_is_not_taken_over() -> Result<()> {
    let gateway = Gateway::start(Options::demo()).await?;
    let request = Request::get("/v1/models").bearer(gateway.key()).header("x-request-id", "req-mine");
    let answer = gateway.call(&request).await?;
    ensure!(is_request_id(answer.request_id()?), "{:?}", answer.head);
    Ok(())
}

#[tokio::test]
async fn probes_and_health_answer_without_a_key() -> Result<()> {
    let gateway = Gateway::start(Options::demo()).await?;
    for path in ["/", "/api/hello"] {
        let answer = gateway.call(&Request::new("HEAD", path)).await?;
        ensure!(answer.status() == 200, "HEAD {path}: {}", answer.status());
    }
    let alive = gateway.call(&Request::get("/healthz")).await?;
    ensure!(alive.json() == json!({"ok": true}), "{}", alive.text());
    for path in ["/health", "/health/ready"] {
        let answer = gateway.call(&Request::get(path)).await?;
        ensure!(answer.status() == 200 && answer.json().is_object(), "{path}: {}", answer.text());
    }
    let ready = gateway.call(&Request::get("/health/ready")).await?.json();
    ensure!(ready["status"] == "UP", "{ready}");
    let metrics = gateway.metrics().await?;
    ensure!(metrics.named("gateway_connections").count() > 0, "{metrics:?}");
    Ok(())
}

#[tokio::test]
async fn models_are_listed_in_the_dialect_asked() -> Result<()> {
    let gateway = Gateway::start(Options::demo()).await?;
    let get = |path: &str| Request::get(path).bearer(gateway.key());
    let openai = gateway.call(&get("/v1/models")).await?.json();
    ensure!(openai["object"] == "list", "{openai}");
    let first = &openai["data"][0];
    ensure!(
        first["object"] == "model" && first["created"].is_u64() && first["owned_by"].is_string(),
        "{first}"
    );
    let ids: Vec<&str> = openai["data"]
        .as_array()
        .context("no data")?
        .iter()
        .filter_map(|model| model["id"].as_str())
        .collect();
    for model in ["demo-chat", "demo-embed", "demo-moderation", "demo-rerank"] {
        ensure!(ids.contains(&model), "{model} is not in {ids:?}");
    }
    let again = gateway.call(&get("/v1/models")).await?.json();
    ensure!(again == openai, "the order changes");
    let versioned = get("/v1/models").header("anthropic-version", "2023-06-01");
    let anthropic = gateway.call(&versioned).await?.json();
    ensure!(anthropic["has_more"].is_boolean() && anthropic["first_id"].is_string(), "{anthropic}");
    ensure!(anthropic["data"][0]["type"] == "model", "{anthropic}");
    ensure!(anthropic["data"][0]["display_name"].is_string(), "{anthropic}");
    let one = gateway.call(&get("/v1/models/demo-chat")).await?.json();
    ensure!(one["id"] == "demo-chat" && one["object"] == "model", "{one}");
    let one =
        gateway.call(&get("/v1/models/demo-chat").header("anthropic-version", "2023-06-01")).await?.json();
    ensure!(one["id"] == "demo-chat" && one["type"] == "model", "{one}");
    let none = gateway.call(&get("/v1/models/no-such-model")).await?;
    ensure_error(Dialect::OpenAi, &none, 404, "MODEL_NOT_FOUND")
}

#[tokio::test]
async fn model_names_with_slashes_can_be_looked_up() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let upstream = testkit::upstream::Upstream::always(testkit::canned::answer(&CHAT, "m", false)).await?;
    stage.account("slashed", &CHAT, &upstream, "vendor/model:free").await?;
    let answer = stage.gateway.call(&Request::get("/v1/models/vendor/model:free").bearer(&stage.key)).await?;
    ensure!(answer.json()["id"] == "vendor/model:free", "{}", answer.text());
    Ok(())
}
