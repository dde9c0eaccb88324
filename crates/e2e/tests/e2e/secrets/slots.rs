//! The slots for secrets that the gateway fills itself, and those that callers fill with what fits nowhere.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use testkit::admin::Admin;
use testkit::http::{Answer, Request};
use testkit::surface::CHAT;

use super::{ADMIN_TOKEN, KEYS, PASSWORD, Stage};
use crate::second_factor;

/// What callers send by mistake, by the name of the header or the field that it comes in.
pub(super) const JUNK: [(&str, &str); 12] = [
    ("x-goog-api-key", "canary-goog-Aq1Sw2De3Fr4Gt5Hy6"),
    ("x-trial-key", "trial_canary-trial-Zq9Xw8Ce7Vr6Bt5"),
    ("api-key", "canary-azure-Pp0Oo9Ii8Uu7Yy6Tt5"),
    ("cookie", "canary-cookie-Mm1Nn2Bb3Vv4Cc5Xx6"),
    ("proxy-authorization", "canary-proxy-Ll9Kk8Jj7Hh6Gg5Ff4"),
    ("x-signature", "canary-signature-Qw1Er2Ty3Ui4Op5"),
    ("x-nonce", "canary-nonce-As1Df2Gh3Jk4Lz5"),
    ("authorization", "canary-bearer-Xc1Vb2Nm3Qa4Ws5Ed6"),
    ("refresh_token", "canary-refresh-Rf1Tg2Yh3Uj4Ik5Ol6"),
    ("api_key", "canary-exchange-Pz1Ox2Ic3Uv4Yb5Tn6"),
    ("password", "canary-typed-Ec1Rv2Tb3Yn4Um5Ik6"),
    ("totp_code", "canary-totp-Bh1Nj2Mk3Ql4Wa5Es6"),
];

/// Credentials of providers that the environment gives.
pub(super) const PROVIDERS: [(&str, &str); 2] =
    [("OPENAI", "sk-canary-openai-Hy7Uj8Ik9Ol0Pq1Aw2"), ("DEEPSEEK", "sk-canary-deepseek-Gt6Fr5De4Sw3Aq2")];

/// Sends all that fits nowhere, and gives what was answered.
pub(super) async fn send_junk(stage: &Stage) -> Result<Vec<Answer>> {
    let mut answers = Vec::new();
    for (name, text) in JUNK {
        let field = json!({ name: text, "email": "canary@example.com", "password": text });
        let chat = Request::post(CHAT.path, CHAT.request("m", false).to_string());
        let admin = Request::get("/api/v1/admin/users");
        let value = if name == "authorization" { format!("Bearer {text}") } else { text.to_owned() };
        let requests = match name {
            "refresh_token" => vec![
                Request::post("/api/v1/auth/refresh", json!({ name: text }).to_string()),
                Request::post("/api/v1/auth/logout", json!({ name: text }).to_string()),
            ],
            "api_key" => vec![Request::post("/api/v1/auth/token", json!({ name: text }).to_string())],
            "password" | "totp_code" => vec![Request::post("/api/v1/auth/login", field.to_string())],
            _ => vec![chat.header(name, &value), admin.header(name, &value)],
        };
        for request in requests {
            answers.push(stage.gateway.call(&request).await?);
        }
    }
    Ok(answers)
}

/// Lets the gateway make and change every kind of secret that it hands out once, and gives them.
pub(super) async fn handed_out(stage: &Stage) -> Result<Vec<(&'static str, String)>> {
    let admin = &stage.admin;
    let text = |shown: &Value, field: &str| {
        shown[field].as_str().map(str::to_owned).with_context(|| format!("no {field}"))
    };
    // Of a key only the end is secret: its id is public.
    let secret = |shown: &Value| Ok::<_, anyhow::Error>(after_id(&text(shown, "key")?));
    let hmac = admin.post("api-keys", &json!({"name": "h", "signing": "hmac-v1", "bearer": true})).await?;
    let http = admin.post("api-keys", &json!({"name": "r", "signing": "rfc9421"})).await?;
    let internal = admin.post("api-keys", &json!({"name": "i", "kind": "internal"})).await?;
    let rotated = admin
        .post(&format!("api-keys/{}/rotate?grace_period_hours=1", text(&hmac, "id")?), &json!({}))
        .await?;
    let trial = Request::post("/admin/keys", json!({"quota": 5}).to_string()).bearer(ADMIN_TOKEN);
    let trial = stage.gateway.call(&trial).await?.json();
    let exchange = Request::post("/api/v1/auth/token", "").bearer(&text(&internal, "key")?);
    stage.gateway.offers(&text(&internal, "key")?, &[], crate::stage::IN_FORCE).await?;
    let exchanged = stage.gateway.call(&exchange).await?.json();
    let login = json!({"email": "canary@example.com", "password": PASSWORD}).to_string();
    let login = stage.gateway.call(&Request::post("/api/v1/auth/login", login)).await?.json();
    let again = json!({"refresh_token": text(&login, "refresh_token")?}).to_string();
    let again = stage.gateway.call(&Request::post("/api/v1/auth/refresh", again)).await?;
    ensure!(again.status() == 200, "{}", again.text());
    let again = again.json();
    let enrol = Request::post("/api/v1/auth/totp/enrol", json!({"password": PASSWORD}).to_string());
    let enrolled = stage.gateway.call(&enrol.bearer(&text(&again, "access_token")?)).await?.json();
    let confirmed = json!({"code": second_factor::code(&text(&enrolled, "secret")?)?}).to_string();
    let confirmed =
        Request::post("/api/v1/auth/totp/confirm", confirmed).bearer(&text(&again, "access_token")?);
    let recovery =
        stage.gateway.call(&confirmed).await?.json()["recovery_codes"][0].as_str().map(str::to_owned);
    // Each is used once more, where it is worth something.
    Admin::with_token(stage.gateway.address(), &text(&again, "access_token")?)
        .try_send("GET", "users", None)
        .await?;
    Ok(vec![
        ("a key that signs", secret(&hmac)?),
        ("a signing secret of hmac-v1", text(&hmac, "signing_secret")?),
        ("a signing secret of rfc9421", text(&http, "signing_secret")?),
        ("a key of the internal channel", secret(&internal)?),
        ("a rotated key", secret(&rotated)?),
        ("a rotated signing secret", text(&rotated, "signing_secret")?),
        ("a trial key", secret(&trial)?),
        ("an exchanged token", text(&exchanged, "access_token")?),
        ("an access token", text(&login, "access_token")?),
        ("a refresh token", text(&login, "refresh_token")?),
        ("a second access token", text(&again, "access_token")?),
        ("a second refresh token", text(&again, "refresh_token")?),
        ("the secret of a second factor", text(&enrolled, "secret")?),
        ("a recovery code", recovery.context("no recovery code")?),
        ("the key that signs tokens", token_key(stage.gateway.data())?),
    ])
}

/// What stands in the file of the key that signs access tokens.
fn token_key(data: &Path) -> Result<String> {
    for entry in std::fs::read_dir(data.join(KEYS))? {
        let path = entry?.path();
        let lines = std::fs::read_to_string(&path).unwrap_or_default();
        if lines.contains("PRIVATE KEY") {
            return lines.lines().nth(1).map(str::to_owned).context("an empty key");
        }
    }
    bail!("no key signs tokens")
}

fn after_id(key: &str) -> String {
    key.rsplit(['-', '_']).next().unwrap_or_default().to_owned()
}
