//! A request on its way out.

use std::io::IoSlice;

use bytes::{Buf, Bytes};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method};

/// A body up to this many bytes is copied behind its head: one piece costs the kernel less than two.
const COPIED_BYTES: usize = 4 * 1024;

/// What is still to be sent of a request.
pub(crate) struct Unsent {
    head: Bytes,
    body: Bytes,
}

impl Unsent {
    /// A request whose body is whole. The length is stated as it is: one given by anybody else, or a
    /// coding, could only disagree with it, which is how requests are smuggled.
    pub fn new(method: &Method, path: &str, host: &HeaderValue, headers: &HeaderMap, body: Bytes) -> Self {
        let lines: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let copied = if body.len() <= COPIED_BYTES { body.len() } else { 0 };
        let mut head = Vec::with_capacity(lines + path.len() + host.len() + copied + 80);
        head.extend_from_slice(method.as_str().as_bytes());
        head.push(b' ');
        head.extend_from_slice(path.as_bytes());
        head.extend_from_slice(b" HTTP/1.1\r\nhost: ");
        head.extend_from_slice(host.as_bytes());
        head.extend_from_slice(b"\r\n");
        for (name, value) in headers {
            if [&CONTENT_LENGTH, &TRANSFER_ENCODING, &HOST].contains(&name) {
                continue;
            }
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        // Without a body these methods state that, too: some servers demand it (RFC 9110 §8.6).
        if !body.is_empty() || [Method::POST, Method::PUT, Method::PATCH].contains(method) {
            head.extend_from_slice(b"content-length: ");
            model::plain::number(&mut head, body.len() as u64);
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        if copied == 0 {
            return Self { head: head.into(), body };
        }
        head.extend_from_slice(&body);
        Self { head: head.into(), body: Bytes::new() }
    }

    /// What is to be sent next; empty when all was sent.
    pub fn pieces(&self) -> [IoSlice<'_>; 2] {
        [IoSlice::new(&self.head), IoSlice::new(&self.body)]
    }

    /// Takes note that so many bytes were sent.
    pub fn sent(&mut self, bytes: usize) {
        let of_head = bytes.min(self.head.len());
        self.head.advance(of_head);
        self.body.advance((bytes - of_head).min(self.body.len()));
    }

    /// True when all was sent.
    pub fn is_done(&self) -> bool {
        self.head.is_empty() && self.body.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(
        method: &Method,
        headers: &[(&'static str, &'static str)],
        body: &[u8],
        step: usize,
    ) -> Vec<u8> {
        let headers: HeaderMap =
            headers.iter().map(|(n, v)| (n.parse().unwrap(), HeaderValue::from_static(v))).collect();
        let host = HeaderValue::from_static("up.example");
        let mut unsent = Unsent::new(method, "/v1?a=b", &host, &headers, Bytes::copy_from_slice(body));
        let mut out = Vec::new();
        while !unsent.is_done() {
            let next: Vec<u8> =
                unsent.pieces().iter().flat_map(|piece| piece.iter().copied()).take(step).collect();
            unsent.sent(next.len());
            out.extend(next);
        }
        out
    }

    #[test]
    fn states_its_own_host_and_length() {
        let given = [("host", "evil"), ("a", "b"), ("content-length", "9"), ("transfer-encoding", "chunked")];
        let text = String::from_utf8(written(&Method::POST, &given, b"{}", 7)).unwrap();
        assert_eq!(text, "POST /v1?a=b HTTP/1.1\r\nhost: up.example\r\na: b\r\ncontent-length: 2\r\n\r\n{}");
        let text = String::from_utf8(written(&Method::POST, &[], b"", 1_000)).unwrap();
        assert_eq!(text, "POST /v1?a=b HTTP/1.1\r\nhost: up.example\r\ncontent-length: 0\r\n\r\n");
        let text = String::from_utf8(written(&Method::GET, &[], b"", 1)).unwrap();
        assert_eq!(text, "GET /v1?a=b HTTP/1.1\r\nhost: up.example\r\n\r\n");
    }

    #[test]
    fn sends_long_bodies_whole() {
        for size in [COPIED_BYTES, COPIED_BYTES + 1, 100_000] {
            let body = vec![b'x'; size];
            let sent = written(&Method::POST, &[], &body, 999);
            assert!(sent.ends_with(&[b"\r\n\r\n", &body[..]].concat()), "{size}");
        }
    }
}
