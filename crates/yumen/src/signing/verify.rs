//! Checks a signature that somebody has made, as the gateway would, and says which step differs.

use policy::identify::signed::MOST_SKEW_S;
use policy::identify::{Claim, hmac};

use super::flags::Sign;
use super::request::{Draft, has_host};
use super::{Report, explain};
use crate::problem::Problem;

const WHAT: &str = "the signature does not hold";

/// Checks it against the time `now_ms`, or `--timestamp`.
///
/// # Errors
/// Which step differs. Whether the nonce was used before only the gateway knows.
pub fn verify(sign: &Sign, draft: &Draft, now_ms: u64) -> Result<Report, Problem> {
    let now_ms = sign.timestamp.map_or(now_ms, |seconds| seconds.saturating_mul(1_000));
    let fault = |cause: String, fix: &str| Problem::new(WHAT, cause, fix);
    let claim = Claim::read(&draft.head.headers).map_err(|rejection| {
        fault(rejection.message.into_owned(), "send the headers that the scheme asks for")
    })?;
    if let Some(own) = &sign.key_id
        && own != claim.key_id()
    {
        return Err(fault(format!("it was made with the key {}", claim.key_id()), "sign with the other key"));
    }
    if !has_host(&draft.head) {
        return Err(fault("the request has no host".to_owned(), "give a whole --url"));
    }
    let skew_s = claim.skew_s(now_ms);
    claim.check_time(now_ms).map_err(|rejection| {
        fault(
            rejection.message.into_owned(),
            "set the signer's clock; --timestamp checks against another time",
        )
    })?;
    if let Err(differs) = claim.verify(&[&draft.secret], &draft.head, &draft.body) {
        let canonical = differs.canonical_sha256.as_deref().unwrap_or("none");
        let cause = format!(
            "the step `{}` differs: {}\n  signed text expected here:\n    {}\n  raw body sha256 {}, canonical body sha256 {canonical}",
            differs.step,
            differs.message,
            expected(&claim, draft, &differs.raw_sha256).replace('\n', "\n    "),
            differs.raw_sha256,
        );
        return Err(fault(
            cause,
            "compare each line with what the signer hashes (yumen sign --explain); then the secret",
        ));
    }
    let mut report = vec![
        ("result", "the signature holds".to_owned()),
        ("scheme", claim.scheme().name().to_owned()),
        ("key id", claim.key_id().to_owned()),
        ("skew seconds", format!("{skew_s} (at most {MOST_SKEW_S} either way)")),
    ];
    report.extend(explain::body(&draft.body));
    Ok(report)
}

/// The text that a signer of this request signs.
fn expected(claim: &Claim, draft: &Draft, raw_sha256: &str) -> String {
    match claim {
        Claim::HmacV1(headers) => {
            hmac::message(&headers.key_id, &headers.timestamp, &headers.nonce, raw_sha256)
        }
        Claim::Rfc9421(signature) => signature.base(&draft.head).unwrap_or_else(|fault| fault.0.into_owned()),
    }
}
