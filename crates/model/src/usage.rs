//! What a request used, counted in disjoint kinds, and how the numbers are known.

use serde::{Deserialize, Serialize};

/// How a usage figure is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UsageSource {
    /// The upstream stated it.
    Measured,
    /// Computed here from what was sent and relayed.
    Estimated,
    /// Nothing was used: the request did not reach an upstream, or the upstream refused it.
    #[default]
    None,
}

impl UsageSource {
    /// The name in records and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Estimated => "estimated",
            Self::None => "none",
        }
    }
}

/// Tokens by kind. `input`, `cache_read`, `cache_write_5m`, `cache_write_1h` and `output` are
/// disjoint; `reasoning`, `audio_in` and `audio_out` are parts of `output`, `input` and `output`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Prompt tokens that were neither read from nor written to a cache.
    pub input: u64,
    /// Prompt tokens read from the provider's cache.
    pub cache_read: u64,
    /// Prompt tokens written to a cache that lives five minutes.
    pub cache_write_5m: u64,
    /// Prompt tokens written to a cache that lives an hour.
    pub cache_write_1h: u64,
    /// Tokens of the answer, reasoning included.
    pub output: u64,
    /// Part of `output` spent on reasoning.
    pub reasoning: u64,
    /// Part of the prompt that was audio.
    pub audio_in: u64,
    /// Part of the answer that was audio.
    pub audio_out: u64,
    /// Web searches that the provider ran.
    pub web_searches: u64,
    /// How the figures are known.
    pub source: UsageSource,
}

impl Usage {
    /// All prompt tokens, cached or not: what price thresholds look at.
    #[must_use]
    pub fn total_input(&self) -> u64 {
        [self.cache_read, self.cache_write_5m, self.cache_write_1h]
            .iter()
            .fold(self.input, |sum, n| sum.saturating_add(*n))
    }

    /// All tokens, both ways.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total_input().saturating_add(self.output)
    }

    /// Both kinds of cache write together.
    #[must_use]
    pub fn cache_write(&self) -> u64 {
        self.cache_write_5m.saturating_add(self.cache_write_1h)
    }
}
