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
    while let Some(at) = words[from..].windows(secret.len()).position(|window| window == secret) {
        let end = from + at + secret.len();
        words[from + at..end].fill(MASK);
        from = end;
    }
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
    fn a_word_is_no_credential() {
        assert_eq!(shown("the key is none", "none"), "the key is none");
        let mut words = b"no credential".to_vec();
        withhold(&mut words, None);
        assert_eq!(words, b"no credential");
    }
}
