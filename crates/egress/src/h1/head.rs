//! The head of an answer.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use super::body::Body;

/// The longest head that is accepted, in bytes.
pub(crate) const MAX_HEAD: usize = 32 * 1024;
/// Headers that are accepted in one head, at most.
const MAX_HEADERS: usize = 100;

/// What came is no head of an answer, or one beyond the limits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub String);

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    /// Its status and headers.
    pub response: Response<()>,
    /// How its body is delimited.
    pub body: Body,
    /// Whether the upstream lets the connection be used again.
    pub keeps_alive: bool,
    /// How many bytes it took.
    pub length: usize,
}

/// The head at the start of `input`, the answer to a request by `method`; `None` when its end is not here
/// yet. Interim answers are heads, too.
///
/// # Errors
/// [`Malformed`] says what is wrong with it.
pub(crate) fn parse(input: &[u8], method: &Method) -> Result<Option<Head>, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut read = httparse::Response::new(&mut fields);
    let length = match read.parse(input) {
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(httparse::Status::Partial) if input.len() <= MAX_HEAD => return Ok(None),
        Ok(_) => return Err(Malformed("the head of the answer is too long".to_owned())),
        Err(error) => return Err(Malformed(format!("the answer does not begin as HTTP does: {error}"))),
    };
    let is_older = read.version == Some(0);
    let status = read.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or_else(|| Malformed("the answer has no status".to_owned()))?;
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = headers(&input[..length], read.headers)?;
    let keeps_alive = if is_older {
        mentions(response.headers(), "keep-alive")
    } else {
        !mentions(response.headers(), "close")
    };
    let body = delimiter(response.headers_mut(), is_older)?;
    let is_empty = method == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let body = if is_empty { Body::Length(0) } else { body };
    Ok(Some(Head { response, body, keeps_alive, length }))
}

/// The fields that were read from `head`; their values lie in one copy of it.
fn headers(head: &[u8], fields: &[httparse::Header<'_>]) -> Result<HeaderMap, Malformed> {
    let wrong = |name: &str| Malformed(format!("the header `{name}` of the answer cannot be read"));
    let copy = Bytes::copy_from_slice(head);
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| wrong(field.name))?;
        let start = field.value.as_ptr().addr().wrapping_sub(head.as_ptr().addr());
        // An empty value may lie anywhere.
        let start = if field.value.is_empty() { 0 } else { start };
        let value = HeaderValue::from_maybe_shared(copy.slice(start..start + field.value.len()));
        headers.append(name, value.map_err(|_| wrong(field.name))?);
    }
    Ok(headers)
}

/// Whether `Connection` names `option`.
fn mentions(headers: &HeaderMap, option: &str) -> bool {
    headers
        .get_all(CONNECTION)
        .iter()
        .any(|value| value.as_bytes().split(|byte| *byte == b',').any(|one| is(one, option)))
}

fn is(text: &[u8], word: &str) -> bool {
    text.trim_ascii().eq_ignore_ascii_case(word.as_bytes())
}

/// How the body is delimited, by what the headers say of it. A length beside a coding does not count and
/// is taken out, so that nobody behind us believes it.
fn delimiter(headers: &mut HeaderMap, is_older: bool) -> Result<Body, Malformed> {
    let last_coding = headers.get_all(TRANSFER_ENCODING).iter().next_back();
    if let Some(codings) = last_coding {
        if is_older {
            return Err(Malformed("HTTP/1.0 has no transfer codings".to_owned()));
        }
        let is_chunked =
            codings.as_bytes().rsplit(|byte| *byte == b',').next().is_some_and(|one| is(one, "chunked"));
        headers.remove(CONTENT_LENGTH);
        return Ok(if is_chunked { Body::chunked() } else { Body::Close });
    }
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        for one in value.as_bytes().split(|byte| *byte == b',') {
            let stated = number(one.trim_ascii())
                .ok_or_else(|| Malformed("the length of the answer is no number".to_owned()))?;
            if length.is_some_and(|length| length != stated) {
                return Err(Malformed("the answer states two lengths".to_owned()));
            }
            length = Some(stated);
        }
    }
    Ok(length.map_or(Body::Close, Body::Length))
}

/// Digits and nothing else.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str) -> Result<Option<Head>, Malformed> {
        parse(head.as_bytes(), &Method::GET)
    }

    fn ends(head: &str) -> String {
        let head = read(&format!("HTTP/1.1 200 OK\r\n{head}\r\n")).unwrap().unwrap();
        let left = head.body.left();
        match head.body {
            Body::Length(_) => format!("after {}", left.unwrap()),
            Body::Chunked(_) => "where its coding says".to_owned(),
            Body::Close => "with the connection".to_owned(),
        }
    }

    #[test]
    fn knows_where_a_body_ends() {
        for (head, end) in [
            ("content-length: 7\r\n", "after 7"),
            ("content-length: 7\r\nContent-Length: 7\r\n", "after 7"),
            ("content-length: 7, 7\r\n", "after 7"),
            ("transfer-encoding: chunked\r\n", "where its coding says"),
            ("transfer-encoding: gzip, Chunked \r\n", "where its coding says"),
            ("transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n", "where its coding says"),
            ("content-length: 7\r\ntransfer-encoding: chunked\r\n", "where its coding says"),
            ("transfer-encoding: chunked, gzip\r\n", "with the connection"),
            ("transfer-encoding: gzip\r\n", "with the connection"),
            ("", "with the connection"),
        ] {
            assert_eq!(ends(head), end, "{head:?}");
        }
        let both = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(!read(both).unwrap().unwrap().response.headers().contains_key(CONTENT_LENGTH));
    }

    #[test]
    fn expects_no_body_where_there_is_none() {
        let long = "\r\ncontent-length: 7\r\n\r\n";
        for status in ["103 Early Hints", "204 No Content", "304 Not Modified"] {
            let head = read(&format!("HTTP/1.1 {status}{long}")).unwrap().unwrap();
            assert!(head.body.is_done(), "{status}");
        }
        let head = parse(format!("HTTP/1.1 200 OK{long}").as_bytes(), &Method::HEAD).unwrap().unwrap();
        assert!(head.body.is_done());
    }

    #[test]
    fn knows_whether_the_connection_goes_on() {
        for (head, goes_on) in [
            ("HTTP/1.1 200 OK\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nConnection: x, Close\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\nconnection: keep-alive\r\n\r\n", true),
            ("HTTP/1.0 200 OK\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\n\r\n", true),
        ] {
            assert_eq!(read(head).unwrap().unwrap().keeps_alive, goes_on, "{head:?}");
        }
    }

    #[test]
    fn refuses_what_two_readers_could_read_differently() {
        for head in [
            "content-length: 7\r\ncontent-length: 8\r\n",
            "content-length: 7, 8\r\n",
            "content-length: +7\r\n",
            "content-length: \r\n",
            "content-length: 99999999999999999999\r\n",
            ": nameless\r\n",
            "a b: c\r\n",
            "a : b\r\n",
            "a: b\r\n folded\r\n",
            "a: \u{0}\r\n",
        ] {
            assert!(read(&format!("HTTP/1.1 200 OK\r\n{head}\r\n")).is_err(), "{head:?}");
        }
        for line in ["HTTP/2.0 200 OK", "HTTP/1.1 20 OK", "HTTP/1.1 099 No", "SSH-2.0-OpenSSH_9.2"] {
            assert!(read(&format!("{line}\r\n\r\n")).is_err(), "{line}");
        }
        assert!(read("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn asks_for_more_until_the_head_is_whole_and_too_long() {
        let head = "HTTP/1.1 200 OK\r\na: b\r\na: c\r\n\r\n";
        for end in 0..head.len() {
            assert!(read(&head[..end]).unwrap().is_none(), "{end}");
        }
        let whole = read(&format!("{head}body")).unwrap().unwrap();
        assert_eq!(whole.length, head.len());
        assert_eq!(whole.response.headers().get_all("a").iter().collect::<Vec<_>>(), ["b", "c"]);
        let long = format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(MAX_HEAD));
        assert!(read(&long).is_err() && read(&format!("{long}\r\n\r\n")).is_err());
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS + 1));
        assert!(read(&many).is_err());
    }
}
