//! Chooses an account, calls it, and goes to the next one when that is allowed: one loop for every
//! dialect.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use llm::Surface;
use model::record::CandidateReason;
use model::{Code, Rejection};
use policy::choose::{Standing, weighted};
use serde_json::json;
use state::circuits::{CircuitDecision, CircuitState, Circuits};
use state::in_flight::Slot;
use state::retries::Verdict;
use telemetry::failpoint;

use crate::attempt::{self, Outcome};
use crate::catalog::{Model, Offer};
use crate::exchange::{Exchange, RECORDED_CANDIDATES};
use crate::failure::Failure;
use crate::replay::KeptAnswer;
use crate::request::Outbound;
use crate::sticky::Sticky;
use crate::translate;
use crate::waiting::{self, Patience};

/// An answer of which the first part is here.
pub(crate) struct Begun {
    /// The upstream's status and headers.
    pub head: http::response::Parts,
    /// What was held back until it was known that there is an answer.
    pub held: Vec<Bytes>,
    /// The rest; `None` when all of it is in `held`.
    pub answer: Option<egress::Answer>,
}

/// Why there is no answer to relay.
pub(crate) enum Stopped {
    /// Refused or failed.
    Rejected(Rejection),
    /// The upstream's own refusal, which the caller gets as it came.
    Passed(Passed),
    /// Answered before, under the same `Idempotency-Key`.
    Kept(Arc<KeptAnswer>),
    /// No account can count the tokens that it asks for: they are estimated here.
    Uncounted,
}

impl From<Rejection> for Stopped {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// An upstream's error answer, passed on as it came.
pub(crate) struct Passed {
    /// Its status.
    pub status: http::StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// What the record says of it.
    pub rejection: Rejection,
}

/// A place at an account, taken.
pub(crate) struct Chosen {
    /// Which offer of the model.
    pub offer: usize,
    /// The place among the account's requests in flight; counting tokens takes none.
    pub slot: Option<Slot>,
    /// The permission of its circuit.
    pub ticket: Ticket,
}

/// Calls accounts until one answers, the request may not be sent again, or none is left.
///
/// # Errors
/// [`Stopped`] says what the caller gets instead of an answer.
pub(crate) async fn call_upstream(
    exchange: &mut Exchange,
    outbound: &Outbound<'_>,
) -> Result<Begun, Stopped> {
    let model = exchange.model.clone().ok_or_else(|| Rejection::new(Code::InternalError))?;
    let mut tried: Vec<usize> = Vec::new();
    let mut last: Option<Failure> = None;
    let mut patience = Patience::whole();
    let mut sticky = Sticky::of(exchange, &model, outbound);
    let max_switches = usize::from(exchange.group_serving().max_switches);
    while tried.len() <= max_switches && !caller_left(outbound) {
        let surface = outbound.call.surface;
        let chosen = match choose(exchange, &model, surface, (&tried, sticky.as_mut())) {
            Some(chosen) => Ok(Some(chosen)),
            // It would wait for a place that it may not use.
            None if !tried.is_empty() && !in_budget(exchange, model.retries.look(exchange.now_ms())) => {
                Ok(None)
            }
            // Boxed: waiting is rare, and would otherwise widen every call.
            None => Box::pin(waiting::place(exchange, &model, surface, &tried, &mut patience)).await,
        };
        let chosen = match chosen {
            Ok(Some(chosen)) => chosen,
            // What an account said tells the caller more than the queue of the others.
            Err(rejection) if last.is_none() => return Err(rejection.into()),
            Ok(None) | Err(_) => break,
        };
        if !may_send(exchange, &model, tried.is_empty()) {
            break;
        }
        let offer = chosen.offer;
        tried.push(offer);
        exchange.report("route", |_| json!({"candidates": model.offers.len(), "tried": tried.len() - 1}));
        match attempt::run(exchange, &model, outbound, chosen).await {
            Outcome::Begun(begun) => {
                if let Some(sticky) = sticky {
                    sticky.answered(exchange, &model.offers[offer]);
                }
                return Ok(begun);
            }
            Outcome::Stop(stopped) => return Err(stopped),
            Outcome::Switch(failure) => last = Some(after(last, failure)),
        }
        failpoint::pass("before_retry");
    }
    if is_uncounted(exchange, &model, outbound.call, last.as_ref()) {
        return Err(Stopped::Uncounted);
    }
    Err(exhausted(exchange, &model, outbound.call.surface, last).into())
}

/// Whether the request may be sent: the first time always, again while the model's budget allows it.
fn may_send(exchange: &mut Exchange, model: &Model, first: bool) -> bool {
    let now_ms = exchange.now_ms();
    if first {
        model.retries.note_request(now_ms);
        return true;
    }
    in_budget(exchange, model.retries.take(now_ms))
}

/// Whether a retry is within the budget; the record has the numbers where it is not.
fn in_budget(exchange: &mut Exchange, verdict: Verdict) -> bool {
    let Verdict { allowed, limit, used } = verdict;
    if !allowed {
        exchange.checked("retry_budget", false, Some(limit.into()), Some(used.into()));
    }
    allowed
}

/// Whether a count is asked for that no account can give, though one offers the model. What is kept at an
/// account cannot be estimated: it is not here.
fn is_uncounted(exchange: &Exchange, model: &Model, call: &llm::Call, last: Option<&Failure>) -> bool {
    let surface = call.surface;
    let keeps = |kept: &llm::Kept| kept.previous_response.is_some() || kept.conversation.is_some();
    if !surface.counts() || call.kept.as_deref().is_some_and(keeps) {
        return false;
    }
    let now_ms = exchange.now_ms();
    let elsewhere = |offer| reason(exchange, offer, surface, now_ms) == CandidateReason::OtherDialect;
    match last {
        Some(failure) => failure.rejection.code == Code::NotSupported,
        None => model.offers.iter().any(elsewhere),
    }
}

/// Whether nobody waits any more; what was sent is being read to its end, and nothing is sent anew.
fn caller_left(outbound: &Outbound<'_>) -> bool {
    let Some(leave) = outbound.leave else {
        return false;
    };
    leave.note_sent(false);
    leave.caller_left()
}

/// The later failure, with the smaller of the two times to come back.
fn after(earlier: Option<Failure>, mut later: Failure) -> Failure {
    let before = earlier.and_then(|failure| failure.rejection.retry_after);
    later.rejection.retry_after = match (before, later.rejection.retry_after) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    later
}

/// Chooses among the accounts that can be called now and takes a place at one: at its session's, else by
/// chance.
fn choose(
    exchange: &mut Exchange,
    model: &Model,
    surface: Surface,
    (tried, mut sticky): (&[usize], Option<&mut Sticky>),
) -> Option<Chosen> {
    let now_ms = exchange.now_ms();
    let first = tried.is_empty();
    if first {
        exchange.record.candidates.reserve_exact(model.offers.len().min(RECORDED_CANDIDATES));
    }
    let mut field = Vec::with_capacity(model.offers.len());
    let (mut kept, mut left) = (None, None);
    for (index, offer) in model.offers.iter().enumerate() {
        let reason = told(exchange, offer, (surface, now_ms), sticky.as_deref_mut());
        if first {
            exchange.considered(&offer.upstream.name, reason);
        }
        let open = reason.is_eligible() && !tried.contains(&index);
        let account = &offer.upstream.account;
        field.push(Standing { priority: account.priority, weight: if open { account.weight } else { 0 } });
        match reason {
            CandidateReason::SessionKept if open => kept = Some(index),
            CandidateReason::SessionLeft if open => left = Some(index),
            _ => {}
        }
    }
    if let Some(chosen) = kept.and_then(|index| chosen(exchange, model, index, (surface, now_ms))) {
        return Some(chosen);
    }
    // Better than none.
    if let Some(left) = left.filter(|_| field.iter().filter(|standing| standing.weight > 0).count() > 1) {
        field[left].weight = 0;
    }
    prefer_own_dialect(model, surface, &mut field);
    loop {
        let index = exchange.worker.with_rng(|rng| weighted(&field, rng))?;
        match chosen(exchange, model, index, (surface, now_ms)) {
            Some(chosen) => return Some(chosen),
            // Between looking and taking, another worker took the last place.
            None => field[index].weight = 0,
        }
    }
}

/// Why an account can or cannot be called now, and whether the request's session has to do with it.
pub(crate) fn told(
    exchange: &Exchange,
    offer: &Offer,
    (surface, now_ms): (Surface, u64),
    sticky: Option<&mut Sticky>,
) -> CandidateReason {
    let reason = reason(exchange, offer, surface, now_ms);
    sticky.map_or(reason, |sticky| sticky.told(exchange, offer, reason))
}

fn chosen(
    exchange: &Exchange,
    model: &Model,
    offer: usize,
    (surface, now_ms): (Surface, u64),
) -> Option<Chosen> {
    let (slot, ticket) = take_place(exchange, &model.offers[offer], surface, now_ms)?;
    Some(Chosen { offer, slot, ticket })
}

/// Among accounts of the same priority, those that speak the caller's dialect come first: a translation may
/// lose something.
fn prefer_own_dialect(model: &Model, surface: Surface, field: &mut [Standing]) {
    let translated = |index: usize| model.offers[index].uri(surface).is_none();
    if !(0..field.len()).any(|index| field[index].weight > 0 && translated(index)) {
        return;
    }
    for index in 0..field.len() {
        let Standing { priority, weight } = field[index];
        let own =
            |other: usize| field[other].priority == priority && field[other].weight > 0 && !translated(other);
        if weight > 0 && translated(index) && (0..field.len()).any(own) {
            field[index].weight = 0;
        }
    }
}

fn take_place(
    exchange: &Exchange,
    offer: &Offer,
    surface: Surface,
    now_ms: u64,
) -> Option<(Option<Slot>, Ticket)> {
    let account = &offer.upstream.account;
    let slot = if takes_place(surface) {
        Some(exchange.worker.shared.in_flight.enter(&account.id, account.concurrency, now_ms)?)
    } else {
        None
    };
    Some((slot, admitted(exchange, offer, now_ms)?))
}

/// Whether calls of this surface count among an account's requests (accounts contract, §1).
pub(crate) fn takes_place(surface: Surface) -> bool {
    !surface.is_free()
}

/// The permission of the offer's circuit, if it gives one.
pub(crate) fn admitted(exchange: &Exchange, offer: &Offer, now_ms: u64) -> Option<Ticket> {
    let circuits = &exchange.worker.shared.circuits;
    let probe = match circuits.admit(&offer.circuit, now_ms) {
        CircuitDecision::Allow => false,
        CircuitDecision::AllowProbe => true,
        CircuitDecision::Refuse { .. } => return None,
    };
    Some(Ticket { circuits: Arc::clone(circuits), name: Arc::clone(&offer.circuit), probe })
}

/// Why an account can or cannot be called now.
pub(crate) fn reason(exchange: &Exchange, offer: &Offer, surface: Surface, now_ms: u64) -> CandidateReason {
    let shared = &exchange.worker.shared;
    let account = &offer.upstream.account;
    if !account.enabled {
        return CandidateReason::Disabled;
    }
    if offer.uri(surface).is_none() && translate::way(offer, surface, false).is_none() {
        return CandidateReason::OtherDialect;
    }
    if exchange.pinned.as_ref().is_some_and(|pinned| *pinned != account.id) {
        return CandidateReason::KeptElsewhere;
    }
    if account.weight == 0 && exchange.pinned.is_none() {
        return CandidateReason::Drained;
    }
    if shared.blocks.blocked(&account.id, &offer.upstream_model, now_ms).is_some() {
        return CandidateReason::Cooling;
    }
    if shared.circuits.state(&offer.circuit, now_ms) == CircuitState::Open {
        return CandidateReason::CircuitOpen;
    }
    let full = takes_place(surface)
        && account.concurrency.is_some_and(|limit| shared.in_flight.running(&account.id, now_ms) >= limit);
    if full { CandidateReason::AtCapacity } else { CandidateReason::Eligible }
}

/// What the caller is told when no account is left.
fn exhausted(exchange: &Exchange, model: &Model, surface: Surface, last: Option<Failure>) -> Rejection {
    if let Some(failure) = last {
        return failure.rejection;
    }
    let now_ms = exchange.now_ms();
    let reasons: Vec<CandidateReason> =
        model.offers.iter().map(|offer| reason(exchange, offer, surface, now_ms)).collect();
    let all = |wanted: CandidateReason| !reasons.is_empty() && reasons.iter().all(|r| *r == wanted);
    if all(CandidateReason::OtherDialect) {
        return spoken_elsewhere(model, surface);
    }
    let code = if all(CandidateReason::CircuitOpen) { Code::CircuitOpen } else { Code::NoAvailableUpstream };
    let mut names: Vec<&str> = reasons.iter().map(|reason| reason.name()).collect();
    names.sort_unstable();
    names.dedup();
    let message = format!("{} Accounts for `{}`: {}.", code.info().message, model.name, names.join(", "));
    let rejection = Rejection::because(code, message);
    match soonest(exchange, model, now_ms) {
        Some(until_ms) => rejection.retry_after(until_ms.saturating_sub(now_ms).div_ceil(1_000)),
        None => rejection,
    }
}

/// When the first block of a time ends.
fn soonest(exchange: &Exchange, model: &Model, now_ms: u64) -> Option<u64> {
    let shared = &exchange.worker.shared;
    let ends = model.offers.iter().filter_map(|offer| {
        let block = shared.blocks.blocked(&offer.upstream.account.id, &offer.upstream_model, now_ms);
        let circuit = open_until(&shared.circuits, &offer.circuit, now_ms);
        block.map(|block| block.until_ms).or(circuit)
    });
    // An account in error state is blocked until somebody resets it: no time to name.
    ends.filter(|until_ms| *until_ms < u64::MAX).min()
}

/// When an open circuit lets a probe through.
fn open_until(circuits: &Circuits, name: &str, now_ms: u64) -> Option<u64> {
    match circuits.admit(name, now_ms) {
        CircuitDecision::Refuse { until_ms } => Some(until_ms),
        CircuitDecision::AllowProbe => {
            circuits.cancel_probe(name);
            None
        }
        CircuitDecision::Allow => None,
    }
}

fn spoken_elsewhere(model: &Model, surface: Surface) -> Rejection {
    let name = &model.name;
    if surface.is_free() {
        let message = format!("The accounts that offer `{name}` cannot count tokens.");
        return Rejection::because(Code::NotSupported, message);
    }
    let message = format!("No account that offers `{name}` speaks the dialect of {}.", surface.route());
    Rejection::because(Code::UnsupportedFeature, message).at("model")
}

/// The permission of a circuit to make one call. A probe that is never reported is given back.
pub(crate) struct Ticket {
    circuits: Arc<Circuits>,
    name: Arc<str>,
    probe: bool,
}

impl Ticket {
    /// Reports how the call went.
    pub fn report(mut self, ok: bool, now_ms: u64) {
        self.probe = false;
        self.circuits.report(&self.name, ok, now_ms);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.probe {
            self.circuits.cancel_probe(&self.name);
        }
    }
}
