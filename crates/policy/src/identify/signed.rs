//! Requests that are signed, in either scheme: what their head claims, and whether that holds.
//!
//! Pure: the order in which keys, freezes, times and nonces are looked up is the data plane's.

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use model::clock::EpochMs;
use model::resource::Signing;
use model::{Code, Rejection};

use super::body_hash::{canonical_sha256_hex, sha256_hex};
use super::hmac::{HmacHeaders, SigningKey, X_SIGNATURE};
use super::http_signature::{self, HttpSignature, SIGNATURE_INPUT};

/// How far the clocks of signer and gateway may be apart, in seconds.
pub const MOST_SKEW_S: u64 = 300;
/// The longest nonce.
const LONGEST_NONCE: usize = 128;

/// What is wrong with the headers of a signature, in words for the caller.
#[derive(Debug)]
pub struct Fault(pub Cow<'static, str>);

impl From<Fault> for Rejection {
    fn from(fault: Fault) -> Self {
        Self::because(Code::InvalidSignature, fault.0)
    }
}

/// Whether a request claims to be signed: then no bearer is read from it.
#[must_use]
pub fn is_signed(headers: &HeaderMap) -> bool {
    headers.contains_key(X_SIGNATURE)
        || headers.contains_key(SIGNATURE_INPUT)
        || headers.get_all(AUTHORIZATION).iter().any(|value| {
            let scheme = value.as_bytes().split(|byte| *byte == b' ').next().unwrap_or_default();
            scheme.eq_ignore_ascii_case(b"signature")
        })
}

/// Whether headers of a signature are there, but not the signature itself.
#[must_use]
pub fn lacks_signature(headers: &HeaderMap) -> bool {
    headers.contains_key("x-timestamp") && headers.contains_key("x-nonce") && !is_signed(headers)
}

/// 1 to 128 visible ASCII characters.
pub(super) fn is_nonce(text: &str) -> bool {
    (1..=LONGEST_NONCE).contains(&text.len()) && text.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
}

/// What the head of a signed request claims.
pub enum Claim {
    /// In the scheme `hmac-v1`.
    HmacV1(HmacHeaders),
    /// In the scheme `rfc9421`.
    Rfc9421(HttpSignature),
}

/// Why a signature does not hold.
pub struct Differs {
    /// `signature` or `digest`.
    pub step: &'static str,
    /// In words for the caller.
    pub message: Cow<'static, str>,
    /// SHA-256 of the body as it came.
    pub raw_sha256: String,
    /// SHA-256 of its canonical form, where that matters and there is one.
    pub canonical_sha256: Option<String>,
    /// Whether somebody may have guessed: a signature that was well formed and wrong.
    pub is_guess: bool,
}

impl Claim {
    /// Reads the claim of a request that is signed.
    ///
    /// # Errors
    /// `INVALID_SIGNATURE`, naming what is missing or malformed; `INVALID_REQUEST_CREDENTIALS` for a request
    /// that is signed in both schemes.
    pub fn read(headers: &HeaderMap) -> Result<Self, Rejection> {
        match (headers.contains_key(X_SIGNATURE), headers.contains_key(SIGNATURE_INPUT)) {
            (true, true) => Err(Rejection::because(
                Code::InvalidRequestCredentials,
                "The request is signed in two schemes; send one signature.",
            )),
            (true, false) => Ok(Self::HmacV1(HmacHeaders::read(headers)?)),
            (false, true) => Ok(Self::Rfc9421(HttpSignature::read(headers)?)),
            (false, false) => Err(Rejection::because(
                Code::InvalidSignature,
                "`Authorization: Signature` is not taken here; sign with `X-Signature` or `Signature-Input`.",
            )),
        }
    }

    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> Signing {
        match self {
            Self::HmacV1(_) => Signing::HmacV1,
            Self::Rfc9421(_) => Signing::Rfc9421,
        }
    }

    /// The id of the key that it claims to be of.
    #[must_use]
    pub fn key_id(&self) -> &str {
        match self {
            Self::HmacV1(headers) => &headers.key_id,
            Self::Rfc9421(signature) => &signature.key_id,
        }
    }

    /// By how many seconds the signer's clock is ahead.
    #[must_use]
    pub fn skew_s(&self, now_ms: EpochMs) -> i64 {
        let created = match self {
            Self::HmacV1(headers) => headers.created_s(),
            Self::Rfc9421(signature) => signature.created_s,
        };
        let seconds = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        seconds(created).saturating_sub(seconds(now_ms / 1_000))
    }

    /// Checks when it was signed.
    ///
    /// # Errors
    /// `TIMESTAMP_EXPIRED`, saying how far the clocks are apart.
    pub fn check_time(&self, now_ms: EpochMs) -> Result<(), Rejection> {
        let skew = self.skew_s(now_ms);
        if skew.unsigned_abs() > MOST_SKEW_S {
            let which = if skew > 0 { "ahead of" } else { "behind" };
            let message = format!(
                "The timestamp is {} s {which} the gateway's clock; {MOST_SKEW_S} s are tolerated.",
                skew.unsigned_abs()
            );
            return Err(Rejection::because(Code::TimestampExpired, message));
        }
        match self {
            Self::Rfc9421(HttpSignature { expires_s: Some(end), .. }) if *end < now_ms / 1_000 => Err(
                Rejection::because(Code::TimestampExpired, "The signature has expired by its own `expires`."),
            ),
            _ => Ok(()),
        }
    }

    /// Checks that a signature which binds a host was made for one of ours; an empty list allows all.
    ///
    /// # Errors
    /// `INVALID_SIGNATURE`, naming the host.
    pub fn check_host(&self, request: &Parts, hosts: &[String]) -> Result<(), Rejection> {
        if hosts.is_empty() || matches!(self, Self::HmacV1(_)) {
            return Ok(());
        }
        let host = http_signature::authority(request).unwrap_or_default();
        if hosts.contains(&host) {
            return Ok(());
        }
        let message = format!(
            "The request was signed for `{}`, which is not this gateway.",
            crate::authorize::shown(&host)
        );
        Err(Rejection::because(Code::InvalidSignature, message))
    }

    /// What its nonce is remembered by: half of its SHA-256, so that all take the same room.
    #[must_use]
    pub fn nonce_digest(&self) -> u128 {
        let nonce = match self {
            Self::HmacV1(headers) => &headers.nonce,
            Self::Rfc9421(signature) => &signature.nonce,
        };
        let mut half = [0; 16];
        half.copy_from_slice(&digest(&SHA256, nonce.as_bytes()).as_ref()[..16]);
        u128::from_be_bytes(half)
    }

    /// Checks the signature, and with it the body. Says which of the secrets made it.
    ///
    /// # Errors
    /// Which step differs, with the hashes that were computed here.
    pub fn verify(&self, secrets: &[&SigningKey], request: &Parts, body: &[u8]) -> Result<usize, Differs> {
        match self {
            Self::HmacV1(headers) => headers.verify(secrets, body).map_err(|tried| Differs {
                step: "signature",
                message: Cow::Borrowed(Code::InvalidSignature.info().message),
                raw_sha256: tried.raw,
                canonical_sha256: tried.canonical,
                is_guess: true,
            }),
            Self::Rfc9421(signature) => verify_http(signature, secrets, request, body),
        }
    }
}

fn verify_http(
    signature: &HttpSignature,
    secrets: &[&SigningKey],
    request: &Parts,
    body: &[u8],
) -> Result<usize, Differs> {
    let differs = |step, message, is_guess| Differs {
        step,
        message,
        raw_sha256: sha256_hex(body),
        canonical_sha256: canonical_sha256_hex(body),
        is_guess,
    };
    signature.check_covers(body).map_err(|fault| differs("headers", fault.0, false))?;
    let base = signature.base(request).map_err(|fault| differs("headers", fault.0, false))?;
    let Some(fits) = signature.fits(secrets, &base) else {
        return Err(differs("signature", Cow::Borrowed(Code::InvalidSignature.info().message), true));
    };
    if !signature.digest_fits(&request.headers, body) {
        let message = "The signature is right, but `Content-Digest` is not that of the body.";
        return Err(differs("digest", Cow::Borrowed(message), true));
    }
    Ok(fits)
}

#[cfg(test)]
mod tests;
