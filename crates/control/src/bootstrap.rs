//! The first administrator: made when nobody could sign in otherwise.

use model::resource::key::DEFAULT_TENANT;
use model::resource::{Role, User};
use model::{Clock, ResourceId, Secret};
use store::{Scope, Store, StoreError};

use crate::session::{PasswordFault, Passwords};
use crate::state::Entropy;

/// The address of the first administrator unless another is given.
pub const FIRST_EMAIL: &str = "admin@localhost";
/// Characters of a first password: 24 of 32 possible ones are 120 bits.
const PASSWORD_LENGTH: usize = 24;
/// Without characters that look alike.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// The first administrator, as told once.
pub struct FirstAdministrator {
    /// What to sign in as.
    pub email: String,
    /// The password; it is stored nowhere in clear.
    pub password: Secret<String>,
}

/// Why there is no first administrator.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The password could not be hashed.
    #[error(transparent)]
    Password(#[from] PasswordFault),
}

/// Makes an owner with a random password when there is none who could sign in; `None` when there is.
///
/// # Errors
/// [`BootstrapError`], also when `email` belongs to a user who is not an owner.
pub async fn first_administrator(
    store: &Store,
    passwords: &Passwords,
    (clock, entropy): (&dyn Clock, Entropy),
    email: &str,
) -> Result<Option<FirstAdministrator>, BootstrapError> {
    let scope = Scope::system();
    if store.has_owner(&scope).await? {
        return Ok(None);
    }
    let password = random_password(entropy);
    let hash = passwords.hash(password.clone()).await?;
    let now_ms = clock.now_ms();
    let mut chance = [0; 10];
    entropy(&mut chance);
    let user = User {
        id: ResourceId::mint(now_ms, chance),
        email: email.to_lowercase(),
        name: "Administrator".to_owned(),
        role: Role::Owner,
        enabled: true,
        tenant_id: DEFAULT_TENANT.to_owned(),
        terms: model::resource::OwnerTerms::default(),
        created_at: now_ms,
        updated_at: now_ms,
    };
    store.insert_user(&scope, &user, Some(&hash)).await?;
    tracing::info!(target: "audit", actor = "system", verb = "user.create", object = user.id.as_str(), "audit");
    Ok(Some(FirstAdministrator { email: user.email, password }))
}

fn random_password(entropy: Entropy) -> Secret<String> {
    let mut chance = [0_u8; PASSWORD_LENGTH];
    entropy(&mut chance);
    let characters = chance.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)]));
    Secret::new(characters.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fixture;

    #[tokio::test]
    async fn makes_one_owner_who_can_sign_in_and_then_no_more() {
        let fixture = Fixture::empty().await;
        let state = &fixture.state;
        let make = || {
            let chance = (state.clock.as_ref(), state.entropy);
            first_administrator(&state.store, &state.passwords, chance, FIRST_EMAIL)
        };
        let first = make().await.unwrap().unwrap();
        assert_eq!((first.email.as_str(), first.password.expose().len()), (FIRST_EMAIL, 24));
        assert!(make().await.unwrap().is_none());

        let login = serde_json::json!({"email": first.email, "password": first.password.expose()});
        let answer = fixture.post("/api/v1/auth/login", None, &login).await;
        assert_eq!(answer.status, 200, "{}", answer.json);
    }
}
