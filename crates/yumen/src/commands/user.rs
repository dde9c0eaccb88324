//! `user reset-password`: the way back in for an administrator who lost theirs.

use control::Passwords;
use model::{Clock as _, Secret};
use serde_json::json;
use store::{Scope, Store};

use super::data::with_store;
use crate::cli::UserCommand;
use crate::entropy::random_bytes;
use crate::problem::Problem;
use crate::startup::store_problem;
use crate::system_clock::SystemClock;

/// Characters of a new password: 24 of 32 possible ones are 120 bits.
const PASSWORD_LENGTH: usize = 24;
/// Without characters that look alike.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Runs the command.
///
/// # Errors
/// What the operator has to change.
pub fn run(command: &UserCommand, as_json: bool) -> Result<String, Vec<Problem>> {
    let UserCommand::ResetPassword { email, place } = command;
    let online =
        "-X PATCH $URL/api/v1/admin/users/ID -H 'Content-Type: application/json' -d '{\"password\":\"…\"}'";
    with_store(place, online, async |store| reset(&store, email, as_json).await)
}

async fn reset(store: &Store, email: &str, as_json: bool) -> Result<String, Problem> {
    let failed = |error| store_problem(&error);
    let login = store.find_login(email).await.map_err(failed)?;
    let user = login.map(|login| login.user).ok_or_else(|| nobody(email))?;
    let password = Secret::new(random_password());
    let hash = Passwords::new().map_err(unhashed)?.hash(password.clone()).await.map_err(unhashed)?;
    let now = SystemClock.now_ms();
    let scope = Scope::new(&user.tenant_id, "command-line");
    store.set_password(&scope, &user.id, now, &hash).await.map_err(failed)?;
    store.revoke_user_sessions(&scope, &user.id, now).await.map_err(failed)?;
    let password = password.expose();
    Ok(if as_json {
        json!({"email": user.email, "password": password}).to_string()
    } else {
        format!("new password of {}: {password}\n(shown once; all sessions were ended)", user.email)
    })
}

fn random_password() -> String {
    let chance: [u8; PASSWORD_LENGTH] = random_bytes();
    chance.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect()
}

fn nobody(email: &str) -> Problem {
    Problem::new(
        format!("cannot reset the password of {email}"),
        "nobody signs in with this name",
        "give the name that is used to sign in; the first administrator's is admin@localhost",
    )
}

fn unhashed(error: control::session::PasswordFault) -> Problem {
    Problem::new("cannot make a password", error.to_string(), "try again")
}
