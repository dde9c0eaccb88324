//! Who calls: a key, and what its requests look like on the wire, plain or signed.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::{digest, hmac};

/// A key that calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Its text.
    pub key: String,
    /// Its id, which is its access key.
    pub id: String,
    /// What it signs with.
    pub signing_secret: String,
}

/// A request that is sent again and again.
pub enum Request {
    /// As it stands.
    Plain(Vec<u8>),
    /// Signed anew each time: a nonce works once.
    Signed(Box<Signed>),
}

/// What of a signed request stays the same.
pub struct Signed {
    caller: Caller,
    secret: hmac::Key,
    head: String,
    body_hash: String,
    body: Vec<u8>,
}

/// The shortest of many times that one SHA-256 of so many bytes takes.
#[must_use]
pub fn time_hash(bytes: usize) -> Duration {
    const TRIES: usize = 200;
    let body = vec![b'x'; bytes];
    let time = || {
        let since = Instant::now();
        black_box(digest::digest(&digest::SHA256, black_box(&body)));
        since.elapsed()
    };
    (0..TRIES).map(|_| time()).min().unwrap_or_default()
}

impl Request {
    /// The bytes to send now; `nonce` must be another one each time.
    pub fn bytes(&self, nonce: &str) -> Cow<'_, [u8]> {
        match self {
            Self::Plain(bytes) => Cow::Borrowed(bytes),
            Self::Signed(signed) => Cow::Owned(signed.bytes(&unix_seconds(), nonce)),
        }
    }
}

impl Signed {
    /// What `caller` sends to `path`.
    #[must_use]
    pub fn new(path: &str, authority: &str, caller: &Caller, body: Vec<u8>) -> Self {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\n\
             accept: application/json\r\nuser-agent: bench\r\ncontent-length: {}\r\nx-api-key: {}\r\n",
            body.len(),
            caller.id
        );
        Self {
            secret: hmac::Key::new(hmac::HMAC_SHA256, caller.signing_secret.as_bytes()),
            caller: caller.clone(),
            head,
            body_hash: hex(digest::digest(&digest::SHA256, &body).as_ref()),
            body,
        }
    }

    /// The request of one moment (access contract, §2): the signature covers key, time, nonce and body.
    fn bytes(&self, timestamp: &str, nonce: &str) -> Vec<u8> {
        let message = format!("{}{timestamp}{nonce}{}", self.caller.id, self.body_hash);
        let signature = hex(hmac::sign(&self.secret, message.as_bytes()).as_ref());
        let mut bytes = Vec::with_capacity(self.head.len() + 256 + self.body.len());
        bytes.extend_from_slice(self.head.as_bytes());
        let signed =
            format!("x-timestamp: {timestamp}\r\nx-nonce: {nonce}\r\nx-signature: {signature}\r\n\r\n");
        bytes.extend_from_slice(signed.as_bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

#[expect(clippy::disallowed_methods, reason = "the load generator is a caller, not part of the gateway")]
fn unix_seconds() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_secs().to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_request_covers_its_body_and_carries_each_nonce_once() {
        let caller = Caller { key: String::new(), id: "ak".into(), signing_secret: "secret".into() };
        let signed = Signed::new("/v1/x", "h", &caller, b"{}".to_vec());
        let text = String::from_utf8(signed.bytes("1700000000", "n1")).unwrap();
        // printf ak1700000000n1$(printf {} | sha256sum | cut -c-64) | openssl dgst -sha256 -hmac secret
        let expected = "x-timestamp: 1700000000\r\nx-nonce: n1\r\nx-signature: 54d1a522c91f62130d98607efcf2f8fa0abf227f000944f2cbed88326fce5c92\r\n\r\n{}";
        assert!(text.starts_with("POST /v1/x HTTP/1.1\r\n") && text.ends_with(expected), "{text}");
        assert_ne!(signed.bytes("1700000000", "n2"), text.into_bytes());
    }
}
