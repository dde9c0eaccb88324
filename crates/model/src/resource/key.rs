//! A caller's API key, as the data plane knows it: never the secret, only its keyed hash.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::access::KeyAccess;
use super::terms::KeyTerms;
use crate::clock::EpochMs;
use crate::id::ResourceId;

/// The tenant of everything that names none.
pub const DEFAULT_TENANT: &str = "default";
/// The group of every key that names none.
pub const DEFAULT_GROUP: &str = "default";

/// What a key is for. Decides its channel's defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// A user's key on the open channel.
    #[default]
    Standard,
    /// A trial user's key.
    Trial,
    /// A key of an own service: usage is recorded, not charged.
    Internal,
}

impl KeyKind {
    /// The name in JSON and SQL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Trial => "trial",
            Self::Internal => "internal",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Standard, Self::Trial, Self::Internal].into_iter().find(|kind| kind.name() == name)
    }
}

/// A limit as configured: absent = the channel's default, `null` = unlimited, a number = that many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Not configured here.
    #[default]
    Default,
    /// Explicitly unlimited.
    Unlimited,
    /// At most this many; 0 allows nothing.
    AtMost(u64),
}

impl Limit {
    /// Whether nothing is configured, so that the field is left out of JSON.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::Default
    }

    /// The number in force, given the channel's default; `None` when unlimited.
    #[must_use]
    pub fn resolve(self, default: Option<u64>) -> Option<u64> {
        match self {
            Self::Default => default,
            Self::Unlimited => None,
            Self::AtMost(n) => Some(n),
        }
    }
}

impl Serialize for Limit {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::AtMost(n) => serializer.serialize_u64(*n),
            Self::Default | Self::Unlimited => serializer.serialize_none(),
        }
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map_or(Self::Unlimited, Self::AtMost))
    }
}

/// Limits of a key, in the six dimensions of the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimit {
    /// Requests per minute.
    #[serde(skip_serializing_if = "Limit::is_default")]
    pub rpm: Limit,
    /// Tokens per minute.
    #[serde(skip_serializing_if = "Limit::is_default")]
    pub tpm: Limit,
    /// Requests per UTC day.
    #[serde(skip_serializing_if = "Limit::is_default")]
    pub rpd: Limit,
    /// Tokens per UTC day.
    #[serde(skip_serializing_if = "Limit::is_default")]
    pub tpd: Limit,
    /// Requests in flight at one time.
    #[serde(skip_serializing_if = "Limit::is_default")]
    pub concurrent: Limit,
    /// Requests within any one second.
    #[serde(skip_serializing_if = "Limit::is_default")]
    pub burst: Limit,
}

impl RateLimit {
    /// These limits with those that `change` configures in their place; the others stay.
    #[must_use]
    pub fn merged(self, change: Self) -> Self {
        let one = |own: Limit, new: Limit| if new.is_default() { own } else { new };
        Self {
            rpm: one(self.rpm, change.rpm),
            tpm: one(self.tpm, change.tpm),
            rpd: one(self.rpd, change.rpd),
            tpd: one(self.tpd, change.tpd),
            concurrent: one(self.concurrent, change.concurrent),
            burst: one(self.burst, change.burst),
        }
    }
}

/// Whether a key works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyStatus {
    /// It works until it expires.
    #[default]
    Active,
    /// Switched off for now.
    Disabled,
    /// Ended for good.
    Revoked,
}

impl KeyStatus {
    /// The name in JSON and SQL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Revoked => "revoked",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Active, Self::Disabled, Self::Revoked].into_iter().find(|status| status.name() == name)
    }
}

/// A key as stored and pushed. There may be very many: it is kept small, and what many have in common they share.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// The public id; also the `<id>` within the key's text.
    pub id: ResourceId,
    /// The administrator's name for it.
    pub name: Box<str>,
    /// HMAC-SHA256 of the secret part under the pepper.
    pub secret_hmac: [u8; 32],
    /// The last four characters, to recognise it by.
    pub hint: Box<str>,
    /// What it is for.
    pub kind: KeyKind,
    /// Whether it works.
    pub status: KeyStatus,
    /// The owner; none for a key that belongs to nobody.
    pub user_id: Option<ResourceId>,
    /// The tenant; one text for all keys that were loaded together.
    pub tenant_id: Arc<str>,
    /// The group whose accounts it uses; likewise.
    pub group_id: Arc<str>,
    /// When it stops working.
    pub expires_at: Option<EpochMs>,
    /// Public model names it may use; empty means all.
    pub models: Box<[String]>,
    /// Networks it may be used from (CIDR); empty means any.
    pub allowed_ips: Box<[String]>,
    /// Its limits; one for all keys that were loaded together and have the same.
    pub rate_limit: Arc<RateLimit>,
    /// On which terms it is served beyond that.
    pub terms: KeyTerms,
    /// How it proves who it is.
    pub access: KeyAccess,
    /// When it was created.
    pub created_at: EpochMs,
    /// When it was last changed.
    pub updated_at: EpochMs,
}
