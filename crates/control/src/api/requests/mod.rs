//! What became of requests.

pub mod list;

use model::{ServiceTier, Usage};
use schemars::JsonSchema;
use serde::Serialize;

/// Tokens by kind, and how the figures are known.
#[derive(Serialize, JsonSchema)]
pub struct UsageView {
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
    reasoning: u64,
    source: &'static str,
    /// The service tier in which it was served, where that was not the standard one.
    tier: Option<&'static str>,
    /// Whether the provider stated a figure that nobody can mean, and the nearest one that is believed stands here.
    capped: bool,
}

impl From<Usage> for UsageView {
    fn from(usage: Usage) -> Self {
        Self {
            input: usage.input,
            output: usage.output,
            cache_read: usage.cache_read,
            cache_write: usage.cache_write(),
            reasoning: usage.reasoning,
            source: usage.source.name(),
            tier: usage.tier.map(ServiceTier::name),
            capped: usage.capped,
        }
    }
}
