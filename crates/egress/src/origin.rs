//! The origin (scheme, host, port) of a base URL, parsed strictly.
//!
//! Refuses every spelling that two parsers could read differently; it never resolves and never
//! decides whether the destination is allowed. Nothing is repaired but case and one trailing dot.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use http::{HeaderValue, Uri};

/// Longest URL that is read, in bytes.
const MAX_URL: usize = 2048;
/// Longest host name (RFC 1035 §2.3.4).
const MAX_HOST: usize = 253;
/// Longest label of a host name (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;

/// How a destination is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// Plain HTTP/2, known beforehand to be spoken there (`h2c://`).
    H2c,
    /// HTTP over TLS.
    Https,
    /// A service inside this process, found by the host part (`demo://demo`).
    Demo,
}

impl Scheme {
    /// The scheme as written in a URL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::H2c => "h2c",
            Self::Https => "https",
            Self::Demo => "demo",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http | Self::H2c => 80,
            Self::Https => 443,
            Self::Demo => 0,
        }
    }
}

/// Where a credential belongs and a connection goes: scheme, lower-case host, port.
#[derive(Clone)]
pub struct Origin {
    scheme: Scheme,
    host: Arc<str>,
    port: u16,
    address: Option<IpAddr>,
    host_header: HeaderValue,
}

/// Why a URL has no origin that can be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Longer than 2048 bytes.
    #[error("the URL is too long")]
    TooLong,
    /// A space, control character, backslash or non-ASCII character; international names are
    /// written in punycode.
    #[error("the URL holds a character that is not allowed (write international names in punycode)")]
    Character,
    /// Anything but `http`, `https`, `h2c` and `demo`.
    #[error("the scheme is not http or https")]
    Scheme,
    /// A user name or password before the host.
    #[error("the URL holds user information")]
    UserInfo,
    /// A `#fragment`.
    #[error("the URL holds a fragment")]
    Fragment,
    /// No host, or one that is not a DNS name or a canonical IP address.
    #[error("the host is not a DNS name or a canonical IP address")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
}

impl Origin {
    /// The origin of `url`; a path and a query after it are allowed and ignored.
    ///
    /// # Errors
    /// `OriginError` says what about the URL is refused.
    pub fn parse(url: &str) -> Result<Self, OriginError> {
        if url.len() > MAX_URL {
            return Err(OriginError::TooLong);
        }
        if url.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'\\') {
            return Err(OriginError::Character);
        }
        let (scheme, rest) = url.split_once("://").ok_or(OriginError::Scheme)?;
        let scheme = parse_scheme(scheme)?;
        if rest.contains('#') {
            return Err(OriginError::Fragment);
        }
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(OriginError::UserInfo);
        }
        let (host, port) = split_authority(authority)?;
        let port = parse_port(scheme, port)?;
        let (host, address) = parse_host(host)?;
        let host_header = host_header(scheme, &host, address, port)?;
        Ok(Self { scheme, host: host.into(), port, address, host_header })
    }

    /// How it is spoken to.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host in lower case: a name without trailing dot, or an IP address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the scheme's own when the URL named none; 0 for an in-process service.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address when the host is one, so that nothing needs resolving.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The value of the `Host` header of requests to this origin.
    #[must_use]
    pub fn host_header(&self) -> &HeaderValue {
        &self.host_header
    }

    /// True when `uri` is in origin-form or names this very origin.
    #[must_use]
    pub fn covers(&self, uri: &Uri) -> bool {
        let Some(authority) = uri.authority() else {
            return uri.scheme().is_none();
        };
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let host = host.strip_suffix('.').unwrap_or(host);
        uri.scheme_str() == Some(self.scheme.name())
            && host.eq_ignore_ascii_case(&self.host)
            && !authority.as_str().contains('@')
            && authority.port_u16().unwrap_or(self.scheme.default_port()) == self.port
    }
}

fn parse_scheme(scheme: &str) -> Result<Scheme, OriginError> {
    [Scheme::Http, Scheme::H2c, Scheme::Https, Scheme::Demo]
        .into_iter()
        .find(|known| known.name().eq_ignore_ascii_case(scheme))
        .ok_or(OriginError::Scheme)
}

/// Host (brackets kept) and the text after its colon.
fn split_authority(authority: &str) -> Result<(&str, Option<&str>), OriginError> {
    if !authority.starts_with('[') {
        return Ok(match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        });
    }
    let end = authority.find(']').ok_or(OriginError::Host)? + 1;
    match authority.split_at(end) {
        (host, "") => Ok((host, None)),
        (host, rest) => Ok((host, Some(rest.strip_prefix(':').ok_or(OriginError::Host)?))),
    }
}

fn parse_port(scheme: Scheme, port: Option<&str>) -> Result<u16, OriginError> {
    let Some(port) = port else {
        return Ok(scheme.default_port());
    };
    let digits = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(number) if digits && number != 0 && scheme != Scheme::Demo => Ok(number),
        _ => Err(OriginError::Port),
    }
}

fn parse_host(host: &str) -> Result<(String, Option<IpAddr>), OriginError> {
    if let Some(literal) = host.strip_prefix('[') {
        let literal = literal.strip_suffix(']').ok_or(OriginError::Host)?;
        let address: Ipv6Addr = literal.parse().map_err(|_| OriginError::Host)?;
        return Ok((address.to_string(), Some(IpAddr::V6(address))));
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if name.len() > MAX_HOST || !name.split('.').all(is_label) {
        return Err(OriginError::Host);
    }
    if !is_numeric(&name) {
        return Ok((name, None));
    }
    // Rust reads only the canonical dotted quad: no octal, no hexadecimal, no short forms.
    let address: Ipv4Addr = name.parse().map_err(|_| OriginError::Host)?;
    Ok((name, Some(IpAddr::V4(address))))
}

/// Letters, digits, hyphens inside, and the underscore that container networks use.
fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// True for what a C library or a browser would read as an IPv4 address: the last label is a
/// decimal, octal or hexadecimal number (WHATWG URL, "ends in a number checker").
fn is_numeric(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    match last.strip_prefix("0x") {
        Some(hex) => hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => last.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

fn host_header(
    scheme: Scheme,
    host: &str,
    address: Option<IpAddr>,
    port: u16,
) -> Result<HeaderValue, OriginError> {
    let bracketed = match address {
        Some(IpAddr::V6(_)) => format!("[{host}]"),
        _ => host.to_owned(),
    };
    let text = if port == scheme.default_port() { bracketed } else { format!("{bracketed}:{port}") };
    HeaderValue::try_from(text).map_err(|_| OriginError::Host)
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}://{}", self.scheme.name(), self.host_header.to_str().unwrap_or_default())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        self.port == other.port && self.scheme == other.scheme && self.host == other.host
    }
}

impl Eq for Origin {}

impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.scheme, self.port).hash(state);
        self.host.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::OriginError::{Character, Fragment, Host, Port, Scheme as OtherScheme, UserInfo};
    use super::*;

    fn check(url: &str, expected: Result<&str, OriginError>) {
        let parsed = Origin::parse(url).map(|origin| origin.to_string());
        assert_eq!(parsed.as_deref(), expected.as_ref().map(|text| *text), "{url:?}");
    }

    #[test]
    fn reads_and_normalises() {
        check("https://api.openai.com/v1", Ok("https://api.openai.com"));
        check("HTTPS://API.OpenAI.com:443", Ok("https://api.openai.com"));
        check("http://127.0.0.1:8080/x?y=1", Ok("http://127.0.0.1:8080"));
        check("https://example.com.", Ok("https://example.com"));
        check("https://[2001:DB8::1]:8443/", Ok("https://[2001:db8::1]:8443"));
        check("https://xn--fiqs8s.example", Ok("https://xn--fiqs8s.example"));
        check("http://my_service:80", Ok("http://my_service"));
        check("demo://demo", Ok("demo://demo"));
        check("h2c://10.0.0.1:8000/v1", Ok("h2c://10.0.0.1:8000"));
        check("https://a.example/@x:y", Ok("https://a.example"));
        check("https://a.example:0443", Ok("https://a.example"));
    }

    const REFUSED: &[(&str, OriginError)] = &[
        ("", OtherScheme),
        ("example.com", OtherScheme),
        ("//example.com", OtherScheme),
        ("unix:/run/docker.sock", OtherScheme),
        ("unix:///run/docker.sock", OtherScheme),
        ("file:///etc/passwd", OtherScheme),
        ("gopher://127.0.0.1:6379/_x", OtherScheme),
        ("ftp://a.example", OtherScheme),
        ("javascript://x", OtherScheme),
        ("https:/a.example", OtherScheme),
        (" https://a.example", Character),
        ("https://a.example\\@b.example", Character),
        ("https://a.example\r\nHost: b", Character),
        ("https://a\tb.example", Character),
        ("https://a.example\0", Character),
        ("https://пример.example", Character),
        ("https://①②⑦.0.0.1", Character),
        ("https://user:pw@a.example", UserInfo),
        ("https://a.example@b.example", UserInfo),
        ("https://a.example#@b.example", Fragment),
        ("https://", Host),
        ("https:///v1", Host),
        ("https://:443", Host),
        ("https://.", Host),
        ("https://a..example", Host),
        ("https://a.example..", Host),
        ("https://-a.example", Host),
        ("https://2130706433", Host),
        ("https://0177.0.0.1", Host),
        ("https://017700000001", Host),
        ("https://0x7f.0.0.1", Host),
        ("https://0x7f.1", Host),
        ("https://0x7f000001", Host),
        ("https://0X7F000001", Host),
        ("https://0x", Host),
        ("https://127.1", Host),
        ("https://127.0.1", Host),
        ("https://127.0.0.01", Host),
        ("https://127.0.0.0x1", Host),
        ("https://127.0.0.256", Host),
        ("https://1.2.3.4.5", Host),
        ("https://0", Host),
        ("https://%31%32%37.0.0.1", Host),
        ("https://a%2eexample", Host),
        ("https://[fe80::1%25eth0]", Host),
        ("https://[fe80::1%eth0]", Host),
        ("https://[::1", Host),
        ("https://[::1]x", Host),
        ("https://[127.0.0.1]", Host),
        ("https://::1", Port),
        ("https://a.example:0", Port),
        ("https://a.example:", Port),
        ("https://a.example:65536", Port),
        ("https://a.example:+443", Port),
        ("https://a.example:443:443", Port),
        ("demo://demo:1", Port),
    ];

    #[test]
    fn refuses_what_two_parsers_could_read_differently() {
        for (url, error) in REFUSED {
            check(url, Err(*error));
        }
        assert_eq!(Origin::parse(&format!("https://{}", "a".repeat(3000))), Err(OriginError::TooLong));
        assert_eq!(Origin::parse(&format!("https://{}.example", "a".repeat(64))), Err(OriginError::Host));
    }

    #[test]
    fn compares_by_scheme_host_and_port() {
        let origin = Origin::parse("https://a.example/v1").unwrap();
        assert_eq!(origin, Origin::parse("https://A.example.:443").unwrap());
        assert_ne!(origin, Origin::parse("http://a.example:443").unwrap());
        assert_ne!(origin, Origin::parse("https://a.example:444").unwrap());
    }

    #[test]
    fn covers_only_its_own_uris() {
        let origin = Origin::parse("https://a.example").unwrap();
        for (uri, covered) in [
            ("/v1/x?y", true),
            ("https://a.example/v1", true),
            ("https://A.EXAMPLE:443/v1", true),
            ("http://a.example/v1", false),
            ("https://a.example:8443/v1", false),
            ("https://b.example/v1", false),
            ("https://u@a.example/v1", false),
        ] {
            assert_eq!(origin.covers(&uri.parse().unwrap()), covered, "{uri}");
        }
    }
}
