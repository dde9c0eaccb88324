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

/// The service tier in which a provider served a request: it has prices of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceTier {
    /// The one that is meant where none is named.
    Standard,
    /// Sooner, for more.
    Priority,
    /// Later, for less.
    Flex,
    /// Within a day, for less.
    Batch,
    /// With faster machines, for more.
    Ultrafast,
}

impl ServiceTier {
    /// All of them. Records refer to their places: new ones come last.
    pub const ALL: [Self; 5] = [Self::Standard, Self::Priority, Self::Flex, Self::Batch, Self::Ultrafast];

    /// The name in the catalogue, in records and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Priority => "priority",
            Self::Flex => "flex",
            Self::Batch => "batch",
            Self::Ultrafast => "ultrafast",
        }
    }

    /// The tier that a provider, or a request to one, calls `word`: OpenAI's and Bedrock's `default`, Gemini's
    /// `SERVICE_TIER_FLEX`, Vertex's `ON_DEMAND_PRIORITY`. `None` for words that leave it open (`auto`), or say
    /// something about what was paid beforehand (`scale`, `reserved`).
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        let word =
            word.strip_prefix("service_tier_").or_else(|| word.strip_prefix("on_demand_")).unwrap_or(&word);
        match word {
            "default" | "on_demand" => Some(Self::Standard),
            _ => Self::ALL.into_iter().find(|tier| tier.name() == word),
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
    /// In which tier it was served; `None` for the standard one, and where nobody said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<ServiceTier>,
    /// Whether a figure was absurd and stands here as the nearest one that is believed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub capped: bool,
}

impl Usage {
    /// What there is beside the counts and their source, as a number; 0 where there is nothing, as in nearly all.
    /// A number that was once used means the same for ever.
    #[must_use]
    pub fn marks(&self) -> u64 {
        let place = self.tier.and_then(|tier| ServiceTier::ALL.iter().position(|one| *one == tier));
        let tier = place.and_then(|place| u64::try_from(place).ok()).map_or(0, |place| place + 1);
        tier << 1 | u64::from(self.capped)
    }

    /// The same usage with what [`Usage::marks`] told; `None` when the number means nothing.
    #[must_use]
    pub fn marked(self, marks: u64) -> Option<Self> {
        let tier = match usize::try_from(marks >> 1).ok()? {
            0 => None,
            place => Some(*ServiceTier::ALL.get(place - 1)?),
        };
        Some(Self { tier, capped: marks & 1 == 1, ..self })
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_words_are_tiers() {
        for (word, tier) in [
            ("default", Some(ServiceTier::Standard)),
            ("standard", Some(ServiceTier::Standard)),
            ("ON_DEMAND", Some(ServiceTier::Standard)),
            ("priority", Some(ServiceTier::Priority)),
            ("SERVICE_TIER_FLEX", Some(ServiceTier::Flex)),
            ("ON_DEMAND_PRIORITY", Some(ServiceTier::Priority)),
            ("batch", Some(ServiceTier::Batch)),
            ("auto", None),
            ("scale", None),
            ("", None),
        ] {
            assert_eq!(ServiceTier::named(word), tier, "{word}");
        }
    }

    #[test]
    fn marks_are_read_back_and_usual_usage_has_none() {
        assert_eq!(Usage::default().marks(), 0);
        for tier in ServiceTier::ALL.into_iter().map(Some).chain([None]) {
            for capped in [false, true] {
                let usage = Usage { tier, capped, ..Usage::default() };
                assert_eq!(Usage::default().marked(usage.marks()), Some(usage));
            }
        }
        assert_eq!(Usage::default().marked(12), None);
    }
}
