//! Signed requests from outside, made by clients that share no code with the gateway.

mod clients;
mod command;
mod forgeries;
mod freezes;
mod nonces;
mod order;

use anyhow::{Context, Result};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::admin::unlimited;
use testkit::http::Request;

use crate::stage::Stage;

/// The path of all requests here.
const PATH: &str = "/v1/chat/completions";

/// A key that signs.
#[derive(Clone, Debug)]
pub(crate) struct Signer {
    id: String,
    secret: String,
}

/// What a signature of `hmac-v1` says.
#[derive(Clone, Debug)]
pub(crate) struct Stated {
    timestamp: String,
    nonce: String,
}

impl Signer {
    /// A key without limits that signs in this scheme, changed by `more`.
    async fn create(stage: &Stage, scheme: &str, more: Value) -> Result<Self> {
        let mut body = json!({"name": scheme, "signing": scheme, "rate_limit": unlimited()});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        Self::of(&stage.admin.post("api-keys", &body).await?)
    }

    /// From the answer that shows its secret.
    pub(crate) fn of(shown: &Value) -> Result<Self> {
        let text = |name: &str| {
            shown[name].as_str().map(str::to_owned).with_context(|| format!("no {name}: {shown}"))
        };
        Ok(Self { id: text("id")?, secret: text("signing_secret")? })
    }

    fn hmac(&self, message: &str) -> Vec<u8> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
    }

    /// A request signed as `hmac-v1` says.
    fn signed(&self, body: &str, stated: &Stated) -> Request {
        self.sign(Request::post(PATH, body.to_owned()), body, stated)
    }

    /// Adds the signature of `hmac-v1`, which binds a body, to a request that has it.
    pub(crate) fn sign(&self, request: Request, body: &str, stated: &Stated) -> Request {
        let message =
            format!("{}{}{}{}", self.id, stated.timestamp, stated.nonce, hex(&sha256(body.as_bytes())));
        self.carry(request, stated, &hex(&self.hmac(&message)))
    }

    fn with_signature(&self, body: &str, stated: &Stated, signature: &str) -> Request {
        self.carry(Request::post(PATH, body.to_owned()), stated, signature)
    }

    fn carry(&self, request: Request, stated: &Stated, signature: &str) -> Request {
        request
            .header("x-api-key", &self.id)
            .header("x-timestamp", &stated.timestamp)
            .header("x-nonce", &stated.nonce)
            .header("x-signature", signature)
    }

    /// A request that anybody can make who has seen the key's id.
    fn forged(&self, number: usize) -> Request {
        self.with_signature(BODY, &now(&format!("forged-{number}")), &"0".repeat(64))
    }

    /// A request signed as RFC 9421 says, for this host; without a body when that is empty.
    fn signed_http(&self, method: &str, target: &str, (host, nonce): (&str, &str), body: &str) -> Request {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let digest = format!("sha-256=:{}:", STANDARD.encode(sha256(body.as_bytes())));
        let (covered, line) = match body.is_empty() {
            true => ("", String::new()),
            false => (" \"content-digest\"", format!("\"content-digest\": {digest}\n")),
        };
        let parameters = format!(
            "(\"@method\" \"@authority\" \"@path\" \"@query\"{covered});created={};keyid=\"{}\";alg=\"hmac-sha256\";nonce=\"{nonce}\"",
            seconds(),
            self.id
        );
        let base = format!(
            "\"@method\": {method}\n\"@authority\": {host}\n\"@path\": {path}\n\"@query\": ?{query}\n{line}\"@signature-params\": {parameters}"
        );
        let signature = STANDARD.encode(self.hmac(&base));
        let request = Request::new(method, target)
            .header("host", host)
            .header("signature-input", &format!("sig1={parameters}"))
            .header("signature", &format!("sig1=:{signature}:"));
        match body.is_empty() {
            true => request,
            false => request
                .header("content-type", "application/json")
                .header("content-digest", &digest)
                .body(body.to_owned()),
        }
    }
}

const BODY: &str = r#"{"model":"demo-chat","messages":[{"role":"user","content":"hi"}]}"#;

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[expect(clippy::disallowed_methods, reason = "the gateway under test reads the real clock too")]
fn seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs()
}

pub(crate) fn now(nonce: &str) -> Stated {
    at(seconds(), nonce)
}

fn at(seconds: u64, nonce: &str) -> Stated {
    Stated { timestamp: seconds.to_string(), nonce: nonce.to_owned() }
}
