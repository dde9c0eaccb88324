//! Reads one value into the type that cannot be wrong. A refusal never repeats the value of a secret.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use http::uri::Authority;
use ipnet::IpNet;
use ledger::journal::Durability;
use model::Secret;
use telemetry::stream::Destination;

use super::settings::LogFormat;

/// The fewest characters of an administrator's token: 32 of base64 carry 192 bits.
pub const ADMIN_TOKEN_LENGTH: usize = 32;
/// The fewest characters of the metrics token.
const METRICS_TOKEN_LENGTH: usize = 16;
/// The longest time that a timer may be set to: a day.
const LONGEST_SECONDS: f64 = 86_400.0;
/// The largest body that may be allowed: a body is held in memory whole.
const LARGEST_BODY: usize = 1 << 30;

/// Why a value cannot be used.
pub struct Refusal {
    /// Why.
    pub cause: String,
    /// What to write instead.
    pub fix: String,
}

/// Makes a refusal.
pub fn refuse<T>(cause: impl Into<String>, fix: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { cause: cause.into(), fix: fix.into() })
}

/// The algorithm of access tokens.
pub fn jwt_algorithm(text: &str) -> Result<control::JwtAlgorithm, Refusal> {
    let mut all = control::JwtAlgorithm::ALL.into_iter();
    match all.find(|known| known.name().eq_ignore_ascii_case(text)) {
        Some(known) => Ok(known),
        None => refuse("it is no algorithm for access tokens", "write EdDSA or RS256"),
    }
}

/// An address to listen on: `127.0.0.1:8787`, `[::1]:8787`, `localhost:8787`, `:8787` (every address), `8787`.
pub fn address(text: &str) -> Result<SocketAddr, Refusal> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port_text) = text.rsplit_once(':').unwrap_or(("localhost", text));
    let ip = match host {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        "" | "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        other => match other.parse() {
            Ok(ip) => ip,
            Err(_) => return refuse(format!("`{text}` is not an address and port"), ADDRESS_FIX),
        },
    };
    Ok(SocketAddr::new(ip, port(port_text)?))
}

const ADDRESS_FIX: &str =
    "write it like 127.0.0.1:8787 or [::1]:8787 (names other than localhost are not resolved)";

/// `process` or `power`.
pub fn durability(text: &str) -> Result<Durability, Refusal> {
    match text.to_ascii_lowercase().as_str() {
        "process" => Ok(Durability::Process),
        "power" => Ok(Durability::Power),
        _ => refuse(format!("`{text}` is not a durability"), "write process or power"),
    }
}

/// The name of a failpoint, and maybe at which passing it strikes, and how.
pub fn failpoint(text: &str) -> Result<String, Refusal> {
    match telemetry::failpoint::check(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(error) => refuse(error.to_string(), "leave it out, except in tests"),
    }
}

/// `off`, or an address to listen on.
pub fn address_or_off(text: &str) -> Result<Option<SocketAddr>, Refusal> {
    if matches!(text.to_ascii_lowercase().as_str(), "off" | "none" | "false") {
        return Ok(None);
    }
    address(text).map(Some)
}

/// A TCP port; 0 takes any free one.
pub fn port(text: &str) -> Result<u16, Refusal> {
    text.parse().or_else(|_| refuse(format!("`{text}` is not a port"), "write a number from 0 to 65535"))
}

/// A switch.
pub fn truth(text: &str) -> Result<bool, Refusal> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" | "" => Ok(false),
        _ => refuse(format!("`{text}` is neither true nor false"), "write 1 or true, 0 or false"),
    }
}

/// Seconds, whole or with a decimal point, more than 0 and at most a day.
pub fn seconds(text: &str) -> Result<Duration, Refusal> {
    match text.parse::<f64>() {
        Ok(n) if n > 0.0 && n <= LONGEST_SECONDS => Ok(Duration::from_secs_f64(n)),
        _ => refuse(
            format!("`{text}` is not a number of seconds"),
            "write a number above 0 and at most 86400, such as 30 or 0.5, without a unit",
        ),
    }
}

/// The largest body in bytes, with an optional unit.
pub fn body_bytes(text: &str) -> Result<usize, Refusal> {
    bytes(text, 1, LARGEST_BODY)
}

/// The largest header in bytes: at least what one real client needs, at most what one connection may hold.
pub fn header_bytes(text: &str) -> Result<usize, Refusal> {
    bytes(text, 8 << 10, 1 << 20)
}

/// The size of a log's file, in bytes.
pub fn log_bytes(text: &str) -> Result<u64, Refusal> {
    bytes(text, 64 << 10, 1 << 40).map(|size| size as u64)
}

/// Where a stream of the log goes.
pub fn destination(text: &str) -> Result<Destination, Refusal> {
    match text.to_ascii_lowercase().as_str() {
        "stderr" => Ok(Destination::Stderr),
        "stdout" => Ok(Destination::Stdout),
        "" => refuse("it is empty", "write stderr, stdout, or the path of a file"),
        _ if text.ends_with('/') || text.chars().any(char::is_control) => {
            refuse("it is no name of a file", "write stderr, stdout, or the path of a file")
        }
        _ => Ok(Destination::File(PathBuf::from(text))),
    }
}

/// Bytes as a plain number or with `KiB` or `MiB`.
fn bytes(text: &str, least: usize, most: usize) -> Result<usize, Refusal> {
    let lower = text.to_ascii_lowercase();
    let (digits, unit) = match (lower.strip_suffix("kib"), lower.strip_suffix("mib")) {
        (Some(digits), _) => (digits, 1 << 10),
        (_, Some(digits)) => (digits, 1 << 20),
        _ => (lower.as_str(), 1),
    };
    let size = digits.trim().parse::<usize>().ok().and_then(|n| n.checked_mul(unit));
    match size {
        Some(n) if (least..=most).contains(&n) => Ok(n),
        _ => refuse(
            format!("`{text}` is not a size in bytes from {least} to {most}"),
            "write a number of bytes, or one with a unit such as 512KiB or 32MiB",
        ),
    }
}

/// A whole number from `least` to `most`.
pub fn count(text: &str, least: usize, most: usize) -> Result<usize, Refusal> {
    match text.parse() {
        Ok(n) if (least..=most).contains(&n) => Ok(n),
        _ => refuse(
            format!("`{text}` is not a number from {least} to {most}"),
            format!("write a whole number from {least} to {most}"),
        ),
    }
}

/// The address of an HTTP API.
pub fn url(text: &str) -> Result<String, Refusal> {
    let http = text.starts_with("https://") || text.starts_with("http://");
    if http && text.parse::<http::Uri>().is_ok_and(|uri| uri.host().is_some()) {
        return Ok(text.trim_end_matches('/').to_owned());
    }
    refuse(format!("`{text}` is not the address of an API"), "write it as https://host/v1")
}

/// A limit: a number, or `unlimited`.
pub fn limit(text: &str) -> Result<Option<u64>, Refusal> {
    if matches!(text.to_ascii_lowercase().as_str(), "unlimited" | "none" | "-1") {
        return Ok(None);
    }
    match text.parse() {
        Ok(n) => Ok(Some(n)),
        Err(_) => refuse(format!("`{text}` is not a limit"), "write a whole number, or unlimited"),
    }
}

/// How many workers; 0 and `auto` are one for each core.
pub fn workers(text: &str) -> Result<Option<NonZeroUsize>, Refusal> {
    if text.eq_ignore_ascii_case("auto") {
        return Ok(None);
    }
    count(text, 0, 1024).map(NonZeroUsize::new)
}

/// Networks separated by commas or spaces; a plain address is a network of one.
pub fn networks(text: &str) -> Result<Vec<IpNet>, Refusal> {
    let parts = text.split([',', ' ']).map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| match (part.parse::<IpNet>(), part.parse::<IpAddr>()) {
            (Ok(net), _) => Ok(net),
            (_, Ok(ip)) => Ok(IpNet::from(ip)),
            _ => refuse(
                format!("`{part}` is neither a network nor an address"),
                "write networks like 10.0.0.0/8, separated by commas",
            ),
        })
        .collect()
}

/// Names of hosts separated by commas or spaces, each with a port where it is not the usual one.
pub fn hosts(text: &str) -> Result<Vec<String>, Refusal> {
    let parts = text.split([',', ' ']).map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| match part.parse::<Authority>() {
            Ok(host) if !part.contains('@') => Ok(host.as_str().to_ascii_lowercase()),
            _ => refuse(
                format!("`{part}` is not the name of a host"),
                "write names like ai.example.com or 10.0.0.5:8787, separated by commas",
            ),
        })
        .collect()
}

/// A log level in any case; `WARNING`, `CRITICAL` and `FATAL` as other systems write them.
pub fn log_level(text: &str) -> Result<&'static str, Refusal> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "trace" => "trace",
        "debug" => "debug",
        "info" => "info",
        "warn" | "warning" => "warn",
        "error" | "critical" | "fatal" => "error",
        "off" => "off",
        _ => {
            return refuse(
                format!("`{text}` is not a log level"),
                "write trace, debug, info, warn, error or off",
            );
        }
    })
}

/// `text` or `json`.
pub fn log_format(text: &str) -> Result<LogFormat, Refusal> {
    match text.to_ascii_lowercase().as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => refuse(format!("`{text}` is not a log format"), "write text or json"),
    }
}

/// An administrator's static token.
pub fn admin_token(text: &str) -> Result<Secret<String>, Refusal> {
    token(text, ADMIN_TOKEN_LENGTH)
}

/// The token for `/metrics`.
pub fn metrics_token(text: &str) -> Result<Secret<String>, Refusal> {
    token(text, METRICS_TOKEN_LENGTH)
}

/// A token that can be sent in a header and is too long to be guessed.
fn token(text: &str, least: usize) -> Result<Secret<String>, Refusal> {
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return refuse(
            "it holds characters that cannot be sent in a header",
            "use letters, digits and punctuation only",
        );
    }
    if text.len() < least {
        return refuse(
            format!("it has {} characters; fewer than {least} can be guessed", text.len()),
            "make one with: openssl rand -base64 36",
        );
    }
    if let Some(why) = guessable(text) {
        return refuse(why, "make one with: openssl rand -base64 36");
    }
    Ok(Secret::new(text.to_owned()))
}

/// Fewer different characters than this are not chance: of 32 random hexadecimal digits, 7 or fewer differ once in
/// a hundred million.
const FEWEST_DIFFERENT: usize = 8;

/// What stands in examples where a secret is to be put.
const STAND_INS: [&str; 9] =
    ["change-me", "changeme", "change_me", "replace", "example", "placeholder", "your-", "your_", "password"];

/// Why a secret that is long enough can be guessed all the same.
fn guessable(text: &str) -> Option<&'static str> {
    let lower = text.to_ascii_lowercase();
    if STAND_INS.iter().any(|word| lower.contains(word)) {
        return Some("it is an example's stand-in, which anybody can guess");
    }
    if different(text.as_bytes()) < FEWEST_DIFFERENT {
        return Some("it repeats a few characters, and can be guessed");
    }
    let repeats = (1..=text.len() / 2)
        .any(|period| text.as_bytes().chunks(period).all(|part| text.as_bytes().starts_with(part)));
    repeats.then_some("it repeats a shorter text, and can be guessed")
}

fn different(bytes: &[u8]) -> usize {
    let mut seen: Vec<u8> = bytes.to_vec();
    seen.sort_unstable();
    seen.dedup();
    seen.len()
}

/// 32 bytes as 64 hexadecimal digits or as base64 of either alphabet, padded or not.
pub fn encryption_key(text: &str) -> Result<Secret<[u8; 32]>, Refusal> {
    let unpadded = text.trim().trim_end_matches('=');
    let bytes = from_hex(unpadded)
        .or_else(|| STANDARD_NO_PAD.decode(unpadded).ok())
        .or_else(|| URL_SAFE_NO_PAD.decode(unpadded).ok());
    let key = bytes.as_deref().and_then(|b| <[u8; 32]>::try_from(b).ok());
    match (key, bytes) {
        (Some(key), _) if different(&key) < FEWEST_DIFFERENT => {
            refuse("it repeats a few bytes, and can be guessed", KEY_FIX)
        }
        (Some(key), _) => Ok(Secret::new(key)),
        (None, Some(bytes)) => refuse(format!("it is {} bytes, not 32", bytes.len()), KEY_FIX),
        (None, None) => refuse("it is neither hexadecimal nor base64", KEY_FIX),
    }
}

const KEY_FIX: &str =
    "make one with: openssl rand -hex 32 (and keep it: what was sealed with another key stays closed)";

/// 64 hexadecimal digits; any other length is left to base64, whose alphabet holds them too.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..32).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()).collect()
}

/// A directory's path.
pub fn directory(text: &str) -> Result<PathBuf, Refusal> {
    if text.is_empty() || text.contains('\0') {
        return refuse("it is empty", "name a directory that this user may write to");
    }
    Ok(PathBuf::from(text))
}
