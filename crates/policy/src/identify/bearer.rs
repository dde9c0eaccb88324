//! Finds the bearer credential of a request, whichever way the caller's SDK sends it.

use http::{HeaderMap, header};
use model::{Code, Rejection};

/// Headers that carry a bare key, in the order in which the first match wins (access contract, §1).
const KEY_HEADERS: [&str; 4] = ["x-api-key", "x-goog-api-key", "api-key", "x-trial-key"];

/// The one credential of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Bearer<'a>(pub &'a str);

/// Reads the credential from the headers or the query (`key=`).
///
/// # Errors
/// `INVALID_API_KEY` when there is none or it is not text, `INVALID_REQUEST_CREDENTIALS` when two
/// different ones were sent. The same one sent twice is fine: some clients do that.
pub fn find_bearer<'a>(headers: &'a HeaderMap, query: Option<&'a str>) -> Result<Bearer<'a>, Rejection> {
    let mut found: Option<&str> = None;
    for value in headers.get_all(header::AUTHORIZATION) {
        let text = value.to_str().map_err(|_| unreadable())?;
        let Some(token) = bearer_token(text) else {
            return Err(Rejection::because(
                Code::InvalidApiKey,
                "The Authorization header must be of the form `Bearer <key>`.",
            ));
        };
        found = one_of(found, token)?;
    }
    // One walk over the names costs less than looking four of them up, and most requests have none.
    if headers.keys().any(|name| KEY_HEADERS.contains(&name.as_str())) {
        found = bare_key(headers, found)?;
    }
    for pair in query.unwrap_or("").split('&') {
        if let Some(value) = pair.strip_prefix("key=") {
            found = one_of(found, value)?;
        }
    }
    found
        .map(Bearer)
        .ok_or_else(|| Rejection::because(Code::InvalidApiKey, "No API key was sent with the request."))
}

/// The key of the headers that carry it bare; it must be `found` if there is one already.
fn bare_key<'a>(headers: &'a HeaderMap, mut found: Option<&'a str>) -> Result<Option<&'a str>, Rejection> {
    for name in KEY_HEADERS {
        for value in headers.get_all(name) {
            found = one_of(found, value.to_str().map_err(|_| unreadable())?.trim())?;
        }
    }
    Ok(found)
}

/// The token of `Bearer <token>`; the scheme in any case (RFC 9110 §11.1).
fn bearer_token(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn one_of<'a>(found: Option<&'a str>, next: &'a str) -> Result<Option<&'a str>, Rejection> {
    match found {
        _ if next.is_empty() => Ok(found),
        Some(first) if first != next => Err(Rejection::new(Code::InvalidRequestCredentials)),
        _ => Ok(Some(next)),
    }
}

fn unreadable() -> Rejection {
    Rejection::because(Code::InvalidApiKey, "The API key contains characters that no key has.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &str)], query: Option<&str>, expected: Result<&str, Code>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a header value"));
        }
        let actual = find_bearer(&map, query).map(|b| b.0).map_err(|r| r.code);
        assert_eq!(actual, expected, "{headers:?} {query:?}");
    }

    #[test]
    fn reads_every_form_that_sdks_send() {
        check(&[("authorization", "Bearer k")], None, Ok("k"));
        check(&[("authorization", "bearer  k ")], None, Ok("k"));
        check(&[("x-api-key", "k")], None, Ok("k"));
        check(&[("x-goog-api-key", "k")], None, Ok("k"));
        check(&[("api-key", "k")], None, Ok("k"));
        check(&[("x-trial-key", "k")], None, Ok("k"));
        check(&[], Some("alt=sse&key=k"), Ok("k"));
    }

    #[test]
    fn refuses_none_and_two_different_ones() {
        check(&[], None, Err(Code::InvalidApiKey));
        check(&[("authorization", "Bearer ")], None, Err(Code::InvalidApiKey));
        check(&[("authorization", "Basic abc")], None, Err(Code::InvalidApiKey));
        check(
            &[("authorization", "Bearer a"), ("x-api-key", "b")],
            None,
            Err(Code::InvalidRequestCredentials),
        );
        check(&[("x-api-key", "a"), ("x-api-key", "b")], None, Err(Code::InvalidRequestCredentials));
        check(&[("x-api-key", "a")], Some("key=b"), Err(Code::InvalidRequestCredentials));
    }

    #[test]
    fn refuses_what_is_not_ascii() {
        for name in ["authorization", "x-api-key"] {
            let mut map = HeaderMap::new();
            map.append(name, http::HeaderValue::from_bytes("Bearer é".as_bytes()).expect("a header value"));
            assert_eq!(find_bearer(&map, None).map_err(|r| r.code).err(), Some(Code::InvalidApiKey));
        }
    }

    #[test]
    fn takes_the_same_key_sent_twice() {
        check(&[("authorization", "Bearer k"), ("x-api-key", "k")], None, Ok("k"));
    }
}
