//! Tries an account out for an administrator: one bounded call with its own credential to its own address,
//! of which neither blocks nor circuits hear.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use egress::{Egress, Phase, Pool, SendError, Timers};
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Uri};
use http_body_util::BodyExt;
use llm::neutral::Dialect;
use llm::{Family, Surface, provider};
use model::resource::Account;
use model::{Code, Rejection};
use serde_json::json;
use tokio::time::Instant;

use crate::attempt::misconfigured;
use crate::catalog::{self, Upstream};
use crate::failure;
use crate::upstream::{self, Request};

/// An answer is read up to here: enough for the words of any error.
const READ_BYTES: usize = 64 << 10;
/// An administrator waits for it.
const PATIENCE: Duration = Duration::from_secs(15);

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The status of the upstream's answer, if one came.
    pub status: Option<u16>,
    /// Until the answer was there, or the failure.
    pub latency: Duration,
    /// What went wrong; `None` when the account works.
    pub fault: Option<Fault>,
}

/// Why the account does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The code.
    pub code: Code,
    /// How far the call came, where no answer came: `denied`, `resolve`, `connect`, `tls`, `write`, `head`.
    pub phase: Option<&'static str>,
    /// In words, without the credential.
    pub message: String,
}

/// Calls the account's upstream: what costs nothing, or `model` for a single token where one is named.
///
/// # Errors
/// There is nothing that could be called without naming a model, or the account is not configured correctly.
pub async fn run(
    egress: Arc<Egress>,
    account: &Arc<Account>,
    model: Option<&str>,
) -> Result<Report, Rejection> {
    let upstream = catalog::compile_upstream(account).map_err(|cause| misconfigured(&cause))?;
    let upstream = Arc::new(upstream);
    let (surface, request) = match model {
        Some(model) => talk(&upstream, model)?,
        None => check(&upstream)?,
    };
    let since = Instant::now();
    let pool = Pool::new(egress);
    let answered = pool.send(&upstream.target, request, &timers()).await;
    let (status, fault) = match answered {
        Err(error) => (None, Some(unanswered(&error))),
        Ok(response) => {
            let (head, body) = response.into_parts();
            let status = head.status.as_u16();
            let body = read(body).await;
            let fault = match head.status.is_success() {
                true => misplaced(status, &body),
                false => Some(refused(status, &llm::classify(surface, status, &head.headers, &body))),
            };
            (Some(status), fault)
        }
    };
    let fault = fault.map(|fault| Fault { message: without_secret(fault.message, account), ..fault });
    Ok(Report { status, latency: since.elapsed(), fault })
}

fn timers() -> Timers {
    Timers { first_byte: PATIENCE, idle: PATIENCE, total: PATIENCE, write: PATIENCE, ..Timers::standard() }
}

fn family(upstream: &Upstream) -> Family {
    upstream.preset.families.first().copied().unwrap_or(Family::OpenAi)
}

/// Where a family is talked to.
fn chat(family: Family) -> Surface {
    match family {
        Family::OpenAi => Surface::ChatCompletions,
        Family::Anthropic => Surface::Messages,
        Family::Gemini => Surface::GenerateContent,
        Family::Bedrock => Surface::Converse,
    }
}

/// The request that costs nothing.
fn check(upstream: &Upstream) -> Result<(Surface, Box<Request>), Rejection> {
    let family = family(upstream);
    let account = &upstream.account;
    let base_url = upstream.preset.base_for(family, account.base_url.as_deref()).unwrap_or_default();
    let uri = provider::credential_check(upstream.preset, base_url, account.api_version.as_deref())
        .map_err(|cause| misconfigured(&cause))?;
    let uri = uri.ok_or_else(|| {
        let message =
            "This provider has nothing that can be asked for nothing; name a `model`, which is asked for one token.";
        Rejection::because(Code::InvalidRequest, message).at("model")
    })?;
    let own = uri.path_and_query().cloned().map(Uri::from).unwrap_or_default();
    let mut request = Box::new(http::Request::new(Bytes::new()));
    *request.method_mut() = Method::GET;
    *request.uri_mut() = own;
    let headers = request.headers_mut();
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if family == Family::Anthropic {
        let version = HeaderName::from_static("anthropic-version");
        headers.insert(version, HeaderValue::from_static(provider::ANTHROPIC_VERSION));
    }
    if let Some((name, value)) = upstream.credential(family) {
        headers.insert(name, value.clone());
    }
    Ok((chat(family), request))
}

/// The request for a single token of `model`, which is a public name of the account or one of the provider.
fn talk(upstream: &Arc<Upstream>, model: &str) -> Result<(Surface, Box<Request>), Rejection> {
    let listed = upstream.account.models.iter().find(|entry| entry.public() == model);
    let only = listed.and_then(|entry| entry.dialect()).map(Dialect::from);
    let surface = only
        .and_then(|dialect| Surface::of_dialect(dialect, false))
        .unwrap_or_else(|| chat(family(upstream)));
    let model = listed.map_or(model, |entry| entry.upstream());
    let offer = catalog::offer(upstream, model, only);
    let most = match upstream.preset.id.as_str() {
        "openai" | "azure" => "max_completion_tokens",
        _ => "max_tokens",
    };
    let body = match surface {
        Surface::GenerateContent => json!({
            "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
            "generationConfig": {"maxOutputTokens": 1},
        }),
        Surface::Converse => json!({
            "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
            "inferenceConfig": {"maxTokens": 1},
        }),
        // The fewest that OpenAI takes here.
        Surface::Responses => json!({"model": model, "input": "Hi", "max_output_tokens": 16, "store": false}),
        _ => json!({"model": model, "messages": [{"role": "user", "content": "Hi"}], most: 1}),
    };
    let request = upstream::translated(&offer, surface, body.to_string().into())?;
    Ok((surface, request))
}

/// The beginning of an answer; what broke off is as long as it came.
async fn read(mut body: egress::Answer) -> Bytes {
    let mut bytes = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        bytes.extend_from_slice(&frame.into_data().unwrap_or_default());
        if bytes.len() >= READ_BYTES {
            bytes.truncate(READ_BYTES);
            break;
        }
    }
    bytes.freeze()
}

/// A success that is no JSON comes from something else than the provider: a wrong base URL.
fn misplaced(status: u16, body: &[u8]) -> Option<Fault> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if matches!(first, Some(b'{' | b'[')) {
        return None;
    }
    let message = format!("The upstream answered {status} without JSON; check the account's base URL.");
    Some(Fault { code: Code::UpstreamInvalidResponse, phase: None, message })
}

/// A complete refusal. Unlike a caller, an administrator is told what is wrong with the credential.
fn refused(status: u16, failed: &llm::UpstreamFailure) -> Fault {
    // Nobody comes back by what it says of a time.
    let judged = failure::of_answer(status, failed, 0).rejection;
    let own = judged.message.to_string();
    let (code, message) = match status {
        401 | 403 => {
            (Code::InvalidApiKey, format!("The upstream refused the account's credential ({status})."))
        }
        402 => (Code::InsufficientBalance, "The account has no money left at its provider (402).".to_owned()),
        _ => (judged.code, own),
    };
    Fault { code, phase: None, message }
}

fn unanswered(error: &SendError) -> Fault {
    let judged = failure::of_send(error).rejection;
    let message = match error.phase {
        Phase::Denied => format!("The account's address is refused: {}.", error.message),
        _ => format!("The call failed: {error}."),
    };
    Fault { code: judged.code, phase: Some(error.phase.name()), message }
}

/// Upstreams repeat what they were sent.
fn without_secret(message: String, account: &Account) -> String {
    match &account.credential {
        Some(secret) if !secret.expose().is_empty() => message.replace(secret.expose().as_str(), "***"),
        _ => message,
    }
}
