//! `Idempotency-Key` on changes of money: one key, one change, however often it is asked for within a day.
//!
//! The key is claimed before the money moves and its answer is kept afterwards. A claim without an answer
//! is refused: the change is still under way, or the process ended within it. Whether the money moved then
//! stands in the ledger, and no repetition can move it twice.

use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderMap;
use model::clock::EpochMs;
use model::{Code, NanoUsd, ResourceId};
use store::KeptAnswer;

use crate::answer::{Answer, Refusal};
use crate::api::context::Context;

const HEADER: &str = "idempotency-key";
/// The longest key, in bytes: what other payment interfaces take.
const LONGEST_KEY: usize = 255;

/// What was asked for, and under which key.
struct Claim<'c> {
    context: &'c Context,
    /// Whose money.
    user: &'c ResourceId,
    key: &'c str,
    asked: [u8; 32],
    at: EpochMs,
}

/// Makes `change`, whose particulars are `asked`, unless the caller's key says that it was made already; then
/// its answer is given again.
///
/// # Errors
/// What `change` fails with; `IDEMPOTENCY_MISMATCH` when the key was used for something else; `CONFLICT`
/// when the outcome of its first use is not known.
pub async fn once(
    (context, user): (&Context, &ResourceId),
    headers: &HeaderMap,
    asked: &str,
    change: impl Future<Output = Answer<NanoUsd>>,
) -> Answer<NanoUsd> {
    let Some(key) = key(headers)? else { return change.await };
    let hash = digest(&SHA256, asked.as_bytes());
    let asked = hash.as_ref().try_into().map_err(Refusal::internal)?;
    let claim = Claim { context, user, key, asked, at: context.now_ms() };
    if !claim.keep("claim", 0, String::new()).await? {
        return claim.answered().await;
    }
    let outcome = change.await;
    let kept = match &outcome {
        Ok(balance) => claim.keep("answer", 200, balance.to_string()).await,
        // Nothing moved, for a reason that will be the same when it is asked for again.
        Err(refusal) if refusal.0.code == Code::Conflict => {
            claim.keep("answer", 409, refusal.0.message.to_string()).await
        }
        Err(_) => Ok(false),
    };
    if let Err(refusal) = kept {
        let cause = refusal.0.cause.as_deref().unwrap_or_default();
        tracing::warn!(cause, "the answer to a change of money could not be kept for its repetition");
    }
    outcome
}

impl Claim<'_> {
    /// Keeps a row under the key, unless there is one; whether it was kept.
    async fn keep(&self, what: &str, status: u16, body: String) -> Answer<bool> {
        let kept = KeptAnswer {
            body_hash: self.asked,
            status,
            headers: Vec::new(),
            body: body.into_bytes(),
            created_at: self.at,
        };
        Ok(self.context.store().keep_answer(self.user, &self.row(what), &kept).await?)
    }

    fn row(&self, what: &str) -> String {
        format!("balance:{what}:{}", self.key)
    }

    async fn find(&self, what: &str) -> Answer<Option<KeptAnswer>> {
        Ok(self.context.store().find_answer(self.user, &self.row(what), self.at).await?)
    }

    /// The answer to the first use of the key.
    async fn answered(&self) -> Answer<NanoUsd> {
        if self.find("claim").await?.is_none_or(|claim| claim.body_hash != self.asked) {
            return Err(Refusal::new(Code::IdempotencyMismatch));
        }
        let unknown = || {
            let message =
                "The first use of this key is under way, or its outcome is not known; read the ledger.";
            Refusal::because(Code::Conflict, message)
        };
        let answer = self.find("answer").await?.ok_or_else(unknown)?;
        let text = String::from_utf8(answer.body).map_err(Refusal::internal)?;
        match answer.status {
            200 => NanoUsd::parse(&text).map_err(Refusal::internal),
            _ => Err(Refusal::because(Code::Conflict, text)),
        }
    }
}

/// The caller's key, if one is sent.
fn key(headers: &HeaderMap) -> Answer<Option<&str>> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let key = value.to_str().unwrap_or_default();
    if (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(Some(key));
    }
    let message = format!("`Idempotency-Key` must have 1 to {LONGEST_KEY} visible ASCII characters.");
    Err(Refusal::invalid(HEADER, message))
}
