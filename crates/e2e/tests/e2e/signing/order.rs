//! What is accepted, and with which code everything else is refused.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::gateway::Options;
use testkit::http::{Answer, Request};

use super::{BODY, PATH, Signer, at, hex, now, seconds, sha256};
use crate::stage::Stage;

fn ensure_code(answer: &Answer, code: Option<&str>, what: &str) -> Result<()> {
    ensure!(answer.code() == code, "{what}: {} {:?} {}", answer.status(), answer.code(), answer.text());
    ensure!((answer.status() == 200) == code.is_none(), "{what}: {}", answer.status());
    Ok(())
}

#[tokio::test]
async fn a_signature_is_checked_in_the_order_of_the_contract() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let signer = Signer::create(&stage, "hmac-v1", json!({})).await?;
    let stranger = Signer { id: "a".repeat(26), ..signer.clone() };
    let distant = Signer::create(&stage, "hmac-v1", json!({"allowed_ips": ["203.0.113.0/24"]})).await?;
    let revoked = Signer::create(&stage, "hmac-v1", json!({})).await?;
    stage.admin.post(&format!("api-keys/{}/revoke", revoked.id), &json!({})).await?;
    let other = Signer::create(&stage, "rfc9421", json!({})).await?;
    let old = |nonce: &str| at(seconds() - 600, nonce);
    for (what, request, code) in [
        ("right", signer.signed(BODY, &now("1")), None),
        ("again", signer.signed(BODY, &now("1")), Some("NONCE_REUSED")),
        ("at the edge", signer.signed(BODY, &at(seconds() - 298, "2")), None),
        ("ahead", signer.signed(BODY, &at(seconds() + 298, "3")), None),
        ("too old", signer.signed(BODY, &at(seconds() - 302, "4")), Some("TIMESTAMP_EXPIRED")),
        ("too new", signer.signed(BODY, &at(seconds() + 304, "5")), Some("TIMESTAMP_EXPIRED")),
        ("old and wrong", signer.with_signature(BODY, &old("6"), &"0".repeat(64)), Some("TIMESTAMP_EXPIRED")),
        ("old and used", signer.signed(BODY, &old("1")), Some("TIMESTAMP_EXPIRED")),
        ("no such key", stranger.signed(BODY, &old("7")), Some("INVALID_API_KEY")),
        ("revoked", revoked.signed(BODY, &old("8")), Some("API_KEY_REVOKED")),
        ("from elsewhere", distant.signed(BODY, &old("9")), Some("IP_NOT_WHITELISTED")),
        ("another scheme", other.signed(BODY, &now("10")), Some("INVALID_SIGNATURE")),
        ("malformed", signer.signed(BODY, &at(1, "11")), Some("INVALID_SIGNATURE")),
        ("wrong", signer.with_signature(BODY, &now("1"), &"0".repeat(64)), Some("INVALID_SIGNATURE")),
        ("no JSON", signer.signed("hello", &now("12")), Some("INVALID_REQUEST")),
        ("beside a bearer", signer.signed(BODY, &now("13")).bearer("junk"), None),
        ("used, on the other channel", external(&signer.signed(BODY, &now("1"))), Some("NONCE_REUSED")),
        ("on the other channel", external(&signer.signed(BODY, &now("14"))), None),
        (
            "not signed there",
            Request::post("/external/v1/chat/completions", BODY).bearer(&stage.key),
            Some("INVALID_SIGNATURE"),
        ),
        (
            "a draft scheme",
            Request::post(PATH, BODY).header("authorization", "Signature keyId=\"a\""),
            Some("INVALID_SIGNATURE"),
        ),
    ] {
        ensure_code(&stage.gateway.call(&request).await?, code, what)?;
    }
    // A signature that fits the body as it is sent once more is one that fits its canonical form.
    let canonical = r#"{"messages":[{"content":"hi","role":"user"}],"model":"demo-chat"}"#;
    let message = |stated: &super::Stated| {
        format!("{}{}{}{}", signer.id, stated.timestamp, stated.nonce, hex(&sha256(canonical.as_bytes())))
    };
    let stated = now("15");
    let request = signer.with_signature(BODY, &stated, &hex(&signer.hmac(&message(&stated))));
    ensure_code(&stage.gateway.call(&request).await?, None, "canonical")
}

/// Sends a request as it is written.
async fn raw(stage: &Stage, text: &str) -> Result<Answer> {
    let mut connection = stage.gateway.connect().await?;
    connection.send_raw(text.as_bytes()).await?;
    let arriving = connection.arriving().await?;
    connection.rest(arriving).await
}

fn external(request: &Request) -> Request {
    let bytes = String::from_utf8_lossy(&request.to_bytes()).into_owned();
    let (head, body) = bytes.split_once("\r\n\r\n").unwrap_or_default();
    let fresh = Request::new("POST", "/external/v1/chat/completions").body(body.to_owned());
    head.lines().skip(1).filter_map(|line| line.split_once(": ")).fold(fresh, |request, (name, value)| {
        if name == "host" || name == "content-length" { request } else { request.header(name, value) }
    })
}

#[tokio::test]
async fn a_key_that_signs_is_no_bearer_unless_it_is_set_up_so() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    for (bearer, code) in [(false, Some("INVALID_SIGNATURE")), (true, None)] {
        let body = json!({"name": "k", "signing": "hmac-v1", "bearer": bearer});
        let (_, text) = stage.admin.create_key(&body).await?;
        let answer = stage.gateway.call(&Request::post(PATH, BODY).bearer(&text)).await?;
        ensure_code(&answer, code, "bearer")?;
    }
    let signer = Signer::create(&stage, "hmac-v1", json!({})).await?;
    let admin = signer.signed(BODY, &now("1")).bearer(stage.admin.token());
    let text = String::from_utf8_lossy(&admin.to_bytes()).replace(PATH, "/api/v1/admin/api-keys");
    ensure_code(&raw(&stage, &text).await?, Some("INVALID_SIGNATURE"), "administration")
}

#[tokio::test]
async fn rfc_9421_binds_everything_and_signs_the_answer() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let signer = Signer::create(&stage, "rfc9421", json!({})).await?;
    let host = stage.gateway.address().to_owned();
    let chat = |nonce: &str| signer.signed_http("POST", "/v1/chat/completions?a=1", (&host, nonce), BODY);
    ensure_code(&stage.gateway.call(&chat("1")).await?, None, "right")?;
    ensure_code(&stage.gateway.call(&chat("1")).await?, Some("NONCE_REUSED"), "again")?;
    // What is signed is the path as it was asked for.
    let demo = stage.admin.get("accounts").await?["items"][0]["id"].as_str().unwrap_or_default().to_owned();
    stage.admin.send("PATCH", &format!("accounts/{demo}"), Some(&json!({"family": "near"}))).await?;
    let near = signer.signed_http("POST", "/near/v1/chat/completions?a=1", (&host, "4"), BODY);
    ensure_code(&stage.gateway.call(&near).await?, None, "a family")?;
    let models = signer.signed_http("GET", "/v1/models", (&host, "2"), "");
    ensure_code(&stage.gateway.call(&models).await?, None, "without a body")?;
    let usage = signer.signed_http("GET", "/v1/usage", (&host, "3"), "");
    ensure_code(&stage.gateway.call(&usage).await?, None, "usage")?;
    for (from, to) in [
        ("/v1/chat/completions?a=1", "/v1/chat/completions?a=2"),
        ("POST /v1/chat/completions", "POST /v1/responses"),
        (host.as_str(), "other.example"),
    ] {
        let text = String::from_utf8_lossy(&chat("4").to_bytes()).replacen(from, to, 1);
        ensure_code(&raw(&stage, &text).await?, Some("INVALID_SIGNATURE"), to)?;
    }
    let asking = chat("5").header("accept-signature", r#"r=("@status" "content-digest" "@method";req)"#);
    let answer = stage.gateway.call(&asking).await?;
    ensure_code(&answer, None, "asking")?;
    ensure_signed(&signer, &answer)
}

/// Checks the answer's own signature.
fn ensure_signed(signer: &Signer, answer: &Answer) -> Result<()> {
    use base64::Engine as _;
    let header = |name: &str| answer.header(name).map(str::to_owned).with_context(|| format!("no {name}"));
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let digest = format!("sha-256=:{}:", encode(&sha256(&answer.body)));
    ensure!(header("content-digest")? == digest, "{:?}", answer.head.headers);
    let input = header("signature-input")?;
    let parameters = input.strip_prefix("r=").context("another label")?;
    ensure!(parameters.starts_with(r#"("@status" "content-digest" "@method";req);created="#), "{parameters}");
    let base = format!(
        "\"@status\": 200\n\"content-digest\": {digest}\n\"@method\";req: POST\n\"@signature-params\": {parameters}"
    );
    let expected = format!("r=:{}:", encode(&signer.hmac(&base)));
    ensure!(header("signature")? == expected, "{:?}", answer.head.headers);
    Ok(())
}

#[tokio::test]
async fn a_signature_for_another_host_is_refused_where_hosts_are_listed() -> Result<()> {
    let stage =
        Stage::start(Options::demo().env("YUMEN_PUBLIC_HOSTS", "ai.example.com, b.example.com:8443")).await?;
    let signer = Signer::create(&stage, "rfc9421", json!({})).await?;
    for (host, code) in
        [("ai.example.com", None), ("B.example.com:8443", None), ("other.example", Some("INVALID_SIGNATURE"))]
    {
        let signed = signer.signed_http("POST", PATH, (&host.to_lowercase(), host), BODY);
        ensure_code(&stage.gateway.call(&signed).await?, code, host)?;
    }
    Ok(())
}

#[tokio::test]
async fn the_record_says_which_step_differs_and_never_the_secret() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let signer = Signer::create(&stage, "hmac-v1", json!({})).await?;
    let spaced = r#"{ "model": "demo-chat", "messages": [] }"#;
    let canonical = r#"{"messages":[],"model":"demo-chat"}"#;
    let answer =
        stage.gateway.call(&signer.with_signature(spaced, &at(seconds() - 9, "1"), &"0".repeat(64))).await?;
    let record = stage.record(&answer).await?;
    let found = &record["signature"];
    ensure!(found["step"] == "signature" && found["scheme"] == "hmac-v1", "{record}");
    ensure!(found["raw_body_sha256"] == hex(&sha256(spaced.as_bytes())), "{record}");
    ensure!(found["canonical_body_sha256"] == hex(&sha256(canonical.as_bytes())), "{record}");
    ensure!((-12..=-9).contains(&found["skew_s"].as_i64().unwrap_or(0)), "{record}");
    ensure!(record["key_id"] == signer.id && !record.to_string().contains(&signer.secret), "{record}");
    let late = stage.gateway.call(&signer.signed(spaced, &at(seconds() - 900, "2"))).await?;
    let record: Value = stage.record(&late).await?;
    ensure!(record["signature"]["step"] == "timestamp", "{record}");
    ensure!((-903..=-900).contains(&record["signature"]["skew_s"].as_i64().unwrap_or(0)), "{record}");
    Ok(())
}

#[tokio::test]
async fn old_secrets_work_for_the_grace_period() -> Result<()> {
    let stage = Stage::start(Options::demo()).await?;
    let created =
        stage.admin.post("api-keys", &json!({"name": "k", "signing": "hmac-v1", "bearer": true})).await?;
    let rotated = stage
        .admin
        .post(
            &format!("api-keys/{}/rotate?grace_period_hours=1", created["id"].as_str().unwrap_or_default()),
            &json!({}),
        )
        .await?;
    for (number, shown) in [&created, &rotated].into_iter().enumerate() {
        let signer = Signer::of(shown)?;
        ensure_code(
            &stage.gateway.call(&signer.signed(BODY, &now(&format!("{number}")))).await?,
            None,
            "signed",
        )?;
        let bearer = Request::post(PATH, BODY).bearer(shown["key"].as_str().unwrap_or_default());
        ensure_code(&stage.gateway.call(&bearer).await?, None, "bearer")?;
    }
    let last = stage
        .admin
        .post(&format!("api-keys/{}/rotate", created["id"].as_str().unwrap_or_default()), &json!({}))
        .await?;
    for (number, shown) in [&created, &rotated].into_iter().enumerate() {
        let signer = Signer::of(shown)?;
        let answer = stage
            .gateway
            .call(&signer.signed(BODY, &now(&format!("ended {number}").replace(' ', "-"))))
            .await?;
        ensure_code(&answer, Some("INVALID_SIGNATURE"), "ended")?;
    }
    ensure_code(&stage.gateway.call(&Signer::of(&last)?.signed(BODY, &now("last"))).await?, None, "the last")
}
