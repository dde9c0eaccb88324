//! Passwords of people: argon2id, hashed off the runtime's threads and only a few at a time.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use model::Secret;
use tokio::sync::Semaphore;

/// Hashes computed at one time: each takes 19 MiB and a core for tens of milliseconds
/// (argon2id with m=19 MiB, t=2, p=1: OWASP Password Storage Cheat Sheet).
const AT_ONE_TIME: usize = 2;
/// After a start, how long the decoy is put off.
const WARM_UP_AFTER: Duration = Duration::from_millis(200);
/// Callers that may wait for their turn; more are refused.
const WAITING: usize = 64;
/// The longest password: hashing cost does not depend on it, but reading it should stay cheap.
pub const LONGEST_PASSWORD: usize = 1_024;
/// The shortest password that can be set (NIST SP 800-63B-4 §3.1.1.2 asks for 15 without a second
/// factor; 12 is what the people running this accept with the throttle in front).
pub const SHORTEST_PASSWORD: usize = 12;

/// Hashes and checks passwords.
#[derive(Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    /// A hash that no password matches, checked when the account is unknown, so that an unknown
    /// account costs the same time as a wrong password. Made once, beside whatever else happens.
    decoy: Arc<LazyLock<Result<String, PasswordFault>>>,
}

/// Why a password could not be hashed or checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFault {
    /// Too many wait already.
    #[error("too many sign-ins at the same time")]
    Busy,
    /// The hash function failed, or the stored hash cannot be read.
    #[error("the password could not be hashed")]
    Failed,
}

impl Passwords {
    /// Nobody waits yet, and the decoy is not made: see [`Self::warm_up`].
    #[must_use]
    pub fn new() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONE_TIME)),
            queue: Arc::new(Semaphore::new(AT_ONE_TIME + WAITING)),
            decoy: Arc::new(LazyLock::new(make_decoy)),
        }
    }

    /// Makes the decoy a moment from now, on a thread of its own. That takes as long as a hash, and the
    /// process's first randomness several times longer: a core for a tenth of a second, which the first
    /// requests after a start need more. A sign-in that comes before it makes it.
    pub fn warm_up(&self) {
        let decoy = Arc::clone(&self.decoy);
        tokio::spawn(async move {
            tokio::time::sleep(WARM_UP_AFTER).await;
            tokio::task::spawn_blocking(move || LazyLock::force(&decoy).is_ok()).await
        });
    }

    /// The argon2id hash of `password`, in PHC string form.
    ///
    /// # Errors
    /// [`PasswordFault`].
    pub async fn hash(&self, password: Secret<String>) -> Result<String, PasswordFault> {
        self.in_turn(move || hash_now(password.expose().as_bytes())).await
    }

    /// Whether `password` matches `stored`; `None` is an unknown account, which takes as long and
    /// never matches.
    ///
    /// # Errors
    /// [`PasswordFault`].
    pub async fn matches(
        &self,
        password: Secret<String>,
        stored: Option<String>,
    ) -> Result<bool, PasswordFault> {
        let known = stored.is_some();
        let decoy = Arc::clone(&self.decoy);
        let equal = self
            .in_turn(move || {
                // Asked for in any case: whoever comes first pays for it, known or not.
                let decoy = LazyLock::force(&decoy);
                let hash = stored.map_or_else(|| decoy.clone(), Ok)?;
                let hash = PasswordHash::new(&hash).map_err(|_| PasswordFault::Failed)?;
                let password = password.expose().as_bytes();
                Ok(Argon2::default().verify_password(password, &hash).is_ok())
            })
            .await?;
        Ok(equal && known)
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordFault> + Send + 'static,
    ) -> Result<T, PasswordFault> {
        let _place = self.queue.try_acquire().map_err(|_| PasswordFault::Busy)?;
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| PasswordFault::Failed)?;
        // The turn moves into the work: a caller that leaves must not free it while the core is busy.
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        })
        .await
        .map_err(|_| PasswordFault::Failed)?
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

/// The hash of what nobody knows.
fn make_decoy() -> Result<String, PasswordFault> {
    let mut nobody = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut nobody).map_err(|_| PasswordFault::Failed)?;
    hash_now(&nobody)
}

fn hash_now(password: &[u8]) -> Result<String, PasswordFault> {
    let hash = Argon2::default().hash_password(password).map_err(|_| PasswordFault::Failed)?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn checks_a_password_against_its_hash_only() {
        let passwords = Passwords::new();
        let hash = passwords.hash(Secret::new("right horse".into())).await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        for (text, stored, expected) in [
            ("right horse", Some(hash.clone()), true),
            ("wrong horse", Some(hash), false),
            ("right horse", None, false),
        ] {
            let given = Secret::new(text.to_owned());
            assert_eq!(passwords.matches(given, stored).await, Ok(expected), "{text}");
        }
    }

    #[tokio::test]
    async fn refuses_instead_of_queueing_without_end() {
        let passwords = Passwords::new();
        let permits = u32::try_from(AT_ONE_TIME + WAITING).unwrap();
        let _all = passwords.queue.clone().acquire_many_owned(permits).await.unwrap();
        let refused = passwords.hash(Secret::new("x".into())).await;
        assert_eq!(refused, Err(PasswordFault::Busy));
    }
}
