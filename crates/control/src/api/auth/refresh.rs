//! `POST /api/v1/auth/refresh`: a refresh token for a new pair. It works once; used again, it ends the
//! sign-in it belongs to, for then two parties hold it.

use model::Secret;
use schemars::JsonSchema;
use serde::Deserialize;
use store::{Scope, TokenUse};

use super::{Pair, RefreshToken, refused};
use crate::answer::{Answer, Json, ok};
use crate::api::body::JsonBody;
use crate::api::context::Context;

/// The token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    refresh_token: String,
}

/// Refreshes.
///
/// # Errors
/// `TOKEN_INVALID`, or `TOKEN_EXPIRED` when its time is over.
pub async fn handler(context: Context, JsonBody(body): JsonBody<Body>) -> Answer<Json<Pair>> {
    let presented = Secret::new(body.refresh_token);
    let presented = context.store().key_ring().hmac_secret(presented.expose());
    let token = RefreshToken::mint(&context, context.now_ms());
    let (session_id, user_id, tenant_id) =
        match context.store().rotate_session(&context.scope, &presented, &token.stored).await? {
            TokenUse::Rotated { session_id, user_id, tenant_id } => (session_id, user_id, tenant_id),
            TokenUse::Reused { .. } => {
                return Err(refused("The refresh token was used before; sign in again."));
            }
            TokenUse::Expired => return Err(crate::answer::Refusal::new(model::Code::TokenExpired)),
            TokenUse::Revoked => return Err(refused("The sign-in was ended.")),
            TokenUse::Unknown => return Err(refused("The refresh token is not one of ours.")),
        };
    let scope = Scope::new(&tenant_id, user_id.as_str());
    let user = context.store().find_user(&scope, &user_id).await?;
    let user = user.filter(|user| user.enabled);
    let user = user.ok_or_else(|| refused("The user may no longer sign in."))?;
    Ok(ok(token.pair(&context, &user, &session_id)?))
}
