//! `/api/v1/auth/totp`: a second factor for the caller's own sign-in, from an authenticator app.

use model::resource::User;
use model::{Code, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::Scope;

use super::refused;
use crate::answer::{Answer, Done, Json, Refusal, done, ok};
use crate::api::body::JsonBody;
use crate::api::context::Context;
use crate::api::permission::Actor;
use crate::session::totp;

/// Recovery codes that are handed out.
const RECOVERY_CODES: usize = 10;
/// Characters of a recovery code: 12 of 32 possible ones are 60 bits, behind the throttle.
const RECOVERY_LENGTH: usize = 12;
/// Without characters that look alike.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// How the caller's second factor is.
#[derive(Serialize, JsonSchema)]
pub struct View {
    /// Whether a code is asked for at sign-in.
    enabled: bool,
    /// Whether a secret waits to be confirmed.
    pending: bool,
    recovery_codes_left: usize,
}

/// Shows how the second factor is.
///
/// # Errors
/// `SCOPE_DENIED` for the administration token.
pub async fn show(context: Context) -> Answer<Json<View>> {
    let user = own(&context)?;
    let found = context.store().find_second_factor(&context.scope, &user.id).await?;
    Ok(ok(View {
        enabled: found.as_ref().is_some_and(|factor| factor.confirmed),
        pending: found.as_ref().is_some_and(|factor| !factor.confirmed),
        recovery_codes_left: found.map_or(0, |factor| factor.recovery_left),
    }))
}

/// The caller's password, so that a token that was left open is not enough.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Enrol {
    password: String,
}

/// The new secret, shown once.
#[derive(Serialize, JsonSchema)]
pub struct Secrets {
    /// In base32, as apps take it.
    secret: String,
    /// The same as an app reads it from a picture.
    uri: String,
}

/// Makes a secret, which must be confirmed with a code.
///
/// # Errors
/// `TOKEN_INVALID` for a wrong password; `CONFLICT` when there is a second factor already.
pub async fn enrol(context: Context, JsonBody(body): JsonBody<Enrol>) -> Answer<Json<Secrets>> {
    let user = own(&context)?;
    check_password(&context, user, Secret::new(body.password)).await?;
    let chance: [u8; totp::SECRET_BYTES] = context.state().chance();
    let secret = totp::base32(&chance);
    let now_ms = context.now_ms();
    if !context.store().enrol_second_factor(&context.scope, &user.id, now_ms, &secret).await? {
        let message = "There is a second factor already; disable it first.";
        return Err(Refusal::because(Code::Conflict, message));
    }
    let uri = totp::uri(&user.email, &secret).expose().clone();
    Ok(ok(Secrets { secret: secret.expose().clone(), uri }))
}

/// A code from the app.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeBody {
    code: String,
}

/// The recovery codes, shown once. Each works once in place of a code.
#[derive(Serialize, JsonSchema)]
pub struct Recovery {
    recovery_codes: Vec<String>,
}

/// Confirms the secret with a code; from now on a code is asked for at sign-in.
///
/// # Errors
/// `TOKEN_INVALID` for a wrong code; `CONFLICT` when nothing waits to be confirmed.
pub async fn confirm(context: Context, JsonBody(body): JsonBody<CodeBody>) -> Answer<Json<Recovery>> {
    let user = own(&context)?;
    let nothing = || Refusal::because(Code::Conflict, "No second factor waits to be confirmed.");
    let factor = context.store().find_second_factor(&context.scope, &user.id).await?;
    let factor = factor.filter(|factor| !factor.confirmed).ok_or_else(nothing)?;
    throttle(&context, user)?;
    let now_ms = context.now_ms();
    let step = step_of(&factor.secret, &body.code, now_ms).ok_or_else(wrong_code)?;
    let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| recovery_code(&context)).collect();
    let hash = |code: &String| context.store().key_ring().hmac_secret(code);
    let hashes: Vec<[u8; 32]> = codes.iter().map(hash).collect();
    let store = context.store();
    if !store.confirm_second_factor(&context.scope, &user.id, (now_ms, step), &hashes).await? {
        return Err(nothing());
    }
    context.state().throttle.succeeded(&user.email, context.peer, context.now_ms());
    Ok(ok(Recovery { recovery_codes: codes }))
}

/// Removes the second factor: `204`. Takes a code or a recovery code.
///
/// # Errors
/// `TOKEN_INVALID` for a wrong code; `CONFLICT` when there is none.
pub async fn disable(context: Context, JsonBody(body): JsonBody<CodeBody>) -> Answer<Done> {
    let user = own(&context)?;
    throttle(&context, user)?;
    if !passes(&context, &context.scope, user, Some(&body.code)).await? {
        return Err(wrong_code());
    }
    context.state().throttle.succeeded(&user.email, context.peer, context.now_ms());
    if !context.store().delete_second_factor(&context.scope, &user.id, context.now_ms()).await? {
        return Err(Refusal::because(Code::Conflict, "There is no second factor."));
    }
    Ok(done())
}

/// Whether the second factor of `user` is content with `code`: also when there is none.
///
/// # Errors
/// `TOKEN_INVALID` at `totp_code` when a code is needed and none is given.
pub async fn passes(context: &Context, scope: &Scope, user: &User, code: Option<&str>) -> Answer<bool> {
    let factor = context.store().find_second_factor(scope, &user.id).await?;
    let Some(factor) = factor.filter(|factor| factor.confirmed) else { return Ok(true) };
    let Some(code) = code else {
        let mut needed = refused("This sign-in has a second factor: send `totp_code` as well.");
        needed.0.param = Some("totp_code".to_owned());
        return Err(needed);
    };
    if let Some(step) = step_of(&factor.secret, code, context.now_ms()) {
        return Ok(context.store().use_step(scope, &user.id, step).await?);
    }
    let presented = context.store().key_ring().hmac_secret(&code.trim().to_ascii_lowercase());
    Ok(context.store().use_recovery(scope, &user.id, &presented).await?)
}

/// The step of which `code` is. The secret is kept as apps take it.
fn step_of(secret: &Secret<String>, code: &str, now_ms: u64) -> Option<u64> {
    let secret = totp::from_base32(secret.expose())?;
    totp::step_of(secret.expose(), code.trim(), now_ms)
}

fn recovery_code(context: &Context) -> String {
    let chance: [u8; RECOVERY_LENGTH] = context.state().chance();
    chance.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect()
}

/// The signed-in user. The administration token and the command line are nobody.
fn own(context: &Context) -> Answer<&User> {
    match &context.actor {
        Actor::User { user, .. } => Ok(user),
        _ => Err(Refusal::because(Code::ScopeDenied, "Only a signed-in user has a second factor.")),
    }
}

async fn check_password(context: &Context, user: &User, password: Secret<String>) -> Answer<()> {
    throttle(context, user)?;
    let login = context.store().find_login(&user.email).await?;
    let hash = login.and_then(|login| login.password_hash).map(|hash| hash.expose().clone());
    if !context.state().passwords.matches(password, hash).await? {
        return Err(refused("The password is wrong."));
    }
    context.state().throttle.succeeded(&user.email, context.peer, context.now_ms());
    Ok(())
}

fn throttle(context: &Context, user: &User) -> Answer<()> {
    let attempt = context.state().throttle.attempt(&user.email, context.peer, context.now_ms());
    attempt.map_err(super::login::throttled)
}

fn wrong_code() -> Refusal {
    refused("The code is wrong, or was used before.")
}
