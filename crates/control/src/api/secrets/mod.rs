//! The key-encryption keys that stored credentials are sealed under. Never a key, only ids.

pub mod list;
pub mod rotate;

use schemars::JsonSchema;
use serde::Serialize;
use store::KeyUse;

/// A key as answers show it.
#[derive(Serialize, JsonSchema)]
pub struct View {
    id: String,
    /// Whether it seals now.
    current: bool,
    /// Whether it is at hand.
    loaded: bool,
    /// How many stored values it sealed.
    sealed: u64,
}

impl From<KeyUse> for View {
    fn from(key: KeyUse) -> Self {
        Self { id: key.id, current: key.is_current, loaded: key.is_loaded, sealed: key.sealed }
    }
}
