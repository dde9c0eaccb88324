//! What must hold after any scenario: the gateway gave back what it took, wrote down what was used, and
//! gave away no secret.

mod books;
mod holds;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

pub use books::{Books, Kind, Row, State};
pub use holds::{HELD_LIMIT, held, holds_return, used};

use crate::gateway::Gateway;
use crate::wait::{self, PATIENCE};

/// Threads that the runtimes may start late, for file and name work.
const LATE_THREADS: u64 = 8;

/// A gateway's state before a scenario.
pub struct Oracle {
    descriptors: usize,
    threads: u64,
    rss_kb: u64,
}

impl Oracle {
    /// Remembers the state before a scenario.
    ///
    /// # Errors
    /// When the gateway is gone.
    pub fn before(gateway: &Gateway) -> Result<Self> {
        let (descriptors, threads) = (gateway.fds()?, gateway.threads()?);
        Ok(Self { descriptors, threads, rss_kb: gateway.rss_kb()? })
    }

    /// Waits until descriptors, threads and memory are back where they were, but for `idle` connections
    /// that it may keep and `grown_kb` of memory that caches may have taken. Gives how much that was.
    ///
    /// # Errors
    /// When they do not come back within the kit's patience.
    pub async fn resources_return(&self, gateway: &Gateway, idle: usize, grown_kb: u64) -> Result<u64> {
        self.descriptors_return(gateway, idle).await?;
        let threads = gateway.threads()?;
        ensure!(threads <= self.threads + LATE_THREADS, "{threads} threads, {} before", self.threads);
        let limit = self.rss_kb + grown_kb;
        let returned = wait::until("memory to be given back", PATIENCE, async || {
            Ok(Some(gateway.rss_kb()?).filter(|rss| *rss <= limit))
        });
        let now = || gateway.rss_kb().unwrap_or_default();
        let rss = returned.await.with_context(|| format!("{} KiB, {} before", now(), self.rss_kb))?;
        Ok(rss.saturating_sub(self.rss_kb))
    }

    /// Waits until the gateway's open descriptors are back where they were, but for `idle` connections
    /// that it may keep for reuse.
    ///
    /// # Errors
    /// When they do not come back within the kit's patience.
    pub async fn descriptors_return(&self, gateway: &Gateway, idle: usize) -> Result<()> {
        let limit = self.descriptors + idle;
        let returned = wait::until("file descriptors to be closed", PATIENCE, async || {
            Ok((gateway.fds()? <= limit).then_some(()))
        });
        let open = || gateway.fds().unwrap_or_default();
        returned.await.with_context(|| format!("{} open, at most {limit} expected", open()))
    }
}

/// What a record must say.
#[derive(Clone, Debug, Default)]
pub struct Expected<'a> {
    /// The status that the caller saw.
    pub status: u64,
    /// The codes of which it must have one; empty means no code.
    pub codes: &'a [&'a str],
    /// Where the usage must come from, if that matters.
    pub usage_source: Option<&'a str>,
}

/// Compares a record with what it must say.
///
/// # Errors
/// When it says something else; the record is part of the message.
pub fn check_record(record: &Value, expected: &Expected<'_>) -> Result<()> {
    let code = record["code"].as_str();
    let code_fits = match code {
        None => expected.codes.is_empty(),
        Some(code) => expected.codes.contains(&code),
    };
    ensure!(code_fits, "code {code:?}, expected {:?}, in {record}", expected.codes);
    ensure!(record["status"] == expected.status, "status is not {} in {record}", expected.status);
    if let Some(source) = expected.usage_source {
        ensure!(record["usage"]["source"] == source, "usage source is not {source} in {record}");
    }
    Ok(())
}

/// Where a secret shows: in clear, as base64, as hexadecimal digits or URL-encoded.
#[must_use]
pub fn forms(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let encoded: String = secret.bytes().map(url_encoded).collect();
    let mut forms = vec![("clear", secret.as_bytes().to_vec()), ("hex", hex.into_bytes())];
    if encoded != secret {
        forms.push(("url-encoded", encoded.into_bytes()));
    }
    // In base64 a text looks different at each of three offsets; the ends depend on the neighbours.
    for skip in 0..3 {
        let whole = &secret.as_bytes()[skip..];
        let whole = &whole[..whole.len() / 3 * 3];
        forms.push(("base64", base64(whole)));
    }
    forms
}

/// Checks that no form of any secret occurs in `haystack`.
///
/// # Errors
/// Names the secret, its form and the place.
pub fn has_none(place: &str, haystack: &[u8], secrets: &[(&str, &str)]) -> Result<()> {
    let mut wanted = Vec::new();
    // Which two bytes any of them begins with: one pass over what may be megabytes, however many there are.
    let mut begins = vec![false; 1 << 16];
    for (name, secret) in secrets {
        for (form, bytes) in forms(secret) {
            ensure!(bytes.len() >= 2, "{name} is too short to be looked for");
            begins[usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))] = true;
            wanted.push((name, form, bytes));
        }
    }
    for (at, pair) in haystack.windows(2).enumerate() {
        if begins[usize::from(u16::from_be_bytes([pair[0], pair[1]]))] {
            let found = wanted.iter().find(|(_, _, bytes)| haystack[at..].starts_with(bytes));
            ensure!(
                found.is_none(),
                "{} is in {place} ({})",
                found.map_or(&"", |f| f.0),
                found.map_or("", |f| f.1)
            );
        }
    }
    Ok(())
}

fn url_encoded(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::new();
    for group in bytes.chunks_exact(3) {
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for shift in [18, 12, 6, 0] {
            text.push(DIGITS[(bits >> shift & 63) as usize]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_secret_in_every_form() {
        let secrets = [("key", "canary/secret+one")];
        for text in ["x canary/secret+one y", "63616e6172792f7365637265742b6f6e65", "canary%2Fsecret%2Bone"] {
            assert!(has_none("a log", text.as_bytes(), &secrets).is_err(), "{text}");
        }
        for shifted in ["Y2FuYXJ5L3NlY3JldCtvbmU=", "eGNhbmFyeS9zZWNyZXQrb25l"] {
            assert!(has_none("a log", shifted.as_bytes(), &secrets).is_err(), "{shifted}");
        }
        assert!(has_none("a log", b"nothing", &secrets).is_ok());
    }
}
