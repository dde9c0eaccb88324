//! New secrets of a key, and the one answer that shows them.

use model::key_text;
use model::resource::{ApiKey, KeyKind, Signing};
use model::{ResourceId, Secret};
use schemars::JsonSchema;
use serde::Serialize;

use super::View;
use crate::answer::{Answer, Refusal};
use crate::api::check;
use crate::api::context::Context;

/// What a signing secret begins with, so that it is recognised where it does not belong.
const SIGNING_PREFIX: &str = "sk-sign-";

/// A key with its secrets, as shown once.
#[derive(Serialize, JsonSchema)]
pub struct Revealed {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_secret: Option<String>,
    #[serde(flatten)]
    view: View,
    /// Until when a secret that was rotated away still works.
    #[serde(skip_serializing_if = "Option::is_none")]
    grace_ends_at: Option<String>,
}

impl Revealed {
    /// A key whose text does not change, with its new signing secret.
    #[must_use]
    pub fn signing_only(context: &Context, key: ApiKey) -> Self {
        Self::of(context, key, None)
    }

    /// A key whose secrets stay as they are.
    #[must_use]
    pub fn nothing(key: ApiKey) -> Self {
        Self { key: None, signing_secret: None, view: key.into(), grace_ends_at: None }
    }

    fn of(context: &Context, key: ApiKey, text: Option<String>) -> Self {
        let signs = key.access.signing != Signing::None;
        let newest = key.access.secrets.first().filter(|_| signs);
        Self {
            key: text,
            signing_secret: newest.map(|held| held.secret.expose().clone()),
            grace_ends_at: check::written(key.access.grace_ends(context.now_ms())),
            view: key.into(),
        }
    }
}

/// A new secret for the text of a key: the text, its keyed hash and its hint.
pub struct NewSecret {
    /// The text, to be shown once.
    pub text: Secret<String>,
    /// The keyed hash to store.
    pub hmac: [u8; 32],
    /// What to recognise it by.
    pub hint: String,
}

impl NewSecret {
    /// Makes one for the key `id`.
    ///
    /// # Errors
    /// None but for a fault of our own.
    pub fn mint(context: &Context, kind: KeyKind, id: &ResourceId) -> Answer<Self> {
        let text = key_text::mint(kind, id, context.state().chance());
        let parsed = key_text::parse(text.expose());
        let parsed = parsed.ok_or_else(|| Refusal::internal("a new key does not read back"))?;
        let hmac = context.store().key_ring().hmac_secret(parsed.secret);
        let hint = key_text::hint(text.expose());
        Ok(Self { text, hmac, hint })
    }

    /// The one answer that shows it, and the newest signing secret with it.
    #[must_use]
    pub fn reveal(self, context: &Context, key: ApiKey) -> Revealed {
        Revealed::of(context, key, Some(self.text.expose().clone()))
    }
}

/// A new signing secret: 256 bits, as text whose bytes are the key of the HMAC.
#[must_use]
pub fn mint_signing(context: &Context) -> Secret<String> {
    let chance: [u8; 32] = context.state().chance();
    Secret::new(format!("{SIGNING_PREFIX}{}", key_text::base32(&chance)))
}
