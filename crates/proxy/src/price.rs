//! What a request costs its caller: the administrator's price, else the catalogue's, else nothing known.

use ledger::price::{Prices, price};
use model::{NanoUsd, Usage};

use crate::catalog::{Model, Offer};

/// The cost of `usage`; `None` when the model has no price.
pub(crate) fn price_of(usage: &Usage, model: &Model, offer: &Offer) -> Option<NanoUsd> {
    match &model.price_override {
        Some(lines) => price(usage, &Prices::from_override(lines)).total,
        None => price(usage, &offer.price?.prices).total,
    }
}
