//! `POST /api/v1/auth/logout`: ends a sign-in.
//!
//! With `{"refresh_token"}` it ends the sign-in of that token, without a body every sign-in of the
//! caller. Access tokens that are out stay good until they expire, at most 15 minutes.

use model::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answer::{Answer, Done, done};
use crate::api::body::OptionalJson;
use crate::api::context::Context;
use crate::api::permission::Actor;

/// Which sign-in.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    refresh_token: Option<String>,
}

/// Signs out: `204`, also when the sign-in had ended already.
///
/// # Errors
/// What the store says.
pub async fn handler(context: Context, OptionalJson(body): OptionalJson<Body>) -> Answer<Done> {
    let now_ms = context.now_ms();
    if let Some(token) = body.refresh_token.map(Secret::new) {
        let presented = context.store().key_ring().hmac_secret(token.expose());
        context.store().revoke_session(&context.scope, &presented, now_ms).await?;
    } else if let Actor::User { user, .. } = &context.actor {
        context.store().revoke_user_sessions(&context.scope, &user.id, now_ms).await?;
    }
    context.note.object_unless_known(&context.actor.name());
    Ok(done())
}
