//! Signs the answer to a caller who signed the request and asked for that (RFC 9421 §5).
//!
//! A signature stands in the head, so an answer whose digest it covers must be here whole first: it is
//! collected. A stream is not; its signature binds the status and the request only.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use model::{Code, Rejection};
use policy::identify::{ReplySigner, body_hash};

use crate::answer::Stamp;
use crate::body::Outgoing;
use crate::exchange::Exchange;

const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");
const SIGNATURE: HeaderName = HeaderName::from_static("signature");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
/// The largest answer that is collected: as large as a request may be.
const MOST_COLLECTED: usize = 32 << 20;

/// An answer to sign.
pub(crate) struct Reply {
    signer: Box<ReplySigner>,
    stamp: Stamp,
    now_s: u64,
}

impl Reply {
    /// `None` when the caller does not ask for a signature, which nearly nobody does.
    pub fn wanted(exchange: &mut Exchange) -> Option<Self> {
        let signer = exchange.reply_signer.take()?;
        Some(Self { signer, stamp: Stamp::of(exchange), now_s: exchange.now_ms() / 1_000 })
    }

    /// Signs.
    pub async fn sign(self, response: Response<Outgoing>) -> Response<Outgoing> {
        let kind = response.headers().get(CONTENT_TYPE);
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
            let (mut head, body) = response.into_parts();
            self.write(head.status, &mut head.headers, None);
            return Response::from_parts(head, body);
        }
        let (mut head, body) = response.into_parts();
        let body = match collect(body).await {
            Ok(body) => body,
            Err(rejection) => {
                let (mut head, body) = self.stamp.rejected(&rejection).into_parts();
                self.write(head.status, &mut head.headers, None);
                return Response::from_parts(head, body);
            }
        };
        let digest = body_hash::content_digest(&body);
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        self.write(head.status, &mut head.headers, Some(&digest));
        Response::from_parts(head, Outgoing::ready(body))
    }

    fn write(&self, status: http::StatusCode, headers: &mut HeaderMap, digest: Option<&str>) {
        let (input, signature) = self.signer.sign(status, digest, self.now_s);
        let values = [
            (CONTENT_DIGEST, digest.map(str::to_owned)),
            (SIGNATURE_INPUT, Some(input)),
            (SIGNATURE, Some(signature)),
        ];
        for (name, value) in values {
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                headers.insert(name, value);
            }
        }
    }
}

async fn collect(mut body: Outgoing) -> Result<Bytes, Rejection> {
    if let Outgoing::Ready(bytes) = &mut body {
        return Ok(bytes.take().unwrap_or_default());
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let broken = |error| Rejection::new(Code::UpstreamInvalidResponse).caused_by(error);
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if whole.len() + data.len() > MOST_COLLECTED {
            let message = "The answer is too large to be signed; ask without `Accept-Signature`.";
            return Err(Rejection::because(Code::UpstreamInvalidResponse, message));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}
