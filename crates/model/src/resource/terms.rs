//! On which terms a key is served, and what limits its owners.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::key::RateLimit;
use crate::clock::EpochMs;
use crate::quota::Quota;

/// What happens upstream when the caller leaves before the answer is whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase", tag = "action", deny_unknown_fields)]
pub enum OnDisconnect {
    /// The upstream is cancelled; what was produced so far is billed.
    #[default]
    Cancel,
    /// The rest is read, up to a time, so that the upstream's own figures are billed.
    Drain {
        /// At most this long.
        seconds: u32,
    },
}

/// What a non-streaming answer may cost beyond what is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StrictUnary {
    /// It settles at its real cost; the overshoot is reported.
    #[default]
    Off,
    /// Its maximum of tokens is lowered to what is affordable.
    Clamp,
}

/// How a stream ends whose payer has nothing left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenExhausted {
    /// With the dialect's error and the usage so far.
    #[default]
    Cut,
    /// It may finish; the overshoot is reported and the next request is refused.
    Finish,
}

/// What happens to requests that an account's dialect cannot say in full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TranslationPolicy {
    /// They are served, and the answer names what was lost.
    #[default]
    Lossy,
    /// They are refused, naming the fields, where the answer could be another one for it.
    Strict,
}

/// On which terms a key is served, beyond its rate limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyTerms {
    /// Its quotas, at most one for each unit and period.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quota: Vec<Quota>,
    /// Whether limits are skipped; quotas are not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_whitelist: bool,
    /// What happens when the caller leaves.
    pub on_disconnect: OnDisconnect,
    /// What a non-streaming answer may cost.
    pub strict_unary: StrictUnary,
    /// How a stream ends whose payer has nothing left.
    pub when_exhausted: WhenExhausted,
    /// Whether `Idempotency-Key` is obeyed on calls to models.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub idempotency: bool,
    /// What happens to requests that an account's dialect cannot say in full.
    pub translation: TranslationPolicy,
}

/// Whose name for the model an answer carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EchoModel {
    /// The upstream's, as it came.
    #[default]
    Upstream,
    /// The caller's, as it was asked for. The external channel does this for every group.
    Asked,
}

/// How the requests of a group's keys are served (accounts contract, §2 and §3). Groups only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Serving {
    /// Whose name for the model answers carry.
    pub echo_model: EchoModel,
    /// Whether a request goes on to another account when the one before may have worked on it. What that
    /// one cost is written down and never charged.
    pub retry_executed: bool,
    /// How often a request goes on to another account; at most [`Self::MOST_SWITCHES`].
    #[schemars(range(max = 10))]
    pub max_switches: u8,
}

impl Serving {
    /// The most that `max_switches` can be (accounts contract, §3).
    pub const MOST_SWITCHES: u8 = 10;
}

impl Default for Serving {
    fn default() -> Self {
        Self { echo_model: EchoModel::default(), retry_executed: false, max_switches: 3 }
    }
}

/// What limits a user, a tenant or a group, and how a group's requests are served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OwnerTerms {
    /// Its rate limit; nothing is limited by default.
    pub rate_limit: RateLimit,
    /// Its quotas, at most one for each unit and period.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quota: Vec<Quota>,
    /// Whether it has a wallet that its requests are paid from. Users only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub wallet: bool,
    /// How its requests are served. Groups only.
    #[serde(skip_serializing_if = "is_usual")]
    pub serving: Serving,
}

fn is_usual(serving: &Serving) -> bool {
    *serving == Serving::default()
}

/// A tenant or a group as stored and pushed: a name and its terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// The name that keys, users and accounts refer to it by: lower-case letters, digits, `-`, `_`.
    pub id: String,
    /// How to show it.
    pub name: String,
    /// What limits it.
    pub terms: OwnerTerms,
    /// When it was created.
    pub created_at: EpochMs,
    /// When it was last changed.
    pub updated_at: EpochMs,
}

/// A user as the data plane knows it: what limits and pays, nothing personal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The user.
    pub id: crate::id::ResourceId,
    /// What limits them.
    pub terms: OwnerTerms,
    /// Whether their keys work.
    pub enabled: bool,
}

/// What requests to a model without a price may do when their payer is money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unpriced {
    /// They are refused with `MODEL_NOT_PRICED`.
    #[default]
    Refuse,
    /// They cost as much as the dearest priced model of the catalogue.
    Ceiling,
    /// They cost nothing.
    Free,
}

/// Limits above keys and owners, and the setting `unpriced`. Nothing is limited by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayTerms {
    /// For each caller's address.
    pub ip: RateLimit,
    /// For each public model name, of all callers together.
    pub models: BTreeMap<String, RateLimit>,
    /// For the whole gateway.
    pub global: RateLimit,
    /// What requests to a model without a price may do.
    pub unpriced: Unpriced,
}
