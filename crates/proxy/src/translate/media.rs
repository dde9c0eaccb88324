//! Fetches media that a caller names by address, for accounts whose dialect takes none.
//!
//! A caller chooses these addresses, so they lead nowhere but to the public internet, by https, and what
//! comes back is bounded.

use bytes::{Bytes, BytesMut};
use egress::{Class, Origin, Target};
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderValue, LOCATION};
use http::{StatusCode, Uri};
use http_body_util::BodyExt;
use llm::codec::media;
use llm::neutral::{Dialect, Request};
use model::{Code, Rejection};

use crate::exchange::Exchange;

/// Most media of one request; Anthropic takes 100, Bedrock 20.
const MOST: usize = 20;
/// Most bytes of one medium: the largest that a provider takes within a request (Gemini).
const MOST_BYTES: usize = 20 << 20;
/// Most bytes of all media of one request.
const MOST_BYTES_TOGETHER: usize = 40 << 20;
/// How often a server may send us elsewhere.
const MOST_HOPS: usize = 3;

/// A medium that was fetched.
struct Fetched {
    mime: String,
    bytes: Bytes,
}

/// Puts the bytes of media in the place of the addresses that a provider of `dialect` does not take.
///
/// # Errors
/// `INVALID_REQUEST`, naming the address that cannot be fetched.
pub(super) async fn fetch(
    exchange: &mut Exchange,
    request: &mut Request,
    dialect: Dialect,
) -> Result<(), Rejection> {
    let urls = media::to_fetch(request, dialect);
    if urls.len() > MOST {
        let message = format!("At most {MOST} media can be fetched for a request.");
        return Err(Rejection::because(Code::InvalidRequest, message));
    }
    let mut together = 0;
    for url in urls {
        let fetched = one(exchange, &url).await?;
        together += fetched.bytes.len();
        if together > MOST_BYTES_TOGETHER {
            return Err(unfetched(&url, "the media of the request are too large together"));
        }
        media::embed(request, &url, &fetched.mime, &fetched.bytes);
    }
    Ok(())
}

async fn one(exchange: &Exchange, url: &str) -> Result<Fetched, Rejection> {
    let mut address = url.to_owned();
    for _ in 0..=MOST_HOPS {
        let response = get(exchange, &address).await.map_err(|why| unfetched(url, &why))?;
        let (head, body) = response.into_parts();
        if head.status.is_redirection() {
            let next = head.headers.get(LOCATION).and_then(|value| value.to_str().ok());
            address = next
                .and_then(|next| elsewhere(&address, next))
                .ok_or_else(|| unfetched(url, "it leads to nowhere"))?;
            continue;
        }
        if head.status != StatusCode::OK {
            return Err(unfetched(url, &format!("its server answered {}", head.status.as_u16())));
        }
        let mime = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let mime = mime.map(|mime| mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        let mime = mime.filter(|mime| is_medium(mime)).ok_or_else(|| unfetched(url, "it is no medium"))?;
        let bytes = read(body).await.map_err(|why| unfetched(url, why))?;
        return Ok(Fetched { mime, bytes });
    }
    Err(unfetched(url, "it leads elsewhere too often"))
}

async fn get(exchange: &Exchange, address: &str) -> Result<http::Response<egress::Answer>, String> {
    let uri: Uri = address.parse().map_err(|_| "it is no address".to_owned())?;
    let authority = uri.authority().ok_or("it names no host")?;
    if authority.as_str().contains('@') {
        return Err("it contains a password".to_owned());
    }
    let base = format!("{}://{authority}", uri.scheme_str().unwrap_or("https"));
    let origin = Origin::parse(&base).map_err(|error| error.to_string())?;
    let target = Target::new(origin, Class::Media, false);
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut request = http::Request::new(Bytes::new());
    *request.uri_mut() = path.parse().map_err(|_| "it is no address".to_owned())?;
    request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let timers = exchange.worker.shared.settings.upstream;
    let sent = exchange.worker.pool.send(&target, request, &timers).await;
    sent.map_err(|error| format!("it cannot be reached ({error})"))
}

/// The address that `location` names, seen from `address`.
fn elsewhere(address: &str, location: &str) -> Option<String> {
    if location.starts_with("https://") || location.starts_with("http://") {
        return Some(location.to_owned());
    }
    let from: Uri = address.parse().ok()?;
    let base = format!("{}://{}", from.scheme_str()?, from.authority()?);
    location.starts_with('/').then(|| format!("{base}{location}"))
}

fn is_medium(mime: &str) -> bool {
    let kind = mime.split('/').next().unwrap_or_default();
    matches!(kind, "image" | "audio" | "video") || matches!(mime, "application/pdf" | "text/plain")
}

async fn read(mut body: egress::Answer) -> Result<Bytes, &'static str> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(|_| "its answer broke off")?.into_data().unwrap_or_default();
        if bytes.len() + data.len() > MOST_BYTES {
            return Err("it is too large");
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

fn unfetched(url: &str, why: &str) -> Rejection {
    // An address may carry a signature in its query, and may be as long as a body.
    let shown: String = url.split(['?', '#']).next().unwrap_or_default().chars().take(200).collect();
    Rejection::because(Code::InvalidRequest, format!("The medium at {shown} cannot be fetched: {why}."))
        .at("messages")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_send_us_on() {
        for (from, location, to) in [
            ("https://a.example/x", "/y?z=1", Some("https://a.example/y?z=1")),
            ("https://a.example/x", "https://b.example/", Some("https://b.example/")),
            ("https://a.example/x", "file:///etc/passwd", None),
            ("https://a.example/x", "y", None),
        ] {
            assert_eq!(elsewhere(from, location).as_deref(), to, "{location}");
        }
    }

    #[test]
    fn pages_are_no_media() {
        assert!(is_medium("image/png") && is_medium("application/pdf"));
        assert!(!is_medium("text/html") && !is_medium("application/json"));
    }
}
