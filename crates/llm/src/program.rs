//! Client programs whose reading of refusals is known, and what they are told in place of the usual:
//! so that our message is shown and a hopeless repetition is not made (access contract §7).

use http::{HeaderName, HeaderValue};
use model::{Code, Rejection, RequestId};
use serde_json::{Value, json};

use crate::surface::Envelope;

/// A client program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Program {
    /// Anthropic's Claude Code.
    ClaudeCode,
    /// OpenAI's Codex.
    Codex,
    /// Any other: its dialect says it all.
    #[default]
    Other,
}

/// A refusal in a program's own terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// Headers besides the usual.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// What a refusal is about, as far as programs differ in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Matter {
    /// There is no money or quota left.
    Budget,
    /// The model is not for this caller.
    Model,
    /// The caller is not known, or not for this.
    Access,
}

fn matter(code: Code) -> Option<Matter> {
    Some(match code {
        Code::InsufficientBalance
        | Code::SubscriptionRequired
        | Code::QuotaDailyExceeded
        | Code::QuotaWeeklyExceeded
        | Code::QuotaMonthlyExceeded
        | Code::QuotaTokenExceeded
        | Code::QuotaRequestExceeded
        | Code::QuotaCostExceeded => Matter::Budget,
        Code::ModelNotAllowed | Code::ModelNotPriced => Matter::Model,
        Code::InvalidApiKey
        | Code::ApiKeyExpired
        | Code::ApiKeyRevoked
        | Code::InvalidRequestCredentials
        | Code::IpNotWhitelisted
        | Code::ScopeDenied => Matter::Access,
        _ => return None,
    })
}

impl Program {
    /// What the program is told in place of the usual answer; `None` where the usual is right.
    #[must_use]
    pub fn told(self, envelope: Envelope, rejection: &Rejection, request_id: &RequestId) -> Option<Told> {
        let matter = matter(rejection.code)?;
        match (self, envelope) {
            (Self::ClaudeCode, Envelope::Anthropic) => Some(claude(matter, rejection, request_id)),
            (Self::Codex, Envelope::OpenAi | Envelope::Responses) => codex(matter, rejection),
            _ => None,
        }
    }
}

/// Claude Code: 403 is shown as a failed login; 429 is final where it is told so.
fn claude(matter: Matter, rejection: &Rejection, request_id: &RequestId) -> Told {
    let info = rejection.code.info();
    let (status, kind) = match matter {
        Matter::Budget => (429, "billing_error"),
        Matter::Model => (400, "invalid_request_error"),
        Matter::Access => (info.http, info.anthropic_type),
    };
    let error = json!({"type": kind, "message": rejection.message});
    let body = json!({"type": "error", "error": error, "request_id": request_id.to_string()});
    let stop = (HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
    Told { status, body: text(&body), headers: vec![stop] }
}

/// Codex: it repeats 402 and 403, and shows a text of ours with a limit that is reached only from a header.
fn codex(matter: Matter, rejection: &Rejection) -> Option<Told> {
    let told = |status, kind: &str, resets_at: Option<u64>, headers| {
        let error = json!({
            "type": kind, "message": rejection.message, "param": rejection.param,
            "code": rejection.code.name(), "resets_at": resets_at,
        });
        Some(Told { status, body: text(&json!({"error": error})), headers })
    };
    match matter {
        Matter::Budget => {
            let words = rejection.message.trim_end_matches('.').to_owned();
            let shown = HeaderValue::try_from(words).ok();
            let promo = shown.map(|value| (HeaderName::from_static("x-codex-promo-message"), value));
            let resets_at = rejection.resets_at.map(|ms| ms / 1000);
            told(429, "usage_limit_reached", resets_at, promo.into_iter().collect())
        }
        Matter::Model => told(404, rejection.code.info().openai_type, None, Vec::new()),
        Matter::Access => None,
    }
}

fn text(body: &Value) -> Vec<u8> {
    serde_json::to_vec(body).expect("strings and numbers always serialise")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(program: Program, envelope: Envelope, rejection: &Rejection) -> Option<(u16, Value, usize)> {
        let id = RequestId::mint(1_790_000_000_000, [7; 10]);
        let told = program.told(envelope, rejection, &id)?;
        Some((told.status, serde_json::from_slice(&told.body).unwrap(), told.headers.len()))
    }

    #[test]
    fn every_code_has_one_reading_per_program() {
        use Envelope::{Anthropic, Native, OpenAi, Responses};
        for code in Code::ALL {
            let rejection = Rejection::new(*code);
            for envelope in [Anthropic, OpenAi, Responses, Native] {
                assert_eq!(told(Program::Other, envelope, &rejection), None);
            }
            assert_eq!(told(Program::ClaudeCode, OpenAi, &rejection), None);
            assert_eq!(told(Program::Codex, Anthropic, &rejection), None);
            let claude = told(Program::ClaudeCode, Anthropic, &rejection).map(|told| told.0);
            let codex = told(Program::Codex, OpenAi, &rejection).map(|told| told.0);
            assert_eq!(told(Program::Codex, Responses, &rejection), told(Program::Codex, OpenAi, &rejection));
            let expected = match (code.http(), code.name()) {
                (_, "MODEL_NOT_ALLOWED" | "MODEL_NOT_PRICED") => (Some(400), Some(404)),
                (402, _) | (403, "SUBSCRIPTION_REQUIRED") => (Some(429), Some(429)),
                (403, name) if name.starts_with("QUOTA_") => (Some(429), Some(429)),
                (403, _) => (Some(403), None),
                (401, name) if name.contains("KEY") || name == "INVALID_REQUEST_CREDENTIALS" => {
                    (Some(401), None)
                }
                _ => (None, None),
            };
            assert_eq!((claude, codex), expected, "{}", code.name());
        }
    }

    #[test]
    fn a_spent_budget_is_told_in_each_programs_words() {
        let mut rejection = Rejection::because(Code::QuotaDailyExceeded, "Daily quota of 5 USD is used up.");
        rejection.resets_at = Some(1_790_000_000_123);
        let (_, body, headers) = told(Program::ClaudeCode, Envelope::Anthropic, &rejection).unwrap();
        assert_eq!((body["error"]["type"].as_str(), headers), (Some("billing_error"), 1));
        let (_, body, headers) = told(Program::Codex, Envelope::OpenAi, &rejection).unwrap();
        let error = &body["error"];
        assert_eq!((error["type"].as_str(), headers), (Some("usage_limit_reached"), 1));
        assert_eq!(
            (error["resets_at"].as_u64(), error["code"].as_str()),
            (Some(1_790_000_000), Some("QUOTA_DAILY_EXCEEDED"))
        );
    }
}
