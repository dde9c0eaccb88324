//! T59: whatever a caller writes, an event of the log is one line that reads as JSON.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::admin::account;
use testkit::canned;
use testkit::gateway::Options;
use testkit::http::Request;
use testkit::surface::CHAT;
use testkit::trust::Proof;
use testkit::upstream::Upstream;

use super::payloads::{encoded, printable};
use crate::stage::Stage;

const PROOF: Proof = Proof::new(
    "T59",
    "P9",
    "Line ends, escapes of terminals, U+2028 and 4 KiB in every text that is logged: an event is one line of JSON",
);

/// What would begin a line of its own, colour a terminal, or fill a log.
fn fields() -> Vec<String> {
    let forged = "{\"level\":\"INFO\",\"message\":\"forged-event\"}";
    let mut fields: Vec<String> = ["\r\n", "\n", "\r", "\u{2028}", "\u{2029}", "\u{85}", "\0", "\u{b}"]
        .map(|end| format!("a{end}{forged}"))
        .into();
    fields.extend(["\u{1b}[31mred", "\u{9b}2J", "\u{1b}]0;title\u{7}", "\u{202e}txt"].map(str::to_owned));
    fields.push("x".repeat(4_096));
    fields
}

/// Puts a text wherever a caller or an administrator can put one.
async fn write(stage: &Stage, text: &str, number: usize) -> Result<usize> {
    let chat = |model: &str| Request::post(CHAT.path, CHAT.request(model, false).to_string());
    let login = json!({"email": format!("{text}@example.org"), "password": text}).to_string();
    let header = printable(text);
    let requests = [
        chat(text).bearer(&stage.key),
        chat("no-such").bearer(&stage.key).header("user-agent", &header).header("x-forwarded-for", &header),
        chat("no-such").bearer(text.trim_matches(char::is_control).split_whitespace().next().unwrap_or("x")),
        Request::get(&format!("/v1/{}", encoded(text))),
        Request::get(&format!("/v1/models/{}?key={}", encoded(text), encoded(text))),
        Request::get("/v1/models").bearer(&stage.key).header("traceparent", &header),
        Request::post("/api/v1/auth/login", login),
        chat("refusing").bearer(&stage.key),
    ];
    let mut answered = 0;
    for request in requests {
        let answer = stage.gateway.call(&request).await?;
        ensure!(answer.status() < 500 || answer.code().is_some(), "{}", answer.text());
        answered += 1;
    }
    for (noun, body) in [
        ("api-keys", json!({"name": text, "models": [text]})),
        ("tenants", json!({"id": format!("t{number}"), "name": text})),
        ("users", json!({"email": format!("u{number}@example.org"), "name": text})),
    ] {
        let answer = stage.admin.try_send("POST", noun, Some(&body)).await?;
        ensure!(answer.status() < 500, "{}", answer.text());
        answered += 1;
    }
    Ok(answered)
}

#[tokio::test]
async fn an_event_is_one_line_whatever_was_written() -> Result<()> {
    let options = Options::demo().env("LOG_FORMAT", "json").env("LOG_LEVEL", "trace");
    let mut stage = Stage::start(options).await?;
    let told = json!({"error": {"message": fields().concat(), "type": "x", "code": "a\r\nforged-event"}});
    let upstream = Upstream::always(canned::json_answer(418, &[], &told.to_string())).await?;
    stage.create(&account("refusing", &CHAT, &upstream.url(), &json!(["refusing"]))).await?;
    let (fields, mut sent) = (fields(), 0);
    for (number, text) in fields.iter().enumerate() {
        sent += write(&stage, text, number).await.with_context(|| format!("{text:?}"))?;
    }
    stage.gateway.terminate().await?;
    let log = stage.gateway.log();
    let mut events = 0;
    for line in log.lines().filter(|line| !line.is_empty()) {
        let event: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line:?}"))?;
        ensure!(event.is_object() && event["message"] != "forged-event", "{line}");
        let odd = line.chars().find(|c| c.is_control() || ['\u{2028}', '\u{2029}'].contains(c));
        ensure!(odd.is_none(), "{odd:?} stands in {line}");
        events += 1;
    }
    ensure!(events > sent / 2, "{events} events of {sent} requests");
    PROOF.held(&format!(
        "{} texts, {sent} requests: each of {events} events is one line of JSON",
        fields.len()
    ))
}
