//! Every channel × every kind of credential × every way to send one.

use anyhow::{Result, ensure};
use testkit::gateway::Gateway;
use testkit::http::{Answer, Request};

use super::{ADMIN_TOKEN, Channels, demo_chat};

const CARRIERS: [&str; 6] =
    ["authorization", "x-api-key", "x-goog-api-key", "api-key", "x-trial-key", "?key"];

/// What a channel says to each kind of credential, in the order of [`credentials`].
type Row = (&'static str, &'static str, [(u16, &'static str); 8]);

const SERVED: (u16, &str) = (200, "");
const NO_KEY: (u16, &str) = (401, "INVALID_API_KEY");
const NO_TOKEN: (u16, &str) = (401, "TOKEN_INVALID");
const UNSIGNED: (u16, &str) = (401, "INVALID_SIGNATURE");
const DENIED: (u16, &str) = (403, "SCOPE_DENIED");

/// Access contract, §1: nonsense, standard, trial and internal key; tokens of a user, of an exchanged key, of
/// the first administrator; `ADMIN_TOKEN`.
const TABLE: [Row; 7] = [
    ("POST", "/v1/chat/completions", [NO_KEY, SERVED, SERVED, SERVED, NO_KEY, NO_KEY, NO_KEY, NO_KEY]),
    ("POST", "/external/v1/chat/completions", [UNSIGNED; 8]),
    (
        "POST",
        "/internal/v1/chat/completions",
        [NO_TOKEN, DENIED, DENIED, SERVED, SERVED, SERVED, SERVED, SERVED],
    ),
    (
        "POST",
        "/api/v1/internal/chat/completions",
        [NO_TOKEN, DENIED, DENIED, SERVED, SERVED, SERVED, SERVED, SERVED],
    ),
    ("GET", "/internal/v1/models", [NO_TOKEN, DENIED, DENIED, SERVED, SERVED, SERVED, SERVED, SERVED]),
    ("GET", "/api/v1/admin/users", [NO_TOKEN, NO_TOKEN, NO_TOKEN, NO_TOKEN, DENIED, DENIED, SERVED, SERVED]),
    ("GET", "/admin/keys", [NO_TOKEN, NO_TOKEN, NO_TOKEN, NO_TOKEN, DENIED, DENIED, SERVED, SERVED]),
];

fn credentials(channels: &Channels) -> [&str; 8] {
    [
        "nonsense",
        &channels.stage.key,
        &channels.trial,
        &channels.internal,
        &channels.token,
        &channels.exchanged,
        channels.stage.admin.token(),
        ADMIN_TOKEN,
    ]
}

async fn ask(gateway: &Gateway, method: &str, path: &str, sent: Option<(&str, &str)>) -> Result<Answer> {
    let target = match sent {
        Some(("?key", text)) => format!("{path}?key={text}"),
        _ => path.to_owned(),
    };
    let request = match method {
        "POST" => Request::post(&target, demo_chat(false).to_string()),
        _ => Request::get(&target),
    };
    gateway
        .call(&match sent {
            Some(("authorization", text)) => request.bearer(text),
            Some((header, text)) if header != "?key" => request.header(header, text),
            _ => request,
        })
        .await
}

#[tokio::test]
async fn every_channel_takes_its_own_credentials_and_no_others() -> Result<()> {
    let channels = Channels::start().await?;
    let gateway = &channels.stage.gateway;
    for (method, path, expected) in TABLE {
        for carrier in CARRIERS {
            for (credential, expected) in credentials(&channels).into_iter().zip(expected) {
                let administration = path.starts_with("/admin") || path.starts_with("/api/v1/admin");
                // Administration reads the one header; whatever comes another way is not there.
                let expected = if administration && carrier != "authorization" {
                    // A query that is not the operation's is refused, once it is known who asks.
                    NO_TOKEN
                } else {
                    expected
                };
                let answer = ask(gateway, method, path, Some((carrier, credential))).await?;
                let seen = (answer.status(), answer.code().unwrap_or_default());
                ensure!(seen == expected, "{path} {carrier} {credential:.8}: {seen:?}, not {expected:?}");
            }
        }
        let none = ask(gateway, method, path, None).await?;
        let missing = if expected[0] == DENIED { NO_TOKEN } else { expected[0] };
        ensure!((none.status(), none.code().unwrap_or_default()) == missing, "{path}: {}", none.text());
    }
    Ok(())
}

#[tokio::test]
async fn two_credentials_are_refused_on_every_channel_that_reads_any() -> Result<()> {
    let channels = Channels::start().await?;
    for path in ["/v1/chat/completions", "/internal/v1/chat/completions"] {
        let request = Request::post(path, demo_chat(false).to_string())
            .bearer(&channels.internal)
            .header("x-api-key", &channels.stage.key);
        let answer = channels.stage.gateway.call(&request).await?;
        ensure!(answer.code() == Some("INVALID_REQUEST_CREDENTIALS"), "{path}: {}", answer.text());
    }
    Ok(())
}
