//! Checks of single fields, shared by the operations. Each names the field that is wrong.

use std::net::IpAddr;

use ipnet::IpNet;
use model::clock::{EpochMs, parse_rfc3339, rfc3339};
use model::{NanoUsd, ResourceId};
use serde::{Deserialize, Deserializer};

use crate::answer::Refusal;

/// The longest name, in characters.
const LONGEST_NAME: usize = 200;
/// The longest e-mail address (RFC 5321 §4.5.3.1.3).
const LONGEST_EMAIL: usize = 254;
/// The most entries of a list within a resource.
const MOST_ENTRIES: usize = 1_000;

/// A name that people read: not empty, not endless, one line.
///
/// # Errors
/// `INVALID_REQUEST` at `field`.
pub fn name(field: &str, text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    let length = text.chars().count();
    if length == 0 || length > LONGEST_NAME || text.chars().any(char::is_control) {
        let message =
            format!("`{field}` must have 1 to {LONGEST_NAME} characters and no control characters.");
        return Err(Refusal::invalid(field, message));
    }
    Ok(text.to_owned())
}

/// A list of names.
///
/// # Errors
/// `INVALID_REQUEST` at `field`.
pub fn names(field: &str, list: Vec<String>) -> Result<Vec<String>, Refusal> {
    at_most(field, list.len())?;
    list.iter().map(|text| name(field, text)).collect()
}

/// Refuses a list that is too long.
///
/// # Errors
/// `INVALID_REQUEST` at `field`.
pub fn at_most(field: &str, length: usize) -> Result<(), Refusal> {
    if length <= MOST_ENTRIES {
        return Ok(());
    }
    Err(Refusal::invalid(field, format!("`{field}` may have at most {MOST_ENTRIES} entries.")))
}

/// A group's name: it stands in URLs and logs.
///
/// # Errors
/// `INVALID_REQUEST` at `group_id`.
pub fn group(text: Option<String>) -> Result<String, Refusal> {
    let Some(text) = text else {
        return Ok(model::resource::key::DEFAULT_GROUP.to_owned());
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(text);
    }
    let message = "`group_id` must have 1 to 64 letters, digits, `-`, `_` or `.`.";
    Err(Refusal::invalid("group_id", message))
}

/// A label of accounts: it is the first segment of paths.
///
/// # Errors
/// `INVALID_REQUEST` at `family`.
pub fn family(text: String) -> Result<String, Refusal> {
    if model::resource::account::can_be_family(&text) {
        return Ok(text);
    }
    let message =
        "`family` must have 1 to 32 lower-case letters, digits or `-`, and be no path of the gateway's own.";
    Err(Refusal::invalid("family", message))
}

/// The id of a new tenant or group, which is its name in URLs, logs and configurations.
///
/// # Errors
/// `INVALID_REQUEST` at `id`.
pub fn party(text: &str) -> Result<String, Refusal> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    Err(Refusal::invalid("id", "`id` must have 1 to 64 lower-case letters, digits, `-` or `_`."))
}

/// Networks in CIDR form; a single address becomes a network of one.
///
/// # Errors
/// `INVALID_REQUEST` at `field`, naming the entry.
pub fn networks(field: &str, list: &[String]) -> Result<Vec<String>, Refusal> {
    at_most(field, list.len())?;
    let network = |text: &String| {
        let single = || text.parse::<IpAddr>().map(IpNet::from);
        let network = text.parse::<IpNet>().or_else(|_| single());
        let refuse = |_| {
            Refusal::invalid(field, format!("`{field}`: {text:?} is not a network such as 192.0.2.0/24."))
        };
        network.map(|network| network.trunc().to_string()).map_err(refuse)
    };
    list.iter().map(network).collect()
}

/// An RFC 3339 time.
///
/// # Errors
/// `INVALID_REQUEST` at `field`.
pub fn time(field: &str, text: &str) -> Result<EpochMs, Refusal> {
    parse_rfc3339(text).ok_or_else(|| {
        Refusal::invalid(field, format!("`{field}` must be an RFC 3339 time such as 2026-01-31T12:00:00Z."))
    })
}

/// Money as a decimal text of US dollars, such as `-0.5`.
///
/// # Errors
/// `INVALID_REQUEST` at `field`.
pub fn dollars(field: &str, text: &str) -> Result<NanoUsd, Refusal> {
    NanoUsd::parse(text).map_err(|why| Refusal::invalid(field, format!("`{field}`: {why}.")))
}

/// A resource id.
///
/// # Errors
/// `INVALID_REQUEST` at `field`.
pub fn id(field: &str, text: &str) -> Result<ResourceId, Refusal> {
    ResourceId::parse(text).ok_or_else(|| Refusal::invalid(field, format!("`{field}` is not an id.")))
}

/// A request or trace id: `req-` and 32 hex digits, as headers and envelopes show it.
///
/// # Errors
/// `INVALID_REQUEST` at `field`.
pub fn request_id(field: &str, text: String) -> Result<String, Refusal> {
    let digits = text.strip_prefix("req-").unwrap_or_default();
    if digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Refusal::invalid(field, format!("`{field}` must be `req-` and 32 hex digits.")))
}

/// A sign-in name, in the form in which it is stored: lower case, without spaces around it.
///
/// # Errors
/// `INVALID_REQUEST` at `email`.
pub fn email(text: &str) -> Result<String, Refusal> {
    let text = text.trim().to_lowercase();
    let has_parts = text
        .split_once('@')
        .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'));
    let odd = |c: char| c.is_control() || c.is_whitespace();
    if !has_parts || text.len() > LONGEST_EMAIL || text.chars().any(odd) {
        return Err(Refusal::invalid("email", "`email` is not an e-mail address."));
    }
    Ok(text)
}

/// A time as answers write it.
#[must_use]
pub fn written(time: Option<EpochMs>) -> Option<String> {
    time.map(rfc3339)
}

/// For `PATCH`: tells an absent field (`None`) from one that is `null` (`Some(None)`).
///
/// # Errors
/// What the inner type refuses.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_stored_in_one_form() {
        let given = ["10.1.2.3/8", "192.0.2.1", "2001:db8::1"].map(str::to_owned);
        let stored = networks("allowed_ips", &given).unwrap();
        assert_eq!(stored, ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::1/128"]);
        let refusal = networks("allowed_ips", &["10.0.0.0/33".to_owned()]).unwrap_err();
        assert_eq!(refusal.0.param.as_deref(), Some("allowed_ips"));
    }

    #[test]
    fn sign_in_names_are_lower_case_addresses() {
        assert_eq!(email(" Ann@Example.ORG ").unwrap(), "ann@example.org");
        assert_eq!(email("admin@localhost").unwrap(), "admin@localhost");
        for bad in ["", "ann", "@b", "a@", "a@b@c", "a b@c", "a\n@b"] {
            assert!(email(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_are_one_line() {
        assert_eq!(name("name", " a ").unwrap(), "a");
        for bad in ["", " ", "a\nb", &"x".repeat(201)] {
            assert!(name("name", bad).is_err(), "{bad:?}");
        }
    }
}
