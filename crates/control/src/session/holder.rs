//! Whom a bearer token of the control plane was given to, as far as the token itself says. Whether they
//! still work is for whoever asks to find out.

use model::clock::EpochMs;
use model::{Code, Rejection, ResourceId};
use subtle::ConstantTimeEq;

use super::TokenFault;
use crate::answer::capitalised;
use crate::state::ControlState;

/// Whom a token was given to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Whoever has the static administration token.
    Administrator,
    /// A user who signed in.
    User {
        /// The user.
        user: ResourceId,
        /// The user's tenant.
        tenant: String,
        /// The sign-in.
        session: ResourceId,
    },
    /// An own service, in exchange for its internal key.
    Key(ResourceId),
}

impl Holder {
    /// Reads a token. Waits for nothing.
    ///
    /// # Errors
    /// `TOKEN_INVALID` or `TOKEN_EXPIRED`.
    pub fn of(state: &ControlState, token: &str, now_ms: EpochMs) -> Result<Self, Rejection> {
        if let Some(expected) = &state.admin_token
            && bool::from(expected.expose().as_bytes().ct_eq(token.as_bytes()))
        {
            tracing::info!(target: "audit", actor = "admin-token", verb = "use", object = "admin-token", "audit");
            return Ok(Self::Administrator);
        }
        let claims = state.jwt_keys.verify(token, now_ms).map_err(refuse)?;
        let id = |text: &str| ResourceId::parse(text).ok_or_else(stale);
        let subject = id(&claims.sub)?;
        if claims.key {
            return Ok(Self::Key(subject));
        }
        Ok(Self::User { user: subject, session: id(&claims.sid)?, tenant: claims.tid })
    }
}

/// The refusal of a token whose holder may not use it any more.
#[must_use]
pub fn stale() -> Rejection {
    Rejection::because(Code::TokenInvalid, "The user of this access token may no longer sign in.")
}

fn refuse(fault: TokenFault) -> Rejection {
    let code = match fault {
        TokenFault::Expired { .. } => Code::TokenExpired,
        TokenFault::UnknownKey | TokenFault::WrongAlgorithm | TokenFault::Malformed => Code::TokenInvalid,
    };
    let message = match fault {
        TokenFault::Expired { at_s } => {
            format!("The access token expired at {}.", model::clock::rfc3339(at_s.saturating_mul(1_000)))
        }
        other => format!("{}.", capitalised(&other.to_string())),
    };
    Rejection::because(code, message)
}
