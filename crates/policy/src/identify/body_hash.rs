//! Hashes of a request's body: of the bytes as they came, of their canonical form, and `Content-Digest`.

use aws_lc_rs::digest::{self, SHA256, SHA512};
use http::{HeaderMap, HeaderName};

use super::canonical::canonical;
use super::structured::{self, Item, Value};

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// SHA-256 in lower-case hex.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&SHA256, bytes).as_ref())
}

/// SHA-256 of the canonical form in lower-case hex; `None` for what has none.
#[must_use]
pub fn canonical_sha256_hex(body: &[u8]) -> Option<String> {
    canonical(body).map(|canonical| sha256_hex(&canonical))
}

/// The value of `Content-Digest` (RFC 9530) for a body.
#[must_use]
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256={}", structured::bytes(digest::digest(&SHA256, body).as_ref()))
}

/// Whether `Content-Digest` names at least one digest that is known here, and all of those are of this body.
#[must_use]
pub fn digest_fits(headers: &HeaderMap, body: &[u8]) -> bool {
    let Some(text) = structured::combined(headers, &CONTENT_DIGEST) else { return false };
    let Some(members) = structured::dictionary(&text) else { return false };
    let mut known = 0;
    for member in members {
        let algorithm = match member.name {
            "sha-256" => &SHA256,
            "sha-512" => &SHA512,
            _ => continue,
        };
        let Value::One(Item::Bytes(stated)) = member.value else { return false };
        if digest::digest(algorithm, body).as_ref() != stated {
            return false;
        }
        known += 1;
    }
    known > 0
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |four: u8| char::from_digit(u32::from(four), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Reads lower-case hex of 32 bytes back.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 64 || text.contains(|c: char| !matches!(c, '0'..='9' | 'a'..='f')) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let value = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(value(pair[0])? * 16 + value(pair[1])?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(value: &str, body: &[u8]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_DIGEST, value.parse().expect("a header value"));
        digest_fits(&headers, body)
    }

    #[test]
    fn the_digests_of_rfc_9530_fit() {
        // RFC 9530, appendix B.1 and D.1: the same content under both algorithms.
        let body = b"{\"hello\": \"world\"}\n";
        let short = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
        let long = "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:";
        assert!(fits(short, body) && fits(long, body) && fits(&format!("{short}, {long}"), body));
        assert!(fits(&format!("md5=:aGk=:, {short}"), body));
        assert_eq!(content_digest(body), short);
        let wrong = long.replace("YMA", "YMB");
        for bad in [&wrong, &format!("{short}, {wrong}"), "md5=:aGk=:", "sha-256=1", "junk"] {
            assert!(!fits(bad, body), "{bad}");
        }
        assert!(!fits(short, b"{\"hello\": \"world\"}") && !digest_fits(&HeaderMap::new(), b""));
    }

    #[test]
    fn hex_is_lower_case_and_reads_back() {
        let bytes: [u8; 32] = std::array::from_fn(|i| i as u8 * 8);
        assert_eq!(unhex(&hex(&bytes)), Some(bytes));
        assert_eq!(unhex(&hex(&bytes).to_uppercase()), None);
        assert_eq!(unhex("00"), None);
    }
}
