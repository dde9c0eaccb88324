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
}

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
        assert!(!Pepper::new(&[8; 32]).verifies("secret", &stored));
    }
}
