//! Takes a request in: its head within limits, room for it among all others, its body into one buffer, and
//! a look at what it asks.

use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, header};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use llm::{Call, Extras, Surface};
use model::{Code, Rejection};
use state::capacity::{Admitted, Busy, RETRY_AFTER_S};
use tokio::time::timeout_at;

use crate::channel::Channel;
use crate::endpoint::stored;
use crate::exchange::Exchange;
use crate::gathered::Gathered;
use crate::pace::Pace;
use crate::settings::Sizes;

/// Refuses a head that is too large, before anything else is looked at.
///
/// # Errors
/// `URI_TOO_LONG` or `HEADERS_TOO_LARGE`, naming the limit.
pub fn check_head(sizes: &Sizes, request: &Request<Incoming>) -> Result<(), Rejection> {
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

/// Lets the request in beside all others, or says that there is no room, before any of its body is read.
///
/// # Errors
/// `OVERLOADED`, saying when to come back.
pub(crate) fn make_room(exchange: &mut Exchange) -> Result<(), Rejection> {
    let capacity = &exchange.worker.shared.capacity;
    match capacity.try_enter(&exchange.record.tenant_id, exchange.record.at) {
        Ok(room) => {
            exchange.room = Some(room);
            Ok(())
        }
        Err(busy) => {
            exchange.checked("capacity", false, None, None);
            Err(overloaded(busy))
        }
    }
}

/// What a caller is told for whom there is no room.
pub(crate) fn overloaded(busy: Busy) -> Rejection {
    let message = match busy {
        Busy::Requests => "The gateway serves as many requests as it can.",
        Busy::Bytes => "The gateway holds as many request bodies as it has room for.",
        Busy::Share => "This tenant has its share of the gateway, and little is left for others.",
    };
    Rejection::because(Code::Overloaded, message).retry_after(RETRY_AFTER_S)
}

/// A request that was read.
pub(crate) struct Received {
    /// What it asks.
    pub call: Call,
    /// As it came, without what was meant for the gateway itself.
    pub body: Bytes,
    /// What is asked of the gateway itself; on the internal channel only.
    pub extras: Extras,
}

/// Reads the body and looks at what the request asks.
///
/// # Errors
/// As [`read_body`] and [`look`].
pub(crate) async fn read_call(
    exchange: &mut Exchange,
    surface: Surface,
    head: &Parts,
    unread: &mut Option<Incoming>,
) -> Result<Received, Rejection> {
    let body = read_body(exchange, surface, head, unread).await?;
    look(exchange, surface, head, body)
}

/// Reads the body. `unread` is taken only when reading begins.
///
/// # Errors
/// `UNSUPPORTED_MEDIA_TYPE`, `BODY_TOO_LARGE`, `OVERLOADED`, or `INVALID_REQUEST` when it does not arrive.
pub(crate) async fn read_body(
    exchange: &mut Exchange,
    surface: Surface,
    head: &Parts,
    unread: &mut Option<Incoming>,
) -> Result<Bytes, Rejection> {
    if surface != Surface::StoredResponse {
        check_media_type(&head.headers)?;
    }
    let sizes = exchange.worker.shared.settings.sizes;
    let declared = unread.as_ref().and_then(|body| body.size_hint().exact());
    let room = declared.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
    if room > sizes.body {
        return Err(too_large(&sizes));
    }
    let Some(body) = unread.take() else {
        return Err(Rejection::new(Code::InternalError));
    };
    let idle = exchange.worker.shared.settings.client.body_idle;
    let held = exchange.room.as_mut().ok_or_else(|| Rejection::new(Code::InternalError))?;
    Reading { held, sizes, idle }.read(body, room).await
}

/// Looks at what a request asks.
///
/// # Errors
/// `INVALID_REQUEST`, naming what is wrong.
pub(crate) fn look(
    exchange: &mut Exchange,
    surface: Surface,
    head: &Parts,
    body: Bytes,
) -> Result<Received, Rejection> {
    if surface == Surface::StoredResponse {
        return stored::read_call(exchange, head);
    }
    let (extras, body) = match exchange.channel {
        Channel::Internal => llm::extras(&body)?,
        _ => (Extras::default(), body),
    };
    let call = match exchange.channel {
        Channel::Open if llm::takes_mixed(head.uri.path()) => llm::peek_mixed(&body)?,
        _ => llm::peek_at(surface, &head.uri, &body)?,
    };
    exchange.called(&call, &body);
    Ok(Received { call, body, extras })
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
    // As nearly everybody writes it.
    if headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json") {
        return Ok(());
    }
    match text(header::CONTENT_TYPE) {
        Some(kind) if !kind.contains("json") => {
            Err(Rejection::because(Code::UnsupportedMediaType, "Send `Content-Type: application/json`."))
        }
        _ => Ok(()),
    }
}

/// A body that is being read.
struct Reading<'a> {
    held: &'a mut Admitted,
    sizes: Sizes,
    idle: Duration,
}

impl Reading<'_> {
    async fn read(self, mut body: Incoming, room: usize) -> Result<Bytes, Rejection> {
        let Self { held, sizes, idle } = self;
        // What is declared beforehand is not reserved until it arrives: a header costs a caller nothing.
        let mut gathered = Gathered::new(room);
        let mut pace = Pace::new(idle);
        // A body of a stated length has ended with its last byte: it need not be asked again.
        while !body.is_end_stream() {
            let Ok(next) = timeout_at(pace.deadline(gathered.len()), body.frame()).await else {
                return Err(pace.too_slow(gathered.len()));
            };
            let Some(frame) = next else { break };
            let frame = frame.map_err(|error| {
                Rejection::because(Code::InvalidRequest, "The request body is not framed correctly.")
                    .caused_by(error)
            })?;
            let Ok(data) = frame.into_data() else { continue };
            if gathered.len() + data.len() > sizes.body {
                return Err(too_large(&sizes));
            }
            held.grow(data.len() as u64).map_err(overloaded)?;
            gathered.push(data);
        }
        Ok(gathered.whole())
    }
}
