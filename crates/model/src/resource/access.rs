//! How a key proves who it is: by its text as a bearer, by signing requests, or either.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::EpochMs;
use crate::secret::Secret;

/// At most this many secrets of each kind work at one time: the newest, and those in their grace period.
pub const MOST_SECRETS: usize = 4;

/// How the requests of a key are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Signing {
    /// Not at all.
    #[default]
    #[serde(rename = "none")]
    None,
    /// HMAC-SHA256 over key, timestamp, nonce and body hash. Binds neither method nor path.
    #[serde(rename = "hmac-v1")]
    HmacV1,
    /// HTTP Message Signatures (RFC 9421) with a digest of the body (RFC 9530).
    #[serde(rename = "rfc9421")]
    Rfc9421,
}

impl Signing {
    /// Every scheme.
    pub const ALL: [Self; 3] = [Self::None, Self::HmacV1, Self::Rfc9421];

    /// The name in JSON and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::HmacV1 => "hmac-v1",
            Self::Rfc9421 => "rfc9421",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.name() == name)
    }
}

/// What five bad signatures in a row freeze.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FreezeScope {
    /// The key for the network that they came from, for a time: key ids are public, and a stranger must
    /// not be able to freeze somebody else's key.
    #[default]
    Source,
    /// The key everywhere, until an administrator thaws it.
    Key,
}

/// A secret that was rotated away and still works for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerSecret {
    /// Its keyed hash, in lower-case hex.
    #[serde(with = "hex_hash")]
    pub hmac: [u8; 32],
    /// When it stops working.
    pub until: EpochMs,
}

/// A secret that requests are signed with. It must be known in clear, so it is stored sealed.
#[derive(Clone)]
pub struct SigningSecret {
    /// The secret; the bytes of its text are the key of the HMAC.
    pub secret: Secret<String>,
    /// When it stops working; `None` for the newest.
    pub until: Option<EpochMs>,
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningSecret").field("until", &self.until).finish_non_exhaustive()
    }
}

/// How a key proves who it is, beyond the secret in its text.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyAccess {
    /// How its requests are signed.
    pub signing: Signing,
    /// Whether a key that signs is also taken as a bearer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub bearer: bool,
    /// What bad signatures freeze.
    pub freeze_scope: FreezeScope,
    /// Bearer secrets in their grace period.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<FormerSecret>,
    /// The signing secrets, newest first.
    #[serde(skip)]
    pub secrets: Vec<SigningSecret>,
}

impl KeyAccess {
    /// Whether there is nothing to store besides the signing secrets: true of nearly all keys.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.signing == Signing::None
            && !self.bearer
            && self.freeze_scope == FreezeScope::default()
            && self.former.is_empty()
    }

    /// Whether the key's text is enough to use it.
    #[must_use]
    pub fn takes_bearer(&self) -> bool {
        self.signing == Signing::None || self.bearer
    }

    /// Lets the bearer secret with this hash work until `until`, if that lies ahead; without a grace period
    /// no former one works any longer.
    pub fn retire_bearer(&mut self, hmac: [u8; 32], until: Option<EpochMs>, now: EpochMs) {
        let Some(until) = until else {
            self.former.clear();
            return;
        };
        self.former.retain(|former| former.until > now);
        self.former.insert(0, FormerSecret { hmac, until });
        self.former.truncate(MOST_SECRETS - 1);
    }

    /// Puts a new signing secret first; those before work until `until`, or no longer.
    pub fn renew_signing(&mut self, secret: Secret<String>, until: Option<EpochMs>, now: EpochMs) {
        match until {
            None => self.secrets.clear(),
            Some(until) => {
                for old in &mut self.secrets {
                    old.until = Some(old.until.map_or(until, |own| own.min(until)));
                }
                self.secrets.retain(|old| old.until.is_some_and(|end| end > now));
            }
        }
        self.secrets.insert(0, SigningSecret { secret, until: None });
        self.secrets.truncate(MOST_SECRETS);
    }

    /// When the last secret in its grace period stops working.
    #[must_use]
    pub fn grace_ends(&self, now: EpochMs) -> Option<EpochMs> {
        let signing = self.secrets.iter().filter_map(|secret| secret.until);
        self.former.iter().map(|former| former.until).chain(signing).filter(|end| *end > now).max()
    }
}

/// 32 bytes as 64 digits.
mod hex_hash {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        let digit = |four: u8| char::from_digit(u32::from(four), 16).unwrap_or('0');
        let text: String = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
        serializer.serialize_str(&text)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(D::Error::custom("a hash has 64 hex digits"));
        }
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(D::Error::custom)?;
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn schemes_have_their_names() {
        for scheme in Signing::ALL {
            assert_eq!(Signing::named(scheme.name()), Some(scheme));
        }
        assert_eq!(Signing::named("hmac"), None);
    }

    #[test]
    fn only_a_key_that_signs_needs_more_than_its_text() {
        let signs = KeyAccess { signing: Signing::HmacV1, ..KeyAccess::default() };
        assert!(KeyAccess::default().takes_bearer() && !signs.takes_bearer());
        assert!(KeyAccess { bearer: true, ..signs }.takes_bearer());
    }

    #[test]
    fn former_secrets_work_for_their_grace_period_only() {
        let mut access = KeyAccess::default();
        access.retire_bearer([1; 32], Some(100), 10);
        access.retire_bearer([2; 32], Some(200), 20);
        assert_eq!(access.former.iter().map(|f| f.until).collect::<Vec<_>>(), [200, 100]);
        access.retire_bearer([3; 32], Some(300), 150);
        assert_eq!(access.former.iter().map(|f| f.until).collect::<Vec<_>>(), [300, 200]);
        assert_eq!(access.grace_ends(150), Some(300));
        access.retire_bearer([4; 32], None, 160);
        assert!(access.former.is_empty() && access.grace_ends(160).is_none());
    }

    #[test]
    fn a_signing_secret_is_renewed_with_and_without_grace() {
        let mut access = KeyAccess::default();
        access.renew_signing(secret("one"), None, 10);
        access.renew_signing(secret("two"), Some(100), 20);
        access.renew_signing(secret("three"), Some(50), 30);
        let of = |access: &KeyAccess| -> Vec<(String, Option<u64>)> {
            access.secrets.iter().map(|s| (s.secret.expose().clone(), s.until)).collect()
        };
        let kept = [("three".into(), None), ("two".into(), Some(50)), ("one".into(), Some(50))];
        assert_eq!(of(&access), kept);
        for n in 0..9 {
            access.renew_signing(secret(&n.to_string()), Some(1_000), 60);
        }
        assert_eq!(access.secrets.len(), MOST_SECRETS);
        access.renew_signing(secret("four"), None, 60);
        assert_eq!(of(&access), [("four".into(), None)]);
        assert!(!format!("{access:?}").contains("four"));
    }

    #[test]
    fn reads_back_what_is_stored() {
        let mut access = KeyAccess { signing: Signing::Rfc9421, bearer: true, ..KeyAccess::default() };
        access.retire_bearer([0xab; 32], Some(5), 1);
        let text = serde_json::to_string(&access).unwrap();
        let back: KeyAccess = serde_json::from_str(&text).unwrap();
        assert_eq!((back.signing, back.bearer, back.former), (access.signing, true, access.former));
        assert!(KeyAccess::default().is_plain() && !access_is_plain(&text));
    }

    fn access_is_plain(text: &str) -> bool {
        serde_json::from_str::<KeyAccess>(text).unwrap().is_plain()
    }
}
