//! Codes from an authenticator app: RFC 6238 with SHA-1, six digits, 30 seconds, as every such app computes them.

use aws_lc_rs::hmac;
use model::Secret;
use model::clock::EpochMs;
use subtle::ConstantTimeEq;

/// How long a code holds, in seconds.
const STEP_SECONDS: u64 = 30;
/// A code of one step before or after is taken too: the clocks of telephones differ (RFC 6238 §5.2).
const STEPS_AROUND: u64 = 1;
/// The secret: as long as the hash (RFC 4226 §4).
pub const SECRET_BYTES: usize = 20;
/// Digits of a code.
const DIGITS: usize = 6;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The step of which `code` is, if it is one of now or nearly now.
#[must_use]
pub fn step_of(secret: &[u8], code: &str, now_ms: EpochMs) -> Option<u64> {
    let now = now_ms / 1_000 / STEP_SECONDS;
    let steps = now.saturating_sub(STEPS_AROUND)..=now.saturating_add(STEPS_AROUND);
    // Each is compared, so that the time taken does not tell which was near.
    let mut found = None;
    for step in steps {
        if bool::from(code_at(secret, step).as_bytes().ct_eq(code.as_bytes())) {
            found = Some(step);
        }
    }
    found
}

/// The code of a step.
#[must_use]
pub fn code_at(secret: &[u8], step: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let at = usize::from(bytes.last().copied().unwrap_or(0) & 15);
    let four = bytes.get(at..at + 4).unwrap_or(&[0; 4]);
    let number = four.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) & 0x7fff_ffff;
    format!("{:0DIGITS$}", number % 1_000_000)
}

/// The secret as apps take it: base32 without padding.
#[must_use]
pub fn base32(secret: &[u8]) -> Secret<String> {
    let mut text = String::with_capacity(secret.len() * 8 / 5 + 1);
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for byte in secret {
        buffer = (buffer << 8 | u32::from(*byte)) & 0xfff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[(buffer >> bits & 31) as usize]));
        }
    }
    if bits > 0 {
        text.push(char::from(ALPHABET[(buffer << (5 - bits) & 31) as usize]));
    }
    Secret::new(text)
}

/// Reads [`base32`] back.
#[must_use]
pub fn from_base32(text: &str) -> Option<Secret<Vec<u8>>> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for letter in text.bytes() {
        let value = ALPHABET.iter().position(|known| *known == letter)?;
        buffer = (buffer << 5 | u32::try_from(value).ok()?) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(buffer >> bits & 255).ok()?);
        }
    }
    Some(Secret::new(bytes))
}

/// What an app reads from a picture.
#[must_use]
pub fn uri(email: &str, secret: &Secret<String>) -> Secret<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'@');
    let mut account = String::new();
    for byte in email.bytes() {
        if plain(byte) {
            account.push(char::from(byte));
        } else {
            account += &format!("%{byte:02X}");
        }
    }
    Secret::new(format!("otpauth://totp/Yumen:{account}?secret={}&issuer=Yumen", secret.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B, the last six digits.
    #[test]
    fn codes_are_those_of_the_standard() {
        let secret = b"12345678901234567890";
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
        ] {
            assert_eq!(code_at(secret, seconds / STEP_SECONDS), code);
            assert_eq!(step_of(secret, code, seconds * 1_000), Some(seconds / STEP_SECONDS));
        }
    }

    #[test]
    fn a_code_holds_a_step_around_its_own() {
        let secret = b"12345678901234567890";
        let code = code_at(secret, 1_000);
        let at = |step: u64| step_of(secret, &code, step * 30_000);
        assert_eq!(
            [998, 999, 1_000, 1_001, 1_002].map(at),
            [None, Some(1_000), Some(1_000), Some(1_000), None]
        );
        assert_eq!(step_of(secret, "", 30_000_000), None);
    }

    #[test]
    fn secrets_are_written_as_apps_take_them() {
        // RFC 4648, section 10, without padding.
        for (bytes, text) in [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foobar", "MZXW6YTBOI")] {
            assert_eq!(base32(bytes.as_bytes()).expose(), text);
            assert_eq!(from_base32(text).unwrap().expose(), bytes.as_bytes());
        }
        assert!(from_base32("1").is_none());
        let secret = base32(b"12345678901234567890");
        assert_eq!(secret.expose(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let uri = uri("a b@example.org", &secret);
        assert!(
            uri.expose().starts_with("otpauth://totp/Yumen:a%20b@example.org?secret=GEZ"),
            "{}",
            uri.expose()
        );
    }
}
