//! Prices of models: an administrator's overrides, and the catalogue behind them.

pub mod delete;
pub mod explain;
pub mod list;
pub mod set;
pub mod show;

#[cfg(test)]
mod tests;

use ledger::PriceEntry;
use model::NanoUsd;
use model::clock::rfc3339;
use model::resource::{PriceLines, PriceOverride};
use schemars::JsonSchema;
use serde::Serialize;

/// A price as answers show it: US dollars per million tokens, as decimal strings. `web_search` and
/// `request` are dollars by the piece.
#[derive(Serialize, JsonSchema)]
pub struct View {
    model: String,
    /// `override` or `catalogue`.
    source: &'static str,
    /// Where the catalogue's price is from; `null` for an override, which holds everywhere.
    provider: Option<&'static str>,
    #[serde(flatten)]
    lines: PriceLines,
    /// Other prices for the whole request once its prompt is long.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<StepView>,
    /// The prices of service tiers that have some of their own; a price that is set holds in every tier.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tiers: Vec<TierView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    web_search: Option<NanoUsd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<NanoUsd>,
    updated_at: Option<String>,
}

/// A price step as answers show it.
#[derive(Serialize, JsonSchema)]
pub struct StepView {
    /// Prompt tokens above which these prices hold.
    above: u64,
    #[serde(flatten)]
    lines: PriceLines,
}

/// The prices of a service tier as answers show them.
#[derive(Serialize, JsonSchema)]
pub struct TierView {
    /// `priority`, `flex`, `batch` or `ultrafast`.
    tier: &'static str,
    #[serde(flatten)]
    lines: PriceLines,
    /// Other prices for the whole request once its prompt is long.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<StepView>,
}

impl From<PriceOverride> for View {
    fn from(price: PriceOverride) -> Self {
        Self {
            model: price.model,
            source: "override",
            provider: None,
            lines: price.lines,
            steps: Vec::new(),
            tiers: Vec::new(),
            web_search: None,
            request: None,
            updated_at: Some(rfc3339(price.updated_at)),
        }
    }
}

impl From<&'static PriceEntry> for View {
    fn from(entry: &'static PriceEntry) -> Self {
        let step = |step: &ledger::price::Step| StepView { above: step.above, lines: step.lines };
        let tier = |own: &ledger::price::TierPrices| TierView {
            tier: own.tier.name(),
            lines: own.base,
            steps: own.steps.iter().map(step).collect(),
        };
        Self {
            model: entry.model.to_string(),
            source: "catalogue",
            provider: Some(&entry.provider),
            lines: entry.prices.base,
            steps: entry.prices.steps.iter().map(step).collect(),
            tiers: entry.prices.tiers.iter().map(tier).collect(),
            web_search: entry.prices.web_search,
            request: entry.prices.request,
            updated_at: None,
        }
    }
}
