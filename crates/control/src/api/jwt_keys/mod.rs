//! The keys that sign access tokens: which there are, a new one, and the end of an old one.

pub mod list;
pub mod remove;
pub mod rotate;

use model::Code;
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::{Refusal, capitalised};
use crate::session::JwtKeysError;
use crate::session::jwt_keys::KeyInfo;

/// A key as answers show it.
#[derive(Serialize, JsonSchema)]
pub struct View {
    id: String,
    algorithm: &'static str,
    /// Whether new tokens are signed with it; the others only verify.
    signs: bool,
}

impl View {
    fn of(key: KeyInfo, algorithm: &'static str) -> Self {
        Self { id: key.kid, algorithm, signs: key.signs }
    }
}

impl From<JwtKeysError> for Refusal {
    fn from(error: JwtKeysError) -> Self {
        match error {
            JwtKeysError::Refused(why) => Self::because(Code::Conflict, format!("{}.", capitalised(why))),
            other => Self::internal(other),
        }
    }
}
