//! Signing in, staying signed in, signing out.

#[cfg(test)]
mod forgery_tests;
pub mod login;
pub mod logout;
pub mod refresh;
#[cfg(test)]
mod tests;
pub mod token;
pub mod totp;
#[cfg(test)]
mod totp_tests;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::clock::EpochMs;
use model::resource::User;
use model::{Code, ResourceId, Secret};
use schemars::JsonSchema;
use serde::Serialize;
use store::sessions::NewToken;

use super::context::Context;
use crate::answer::{Answer, Refusal};
use crate::session::{ACCESS_TOKEN_SECONDS, Claims, REFRESH_TOKEN_MS};

/// What every refresh token begins with, so that scanners for leaked secrets know it.
const REFRESH_PREFIX: &str = "rt-ym-";

/// The tokens as the caller gets them, once.
#[derive(Serialize, JsonSchema)]
pub struct Pair {
    access_token: String,
    refresh_token: String,
    token_type: &'static str,
    expires_in: u64,
}

/// A refresh token: its text for the caller, its keyed hash for the store.
struct RefreshToken {
    text: Secret<String>,
    stored: NewToken,
}

impl RefreshToken {
    fn mint(context: &Context, now_ms: EpochMs) -> Self {
        let chance: [u8; 32] = context.state().chance();
        let text = Secret::new(format!("{REFRESH_PREFIX}{}", URL_SAFE_NO_PAD.encode(chance)));
        let stored = NewToken {
            token_hmac: context.store().key_ring().hmac_secret(text.expose()),
            issued_at: now_ms,
            expires_at: now_ms.saturating_add(REFRESH_TOKEN_MS),
        };
        Self { text, stored }
    }

    /// The answer that hands it over with an access token of the same sign-in.
    fn pair(self, context: &Context, user: &User, session: &ResourceId) -> Answer<Pair> {
        let claims = Claims::issue(user, session, self.stored.issued_at);
        let access_token = context.state().jwt_keys.sign(&claims).map_err(Refusal::internal)?;
        Ok(Pair {
            access_token,
            refresh_token: self.text.expose().clone(),
            token_type: "bearer",
            expires_in: ACCESS_TOKEN_SECONDS,
        })
    }
}

fn refused(message: &str) -> Refusal {
    Refusal::because(Code::TokenInvalid, message)
}
