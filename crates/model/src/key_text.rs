//! The text of an API key: how it is written once, at creation, and read on every request.
//!
//! `sk-ym-<id>-<secret>` for users and own services, `trial_<id>_<secret>` for trials. The id is a
//! [`ResourceId`] (26 characters) and finds the row. The secret is 58 characters of lower-case base32
//! (RFC 4648 alphabet, no padding): 52 for 256 random bits, then 6 for the low 30 bits of the CRC-32
//! (IEEE 802.3, reflected polynomial 0xEDB88320) of all the text before them, so that mistyped and
//! made-up keys are refused without a look-up. It is no protection: the keyed hash is.

use crate::id::ResourceId;
use crate::resource::key::KeyKind;
use crate::secret::Secret;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const ID_LENGTH: usize = 26;
const RANDOM_LENGTH: usize = 52;
const CHECK_LENGTH: usize = 6;

/// Which of the two forms a key is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// `sk-ym-<id>-<secret>`.
    User,
    /// `trial_<id>_<secret>`.
    Trial,
}

impl KeyForm {
    /// The form in which keys of `kind` are written.
    #[must_use]
    pub fn of(kind: KeyKind) -> Self {
        match kind {
            KeyKind::Standard | KeyKind::Internal => Self::User,
            KeyKind::Trial => Self::Trial,
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::User => "sk-ym-",
            Self::Trial => "trial_",
        }
    }

    fn separator(self) -> char {
        match self {
            Self::User => '-',
            Self::Trial => '_',
        }
    }
}

/// A key's text, taken apart. It has no `Debug`: the secret is within.
#[derive(Clone, PartialEq, Eq)]
pub struct ParsedKey<'a> {
    /// The form it is written in.
    pub form: KeyForm,
    /// Finds the row.
    pub id: ResourceId,
    /// The secret part, its check characters included: the text whose keyed hash is stored.
    pub secret: &'a str,
}

/// Writes the text of a new key from 256 random bits. Hash [`ParsedKey::secret`] of it for storing.
#[must_use]
pub fn mint(kind: KeyKind, id: &ResourceId, random: [u8; 32]) -> Secret<String> {
    let form = KeyForm::of(kind);
    let mut text = String::with_capacity(form.prefix().len() + ID_LENGTH + 1 + RANDOM_LENGTH + CHECK_LENGTH);
    text.push_str(form.prefix());
    text.push_str(id.as_str());
    text.push(form.separator());
    push_base32(&mut text, &random);
    let check = check_characters(text.as_bytes());
    text.extend(check.map(char::from));
    Secret::new(text)
}

/// Whether a text claims to be a key, so that whoever sent it is told about keys and not about tokens.
#[must_use]
pub fn is_prefixed(text: &str) -> bool {
    [KeyForm::User, KeyForm::Trial].iter().any(|form| text.starts_with(form.prefix()))
}

/// Takes a key's text apart; `None` when it is not of either form or its check characters are wrong.
#[must_use]
pub fn parse(text: &str) -> Option<ParsedKey<'_>> {
    let form = [KeyForm::User, KeyForm::Trial].into_iter().find(|form| text.starts_with(form.prefix()))?;
    let (id, rest) = text[form.prefix().len()..].split_at_checked(ID_LENGTH)?;
    let secret = rest.strip_prefix(form.separator())?;
    if secret.len() != RANDOM_LENGTH + CHECK_LENGTH || !secret.is_ascii() {
        return None;
    }
    let (checked, check) = text.split_at(text.len() - CHECK_LENGTH);
    if check.as_bytes() != check_characters(checked.as_bytes()) {
        return None;
    }
    Some(ParsedKey { form, id: ResourceId::parse(id)?, secret })
}

/// The last four characters of a key's text, to recognise it by.
#[must_use]
pub fn hint(text: &str) -> String {
    text.get(text.len().saturating_sub(4)..).unwrap_or("").to_owned()
}

/// 256 bits as 52 characters of lower-case base32.
#[must_use]
pub fn base32(bytes: &[u8; 32]) -> String {
    let mut text = String::with_capacity(RANDOM_LENGTH);
    push_base32(&mut text, bytes);
    text
}

/// Base32 of 256 bits: 51 characters of five bits, and one for the last bit.
fn push_base32(text: &mut String, bytes: &[u8; 32]) {
    let (mut held, mut bits) = (0_u32, 0_u32);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(character(held >> bits));
        }
        held &= (1 << bits) - 1;
    }
    text.push(character(held << (5 - bits)));
}

fn character(five_bits: u32) -> char {
    char::from(ALPHABET[(five_bits & 31) as usize])
}

fn check_characters(bytes: &[u8]) -> [u8; CHECK_LENGTH] {
    let sum = crc32(bytes);
    [25, 20, 15, 10, 5, 0].map(|shift| ALPHABET[((sum >> shift) & 31) as usize])
}

/// For each of the last eight bytes read: what it adds to the sum once the bytes behind it are read too.
static CRC_TABLES: [[u32; 256]; 8] = crc_tables();

const fn crc_tables() -> [[u32; 256]; 8] {
    let mut tables = [[0_u32; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut value = i as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xEDB8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        tables[0][i] = value;
        i += 1;
    }
    let mut behind = 1;
    while behind < 8 {
        let mut i = 0;
        while i < 256 {
            let value = tables[behind - 1][i];
            tables[behind][i] = tables[0][(value & 0xff) as usize] ^ (value >> 8);
            i += 1;
        }
        behind += 1;
    }
    tables
}

/// Eight bytes at a time: byte by byte, each look-up waits for the one before.
fn crc32(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(u32::MAX, |sum, word| {
        let mixed = (u64::from_le_bytes(*word) ^ u64::from(sum)).to_le_bytes();
        mixed.iter().rev().zip(&CRC_TABLES).fold(0, |sum, (byte, table)| sum ^ table[usize::from(*byte)])
    });
    !rest.iter().fold(sum, |sum, byte| CRC_TABLES[0][((sum ^ u32::from(*byte)) & 0xff) as usize] ^ (sum >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(kind: KeyKind) -> (ResourceId, Secret<String>) {
        let id = ResourceId::mint(1_790_000_000_000, [3; 10]);
        let key = mint(kind, &id, std::array::from_fn(|i| i as u8 * 7));
        (id, key)
    }

    #[test]
    fn the_checksum_is_the_usual_crc_32() {
        // The check value that every catalogue of CRCs gives for "123456789".
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_minted_key_reads_back() {
        for (kind, form, prefix) in [
            (KeyKind::Standard, KeyForm::User, "sk-ym-"),
            (KeyKind::Internal, KeyForm::User, "sk-ym-"),
            (KeyKind::Trial, KeyForm::Trial, "trial_"),
        ] {
            let (id, key) = sample(kind);
            assert!(key.expose().starts_with(prefix));
            let Some(parsed) = parse(key.expose()) else { panic!("{prefix} does not read back") };
            assert!(parsed.form == form && parsed.id == id);
            assert_eq!(parsed.secret.len(), 58);
            assert!(key.expose().ends_with(&hint(key.expose())));
        }
    }

    #[test]
    fn every_single_changed_character_is_refused() {
        let (_, key) = sample(KeyKind::Standard);
        for i in 0..key.expose().len() {
            let mut bytes = key.expose().clone().into_bytes();
            bytes[i] = if bytes[i] == b'q' { b'r' } else { b'q' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(parse(&changed).is_none(), "character {i}");
        }
    }

    #[test]
    fn junk_is_refused() {
        let (_, key) = sample(KeyKind::Trial);
        let swapped = key.expose().replace("trial_", "sk-ym-");
        for junk in ["", "sk-ym-", "sk-ym--", "trial_", "sk-abc", "sk-ym-é-é", &"a".repeat(91), &swapped] {
            assert!(parse(junk).is_none(), "{junk}");
        }
        assert!(parse(&format!("{} ", key.expose())).is_none());
    }

    #[test]
    fn different_randomness_gives_different_secrets() {
        let id = ResourceId::mint(1, [0; 10]);
        let mut last_bit = [0_u8; 32];
        last_bit[31] = 1;
        let (a, b) = (mint(KeyKind::Standard, &id, [0; 32]), mint(KeyKind::Standard, &id, last_bit));
        assert!(a.expose() != b.expose());
    }
}
