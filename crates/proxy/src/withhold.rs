//! Keeps an account's credential out of what its upstream says: some repeat the credential in the words of an error,
//! which go on to callers, records and the log.

use bytes::Bytes;
use model::Secret;

/// Shorter credentials are words: local servers take anything.
const SHORTEST: usize = 8;
/// What stands in its place, as often as it has bytes: the length of a body stays what its header says.
const MASK: u8 = b'*';

/// A text without the credential.
pub(crate) fn withheld(words: String, credential: Option<&Secret<String>>) -> String {
    let mut bytes = words.into_bytes();
    withhold(&mut bytes, credential);
    String::from_utf8(bytes).expect("whole characters are masked: the credential is text itself")
}

/// A piece of an answer without the credential.
pub(crate) fn withheld_bytes(piece: Bytes, credential: Option<&Secret<String>>) -> Bytes {
    let mut bytes = Vec::from(piece);
    withhold(&mut bytes, credential);
    bytes.into()
}

/// Masks the credential wherever it stands in the words of its upstream.
pub(crate) fn withhold(words: &mut [u8], credential: Option<&Secret<String>>) {
    let Some(secret) = credential.map(|secret| secret.expose().trim().as_bytes()) else { return };
    if secret.len() < SHORTEST {
        return;
    }
    let mut from = 0;
    while from < words.len() {
        let length = length_at(&words[from..], secret);
        words[from..from + length.unwrap_or(0)].fill(MASK);
        from += length.unwrap_or(1);
    }
}

/// How many bytes the secret takes where it stands at the beginning of `words`, as it is or as JSON may write it.
fn length_at(words: &[u8], secret: &[u8]) -> Option<usize> {
    let mut length = 0;
    for byte in secret {
        length += match &words[length..] {
            [b'\\', b'u', b'0', b'0', high, low, ..] if hex(*high, *low) == Some(*byte) => 6,
            [b'\\', escaped, ..] if escaped == byte => 2,
            [plain, ..] if plain == byte => 1,
            _ => return None,
        };
    }
    Some(length)
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(words: &str, credential: &str) -> String {
        withheld(words.to_owned(), Some(&Secret::new(credential.to_owned())))
    }

    #[test]
    fn a_credential_is_masked_wherever_it_stands() {
        for (words, left) in [
            ("Incorrect API key: sk-secret-1.", "Incorrect API key: ***********."),
            ("sk-secret-1sk-secret-1", "**********************"),
            ("sk-secret-1", "***********"),
            ("sk-secret-", "sk-secret-"),
            ("é sk-secret-1 ü", "é *********** ü"),
            ("", ""),
        ] {
            assert_eq!(shown(words, "sk-secret-1"), left);
        }
    }

    #[test]
    fn a_credential_is_masked_as_json_may_write_it() {
        for words in
            [r"no: sk/+a=bc9.", r"no: sk\/+a=bc9.", r"no: sk\u002f\u002ba\u003Dbc9.", r"no: \u0073k\/+a=bc9."]
        {
            let left = shown(words, "sk/+a=bc9");
            assert!(left.starts_with("no: ***") && left.ends_with("*."), "{left}");
            assert_eq!(left.len(), words.len());
            assert_eq!(left.replace('*', ""), "no: .");
        }
        assert_eq!(shown(r"sk\u002", "sk/+a=bc9"), r"sk\u002");
        assert_eq!(shown(r"\\secret\1", r"\secret\1"), r"**********");
    }

    #[test]
    fn a_word_is_no_credential() {
        assert_eq!(shown("the key is none", "none"), "the key is none");
        let mut words = b"no credential".to_vec();
        withhold(&mut words, None);
        assert_eq!(words, b"no credential");
    }
}
