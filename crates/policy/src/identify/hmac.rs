//! The scheme `hmac-v1`: HMAC-SHA256 over key id, timestamp, nonce and body hash, in four headers. It binds
//! neither method nor path; the nonce, which works once, is what keeps a signature from being used again.

use aws_lc_rs::hmac;
use http::{HeaderMap, HeaderName};
use model::Secret;

use super::body_hash::{canonical_sha256_hex, hex, sha256_hex, unhex};
use super::signed::{Fault, is_nonce};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const X_TIMESTAMP: HeaderName = HeaderName::from_static("x-timestamp");
const X_NONCE: HeaderName = HeaderName::from_static("x-nonce");
pub(super) const X_SIGNATURE: HeaderName = HeaderName::from_static("x-signature");
/// Digits of a timestamp: every second from 2001 to 2286.
const TIMESTAMP_DIGITS: usize = 10;

/// A secret that requests are signed with, ready to check them.
#[derive(Clone)]
pub struct SigningKey(pub(super) hmac::Key);

impl SigningKey {
    /// Takes the secret as it is written: the bytes of its text are the key.
    #[must_use]
    pub fn new(secret: &Secret<String>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()))
    }

    /// The HMAC of a message.
    pub(super) fn sign(&self, message: &[u8]) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(hmac::sign(&self.0, message).as_ref());
        bytes
    }

    /// Compares in constant time.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        hmac::verify(&self.0, message, signature).is_ok()
    }
}

/// The four headers.
#[derive(Debug, PartialEq, Eq)]
pub struct HmacHeaders {
    /// The key's id.
    pub key_id: String,
    /// Unix seconds, as written.
    pub timestamp: String,
    /// Used once.
    pub nonce: String,
    signature: [u8; 32],
}

impl HmacHeaders {
    /// Reads the headers.
    ///
    /// # Errors
    /// Which of them is missing, there twice or malformed.
    pub fn read(headers: &HeaderMap) -> Result<Self, Fault> {
        let key_id = only(headers, &X_API_KEY)?.to_owned();
        let timestamp = only(headers, &X_TIMESTAMP)?.to_owned();
        if timestamp.len() != TIMESTAMP_DIGITS || timestamp.contains(|c: char| !c.is_ascii_digit()) {
            return Err(Fault("`X-Timestamp` must be Unix seconds, exactly 10 digits.".into()));
        }
        let nonce = only(headers, &X_NONCE)?.to_owned();
        if !is_nonce(&nonce) {
            return Err(Fault("`X-Nonce` must have 1 to 128 visible ASCII characters.".into()));
        }
        let signature = unhex(only(headers, &X_SIGNATURE)?)
            .ok_or_else(|| Fault("`X-Signature` must be 64 digits of lower-case hex.".into()))?;
        Ok(Self { key_id, timestamp, nonce, signature })
    }

    /// When it was signed, in Unix seconds.
    #[must_use]
    pub fn created_s(&self) -> u64 {
        self.timestamp.parse().unwrap_or(0)
    }

    /// Checks the signature against each secret: over the hash of the body as it came, then, only if that
    /// fails, over the hash of its canonical form.
    ///
    /// Says which of the secrets made it.
    ///
    /// # Errors
    /// The hashes that were tried.
    pub fn verify(&self, secrets: &[&SigningKey], body: &[u8]) -> Result<usize, Tried> {
        let raw = sha256_hex(body);
        if let Some(fits) = self.fits(secrets, &raw) {
            return Ok(fits);
        }
        let canonical = canonical_sha256_hex(body);
        let other = canonical.as_ref().filter(|hash| **hash != raw);
        match other.and_then(|hash| self.fits(secrets, hash)) {
            Some(fits) => Ok(fits),
            None => Err(Tried { raw, canonical }),
        }
    }

    fn fits(&self, secrets: &[&SigningKey], body_hash: &str) -> Option<usize> {
        let message = message(&self.key_id, &self.timestamp, &self.nonce, body_hash);
        secrets.iter().position(|secret| secret.verifies(message.as_bytes(), &self.signature))
    }
}

/// The hashes of a body whose signature did not fit, in lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Of the bytes as they came.
    pub raw: String,
    /// Of the canonical form, where there is one.
    pub canonical: Option<String>,
}

/// What is signed.
#[must_use]
pub fn message(key_id: &str, timestamp: &str, nonce: &str, body_hash: &str) -> String {
    [key_id, timestamp, nonce, body_hash].concat()
}

/// The value of `X-Signature` for a message.
#[must_use]
pub fn sign(secret: &SigningKey, message: &str) -> String {
    hex(&secret.sign(message.as_bytes()))
}

/// The one value of a header.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h str, Fault> {
    let mut values = headers.get_all(name).iter();
    let fault = |what: &str| Fault(format!("`{name}` {what}.").into());
    let value = values.next().ok_or_else(|| fault("is missing"))?;
    if values.next().is_some() {
        return Err(fault("is there twice"));
    }
    value.to_str().ok().filter(|text| !text.is_empty()).ok_or_else(|| fault("is not visible ASCII"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().expect("a header value"));
        }
        map
    }

    fn secret() -> SigningKey {
        SigningKey::new(&Secret::new("sk-sign-test".to_owned()))
    }

    fn signed(body_hash: &str) -> HmacHeaders {
        let signature = sign(&secret(), &message("ak", "1790000000", "n-1", body_hash));
        let map = headers(&[
            ("x-api-key", "ak"),
            ("x-timestamp", "1790000000"),
            ("x-nonce", "n-1"),
            ("x-signature", &signature),
        ]);
        HmacHeaders::read(&map).unwrap_or_else(|fault| panic!("{}", fault.0))
    }

    #[test]
    fn the_raw_and_the_canonical_hash_are_accepted_and_no_other() {
        let body = br#"{"b": 1, "a": "x"}"#;
        let canonical = br#"{"a":"x","b":1}"#;
        assert!(signed(&sha256_hex(body)).verify(&[&secret()], body).is_ok());
        assert!(signed(&sha256_hex(canonical)).verify(&[&secret()], body).is_ok());
        let tried = signed(&sha256_hex(b"other")).verify(&[&secret()], body).expect_err("refused");
        assert_eq!(tried, Tried { raw: sha256_hex(body), canonical: Some(sha256_hex(canonical)) });
        assert!(signed(&sha256_hex(b"")).verify(&[&secret()], b"").is_ok());
        assert!(signed(&sha256_hex(b"not json")).verify(&[&secret()], b"not json").is_ok());
        let other = SigningKey::new(&Secret::new("other".to_owned()));
        assert!(signed(&sha256_hex(body)).verify(&[&other], body).is_err());
        assert!(signed(&sha256_hex(body)).verify(&[&other, &secret()], body).is_ok());
        assert!(signed(&sha256_hex(body)).verify(&[], body).is_err());
    }

    #[test]
    fn every_malformed_header_is_named() {
        let good = [
            ("x-api-key", "ak".to_owned()),
            ("x-timestamp", "1790000000".to_owned()),
            ("x-nonce", "n".to_owned()),
            ("x-signature", "0".repeat(64)),
        ];
        for (i, bad) in [
            (0, ""),
            (1, ""),
            (1, "179000000"),
            (1, "17900000000"),
            (1, "1790000_00"),
            (1, " 790000000"),
            (1, "+790000000"),
            (1, "1.79000000"),
            (1, "0x6ab13b80"),
            (2, ""),
            (2, "a b"),
            (2, &"n".repeat(129)),
            (3, ""),
            (3, &"A".repeat(64)),
            (3, &"0".repeat(63)),
            (3, &"g".repeat(64)),
        ] {
            let mut pairs = good.clone();
            pairs[i].1 = bad.to_owned();
            let pairs: Vec<(&'static str, &str)> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
            let fault = HmacHeaders::read(&headers(&pairs)).err().unwrap_or_else(|| panic!("{bad:?}"));
            assert!(fault.0.to_ascii_lowercase().contains(good[i].0), "{bad:?}: {}", fault.0);
        }
        for missing in 0..4 {
            let pairs: Vec<(&'static str, &str)> = good
                .iter()
                .enumerate()
                .filter(|(i, _)| *i != missing)
                .map(|(_, (n, v))| (*n, v.as_str()))
                .collect();
            assert!(HmacHeaders::read(&headers(&pairs)).is_err());
            let twice: Vec<(&'static str, &str)> =
                good.iter().chain([&good[missing]]).map(|(n, v)| (*n, v.as_str())).collect();
            assert!(HmacHeaders::read(&headers(&twice)).is_err());
        }
    }
}
