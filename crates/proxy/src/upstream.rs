//! Requests to upstreams and the heads of their answers: which headers pass, and which never do.

use std::borrow::Cow;

use bytes::Bytes;
use egress::{Coding, DecodedSize};
use http::Uri;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use llm::provider;
use llm::{Family, Surface};
use model::{Code, Rejection};

use crate::attempt::misconfigured;
use crate::catalog::Offer;
use crate::request::Outbound;

/// A request to an upstream.
pub(crate) type Request = http::Request<Bytes>;

/// The version that Anthropic's API demands, for callers that name none.
const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// The upstream's own id of the request, as callers see it.
const UPSTREAM_REQUEST_ID: HeaderName = HeaderName::from_static("x-upstream-request-id");
/// The upstream's own id of the request, as OpenAI and its kin name it, and as Anthropic does.
const REQUEST_IDS: [HeaderName; 2] =
    [HeaderName::from_static("x-request-id"), HeaderName::from_static("request-id")];

/// Headers of an answer that reach the caller, besides `anthropic-*` (accounts contract, §1).
const PASSED_ON: [&str; 8] = [
    "content-type",
    "content-length",
    "retry-after",
    "retry-after-ms",
    "openai-processing-ms",
    "x-should-retry",
    "openai-model",
    // Where within OpenAI a turn of Codex goes on (clients reference §1.3).
    "x-codex-turn-state",
];

/// The request that this account is to receive.
///
/// # Errors
/// The account cannot be called as it is configured.
pub(crate) fn request(
    offer: &Offer,
    outbound: &Outbound<'_>,
    body: Bytes,
) -> Result<Box<Request>, Rejection> {
    let surface = outbound.call.surface;
    let uri = offer.uri(surface).ok_or_else(|| misconfigured("no endpoint for this surface"))?;
    // Boxed: it is handed on several times until it is written.
    let mut request = Box::new(http::Request::new(body));
    let stored = surface == Surface::StoredResponse;
    *request.method_mut() = if stored { outbound.head.method.clone() } else { http::Method::POST };
    let address = own_path(uri, surface, outbound.head.uri.path())?;
    *request.uri_mut() = with_query(&address, outbound.head.uri.query())?;
    let headers = request.headers_mut();
    *headers = passed_headers(&outbound.head.headers);
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if !stored && !headers.contains_key(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if surface.family() == Family::Anthropic && !headers.contains_key(ANTHROPIC_VERSION) {
        headers.insert(ANTHROPIC_VERSION, HeaderValue::from_static(provider::ANTHROPIC_VERSION));
    }
    if let Some((name, value)) = offer.upstream.credential(surface.family()) {
        headers.insert(name, value.clone());
    }
    Ok(request)
}

/// A request that was written anew, in another dialect than its caller's: nothing of the caller's head
/// means anything in it.
///
/// # Errors
/// The account cannot be called as it is configured.
pub(crate) fn translated(offer: &Offer, surface: Surface, body: Bytes) -> Result<Box<Request>, Rejection> {
    let uri = offer.uri(surface).ok_or_else(|| misconfigured("no endpoint for this surface"))?;
    let mut request = Box::new(http::Request::new(body));
    *request.method_mut() = http::Method::POST;
    // Google streams an array unless it is asked for events.
    let query = (surface == Surface::StreamGenerateContent).then_some("alt=sse");
    *request.uri_mut() = with_query(uri, query)?;
    let headers = request.headers_mut();
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if surface.family() == Family::Anthropic {
        headers.insert(ANTHROPIC_VERSION, HeaderValue::from_static(provider::ANTHROPIC_VERSION));
    }
    if let Some((name, value)) = offer.upstream.credential(surface.family()) {
        headers.insert(name, value.clone());
    }
    Ok(request)
}

/// The account's path with what only the caller knows of it: which stored response, and the version of
/// Gemini's API.
fn own_path<'a>(uri: &'a Uri, surface: Surface, asked: &str) -> Result<Cow<'a, Uri>, Rejection> {
    let (path, query) = (uri.path(), uri.query().map(|query| format!("?{query}")).unwrap_or_default());
    let changed = match surface {
        Surface::StoredResponse => {
            let id = asked.find("/responses/").map_or("", |at| &asked[at + "/responses/".len()..]);
            format!("{path}{id}{query}")
        }
        _ if surface.family() == Family::Gemini && asked.starts_with("/v1/") => {
            let at = path.rfind("/v1beta/").unwrap_or(path.len());
            format!("{}/v1/{}{query}", &path[..at], path.get(at + "/v1beta/".len()..).unwrap_or(""))
        }
        _ => return Ok(Cow::Borrowed(uri)),
    };
    changed.parse().map(Cow::Owned).map_err(|_| misconfigured("the path cannot be passed on"))
}

/// The account's path with the caller's query behind its own; a key in the query stays here. The origin
/// is not part of it: connections go where the account's target says.
fn with_query(uri: &Uri, query: Option<&str>) -> Result<Uri, Rejection> {
    let passed: Vec<&str> =
        query.unwrap_or("").split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("key=")).collect();
    if let (true, Some(own)) = (passed.is_empty(), uri.path_and_query()) {
        return Ok(Uri::from(own.clone()));
    }
    let own = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let join = if own.contains('?') { '&' } else { '?' };
    let joined = format!("{own}{join}{}", passed.join("&"));
    let unusable =
        || Rejection::because(Code::InvalidRequest, "The query of the request cannot be passed on.");
    joined.parse::<PathAndQuery>().map(Uri::from).map_err(|_| unusable())
}

/// The caller's headers, without those that are withheld or named by `Connection`.
fn passed_headers(from: &HeaderMap) -> HeaderMap {
    let named: Vec<&str> = from
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or("").split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
        .collect();
    let mut headers = HeaderMap::with_capacity(from.len() + 4);
    for (name, value) in from {
        let text = name.as_str();
        if !is_withheld(text) && !named.iter().any(|token| token.eq_ignore_ascii_case(text)) {
            headers.append(name, value.clone());
        }
    }
    headers
}

/// Headers of a caller that never reach an upstream: hop-by-hop (RFC 9110 §7.6.1), what is set anew for
/// this hop, credentials, cookies, and what proxies add about the caller. All others pass: the vendors'
/// lists of headers are open.
fn is_withheld(name: &str) -> bool {
    let listed = matches!(
        name,
        "host"
            | "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "content-length"
            | "expect"
            | "accept-encoding"
            | "authorization"
            | "x-api-key"
            | "x-goog-api-key"
            | "api-key"
            | "x-trial-key"
            | "cookie"
            | "forwarded"
            | "via"
            | "x-forwarded-for"
            | "x-forwarded-host"
            | "x-forwarded-proto"
            | "x-forwarded-port"
            | "x-real-ip"
            | "idempotency-key"
            | "x-signature"
            | "x-nonce"
            | "x-timestamp"
            | "signature"
            | "signature-input"
            | "accept-signature"
            | "content-digest"
    );
    listed || name.starts_with("x-yumen-")
}

/// The headers of an upstream's answer that the caller sees.
pub(crate) fn answer_headers(from: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(16);
    for (name, value) in from {
        let text = name.as_str();
        let open_list = text.starts_with("anthropic-")
            && !text.starts_with("anthropic-ratelimit-")
            && text != "anthropic-organization-id";
        if open_list || PASSED_ON.contains(&text) {
            headers.append(name, value.clone());
        }
    }
    if let Some(id) = upstream_id(from) {
        headers.insert(UPSTREAM_REQUEST_ID, id.clone());
    }
    headers
}

/// The upstream's own id of the request, bounded for the record.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<&str> {
    upstream_id(headers)?.to_str().ok().filter(|text| text.len() <= 128)
}

fn upstream_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    REQUEST_IDS.iter().find_map(|name| headers.get(name))
}

/// What a whole answer may become that was sent encoded (reliability.md R9).
const WHOLE: DecodedSize = DecodedSize { bytes: 64 << 20, ratio: 10 };
/// The same of a stream, which is never in memory as a whole: its events repeat each other and pack better than
/// any other text.
const STREAM: DecodedSize = DecodedSize { bytes: u64::MAX, ratio: 100 };

/// The answer as it can be read and metered: unpacked where it was sent encoded although that was not asked for.
/// Its head says nothing of it then.
///
/// # Errors
/// `UPSTREAM_INVALID_RESPONSE`, naming the encoding, where it is none that can be unpacked.
pub(crate) fn decoded(
    headers: &mut HeaderMap,
    answer: egress::Answer,
    stream: bool,
) -> Result<egress::Answer, Rejection> {
    let Some(encoding) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(answer);
    };
    if encoding.as_bytes().eq_ignore_ascii_case(b"identity") {
        return Ok(answer);
    }
    let only = headers.get_all(header::CONTENT_ENCODING).iter().count() == 1;
    let Some(coding) = Coding::of_name(encoding.as_bytes()).filter(|_| only) else {
        return Err(Rejection::because(
            Code::UpstreamInvalidResponse,
            "The upstream answered in a content encoding although none was asked for.",
        )
        .caused_by(format!("content-encoding: {encoding:?}")));
    };
    headers.remove(header::CONTENT_ENCODING);
    headers.remove(header::CONTENT_LENGTH);
    Ok(answer.decoded(coding, if stream { STREAM } else { WHOLE }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        headers.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn open_lists_pass_and_credentials_do_not() {
        let passed = passed_headers(&map(&[
            ("authorization", "Bearer k"),
            ("x-api-key", "k"),
            ("x-signature", "s"),
            ("signature", "s=:aGk=:"),
            ("signature-input", "s=()"),
            ("accept-signature", "s=()"),
            ("content-digest", "sha-256=:aGk=:"),
            ("cookie", "c"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-yumen-debug", "1"),
            ("connection", "keep-alive, x-hop"),
            ("x-hop", "1"),
            ("anthropic-beta", "a,b"),
            ("x-stainless-lang", "python"),
            ("user-agent", "u"),
        ]));
        let mut names: Vec<&str> = passed.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["anthropic-beta", "user-agent", "x-stainless-lang"]);
    }

    #[test]
    fn a_query_passes_behind_the_accounts_own_and_without_a_key() {
        for (uri, query, joined) in [
            ("http://h/v1/messages", None, "/v1/messages"),
            ("http://h/v1/messages", Some("key=k"), "/v1/messages"),
            ("http://h/v1/messages", Some("beta=true&key=k&x=1"), "/v1/messages?beta=true&x=1"),
            ("http://h/c?api-version=1", Some("beta=true"), "/c?api-version=1&beta=true"),
        ] {
            let uri = uri.parse().expect("a URI");
            let actual = with_query(&uri, query).map(|uri| uri.to_string()).map_err(|r| r.code);
            assert_eq!(actual, Ok(joined.to_owned()));
        }
    }

    #[test]
    fn answers_show_nothing_of_the_account() {
        let passed = answer_headers(&map(&[
            ("content-type", "application/json"),
            ("set-cookie", "c"),
            ("server", "s"),
            ("openai-organization", "o"),
            ("anthropic-organization-id", "o"),
            ("anthropic-ratelimit-requests-limit", "1"),
            ("anthropic-beta-note", "n"),
            ("x-ratelimit-limit-requests", "1"),
            ("x-request-id", "theirs"),
        ]));
        let mut names: Vec<&str> = passed.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["anthropic-beta-note", "content-type", "x-upstream-request-id"]);
    }
}
