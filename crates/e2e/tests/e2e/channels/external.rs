//! The channel of third parties: signed requests only, and nothing of the upstream is shown.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::admin::{account, quota};
use testkit::canned;
use testkit::http::{Answer, Request};
use testkit::script::Script;
use testkit::surface::CHAT;
use testkit::upstream::Upstream;
use tokio::process::Command;

use super::{Channels, demo_chat, ensure_native};

/// `hmac-v1` as its contract says, by another program than the gateway.
const SIGN: &str = "
import hashlib, hmac, sys, time, uuid
key, secret, body = sys.argv[1:]
stamp, nonce = str(int(time.time())), uuid.uuid4().hex
message = key + stamp + nonce + hashlib.sha256(body.encode()).hexdigest()
print(stamp, nonce, hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest())
";

/// A third party with a key that signs.
struct Party<'a> {
    channels: &'a Channels,
    key: String,
    secret: String,
}

impl<'a> Party<'a> {
    async fn create(channels: &'a Channels, more: &Value) -> Result<Self> {
        let mut body = json!({"name": "party", "signing": "hmac-v1"});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let made = channels.stage.admin.post("api-keys", &body).await?;
        let text = |name: &str| made[name].as_str().map(str::to_owned).with_context(|| format!("{made}"));
        Ok(Self { channels, key: text("id")?, secret: text("signing_secret")? })
    }

    async fn send(&self, request: Request, body: &str) -> Result<Answer> {
        let mut command = Command::new("python3");
        let output = command.args(["-c", SIGN, &self.key, &self.secret, body]).output().await?;
        let said = String::from_utf8(output.stdout)?;
        let mut parts = said.split_whitespace();
        let mut request = request.header("x-api-key", &self.key);
        for name in ["x-timestamp", "x-nonce", "x-signature"] {
            request = request.header(name, parts.next().context("nothing was signed")?);
        }
        self.channels.stage.gateway.call(&request).await
    }

    async fn chat(&self, body: &Value) -> Result<Answer> {
        let body = body.to_string();
        self.send(Request::post("/external/v1/chat/completions", body.clone()), &body).await
    }
}

/// An account that offers `public` and is asked for `real`.
async fn offer(channels: &Channels, name: &str, upstream: &Upstream) -> Result<()> {
    let models = json!([{"name": name, "upstream": "real"}]);
    channels.stage.create(&account(name, &CHAT, &upstream.url(), &models)).await?;
    Ok(())
}

#[tokio::test]
async fn a_signed_request_is_served_under_the_name_that_it_asks_for() -> Result<()> {
    let channels = Channels::start().await?;
    let upstream = Upstream::always(Script::new()).await?;
    let shown = [("x-request-id", "theirs"), ("openai-processing-ms", "1"), ("openai-organization", "org")];
    upstream.next([
        canned::json_answer(200, &shown, &canned::body(&CHAT, "real").to_string()),
        canned::answer(&CHAT, "real", true),
    ]);
    offer(&channels, "public", &upstream).await?;
    let party = Party::create(&channels, &json!({"quota": [quota("requests", "never", "2")]})).await?;

    let answer = party.chat(&CHAT.request("public", false)).await?;
    ensure!(answer.status() == 200, "{} {}", answer.status(), answer.text());
    ensure!(answer.json()["model"] == "public" && !answer.text().contains("real"), "{}", answer.text());
    ensure!(answer.header("x-ratelimit-limit") == Some("60"), "{:?}", answer.head.headers);
    let head = format!("{:?}", answer.head.headers);
    ensure!(!head.contains("theirs") && !head.contains("openai-"), "{head}");
    let stream = party.chat(&CHAT.request("public", true)).await?;
    let text = stream.text();
    ensure!(stream.status() == 200 && text.ends_with("data: [DONE]\n\n"), "{} {text}", stream.status());
    ensure!(text.contains("\"model\":\"public\"") && !text.contains("real"), "{text}");

    ensure_native(&party.chat(&CHAT.request("public", false)).await?, 403, "QUOTA_REQUEST_EXCEEDED")?;
    let record = channels.stage.record(&answer).await?;
    ensure!(
        record["route"] == "POST /external/v1/chat/completions" && record["upstream"] == "public",
        "{record}"
    );
    let models = party.send(Request::get("/external/v1/models"), "").await?;
    ensure!(models.status() == 200 && models.json()["object"] == "list", "{}", models.text());
    ensure!(
        models.text().contains("\"owned_by\":\"yumen\"") && !models.text().contains("compatible"),
        "{}",
        models.text()
    );
    Ok(())
}

#[tokio::test]
async fn nothing_of_the_upstream_is_shown_when_it_fails() -> Result<()> {
    let channels = Channels::start().await?;
    let theirs = r#"{"error":{"message":"secret words","code":"their_code"}}"#;
    let upstream = Upstream::always(Script::new()).await?;
    offer(&channels, "public", &upstream).await?;
    let party = Party::create(&channels, &json!({})).await?;
    for (status, expected, code) in
        [(400, 400, "INVALID_REQUEST"), (401, 502, "UPSTREAM_ERROR"), (429, 429, "RATE_LIMIT_UPSTREAM")]
    {
        upstream.next([canned::json_answer(status, &[], theirs)]);
        let answer = party.chat(&CHAT.request("public", false)).await?;
        ensure_native(&answer, expected, code)?;
        let text = answer.text();
        ensure!(!text.contains("secret") && !text.contains("their") && !text.contains("upstream_"), "{text}");
        let accounts = channels.stage.admin.get("accounts").await?;
        let of = accounts["items"].as_array().into_iter().flatten().find(|one| one["name"] == "public");
        let id = of.and_then(|one| one["id"].as_str()).context("no account")?;
        channels.stage.admin.post(&format!("accounts/{id}/reset"), &json!({})).await?;
    }
    let frames = canned::chat_frames("real", &["one"], false);
    let event = format!("data: {theirs}\n\n");
    let begun =
        canned::stream_head().chunk(&frames[0]).chunk(&frames[1]).wait_ms(200).chunk(&event).last_chunk();
    upstream.next([begun]);
    let text = party.chat(&CHAT.request("public", true)).await?.text();
    ensure!(
        text.contains("one") && text.contains("event: error\ndata: {\"code\":\"UPSTREAM_ERROR\""),
        "{text}"
    );
    ensure!(!text.contains("secret") && !text.contains("their") && !text.contains("[DONE]"), "{text}");
    Ok(())
}

#[tokio::test]
async fn an_unsigned_request_is_refused_before_anything_is_read() -> Result<()> {
    let channels = Channels::start().await?;
    let gateway = &channels.stage.gateway;
    let chat = demo_chat(true).to_string();
    for request in [
        Request::post("/external/v1/chat/completions", chat.clone()).bearer(&channels.stage.key),
        Request::post("/external/v1/embeddings", "not json").bearer(&channels.internal),
        Request::get("/external/v1/models").header("x-api-key", &channels.stage.key),
        Request::get("/external/v1/models/demo-chat"),
    ] {
        ensure_native(&gateway.call(&request).await?, 401, "INVALID_SIGNATURE")?;
    }
    for (request, status, code) in [
        (Request::get("/external/v1/chat/completions"), 405, "METHOD_NOT_ALLOWED"),
        (Request::post("/external/v1/messages", chat.clone()), 404, "NOT_FOUND"),
        (Request::get("/external/v1/bandit/report"), 404, "NOT_FOUND"),
        (Request::get("/external"), 404, "NOT_FOUND"),
    ] {
        ensure_native(&gateway.call(&request).await?, status, code)?;
    }
    ensure!(gateway.call(&Request::post("/external%2fv1/chat/completions", chat)).await?.status() == 404);
    Ok(())
}
