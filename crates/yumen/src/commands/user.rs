//! Passwords that the command line makes.

use crate::entropy::random_bytes;

/// Characters of a new password: 24 of 32 possible ones are 120 bits.
const PASSWORD_LENGTH: usize = 24;
/// Without characters that look alike.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A password that nobody guesses.
pub fn random_password() -> String {
    let chance: [u8; PASSWORD_LENGTH] = random_bytes();
    chance.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect()
}
