//! `POST /api/v1/auth/login`: e-mail and password for a pair of tokens.
//!
//! An unknown address, a wrong password and a disabled user are answered alike and take alike long.

use model::{Code, Rejection, Secret};
use schemars::JsonSchema;
use serde::Deserialize;
use store::Login;
use store::sessions::NewSession;

use super::{Pair, RefreshToken, refused, totp};
use crate::answer::{Answer, Json, ok};
use crate::api::body::JsonBody;
use crate::api::context::Context;
use crate::session::password::LONGEST_PASSWORD;

/// Longer names are nobody's; they are not remembered by the throttle either.
const LONGEST_EMAIL: usize = 254;

/// Who signs in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    email: String,
    password: String,
    /// A code of the second factor, or a recovery code, for those who have one.
    totp_code: Option<String>,
}

/// Signs in.
///
/// # Errors
/// `TOKEN_INVALID` for a wrong address or password; `LOGIN_THROTTLED` after too many of them.
pub async fn handler(context: Context, JsonBody(body): JsonBody<Body>) -> Answer<Json<Pair>> {
    let password = Secret::new(body.password);
    let email = body.email.trim().to_lowercase();
    if email.len() > LONGEST_EMAIL || password.expose().len() > LONGEST_PASSWORD {
        return Err(wrong());
    }
    let throttle = &context.state().throttle;
    throttle.attempt(&email, context.peer, context.now_ms()).map_err(throttled)?;
    let found = context.store().find_login(&email).await?;
    // The address is not logged when it is nobody's: people type passwords into the wrong field.
    let asked = found.as_ref().map_or("unknown".to_owned(), |login| login.user.id.to_string());
    let Some(Login { user, .. }) = check(&context, found, password).await? else {
        context.tell_refused("auth.login.refused", &asked);
        return Err(wrong());
    };
    let scope = context.scope_in(&user.tenant_id);
    if !totp::passes(&context, &scope, &user, body.totp_code.as_deref()).await? {
        context.tell_refused("auth.login.refused", user.id.as_str());
        return Err(refused("The code is wrong, or was used before."));
    }
    throttle.succeeded(&email, context.peer, context.now_ms());
    let token = RefreshToken::mint(&context, context.now_ms());
    let session = NewSession { id: context.mint_id(), user_id: user.id.clone(), token: token.stored.clone() };
    context.note.actor(format!("user:{}", user.id));
    context.store().create_session(&scope, &session).await?;
    Ok(ok(token.pair(&context, &user, &session.id)?))
}

/// The login, if the password is right and the user may sign in. The hash is computed in every case.
async fn check(context: &Context, found: Option<Login>, password: Secret<String>) -> Answer<Option<Login>> {
    let hash = found.as_ref().and_then(|login| login.password_hash.as_ref());
    let hash = hash.map(|hash| hash.expose().clone());
    let matches = context.state().passwords.matches(password, hash).await?;
    Ok(found.filter(|login| matches && login.user.enabled))
}

fn wrong() -> crate::answer::Refusal {
    refused("The e-mail address or the password is wrong.")
}

pub(super) fn throttled(seconds: u64) -> crate::answer::Refusal {
    let message = format!("Too many failed sign-ins; wait {seconds} seconds.");
    Rejection::because(Code::LoginThrottled, message).retry_after(seconds).into()
}
