//! Chance from the operating system, for keys, passwords and identifiers.

use aws_lc_rs::rand;

/// `N` random bytes, fit for secrets.
///
/// # Panics
/// When the operating system gives no randomness: no secret may be made then.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0_u8; N];
    fill(&mut bytes);
    bytes
}

/// Fills `bytes` with chance fit for secrets.
///
/// # Panics
/// When the operating system gives no randomness: no secret may be made then.
pub fn fill(bytes: &mut [u8]) {
    rand::fill(bytes).expect("the operating system always gives randomness after boot");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_different_bytes_each_time() {
        assert_ne!(random_bytes::<16>(), random_bytes::<16>());
    }
}
