//! Checks a key's secret against its stored keyed hash.

use aws_lc_rs::hmac;

/// The key under which secrets are hashed. It never leaves this type.
pub struct Pepper(hmac::Key);

impl Pepper {
    /// Takes the pepper of the deployment.
    #[must_use]
    pub fn new(pepper: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, pepper))
    }

    /// Whether `secret` hashes to `stored`, compared in constant time.
    #[must_use]
    pub fn verifies(&self, secret: &str, stored: &[u8; 32]) -> bool {
        hmac::verify(&self.0, secret.as_bytes(), stored).is_ok()
    }

    /// Whether `secret` is the one of a key that was looked up: `None` where there is none, on which as much work is
    /// done, so that an answer's time does not say which keys exist.
    #[must_use]
    pub fn recognises(&self, secret: &str, stored: Option<&[u8; 32]>) -> bool {
        let fits = self.verifies(secret, stored.unwrap_or(&NOBODYS));
        fits && stored.is_some()
    }
}

/// What no secret hashes to, as far as anybody knows.
const NOBODYS: [u8; 32] = [0; 32];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_only_the_secret_that_was_hashed() {
        let pepper = Pepper::new(&[7; 32]);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]), b"secret");
        let stored: [u8; 32] = tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes");
        assert!(pepper.verifies("secret", &stored));
        assert!(!pepper.verifies("Secret", &stored));
        assert!(pepper.recognises("secret", Some(&stored)));
        assert!(!pepper.recognises("Secret", Some(&stored)) && !pepper.recognises("secret", None));
        assert!(!Pepper::new(&[8; 32]).verifies("secret", &stored));
    }
}
