//! Who gets in: four header forms, every way of being refused, each in the dialect of the path.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::gateway::Options;
use testkit::http::Request;
use testkit::surface::{ALL, CHAT, Dialect, Surface};

use crate::stage::{self, IN_FORCE, Stage, ensure_complete, ensure_error};

fn request(surface: &Surface) -> Request {
    Request::post(surface.path, surface.request(surface.demo_model, false).to_string())
}

#[tokio::test]
async fn a_key_is_read_from_each_of_its_headers() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    for surface in ALL {
        for (name, prefix) in
            [("authorization", "Bearer "), ("x-api-key", ""), ("x-goog-api-key", ""), ("api-key", "")]
        {
            let request = request(&surface).header(name, &format!("{prefix}{}", stage.key));
            let answer = stage.gateway.call(&request).await?;
            ensure_complete(&surface, false, &answer).context(name)?;
        }
    }
    let lower_case = request(&CHAT).header("authorization", &format!("bearer {}", stage.key));
    ensure_complete(&CHAT, false, &stage.gateway.call(&lower_case).await?)?;
    let twice_the_same = request(&CHAT).bearer(&stage.key).header("x-api-key", &stage.key);
    ensure_complete(&CHAT, false, &stage.gateway.call(&twice_the_same).await?)
}

/// Headers that must be refused, why, and with which code.
type Refused = (&'static str, Vec<(&'static str, String)>, &'static str);

async fn bad_credentials(stage: &Stage) -> Result<Vec<Refused>> {
    let (revoked_id, revoked) = stage.admin.create_key(&json!({"name": "revoked"})).await?;
    stage.admin.post(&format!("api-keys/{revoked_id}/revoke"), &json!({})).await?;
    let soon = stage::in_seconds(1);
    let (_, expired) = stage.admin.create_key(&json!({"name": "expired", "expires_at": soon})).await?;
    for (key, code) in [(&revoked, "API_KEY_REVOKED"), (&expired, "API_KEY_EXPIRED")] {
        testkit::wait::until(code, IN_FORCE * 3, async || {
            let answer = stage.gateway.call(&request(&CHAT).bearer(key)).await?;
            Ok((answer.code() == Some(code)).then_some(()))
        })
        .await?;
    }
    let bearer = |text: &str| vec![("authorization", format!("Bearer {text}"))];
    let altered = if stage.key.ends_with('x') { "y" } else { "x" };
    let unknown = format!("{}{altered}", &stage.key[..stage.key.len() - 1]);
    let two = [bearer(&stage.key), vec![("x-api-key", unknown.clone())]].concat();
    Ok(vec![
        ("no credential", vec![], "INVALID_API_KEY"),
        ("junk", bearer("junk"), "INVALID_API_KEY"),
        ("an empty bearer", bearer(""), "INVALID_API_KEY"),
        ("another scheme", vec![("authorization", "Basic YTpi".to_owned())], "INVALID_API_KEY"),
        ("a wrong checksum", vec![("x-api-key", unknown)], "INVALID_API_KEY"),
        ("a revoked key", vec![("x-api-key", revoked)], "API_KEY_REVOKED"),
        ("an expired key", vec![("api-key", expired)], "API_KEY_EXPIRED"),
        ("two different credentials", two, "INVALID_REQUEST_CREDENTIALS"),
    ])
}

#[tokio::test]
async fn every_surface_refuses_every_bad_credential_in_its_own_dialect() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let cases = bad_credentials(&stage).await?;
    for surface in ALL {
        for (name, headers, code) in &cases {
            let request = headers.iter().fold(request(&surface), |request, (n, v)| request.header(n, v));
            let answer = stage.gateway.call(&request).await?;
            ensure_error(surface.dialect, &answer, 401, code)
                .with_context(|| format!("{} with {name}", surface.name))?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn models_and_usage_ask_for_a_key_too() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    for path in ["/v1/models", "/v1/models/demo-chat"] {
        let answer = stage.gateway.call(&Request::get(path)).await?;
        ensure_error(Dialect::OpenAi, &answer, 401, "INVALID_API_KEY")?;
        let answer =
            stage.gateway.call(&Request::get(path).header("anthropic-version", "2023-06-01")).await?;
        ensure_error(Dialect::Anthropic, &answer, 401, "INVALID_API_KEY")?;
    }
    let answer = stage.gateway.call(&Request::get("/v1/usage")).await?;
    ensure!(answer.status() == 401 && answer.code() == Some("INVALID_API_KEY"), "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn a_key_reaches_only_its_models_and_only_from_its_networks() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let (_, narrow) = stage.admin.create_key(&json!({"name": "narrow", "models": ["demo-embed"]})).await?;
    let (_, distant) =
        stage.admin.create_key(&json!({"name": "distant", "allowed_ips": ["203.0.113.0/24"]})).await?;
    let (_, near) = stage.admin.create_key(&json!({"name": "near", "allowed_ips": ["127.0.0.0/8"]})).await?;
    stage.gateway.offers(&narrow, &["demo-embed".to_owned()], IN_FORCE).await?;
    let listed = stage.gateway.call(&Request::get("/v1/models").bearer(&narrow)).await?.json();
    ensure!(listed["data"].as_array().map(Vec::len) == Some(1), "{listed}");
    for surface in ALL.into_iter().filter(|surface| surface.demo_model == "demo-chat") {
        let answer = stage.gateway.call(&request(&surface).bearer(&narrow)).await?;
        ensure_error(surface.dialect, &answer, 403, "MODEL_NOT_ALLOWED")?;
        let answer = stage.gateway.call(&request(&surface).bearer(&distant)).await?;
        ensure_error(surface.dialect, &answer, 403, "IP_NOT_WHITELISTED")?;
        let answer = stage.gateway.call(&request(&surface).bearer(&near)).await?;
        ensure_complete(&surface, false, &answer)?;
    }
    let forged = request(&CHAT).bearer(&distant).header("x-forwarded-for", "203.0.113.7");
    ensure_error(Dialect::OpenAi, &stage.gateway.call(&forged).await?, 403, "IP_NOT_WHITELISTED")
}

#[tokio::test]
async fn administration_refuses_keys_and_strangers() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let attempts = [
        Request::get("/api/v1/admin/accounts"),
        Request::get("/api/v1/admin/accounts").bearer(&stage.key),
        Request::get("/api/v1/admin/accounts").bearer("eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."),
    ];
    for request in attempts {
        let answer = stage.gateway.call(&request).await?;
        ensure!(answer.status() == 401, "{} {}", answer.status(), answer.text());
        let body = answer.json();
        ensure!(body["code"] == "TOKEN_INVALID" && body["trace_id"].is_string(), "{body}");
    }
    let body = json!({"email": "nobody@example.com", "password": "wrong"}).to_string();
    let answer = stage.gateway.call(&Request::post("/api/v1/auth/login", body)).await?;
    ensure!(answer.status() == 401, "{} {}", answer.status(), answer.text());
    Ok(())
}
