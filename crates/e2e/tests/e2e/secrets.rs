//! Secrets planted in every slot show up nowhere: not in logs, records, errors, metrics or files.

mod columns;
mod dumps;
mod panics;
mod slots;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::admin::{Admin, account};
use testkit::canned;
use testkit::command::Commands;
use testkit::gateway::{Options, Turn};
use testkit::http::{Answer, Request};
use testkit::oracle::has_none;
use testkit::script::Script;
use testkit::surface::{CHAT, MESSAGES};
use testkit::trust::Proof;
use testkit::upstream::Upstream;
use testkit::wait;

use crate::stage::{IN_FORCE, Stage, with};

const PROOF: Proof = Proof::new(
    "T58",
    "P9",
    "A secret in every slot, used on good paths and bad with the log at `trace`, shows up in no answer, record, metric, \
     audit entry, log, database or backup: not in clear, hexadecimal, base64 or URL-encoded",
);

const CREDENTIAL: &str = "sk-canary-credential-7Qw3nT9xLmZ";
const SECOND_CREDENTIAL: &str = "sk-canary-second-credential-4RtY8kPq";
const PASSWORD: &str = "canary-password-Vb6Hs2dG1jKp";
const WRONG_PASSWORD: &str = "canary-wrong-password-Xc5Fz8aS";
const ADMIN_TOKEN: &str = "canary-admin-token-Nm7Lp4wEr2TyUiOp0AsDf";
const METRICS_TOKEN: &str = "canary-metrics-token-Gh3Jk9lQwErTyUiOp";
const QUERY_KEY: &str = "sk-ym-canaryquerykey-Zx8Cv2Bn5Mq";
const JUNK_KEY: &str = "sk-canary-junk-key-Pl6Ok3Ij9Uh";
/// Where keys lie that hold what they must.
const KEYS: &str = "keys";
const ENCRYPTION_KEY: &str = "c0ffee11c0ffee22c0ffee33c0ffee44c0ffee55c0ffee66c0ffee77c0ffee88";

/// Makes the gateway handle every secret, on good paths and bad, and gives all that it answered.
async fn exercise(stage: &Stage) -> Result<Vec<Answer>> {
    let mut answers = Vec::new();
    for surface in [CHAT, MESSAGES] {
        let echo = canned::error_body(surface.dialect, "authentication_error", "not this one");
        let words = format!("Incorrect API key provided: {CREDENTIAL}.");
        let repeated = canned::error_body(surface.dialect, "invalid_request_error", &words);
        let mut failing = canned::frames(&surface, "m");
        failing.truncate(5);
        failing.push(canned::error_frame(surface.dialect, "authentication_error", &words));
        let scripts = [
            ("good", canned::answer(&surface, "m", false)),
            ("stream", canned::answer(&surface, "m", true)),
            ("stream-repeating", canned::stream_answer(&failing)),
            ("refusing", canned::json_answer(401, &[], &echo)),
            ("repeating", canned::json_answer(400, &[], &repeated)),
            ("repeating-late", canned::json_answer(500, &[], &repeated)),
            ("broken", Script::new().send("HTTP/9.7 abc\r\n\r\n").close()),
            ("gone", Script::new().close()),
        ];
        for (name, script) in scripts {
            let model = format!("{}-{name}", surface.name);
            let upstream = Upstream::always(script).await?;
            let body = account(&model, &surface, &upstream.url(), &json!([model]));
            stage
                .create(&with(body, "credential", json!({"type": "api_key", "api_key": CREDENTIAL})))
                .await?;
            let body = surface.request(&model, name.starts_with("stream")).to_string();
            for request in attempts(surface.path, &body, &stage.key) {
                answers.push(stage.gateway.call(&request).await?);
            }
        }
    }
    answers.extend(administer(stage).await?);
    answers.extend(slots::send_junk(stage).await?);
    Ok(answers)
}

fn attempts(path: &str, body: &str, key: &str) -> Vec<Request> {
    let post = |target: &str| Request::post(target, body.to_owned());
    vec![
        post(path).bearer(key),
        post(&format!("{path}?key={key}")),
        post(&format!("{path}?key={QUERY_KEY}&x=1")),
        post(path).header("x-api-key", JUNK_KEY),
        post(path).bearer(key).header("api-key", JUNK_KEY),
        Request::post(path, "{not json").bearer(key),
        Request::get(&format!("/v1/nothing?key={key}")),
        Request::get(&format!("/v1/models?key={QUERY_KEY}"))
            .header("authorization", &format!("Basic {JUNK_KEY}")),
    ]
}

async fn administer(stage: &Stage) -> Result<Vec<Answer>> {
    let admin = &stage.admin;
    let user = json!({"email": "canary@example.com", "password": PASSWORD, "role": "viewer"});
    let created = admin.try_send("POST", "users", Some(&user)).await?;
    ensure!(created.status() == 201, "{}", created.text());
    let login = |password: &str| {
        let body = json!({"email": "canary@example.com", "password": password}).to_string();
        Request::post("/api/v1/auth/login", body)
    };
    Admin::sign_in(stage.gateway.address(), "canary@example.com", PASSWORD).await?;
    let token = Admin::with_token(stage.gateway.address(), ADMIN_TOKEN);
    let rotated = json!({"credential": {"type": "api_key", "api_key": SECOND_CREDENTIAL}});
    let accounts = token.get("accounts").await?;
    let id = accounts["items"][0]["id"].as_str().context("no account")?.to_owned();
    let bad =
        json!({"name": "x", "provider": "no-such", "credential": {"type": "api_key", "api_key": CREDENTIAL}});
    Ok(vec![
        created,
        stage.gateway.call(&login(WRONG_PASSWORD)).await?,
        stage
            .gateway
            .call(&Request::post("/api/v1/auth/login", format!("{{\"password\":\"{PASSWORD}\"")))
            .await?,
        token.try_send("PATCH", &format!("accounts/{id}"), Some(&rotated)).await?,
        token.try_send("POST", "accounts", Some(&bad)).await?,
        token.try_send("GET", "accounts", None).await?,
        token.try_send("GET", "api-keys", None).await?,
        token.try_send("GET", "users", None).await?,
        token.try_send("GET", "requests?limit=200", None).await?,
        stage
            .gateway
            .call(&Request::get("/health").header("authorization", &format!("Bearer {METRICS_TOKEN}")))
            .await?,
        stage.gateway.call(&Request::get("/metrics")).await?,
    ])
}

/// Every file below a folder, but those of the keys.
fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if !path.ends_with(KEYS) {
                files(&path, found)?;
            }
        } else {
            let mut bytes = std::fs::read(&path)?;
            // The journal's room for bad times is many zeros.
            bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
            found.push((path.display().to_string(), bytes));
        }
    }
    Ok(())
}

fn options(format: &str) -> Options {
    let options = Options::default()
        .turn(Turn::Shared)
        .env("LOG_LEVEL", "trace")
        .env("LOG_FORMAT", format)
        .env("ADMIN_TOKEN", ADMIN_TOKEN)
        .env("METRICS_TOKEN", METRICS_TOKEN)
        .env("ENCRYPTION_KEY", ENCRYPTION_KEY);
    slots::PROVIDERS.into_iter().fold(options, |options, (provider, key)| {
        let options = options.env(&format!("{provider}_API_KEY"), key);
        options.env(&format!("{provider}_BASE_URL"), "http://127.0.0.1:9/v1")
    })
}

/// All that was planted or handed out, by name.
async fn secrets_of(stage: &Stage) -> Result<Vec<(&'static str, String)>> {
    let first = stage.gateway.ready()["admin_password"].as_str().context("no password")?;
    let own = stage.key.rsplit('-').next().unwrap_or_default();
    let planted = [
        ("the account's credential", CREDENTIAL),
        ("the account's second credential", SECOND_CREDENTIAL),
        ("a password", PASSWORD),
        ("a wrong password", WRONG_PASSWORD),
        ("the first password", first),
        ("the administrator's token", ADMIN_TOKEN),
        ("the metrics token", METRICS_TOKEN),
        ("the session's token", stage.admin.token()),
        ("the encryption key", ENCRYPTION_KEY),
        ("a key in the query", QUERY_KEY),
        ("a junk key", JUNK_KEY),
        ("the caller's key", own),
    ];
    let all = planted.into_iter().chain(slots::JUNK).chain(slots::PROVIDERS);
    let mut all: Vec<_> = all.map(|(name, text)| (name, text.to_owned())).collect();
    all.extend(slots::handed_out(stage).await?);
    Ok(all)
}

/// What the administration shows of all that has happened, and a backup of what is stored.
async fn shown_afterwards(stage: &Stage) -> Result<Vec<(String, String)>> {
    let records = wait::until("more than 20 records", wait::PATIENCE, async || {
        let records: Value = stage.admin.get("requests?limit=200").await?;
        let enough = records["items"].as_array().is_some_and(|items| items.len() > 20);
        Ok(enough.then_some(records))
    });
    let mut shown = vec![("the records".to_owned(), records.await?.to_string())];
    for list in ["audit-log?limit=200", "api-keys?limit=200", "users?limit=200", "accounts?limit=200"] {
        shown.push((list.to_owned(), stage.admin.get(list).await?.to_string()));
    }
    let metrics = Request::get("/metrics").bearer(METRICS_TOKEN);
    shown.push(("the metrics".to_owned(), stage.gateway.call(&metrics).await?.text()));
    let commands = Commands::on(stage.gateway.data()).env("ENCRYPTION_KEY", ENCRYPTION_KEY);
    let backup = stage.gateway.data().join("backup.db").display().to_string();
    shown.push(("the backup's words".to_owned(), commands.done(&["db", "backup", &backup]).await?));
    Ok(shown)
}

#[tokio::test]
async fn planted_secrets_show_up_nowhere() -> Result<()> {
    let (mut count, mut places) = (0, 0);
    for format in ["text", "json"] {
        let mut stage = Stage::start(options(format)).await?;
        let answers = exercise(&stage).await?;
        let owned = secrets_of(&stage).await?;
        let secrets: Vec<(&str, &str)> = owned.iter().map(|(name, text)| (*name, text.as_str())).collect();
        for answer in &answers {
            let head = format!("{:?}", answer.head);
            has_none("an answer's head", head.as_bytes(), &secrets)?;
            has_none("an answer", &answer.body, &secrets).with_context(|| answer.text())?;
        }
        let shown = shown_afterwards(&stage).await?;
        for (place, text) in &shown {
            has_none(place, text.as_bytes(), &secrets)?;
        }
        stage.gateway.terminate().await?;
        let log = stage.gateway.log();
        ensure!(log.len() > 1_000, "there is hardly any log: {log}");
        has_none("the log", log.as_bytes(), &secrets)?;
        let mut kept = Vec::new();
        files(stage.gateway.data(), &mut kept)?;
        ensure!(kept.len() >= 3, "no database and backup among {} files", kept.len());
        for (path, bytes) in &kept {
            has_none(path, bytes, &secrets)?;
        }
        let hashes = columns::check(stage.gateway.data()).await?;
        let hashes: Vec<(&str, &str)> =
            hashes.iter().map(|hash| ("a hash of a key", hash.as_str())).collect();
        for (place, text) in
            shown.iter().map(|(place, text)| (place.as_str(), text)).chain([("the log", &log)])
        {
            has_none(place, text.as_bytes(), &hashes)?;
        }
        for answer in &answers {
            has_none("an answer", &answer.body, &hashes)?;
        }
        (count, places) = (secrets.len(), answers.len() + shown.len() + kept.len() + 1);
    }
    ensure!(count >= 41, "{count} secrets");
    PROOF.held(&format!(
        "{count} secrets, 6 forms each, in {places} answers, lists, logs and files: 0 found; hashes of keys are in their \
         own column alone"
    ))
}

#[tokio::test]
async fn a_key_is_shown_once_and_never_again() -> Result<()> {
    let stage = Stage::start(Options::default()).await?;
    let (id, key) = stage.admin.create_key(&json!({"name": "once"})).await?;
    stage.gateway.offers(&key, &[], IN_FORCE).await?;
    let secret = key.rsplit('-').next().unwrap_or_default();
    for path in [format!("api-keys/{id}"), "api-keys?limit=200".to_owned()] {
        let answer = stage.admin.get(&path).await?.to_string();
        ensure!(!answer.contains(secret), "{answer}");
    }
    Ok(())
}
