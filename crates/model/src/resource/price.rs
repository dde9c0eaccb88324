//! Prices as an administrator writes them: decimal dollars per million tokens.

use serde::{Deserialize, Serialize};

use crate::clock::EpochMs;
use crate::money::NanoUsd;

/// What one million tokens of each kind cost. Kinds without a price of their own fall back as the
/// price function says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceLines {
    /// Prompt tokens outside any cache.
    #[serde(rename = "in")]
    pub input: NanoUsd,
    /// Tokens of the answer.
    #[serde(rename = "out")]
    pub output: NanoUsd,
    /// Prompt tokens read from a cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<NanoUsd>,
    /// Prompt tokens written to a five-minute cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<NanoUsd>,
    /// Prompt tokens written to a one-hour cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<NanoUsd>,
    /// Audio tokens of the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_in: Option<NanoUsd>,
    /// Audio tokens of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_out: Option<NanoUsd>,
    /// Reasoning tokens of the answer, where priced apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<NanoUsd>,
}

/// An administrator's price for a model, in place of the catalogue's.
#[derive(Clone, Debug)]
pub struct PriceOverride {
    /// The public model name.
    pub model: String,
    /// The prices.
    pub lines: PriceLines,
    /// When it was last changed.
    pub updated_at: EpochMs,
}
