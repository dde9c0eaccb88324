//! Fetches media that a caller names by address, for accounts whose dialect takes none.
//!
//! A caller chooses these addresses, so they lead nowhere but to the public internet, by https, and what
//! comes back is bounded. A server may send us elsewhere, because links to pictures do (ADR 20): each hop is
//! judged as if the caller had named it, and none is given a credential.

#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use egress::{Class, Origin, SendError, Target, Timers};
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderValue, LOCATION};
use http::{StatusCode, Uri};
use http_body_util::BodyExt;
use llm::codec::media;
use llm::neutral::{Dialect, Request};
use model::{Code, Rejection};
use state::capacity::Admitted;
use tokio::time::{Instant, timeout_at};

use crate::exchange::Exchange;
use crate::intake::overloaded;
use crate::upstream;

/// Most media of one request; Anthropic takes 100, Bedrock 20.
const MOST: usize = 20;
/// Most bytes of one medium: the largest that a provider takes within a request (Gemini).
const MOST_BYTES: usize = 20 << 20;
/// Most bytes of all media of one request.
const MOST_BYTES_TOGETHER: usize = 40 << 20;
/// How long a server that a caller names may keep us waiting for each part of its answer: the request holds a
/// place at an account meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long all media of a request may take together.
const PATIENCE_TOGETHER: Duration = Duration::from_secs(60);
/// How often a server may send us elsewhere.
const MOST_HOPS: usize = 3;
/// The room that a byte of a medium takes among all requests: in base64 it is a third longer, and stands both
/// in the request and in the body that is written of it.
const ROOM_OF_BYTE: u64 = 3;

/// A medium that was fetched.
struct Fetched {
    mime: String,
    bytes: Bytes,
}

/// Why a medium is not here.
#[derive(Debug)]
enum Unfetched {
    /// The address, its server or what it sent is at fault; the caller is told these words. The second are
    /// for the record: they may name what the caller cannot see.
    Because(String, Option<String>),
    /// There is no room for it.
    Overloaded(Rejection),
}

impl From<&str> for Unfetched {
    fn from(why: &str) -> Self {
        Self::Because(why.to_owned(), None)
    }
}

/// Puts the bytes of media in the place of the addresses that a provider of `dialect` does not take.
///
/// # Errors
/// `INVALID_REQUEST`, naming the address that cannot be fetched, or `OVERLOADED` without room for what comes.
pub(super) async fn fetch(
    exchange: &mut Exchange,
    request: &mut Request,
    dialect: Dialect,
) -> Result<(), Rejection> {
    let urls = media::to_fetch(request, dialect);
    // What an attempt before this one fetched is gone with its body.
    let before = std::mem::take(&mut exchange.fetched);
    let (pool, timers) = (Rc::clone(&exchange.worker.pool), exchange.worker.shared.settings.upstream);
    let timers = hurried(&timers);
    let send = async |target: Target, asked| pool.send(&target, asked, &timers).await;
    let room = exchange.room.as_mut().ok_or_else(|| Rejection::new(Code::InternalError))?;
    room.shrink(before);
    let mut taken = 0;
    let outcome = all(&send, &mut Room { room, taken: &mut taken }, request, urls).await;
    exchange.fetched = taken;
    outcome
}

/// The timers of upstreams, where they wait no longer than a medium is worth.
fn hurried(timers: &Timers) -> Timers {
    let (first_byte, idle) = (timers.first_byte.min(PATIENCE), timers.idle.min(PATIENCE));
    Timers { first_byte, idle, ..*timers }
}

/// The room of a request, and how much of it its media take.
struct Room<'a> {
    room: &'a mut Admitted,
    taken: &'a mut u64,
}

impl Room<'_> {
    fn grow(&mut self, bytes: usize) -> Result<(), Unfetched> {
        let more = bytes as u64 * ROOM_OF_BYTE;
        self.room.grow(more).map_err(|busy| Unfetched::Overloaded(overloaded(busy)))?;
        *self.taken += more;
        Ok(())
    }
}

async fn all<S>(
    send: &S,
    room: &mut Room<'_>,
    request: &mut Request,
    urls: Vec<String>,
) -> Result<(), Rejection>
where
    S: AsyncFn(Target, http::Request<Bytes>) -> Result<http::Response<egress::Answer>, SendError>,
{
    if urls.len() > MOST {
        let message = format!("At most {MOST} media can be fetched for a request.");
        return Err(Rejection::because(Code::InvalidRequest, message));
    }
    let mut together = 0;
    let until = Instant::now() + PATIENCE_TOGETHER;
    for url in urls {
        let fetched = timeout_at(until, one(send, room, &url)).await;
        let fetched = fetched.unwrap_or_else(|_| Err("the media of the request take too long".into()));
        let fetched = fetched.map_err(|why| unfetched(&url, why))?;
        together += fetched.bytes.len();
        if together > MOST_BYTES_TOGETHER {
            return Err(unfetched(&url, "the media of the request are too large together".into()));
        }
        media::embed(request, &url, &fetched.mime, &fetched.bytes);
    }
    Ok(())
}

async fn one<S>(send: &S, room: &mut Room<'_>, url: &str) -> Result<Fetched, Unfetched>
where
    S: AsyncFn(Target, http::Request<Bytes>) -> Result<http::Response<egress::Answer>, SendError>,
{
    let mut address = url.to_owned();
    for _ in 0..=MOST_HOPS {
        let (target, asked) = asked(&address)?;
        let response = send(target, asked).await.map_err(|error| {
            Unfetched::Because("it cannot be reached".to_owned(), Some(error.to_string()))
        })?;
        let (mut head, body) = response.into_parts();
        if head.status.is_redirection() {
            let next = head.headers.get(LOCATION).and_then(|value| value.to_str().ok());
            address = next.and_then(|next| elsewhere(&address, next)).ok_or("it leads to nowhere")?;
            continue;
        }
        if head.status != StatusCode::OK {
            let why = format!("its server answered {}", head.status.as_u16());
            return Err(Unfetched::Because(why, None));
        }
        let mime = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let mime = mime.map(|mime| mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        let mime = mime.filter(|mime| is_medium(mime)).ok_or("it is no medium")?;
        let body =
            upstream::decoded(&mut head.headers, body, false).map_err(|_| "its encoding is unknown")?;
        return Ok(Fetched { mime, bytes: read(body, room).await? });
    }
    Err("it leads elsewhere too often".into())
}

/// Where `address` leads, and what is asked there.
fn asked(address: &str) -> Result<(Target, http::Request<Bytes>), Unfetched> {
    let uri: Uri = address.parse().map_err(|_| "it is no address")?;
    let authority = uri.authority().ok_or("it names no host")?;
    if authority.as_str().contains('@') {
        return Err("it contains a password".into());
    }
    let base = format!("{}://{authority}", uri.scheme_str().unwrap_or("https"));
    let origin = Origin::parse(&base).map_err(|error| Unfetched::Because(error.to_string(), None))?;
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut asked = http::Request::new(Bytes::new());
    *asked.uri_mut() = path.parse().map_err(|_| "it is no address")?;
    asked.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Ok((Target::new(origin, Class::Media, false), asked))
}

/// The address that `location` names, seen from `address`.
fn elsewhere(address: &str, location: &str) -> Option<String> {
    if location.starts_with("https://") || location.starts_with("http://") {
        return Some(location.to_owned());
    }
    let from: Uri = address.parse().ok()?;
    let scheme = from.scheme_str()?;
    if location.starts_with("//") {
        return Some(format!("{scheme}:{location}"));
    }
    if !location.starts_with('/') {
        return None;
    }
    Some(format!("{scheme}://{}{location}", from.authority()?))
}

fn is_medium(mime: &str) -> bool {
    let kind = mime.split('/').next().unwrap_or_default();
    matches!(kind, "image" | "audio" | "video") || matches!(mime, "application/pdf" | "text/plain")
}

async fn read(mut body: egress::Answer, room: &mut Room<'_>) -> Result<Bytes, Unfetched> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(|_| "its answer broke off")?.into_data().unwrap_or_default();
        if bytes.len() + data.len() > MOST_BYTES {
            return Err("it is too large".into());
        }
        room.grow(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

fn unfetched(url: &str, why: Unfetched) -> Rejection {
    let (why, cause) = match why {
        Unfetched::Because(why, cause) => (why, cause),
        Unfetched::Overloaded(rejection) => return rejection,
    };
    // An address may carry a signature in its query, and may be as long as a body.
    let shown: String = url.split(['?', '#']).next().unwrap_or_default().chars().take(200).collect();
    let message = format!("The medium at {shown} cannot be fetched: {why}.");
    let rejection = Rejection::because(Code::InvalidRequest, message).at("messages");
    match cause {
        Some(cause) => rejection.caused_by(cause),
        None => rejection,
    }
}
