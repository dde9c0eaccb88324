//! What a request costs its caller: the administrator's price, else the catalogue's, else what is said of
//! models without a price.

use std::sync::LazyLock;

use ledger::catalogue::Catalogue;
use ledger::price::{self, Prices};
use model::resource::terms::Unpriced;
use model::{Code, NanoUsd, Rejection, Usage};

use crate::catalog::{Model, Offer};

/// What a request costs at an account whose model has no price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Otherwise {
    /// Nobody knows, and nobody pays money.
    #[default]
    Unknown,
    /// As much as at the dearest account that offers the same model.
    Dearest,
    /// As much as the dearest model of the catalogue.
    Ceiling,
    /// Nothing.
    Free,
}

impl Otherwise {
    /// What holds for a request to `model` that is paid with money.
    ///
    /// # Errors
    /// `MODEL_NOT_PRICED` when no account of the model has a price and such requests are refused.
    pub fn of_paid(model: &Model, unpriced: Unpriced) -> Result<Self, Rejection> {
        match unpriced {
            Unpriced::Ceiling => Ok(Self::Ceiling),
            Unpriced::Free => Ok(Self::Free),
            Unpriced::Refuse if model.offers.iter().any(|offer| is_listed(model, offer)) => Ok(Self::Dearest),
            Unpriced::Refuse => Err(Rejection::new(Code::ModelNotPriced).at("model")),
        }
    }
}

/// The cost of `usage` at `offer`; `None` when nobody knows.
pub(crate) fn price_of(usage: &Usage, model: &Model, offer: &Offer, otherwise: Otherwise) -> Option<NanoUsd> {
    listed(usage, model, offer).or_else(|| match otherwise {
        Otherwise::Unknown => None,
        Otherwise::Free => Some(NanoUsd::ZERO),
        Otherwise::Ceiling => Some(total(usage, ceiling())),
        Otherwise::Dearest => model.offers.iter().filter_map(|offer| listed(usage, model, offer)).max(),
    })
}

/// The most that `usage` can cost, whichever account serves it.
pub(crate) fn most_of(usage: &Usage, model: &Model, otherwise: Otherwise) -> Option<NanoUsd> {
    model.offers.iter().filter_map(|offer| price_of(usage, model, offer, otherwise)).max()
}

/// What an attempt at `offer` costs us: the provider's own price, whatever the caller pays.
pub(crate) fn cost_to_us(usage: &Usage, offer: &Offer) -> Option<NanoUsd> {
    Some(total(usage, &offer.price?.prices))
}

fn is_listed(model: &Model, offer: &Offer) -> bool {
    model.price_override.is_some() || offer.price.is_some()
}

fn listed(usage: &Usage, model: &Model, offer: &Offer) -> Option<NanoUsd> {
    match &model.price_override {
        Some(lines) => Some(total(usage, &Prices::from_override(lines))),
        None => cost_to_us(usage, offer),
    }
}

/// A cost that fits no amount is the largest amount: never nothing.
fn total(usage: &Usage, prices: &Prices) -> NanoUsd {
    price::total(usage, prices).unwrap_or(NanoUsd(i64::MAX))
}

/// The prices of the dearest model of the catalogue that answers in tokens.
fn ceiling() -> &'static Prices {
    static CEILING: LazyLock<&'static Prices> = LazyLock::new(|| {
        let entries = Catalogue::builtin().entries().iter().map(|entry| &entry.prices);
        let sum = |prices: &&Prices| prices.base.input.0.saturating_add(prices.base.output.0);
        entries.max_by_key(sum).expect("the shipped catalogue lists models")
    });
    &CEILING
}
