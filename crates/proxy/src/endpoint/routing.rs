//! `POST /internal/v1/debug/test-routing`: which account would be called and why, for every account there
//! is. Nothing is called and nothing is taken.

use http::Request;
use hyper::body::Incoming;
use llm::Surface;
use model::clock::rfc3339;
use model::record::CandidateReason;
use model::{Code, Rejection};
use policy::choose::{Standing, weighted};
use serde::Serialize;
use state::circuits::CircuitState;

use crate::admission;
use crate::catalog::{Model, Offer, Upstream};
use crate::dispatch;
use crate::endpoint::internal::{Body, json};
use crate::exchange::Exchange;
use crate::intake;
use crate::request::Outbound;
use crate::sticky::Sticky;

/// What would happen.
#[derive(Serialize)]
struct Answer<'a> {
    model: &'a str,
    group_id: &'a str,
    surface: &'static str,
    /// The account that would be called now; among equals, one of those that could be.
    chosen: Option<&'a str>,
    chosen_id: Option<&'a str>,
    reason: String,
    candidates: Vec<Considered<'a>>,
}

/// One account, and why it would or would not be called.
#[derive(Serialize)]
struct Considered<'a> {
    account: &'a str,
    account_id: &'a str,
    provider: &'a str,
    group_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_model_id: Option<String>,
    priority: u32,
    weight: u32,
    eligible: bool,
    chosen: bool,
    reason: &'static str,
    running: u32,
    concurrency: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    circuit: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked_for: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked_until: Option<String>,
}

/// Answers what a chat request with this body would meet.
pub(crate) async fn test(exchange: &mut Exchange, request: Request<Incoming>) -> Body {
    let surface = Surface::ChatCompletions;
    intake::make_room(exchange)?;
    let (head, body) = request.into_parts();
    let received = intake::read_call(exchange, surface, &head, &mut Some(body)).await?;
    admission::find_model(exchange, &received.call)?;
    let model = exchange.model.clone().ok_or_else(|| Rejection::new(Code::InternalError))?;
    admission::pin(exchange, &received.extras)?;
    // The call would go into the group of what is pinned.
    let pinned = exchange.model.clone();
    let group = pinned.as_ref().map_or(&model.group, |pinned| &pinned.group);
    let model = exchange.catalog.model(group, &model.name).cloned().unwrap_or(model);
    let pin = received.extras.provider_model_id.as_deref();
    let outbound = Outbound { call: &received.call, body: &received.body, head: &head, leave: None };
    let reasons = reasons(exchange, &model, &outbound);
    let chosen = choose(exchange, &model, &reasons, pin);
    let offer = chosen.map(|index| &model.offers[index]);
    let mut candidates = own(exchange, &model, (&reasons, pin), chosen);
    let others = exchange.catalog.upstreams().iter().filter(|upstream| !offers(&model, upstream));
    candidates.extend(others.map(|upstream| other(exchange, upstream, &model)));
    Ok(json(&Answer {
        model: &model.name,
        group_id: &model.group,
        surface: surface.name(),
        chosen: offer.map(|offer| &*offer.upstream.name),
        chosen_id: offer.map(|offer| offer.upstream.account.id.as_str()),
        reason: reason(offer, &candidates),
        candidates,
    }))
}

fn offers(model: &Model, upstream: &Upstream) -> bool {
    model.offers.iter().any(|offer| offer.upstream.account.id == upstream.account.id)
}

/// Why each account of the model can or cannot be called now.
fn reasons(exchange: &Exchange, model: &Model, outbound: &Outbound<'_>) -> Vec<CandidateReason> {
    let at = (outbound.call.surface, exchange.now_ms());
    let mut sticky = Sticky::of(exchange, model, outbound);
    model.offers.iter().map(|offer| dispatch::told(exchange, offer, at, sticky.as_mut())).collect()
}

/// The choice that a call would make now.
fn choose(
    exchange: &Exchange,
    model: &Model,
    reasons: &[CandidateReason],
    pin: Option<&str>,
) -> Option<usize> {
    let is_open = |index: usize| {
        reasons[index].is_eligible() && pin.is_none_or(|pin| model.offers[index].is_named(pin))
    };
    let kept = reasons.iter().position(|reason| *reason == CandidateReason::SessionKept);
    if let Some(kept) = kept.filter(|index| is_open(*index)) {
        return Some(kept);
    }
    let others = (0..reasons.len()).filter(|index| is_open(*index)).count() > 1;
    let standing = |(index, offer): (usize, &Offer)| {
        let account = &offer.upstream.account;
        let is_left = others && reasons[index] == CandidateReason::SessionLeft;
        let weight = if is_open(index) && !is_left { account.weight } else { 0 };
        Standing { priority: account.priority, weight }
    };
    let field: Vec<Standing> = model.offers.iter().enumerate().map(standing).collect();
    exchange.worker.with_rng(|rng| weighted(&field, rng))
}

fn reason(chosen: Option<&Offer>, candidates: &[Considered<'_>]) -> String {
    let Some(offer) = chosen else {
        return "no account can be called now".to_owned();
    };
    if candidates.iter().any(|c| c.chosen && c.reason == CandidateReason::SessionKept.name()) {
        return "the account where the request's session goes on".to_owned();
    }
    let priority = offer.upstream.account.priority;
    let equals = candidates.iter().filter(|c| c.eligible && c.priority == priority).count();
    match equals {
        0 | 1 => format!("the only account that can be called with the best priority, {priority}"),
        _ => format!("by weight among {equals} accounts with the best priority, {priority}"),
    }
}

/// The accounts that offer the model in the caller's group.
fn own<'a>(
    exchange: &Exchange,
    model: &'a Model,
    (reasons, pin): (&[CandidateReason], Option<&str>),
    chosen: Option<usize>,
) -> Vec<Considered<'a>> {
    let (shared, now_ms) = (&exchange.worker.shared, exchange.now_ms());
    let considered = model.offers.iter().enumerate().map(|(index, offer)| {
        let account = &offer.upstream.account;
        let reason = reasons[index];
        let pinned = pin.is_none_or(|pin| offer.is_named(pin));
        let block = shared.blocks.blocked(&account.id, &offer.upstream_model, now_ms);
        let circuit: CircuitState = shared.circuits.state(&offer.circuit, now_ms);
        Considered {
            upstream_model: Some(&offer.upstream_model),
            provider_model_id: Some(offer.id()),
            eligible: reason.is_eligible() && pinned,
            chosen: chosen == Some(index),
            reason: if pinned { reason.name() } else { "not_pinned" },
            circuit: Some(circuit.name()),
            blocked_for: block.as_ref().map(|block| block.reason),
            blocked_until: block
                .filter(|block| block.until_ms < u64::MAX)
                .map(|block| rfc3339(block.until_ms)),
            ..plain(exchange, &offer.upstream)
        }
    });
    considered.collect()
}

/// An account that does not offer the model to the caller.
fn other<'a>(exchange: &Exchange, upstream: &'a Upstream, model: &Model) -> Considered<'a> {
    let elsewhere = upstream.account.group_id != *model.group;
    let reason = if elsewhere { CandidateReason::OtherGroup.name() } else { "model_not_mapped" };
    Considered { reason, ..plain(exchange, upstream) }
}

fn plain<'a>(exchange: &Exchange, upstream: &'a Upstream) -> Considered<'a> {
    let account = &upstream.account;
    Considered {
        account: &account.name,
        account_id: account.id.as_str(),
        provider: &account.provider,
        group_id: &account.group_id,
        upstream_model: None,
        provider_model_id: None,
        priority: account.priority,
        weight: account.weight,
        eligible: false,
        chosen: false,
        reason: CandidateReason::Eligible.name(),
        running: exchange.worker.shared.in_flight.running(&account.id, exchange.now_ms()),
        concurrency: account.concurrency,
        circuit: None,
        blocked_for: None,
        blocked_until: None,
    }
}
