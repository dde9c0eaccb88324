//! Panics in the path of a request, at every point where a test can bring one about: the gateway serves on, and nothing
//! that was at hand is printed.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::admin::{account, unlimited};
use testkit::canned;
use testkit::http::{Answer, Request};
use testkit::load::each_here;
use testkit::oracle::{has_none, held};
use testkit::surface::CHAT;
use testkit::trust::Proof;
use testkit::upstream::Upstream;
use testkit::wait;

use super::{ADMIN_TOKEN, CREDENTIAL, ENCRYPTION_KEY, METRICS_TOKEN, files, options};
use crate::stage::{IN_FORCE, Stage, with};

const PROOF: Proof = Proof::new(
    "T58-panic",
    "P9",
    "A panic at any point of a request's path or of a change of money, with the log at `trace`, prints no secret; the \
     gateway serves on",
);

/// Points that a request or a change passes; those of the threads of the journal and of the start belong to nobody's
/// request.
const POINTS: [&str; 15] = [
    "before_intent",
    "after_intent",
    "before_upstream",
    "after_upstream",
    "after_first_byte",
    "before_retry",
    "before_checkpoint",
    "after_checkpoint",
    "before_settle",
    "after_settle",
    "before_void",
    "answer_before_stored",
    "answer_after_stored",
    "adjust_before_sync",
    "adjust_after_sync",
];
/// What a panic that was asked for says.
const SAID: &str = "panicking at a failpoint, as asked";
/// Words of four tokens each: enough for a checkpoint, which is due every 2,000 tokens, long before the last read.
const LONG: usize = 2_000;
/// Trials at one time: most of one is waiting for a process to start.
const AT_ONCE: usize = 3;

/// Whether a request that panics here still gives back what it held: not where the settling itself panics.
fn gives_back(point: &str) -> bool {
    !point.contains("settle") && point != "before_void"
}

/// An account whose first upstream refuses, one that always does, one that answers at length.
async fn offer(stage: &Stage) -> Result<[Upstream; 3]> {
    let refusal = canned::json_answer(500, &[], &canned::error_body(CHAT.dialect, "some_error", "no"));
    let refusing = Upstream::always(refusal).await?;
    let good = Upstream::always(canned::answer(&CHAT, "m", false)).await?;
    let frames = canned::chat_frames("m", &vec![" abcdefghijklmno"; LONG], true);
    let long = Upstream::always(canned::stream_answer(&frames)).await?;
    for (name, at, models, priority) in [
        ("first", &refusing, json!(["twice", "never"]), 10),
        ("second", &good, json!(["twice", "good"]), 20),
        ("long", &long, json!(["long"]), 10),
    ] {
        let body = with(account(name, &CHAT, &at.url(), &models), "priority", json!(priority));
        stage.create(&with(body, "credential", json!({"type": "api_key", "api_key": CREDENTIAL}))).await?;
    }
    Ok([refusing, good, long])
}

/// Sends what passes every point; what was answered. Whoever was served by what panicked gets no answer.
async fn exercise(stage: &Stage, key: &str) -> Result<Vec<Answer>> {
    let user = stage.admin.user_with_balance("panic@example.com", "1").await;
    let post =
        |model: &str, stream| Request::post(CHAT.path, CHAT.request(model, stream).to_string()).bearer(key);
    let mut requests = vec![
        post("twice", false).header("idempotency-key", "once"),
        post("never", false),
        post("long", true),
    ];
    if let Ok(user) = user {
        let body = json!({"amount": "1", "reason": "panic"}).to_string();
        let path = format!("/api/v1/admin/users/{user}/balance");
        requests.push(Request::post(&path, body).bearer(ADMIN_TOKEN));
    }
    let mut answers = Vec::new();
    for request in requests {
        answers.extend(stage.gateway.call(&request).await.ok());
    }
    let good = stage.gateway.call(&post("good", false)).await?;
    ensure!(good.status() == 200, "{} {}", good.status(), good.text());
    answers.push(good);
    Ok(answers)
}

/// Panics at one point; in how many places was looked.
async fn panic_at(point: &str) -> Result<usize> {
    let armed = options("json").env("YUMEN_FAILPOINT", &format!("panic:{point}"));
    let mut stage = Stage::start(armed.env("RUST_BACKTRACE", "1")).await?;
    let _upstreams = offer(&stage).await?;
    let terms = json!({"name": "panic", "idempotency": true, "rate_limit": unlimited(),
        "quota": [{"unit": "tokens", "period": "daily", "limit": 1_000_000_000}]});
    let (_, key) = stage.admin.create_key(&terms).await?;
    stage.gateway.offers(&key, &[], IN_FORCE).await?;
    let answers = exercise(&stage, &key).await?;
    wait::until("the panic", wait::PATIENCE, async || Ok(stage.gateway.log().contains(SAID).then_some(())))
        .await?;
    if gives_back(point) {
        // Not within the usual second: the panic unwinds only once its backtrace is written, which can take longer.
        let free = async || Ok((held(&stage.gateway).await? == 0.0).then_some(()));
        wait::until("the holds to be given back", wait::PATIENCE, free).await?;
    }
    let first = stage.gateway.ready()["admin_password"].as_str().context("no password")?.to_owned();
    let session = stage.admin.token().to_owned();
    let secrets = [
        ("the account's credential", CREDENTIAL),
        ("the administrator's token", ADMIN_TOKEN),
        ("the metrics token", METRICS_TOKEN),
        ("the encryption key", ENCRYPTION_KEY),
        ("the session's token", session.as_str()),
        ("the caller's key", key.rsplit('-').next().unwrap_or_default()),
        ("the first password", first.as_str()),
    ];
    for answer in &answers {
        has_none("an answer's head", format!("{:?}", answer.head).as_bytes(), &secrets)?;
        has_none("an answer", &answer.body, &secrets)?;
    }
    stage.gateway.terminate().await?;
    let log = stage.gateway.log();
    ensure!(log.matches("panicked at").count() == 1, "not one panic: {log}");
    let plain = log.lines().find(|line| serde_json::from_str::<serde_json::Value>(line).is_err());
    ensure!(plain.is_none(), "a line is no JSON: {plain:?}");
    has_none("the log", log.as_bytes(), &secrets)?;
    let mut kept = Vec::new();
    files(stage.gateway.data(), &mut kept)?;
    for (path, bytes) in &kept {
        has_none(path, bytes, &secrets)?;
    }
    Ok(answers.len() + kept.len() + 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_prints_nothing_that_was_at_hand() -> Result<()> {
    let outcomes = each_here(AT_ONCE, POINTS.len() as u64, |number| async move {
        let point = POINTS[usize::try_from(number)?];
        panic_at(point).await.with_context(|| point)
    });
    let mut places = 0;
    let mut failures = Vec::new();
    for outcome in outcomes.await? {
        match outcome {
            Ok(looked) => places += looked,
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    ensure!(failures.is_empty(), "{} of {}:\n{}", failures.len(), POINTS.len(), failures.join("\n"));
    PROOF.held(&format!("{} panics, {places} answers, logs and files: 0 found", POINTS.len()))
}
