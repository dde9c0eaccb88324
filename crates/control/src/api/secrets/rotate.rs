//! `POST /api/v1/admin/secrets/rotate`: a new key-encryption key, which wraps the data key of every stored value.
//!
//! Nothing waits for it: what is not wrapped anew yet is opened with the key that wrapped it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::keyring;

use crate::answer::{Answer, Json, Refusal, ok};
use crate::api::body::OptionalJson;
use crate::api::context::Context;

/// How to rotate.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// Derive the new key from this `ENCRYPTION_KEY` (64 hex digits), which every later start then needs.
    encryption_key: Option<String>,
}

/// What was done.
#[derive(Serialize, JsonSchema)]
pub struct View {
    /// The key that seals now.
    key_id: String,
    /// Values that it wraps now.
    rewrapped: u64,
    /// Values that do not open in their place, and were left as they are.
    unopened: Vec<String>,
}

/// Rotates.
///
/// # Errors
/// `INVALID_REQUEST` for a key that is none; what the store says.
pub async fn handler(context: Context, OptionalJson(body): OptionalJson<Body>) -> Answer<Json<View>> {
    let encryption_key = body.encryption_key.map(|text| read(&text)).transpose()?;
    let done = context.store().rotate_secrets(encryption_key).await?;
    context.note.object(&done.key_id);
    Ok(ok(View { key_id: done.key_id, rewrapped: done.rewrapped, unopened: done.unopened }))
}

fn read(text: &str) -> Answer<[u8; 32]> {
    let message = "`encryption_key` must be 64 hex digits.";
    keyring::read_key_text(text).ok_or_else(|| Refusal::invalid("encryption_key", message))
}
