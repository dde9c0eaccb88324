//! Errors from real causes, each in the dialect of the path it was asked on.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use serde_json::json;
use testkit::gateway::{Gateway, Options};
use testkit::http::{Connection, Request};
use testkit::script::Script;
use testkit::surface::{ALL, CHAT, Dialect, EMBEDDINGS, MESSAGES, Surface};
use testkit::upstream::Upstream;

use crate::stage::{Stage, ensure_error, with};

/// The largest body that is taken (decisions: sizes).
const BODY_LIMIT: usize = 32 * 1024 * 1024;

#[tokio::test]
async fn bodies_that_cannot_be_read_are_named_as_such() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let bodies = [
        ("nothing", "", None),
        ("no JSON", "{\"model\": ", None),
        ("no object", "[1]", None),
        ("text after the object", "{\"model\":\"demo-chat\"} x", None),
        ("no model", "{\"messages\":[]}", Some("model")),
        ("a model that is no string", "{\"model\":7}", Some("model")),
        ("the model twice", "{\"model\":\"demo-chat\",\"model\":\"demo-embed\"}", Some("model")),
    ];
    for surface in ALL {
        for (name, body, param) in bodies {
            let answer = stage.gateway.call(&Request::post(surface.path, body).bearer(&stage.key)).await?;
            ensure_error(surface.dialect, &answer, 400, "INVALID_REQUEST")
                .with_context(|| format!("{} with {name}", surface.name))?;
            if let (Dialect::OpenAi, Some(param)) = (surface.dialect, param) {
                ensure!(answer.json()["error"]["param"] == param, "{name}: {}", answer.text());
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn deep_nesting_is_refused_at_once() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let deep = "[".repeat(1_000_000);
    for surface in [CHAT, MESSAGES] {
        let body = format!("{{\"model\":\"demo-chat\",\"messages\":{deep}");
        let answer = stage.gateway.call(&Request::post(surface.path, body).bearer(&stage.key)).await?;
        ensure_error(surface.dialect, &answer, 400, "INVALID_REQUEST")?;
    }
    Ok(())
}

#[tokio::test]
async fn unknown_models_paths_and_methods_are_named() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    for surface in ALL {
        let answer = stage.ask(&surface, "no-such-model", false).await?;
        ensure_error(surface.dialect, &answer, 404, "MODEL_NOT_FOUND")?;
        let answer = stage.gateway.call(&Request::get(surface.path).bearer(&stage.key)).await?;
        ensure_error(surface.dialect, &answer, 405, "METHOD_NOT_ALLOWED")?;
        ensure!(answer.header("allow") == Some("POST"), "{:?}", answer.head);
    }
    for (path, dialect) in [("/v1/nothing", Dialect::OpenAi), ("/v1/messages/nothing", Dialect::Anthropic)] {
        let answer = stage.gateway.call(&Request::post(path, "{}").bearer(&stage.key)).await?;
        ensure_error(dialect, &answer, 404, "NOT_FOUND")?;
    }
    let answer = stage.gateway.call(&Request::get("/nothing")).await?;
    ensure!(answer.status() == 404 && answer.json()["code"] == "NOT_FOUND", "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn bodies_that_are_too_large_are_refused_whether_their_length_is_stated_or_not() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let large = Bytes::from(vec![b' '; BODY_LIMIT + 1]);
    for surface in [CHAT, MESSAGES] {
        let answer =
            stage.gateway.call(&Request::post(surface.path, large.clone()).bearer(&stage.key)).await?;
        ensure_error(surface.dialect, &answer, 413, "BODY_TOO_LARGE")?;
        let mut chunked = testkit::script::chunk(&large);
        chunked.extend_from_slice(b"0\r\n\r\n");
        let request =
            Request::post(surface.path, chunked).header("transfer-encoding", "chunked").bearer(&stage.key);
        ensure_error(surface.dialect, &stage.gateway.call(&request).await?, 413, "BODY_TOO_LARGE")?;
    }
    Ok(())
}

#[tokio::test]
async fn a_refusal_does_not_wait_for_the_body() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let head = |path: &str, length: usize, key: &str| {
        let head = Request::post(path, "").bearer(key).header("content-length", &length.to_string());
        head.header("expect", "100-continue")
    };
    for surface in [CHAT, MESSAGES] {
        let mut connection = stage.gateway.connect().await?;
        let answer = connection.call(&head(surface.path, BODY_LIMIT + 1, &stage.key)).await?;
        ensure_error(surface.dialect, &answer, 413, "BODY_TOO_LARGE")?;
        let mut connection = stage.gateway.connect().await?;
        let answer = connection.call(&head(surface.path, 1_000, "junk")).await?;
        ensure_error(surface.dialect, &answer, 401, "INVALID_API_KEY")?;
    }
    Ok(())
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let long_target =
        Request::post(&format!("{}?x={}", CHAT.path, "y".repeat(9_000)), "{}").bearer(&stage.key);
    let answer = stage.gateway.call(&long_target).await?;
    ensure_error(CHAT.dialect, &answer, 414, "URI_TOO_LONG")?;
    let long_header = Request::post(CHAT.path, "{}").bearer(&stage.key).header("x-long", &"y".repeat(40_000));
    let answer = stage.gateway.call(&long_header).await?;
    ensure_error(CHAT.dialect, &answer, 431, "HEADERS_TOO_LARGE")?;
    for surface in [CHAT, MESSAGES] {
        // Beyond the margin the head is not looked at, and the status is all that is said.
        for (headers, status, code) in
            [(100, 400, "INVALID_REQUEST"), (101, 431, "HEADERS_TOO_LARGE"), (150, 431, "HEADERS_TOO_LARGE")]
        {
            let answer = stage.gateway.call(&with_headers(&surface, &stage.key, headers)?).await?;
            ensure_error(surface.dialect, &answer, status, code)
                .with_context(|| format!("{headers} headers"))?;
        }
        let answer = stage.gateway.call(&with_headers(&surface, &stage.key, 151)?).await?;
        ensure!(answer.status() == 431 && answer.code().is_none(), "151 headers: {}", answer.status());
    }
    Ok(())
}

/// A request with that many headers, those included that every request has.
fn with_headers(surface: &Surface, key: &str, count: usize) -> Result<Request> {
    let request = Request::post(surface.path, "{}").bearer(key);
    let own =
        String::from_utf8(request.to_bytes())?.split("\r\n\r\n").next().unwrap_or_default().lines().count()
            - 1;
    Ok((own..count).fold(request, |request, number| request.header(&format!("x-{number}"), "1")))
}

#[tokio::test]
async fn coded_and_foreign_bodies_are_refused() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    for surface in [CHAT, MESSAGES] {
        let body = surface.request(surface.demo_model, false).to_string();
        let coded = Request::post(surface.path, body).bearer(&stage.key).header("content-encoding", "gzip");
        ensure_error(surface.dialect, &stage.gateway.call(&coded).await?, 415, "UNSUPPORTED_MEDIA_TYPE")?;
    }
    Ok(())
}

#[tokio::test]
async fn bytes_that_are_no_http_are_answered_or_cut_off_but_never_served() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let attempts: [&[u8]; 6] = [
        b"\x16\x03\x01\x00\xa5\x01\x00",
        b"GET\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost : x\r\n\r\n",
        b"GET /healthz HTTP/7.0\r\nhost: x\r\n\r\n",
    ];
    for bytes in attempts {
        let mut connection = Connection::open(stage.gateway.address()).await?;
        connection.send_raw(bytes).await?;
        connection.send_raw(b"\r\n\r\n").await.ok();
        if let Ok(arriving) = connection.arriving().await {
            ensure!(arriving.head.status >= 400, "{}: {}", bytes.escape_ascii(), arriving.head.status);
        }
    }
    let alive = stage.gateway.call(&Request::get("/healthz")).await?;
    ensure!(alive.status() == 200, "{}", alive.status());
    Ok(())
}

#[tokio::test]
async fn without_an_account_that_can_serve_the_answer_is_503() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let upstream = Upstream::always(Script::new().close()).await?;
    for surface in [CHAT, MESSAGES] {
        let name = format!("off-{}", surface.name);
        let id = stage.account(&name, &surface, &upstream, &name).await?;
        stage.admin.post(&format!("accounts/{id}/disable"), &json!({})).await?;
        let answer = testkit::wait::until("the account to be off", crate::stage::IN_FORCE, async || {
            let answer = stage.ask(&surface, &name, false).await?;
            Ok((answer.status() == 503).then_some(answer))
        })
        .await?;
        ensure_error(surface.dialect, &answer, 503, "NO_AVAILABLE_UPSTREAM")?;
        let before = upstream.count();
        stage.ask(&surface, &name, false).await?;
        ensure!(upstream.count() == before, "a disabled account was called");
    }
    Ok(())
}

#[tokio::test]
async fn an_upstream_that_stays_silent_is_504() -> Result<()> {
    let stage = Stage::start(Options::default().timer("first_byte", 300)).await?;
    let upstream = Upstream::always(Script::new().hold()).await?;
    for surface in [CHAT, MESSAGES] {
        stage.account(surface.name, &surface, &upstream, surface.name).await?;
        let answer = stage.ask(&surface, surface.name, false).await?;
        ensure_error(surface.dialect, &answer, 504, "UPSTREAM_TIMEOUT")?;
        let record = stage.record(&answer).await?;
        ensure!(record["attempts"][0]["class"] == "ambiguous", "{record}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_chat_is_not_served_by_an_account_of_another_dialect() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let upstream = Upstream::always(Script::new().close()).await?;
    stage.account("chat only", &MESSAGES, &upstream, "chat-only").await?;
    let answer = stage.ask(&EMBEDDINGS, "chat-only", false).await?;
    ensure!(answer.status() == 400, "{}", answer.text());
    ensure!(answer.json()["error"]["code"] == "UNSUPPORTED_FEATURE", "{}", answer.text());
    ensure!(upstream.count() == 0, "the account was called");
    Ok(())
}

#[tokio::test]
async fn administration_refuses_fields_it_does_not_know() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let body = with(json!({"name": "x"}), "no_such_field", json!(1));
    let answer = stage.admin.try_send("POST", "api-keys", Some(&body)).await?;
    ensure!(answer.status() == 400 && answer.json()["code"] == "INVALID_REQUEST", "{}", answer.text());
    ensure!(answer.json()["source"] == "client", "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn heads_are_taken_up_to_the_limits_that_are_set() -> Result<()> {
    let (count, bytes) = ("YUMEN_SIZES__HEADER_COUNT", "YUMEN_SIZES__HEADER_BYTES");
    let gateway = Gateway::start(Options::demo().env(count, "300").env(bytes, "128KiB")).await?;
    for (count, bytes, status) in [(250, 400, 200), (310, 1, 431), (200, 700, 431)] {
        let value = "v".repeat(bytes);
        let models = Request::get("/v1/models").bearer(gateway.key());
        let request = (0..count).fold(models, |all, n| all.header(&format!("x-{n}"), &value));
        let answer = gateway.call(&request).await?;
        ensure!(answer.status() == status, "{count} of {bytes}: {} {}", answer.status(), answer.text());
        ensure!(status == 200 || answer.code() == Some("HEADERS_TOO_LARGE"), "{}", answer.text());
    }
    Ok(())
}
