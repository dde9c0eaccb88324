//! Holds what a request is expected to use, from all who pay for it, before an upstream is called.

use std::rc::Rc;
use std::sync::Arc;

use ledger::meter::{Asked, Facts};
use llm::Call;
use model::resource::terms::StrictUnary;
use model::{Code, NanoUsd, Rejection, Usage};

use crate::catalog::{Key, Model};
use crate::charge::{Charge, Purse, amounts};
use crate::exchange::Exchange;
use crate::price::{Otherwise, most_of, price_of};
use crate::windows;

/// The longest answer that a clamped request may have where neither its caller nor the catalogue names one.
const UNSTATED_MAX: u64 = 8_192;

/// Holds what the call is expected to use: one request, its input, and a portion of output.
///
/// # Errors
/// `MODEL_NOT_PRICED`, or what the meter says when a payer cannot cover it.
pub(crate) fn hold(exchange: &mut Exchange, call: &Call) -> Result<(), Rejection> {
    if call.surface.is_free() {
        // Nothing is charged for counting (accounts contract, §1).
        return Ok(());
    }
    let (Some(key), Some(model)) = (exchange.key.clone(), exchange.model.clone()) else {
        return Err(Rejection::new(Code::InternalError));
    };
    let otherwise = otherwise(exchange, &key, &model)?;
    let clamped = clamps(&key, call);
    let mut expected = exchange.expected;
    if clamped {
        expected.output = u64::from(call.choices);
    }
    let quote = |usage: &Usage| quote(usage, &key, &model, otherwise);
    let asked = Asked {
        facts: facts(exchange, &key, &model),
        payers: Arc::clone(&key.payers.list),
        expected: amounts(1, &expected, quote(&expected)),
        at: exchange.now_ms(),
    };
    let held = asked.expected;
    let worker = Rc::clone(&exchange.worker);
    let meter = &*worker.shared.meter;
    windows::look(exchange, &asked.payers, &held, asked.at);
    let hold = meter.hold(asked).inspect_err(|_| exchange.checked("hold", false, None, None))?;
    let mut charge = Charge::new(hold, otherwise, held, &expected, exchange.started);
    if !key.payers.money && !key.payers.tokens {
        charge.cover_all();
    }
    if clamped {
        let purse = Purse { meter, price: &quote, now: exchange.now_ms() };
        exchange.clamp = clamp(&mut charge, &purse, &expected, call, &model);
    }
    exchange.charge = Some(charge);
    Ok(())
}

fn otherwise(exchange: &mut Exchange, key: &Key, model: &Model) -> Result<Otherwise, Rejection> {
    if !key.payers.money {
        return Ok(Otherwise::Unknown);
    }
    let unpriced = exchange.catalog.gateway.unpriced;
    Otherwise::of_paid(model, unpriced).inspect_err(|_| exchange.checked("price", false, None, None))
}

fn facts(exchange: &Exchange, key: &Key, model: &Model) -> Facts {
    Facts {
        request: exchange.request_id(),
        key: exchange.record.key_id.clone(),
        user: key.key.user_id.clone(),
        tenant: Arc::clone(&key.key.tenant_id),
        model: Arc::clone(&model.name),
    }
}

/// What `usage` will cost before it is known who serves it: the most where money pays.
fn quote(usage: &Usage, key: &Key, model: &Model, otherwise: Otherwise) -> Option<NanoUsd> {
    if key.payers.money {
        return most_of(usage, model, otherwise);
    }
    price_of(usage, model, model.offers.first()?, otherwise)
}

/// Whether the answer must not cost more than is held for it.
fn clamps(key: &Key, call: &Call) -> bool {
    key.key.terms.strict_unary == StrictUnary::Clamp
        && !call.stream
        && call.surface.may_stream()
        && (key.payers.money || key.payers.tokens)
}

/// Holds as long an answer as the caller wants and its payers can cover. The longest answer to ask the
/// upstream for, where that is not what the caller asks for.
fn clamp(charge: &mut Charge, purse: &Purse<'_>, least: &Usage, call: &Call, model: &Model) -> Option<u64> {
    let listed = || model.offers.iter().filter_map(|offer| offer.price?.max_output).max();
    let known = call.max_output.or_else(listed);
    let choices = u64::from(call.choices);
    let wanted = known.unwrap_or(UNSTATED_MAX).max(1).saturating_mul(choices);
    let covered = charge.stretch(purse, least, wanted);
    let affordable = covered / choices;
    (known.is_none_or(|most| affordable < most)).then_some(affordable)
}
