//! Takes a request in: its head within limits, its body into one buffer, and a look at what it asks.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, Request, header};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use llm::{Call, Surface};
use model::{Code, Rejection};

use crate::Shared;
use crate::exchange::Exchange;
use crate::settings::Sizes;

/// Refuses a head that is too large, before anything else is looked at.
///
/// # Errors
/// `URI_TOO_LONG` or `HEADERS_TOO_LARGE`, naming the limit.
pub(crate) fn check_head(exchange: &Exchange, request: &Request<Incoming>) -> Result<(), Rejection> {
    let sizes = &exchange.worker.shared.settings.sizes;
    let uri = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    if uri > sizes.uri {
        let message = format!("The request URI has {uri} bytes; at most {} are taken.", sizes.uri);
        return Err(Rejection::because(Code::UriTooLong, message));
    }
    let headers = request.headers();
    // `: ` and CRLF stand between and after the two.
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > sizes.headers || headers.len() > sizes.header_count {
        let message = format!(
            "The request has {} headers of {bytes} bytes; at most {} of {} bytes are taken.",
            headers.len(),
            sizes.header_count,
            sizes.headers
        );
        return Err(Rejection::because(Code::HeadersTooLarge, message));
    }
    Ok(())
}

/// A request's body, held until the request has been sent on.
pub(crate) struct Received {
    /// What it asks.
    pub call: Call,
    /// As it came.
    pub body: Bytes,
    _room: Room,
}

/// A share of the memory that request bodies may take all together.
struct Room {
    shared: Arc<Shared>,
    taken: usize,
}

impl Room {
    fn grow(&mut self, bytes: usize) -> Result<(), Rejection> {
        self.taken += bytes;
        let before = self.shared.bodies.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.shared.settings.sizes.bodies {
            let message = "The gateway holds as many request bodies as it has room for.";
            return Err(Rejection::because(Code::Overloaded, message).retry_after(1));
        }
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shared.bodies.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

/// Reads the body and looks at it. `unread` is taken only when reading begins.
///
/// # Errors
/// `UNSUPPORTED_MEDIA_TYPE`, `BODY_TOO_LARGE`, `OVERLOADED`, or `INVALID_REQUEST` naming what is wrong.
pub(crate) async fn read_call(
    exchange: &mut Exchange,
    surface: Surface,
    head: &Parts,
    unread: &mut Option<Incoming>,
) -> Result<Received, Rejection> {
    check_media_type(&head.headers)?;
    let sizes = exchange.worker.shared.settings.sizes;
    let declared = unread.as_ref().and_then(|body| body.size_hint().exact());
    let room = declared.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
    if room > sizes.body {
        return Err(too_large(&sizes));
    }
    let Some(body) = unread.take() else {
        return Err(Rejection::new(Code::InternalError));
    };
    let mut held = Room { shared: Arc::clone(&exchange.worker.shared), taken: 0 };
    let body = read_body(&mut held, body, room).await?;
    let call = llm::peek(surface, &body)?;
    exchange.called(&call, body.len());
    Ok(Received { call, body, _room: held })
}

fn too_large(sizes: &Sizes) -> Rejection {
    Rejection::because(Code::BodyTooLarge, format!("The request body exceeds {} bytes.", sizes.body))
}

/// JSON only: an encoded body would have to be decoded before it can be looked at.
fn check_media_type(headers: &HeaderMap) -> Result<(), Rejection> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?").to_ascii_lowercase());
    if let Some(encoding) = text(header::CONTENT_ENCODING)
        && encoding != "identity"
    {
        let message = "Request bodies with a Content-Encoding are not taken.";
        return Err(Rejection::because(Code::UnsupportedMediaType, message));
    }
    match text(header::CONTENT_TYPE) {
        Some(kind) if !kind.contains("json") => {
            Err(Rejection::because(Code::UnsupportedMediaType, "Send `Content-Type: application/json`."))
        }
        _ => Ok(()),
    }
}

async fn read_body(held: &mut Room, mut body: Incoming, room: usize) -> Result<Bytes, Rejection> {
    let sizes = held.shared.settings.sizes;
    let idle = held.shared.settings.client.body_idle;
    // What is declared beforehand is not reserved until it arrives: a header costs a caller nothing.
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    loop {
        let Ok(next) = tokio::time::timeout(idle, body.frame()).await else {
            let message = format!("The request body stopped arriving for {} s.", idle.as_secs());
            return Err(Rejection::because(Code::InvalidRequest, message));
        };
        let Some(frame) = next else { break };
        let frame = frame.map_err(|error| {
            Rejection::because(Code::InvalidRequest, "The request body is not framed correctly.")
                .caused_by(error)
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if first.as_ref().map_or(0, Bytes::len) + rest.len() + data.len() > sizes.body {
            return Err(too_large(&sizes));
        }
        held.grow(data.len())?;
        match first.take() {
            None if rest.is_empty() => first = Some(data),
            None => rest.extend_from_slice(&data),
            Some(begun) => {
                rest.reserve(room.max(begun.len() + data.len()));
                rest.extend_from_slice(&begun);
                rest.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| rest.freeze()))
}
