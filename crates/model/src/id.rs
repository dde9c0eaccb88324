//! Identifiers. All are UUIDv7: sortable by time, minted by the application, never by the database.
//!
//! A request id is written `req-` + 32 hex; a resource id is 26 lower-case base32 characters
//! (RFC 4648 alphabet without padding, 128 bits).

use std::fmt;
use std::sync::Arc;

use crate::clock::EpochMs;

/// 128 bits of UUIDv7 (RFC 9562 §5.7) from a time and ten bytes of chance.
#[must_use]
fn uuid_v7(now_ms: EpochMs, chance: [u8; 10]) -> [u8; 16] {
    let mut bytes = [0_u8; 16];
    bytes[..6].copy_from_slice(&now_ms.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&chance);
    bytes[6] = (bytes[6] & 0x0f) | 0x70;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// One request, minted when it is accepted and never taken from the caller.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId([u8; 16]);

impl RequestId {
    /// Mints an id for a request accepted at `now_ms`.
    #[must_use]
    pub fn mint(now_ms: EpochMs, chance: [u8; 10]) -> Self {
        Self(uuid_v7(now_ms, chance))
    }

    /// When the request was accepted, read back from the id.
    #[must_use]
    pub fn accepted_ms(&self) -> EpochMs {
        let mut ms = [0_u8; 8];
        ms[2..].copy_from_slice(&self.0[..6]);
        u64::from_be_bytes(ms)
    }

    /// Reads the text form back; `None` when it is not `req-` and 32 lower-case hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("req-")?.as_bytes();
        let mut bytes = [0_u8; 16];
        if digits.len() != 32 {
            return None;
        }
        let value = |digit: u8| HEX.iter().position(|hex| *hex == digit);
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::try_from(value(pair[0])? * 16 + value(pair[1])?).ok()?;
        }
        Some(Self(bytes))
    }

    /// The 16 bytes of the id, as journals keep it.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The id of these 16 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 36 ASCII bytes of the id as clients see it.
    #[must_use]
    pub fn text(&self) -> [u8; 36] {
        let mut out = *b"req-00000000000000000000000000000000";
        for (i, byte) in self.0.iter().enumerate() {
            out[4 + 2 * i] = HEX[usize::from(byte >> 4)];
            out[5 + 2 * i] = HEX[usize::from(byte & 15)];
        }
        out
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What ties the requests of one caller's operation together: the W3C trace id when a valid
/// `traceparent` came, else the request id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// Reads `00-<32 hex>-<16 hex>-<2 hex>`; `None` for any other form, and for an all-zero trace id
    /// (W3C Trace Context §3.2.2.3).
    #[must_use]
    pub fn from_traceparent(value: &str) -> Option<Self> {
        let parts: Vec<&str> = value.split('-').collect();
        let [version, trace, parent, flags] = parts[..] else {
            return None;
        };
        let lower_hex = |s: &str, n: usize| {
            s.len() == n && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        if version != "00" || !lower_hex(trace, 32) || !lower_hex(parent, 16) || !lower_hex(flags, 2) {
            return None;
        }
        let mut bytes = [0_u8; 16];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&trace[2 * i..2 * i + 2], 16).ok()?;
        }
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// The 36 ASCII bytes of the id as clients see it.
    #[must_use]
    pub fn text(&self) -> [u8; 36] {
        RequestId(self.0).text()
    }
}

impl From<RequestId> for TraceId {
    fn from(id: RequestId) -> Self {
        Self(id.0)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        RequestId(self.0).fmt(f)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The id of a stored resource. Cheap to clone: records and counters carry it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct ResourceId(Arc<str>);

impl ResourceId {
    /// Mints an id for a resource created at `now_ms`.
    #[must_use]
    pub fn mint(now_ms: EpochMs, chance: [u8; 10]) -> Self {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let value = u128::from_be_bytes(uuid_v7(now_ms, chance));
        // 26 × 5 = 130 bits: the first character carries the top three.
        let text: String = (0..26)
            .map(|i| {
                let shift = 125 - 5 * i;
                let five = (value >> shift) & 31;
                char::from(ALPHABET[usize::try_from(five).unwrap_or(0)])
            })
            .collect();
        Self(text.into())
    }

    /// Takes an id from a path, a body or the database; `None` when it is not 26 base32 characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let ok =
            text.len() == 26 && text.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b));
        ok.then(|| Self(text.into()))
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text form, shared with this id.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_sort_by_time_and_carry_it() {
        let early = RequestId::mint(1_790_000_000_000, [0xff; 10]);
        let late = RequestId::mint(1_790_000_000_001, [0; 10]);
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(late.accepted_ms(), 1_790_000_000_001);
        assert_eq!(late.to_string().len(), 36);
        assert_eq!(&late.to_string()[16..17], "7");
        assert_eq!(RequestId::parse(&late.to_string()), Some(late));
        for junk in ["", "req-", "req-0", &late.to_string().to_uppercase(), &format!("{late}0")] {
            assert_eq!(RequestId::parse(junk), None, "{junk}");
        }
    }

    #[test]
    fn resource_ids_read_back_and_sort_by_time() {
        let a = ResourceId::mint(1_790_000_000_000, [0xff; 10]);
        let b = ResourceId::mint(1_790_000_000_001, [0; 10]);
        assert_eq!(ResourceId::parse(a.as_str()), Some(a.clone()));
        assert_eq!(a.as_str().len(), 26);
        assert_eq!(ResourceId::parse("short"), None);
        assert_ne!(a, b);
    }

    #[test]
    fn traceparent_is_taken_only_when_valid() {
        let id = TraceId::from_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        assert_eq!(id.map(|t| t.to_string()).as_deref(), Some("req-4bf92f3577b34da6a3ce929d0e0e4736"));
        for bad in [
            "",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ] {
            assert_eq!(TraceId::from_traceparent(bad), None, "{bad}");
        }
    }
}
