//! Waiting for a place at an account when every account that could be called is at its limit.
//!
//! Fairness, bounds and wake-ups are `state::queue`'s; here is what a request waits for, how long, and
//! what its record tells of it. Whoever stops waiting, however that comes, leaves the queue at once.

use std::sync::Arc;
use std::time::Duration;

use llm::Surface;
use model::record::CandidateReason;
use model::{Code, Rejection, ResourceId};
use state::in_flight::Slot;
use state::queue::{Full, MORE_OF_USER, MOST_OF_ACCOUNT, Queues, WAIT_MS, Waiting, Wanted};
use tokio::time::{Instant, timeout_at};

use crate::catalog::Model;
use crate::dispatch::{Chosen, admitted, reason, takes_place};
use crate::exchange::Exchange;

/// When a caller who was turned away from a queue may come back, in seconds: a sixth of the longest wait,
/// in which a queue that moves at all has moved.
const COME_BACK_S: u64 = 5;

/// How long one request may wait, all its waits together.
pub(crate) struct Patience {
    left: Duration,
}

impl Patience {
    /// Of a request that has not waited.
    pub fn whole() -> Self {
        Self { left: Duration::from_millis(WAIT_MS) }
    }
}

/// Waits for a place at an account of `model` that is not `tried`; `None` when none of them is merely full.
///
/// # Errors
/// `QUEUE_FULL` when too many wait, `QUEUE_TIMEOUT` when no place came in time.
pub(crate) async fn place(
    exchange: &mut Exchange,
    model: &Model,
    surface: Surface,
    tried: &[usize],
    patience: &mut Patience,
) -> Result<Option<Chosen>, Rejection> {
    if !takes_place(surface) {
        return Ok(None);
    }
    let queues = Queues::new(&exchange.worker.shared.in_flight);
    // Offers whose circuit refused when a place was there: no wait for a place helps them.
    let mut refused: Vec<usize> = tried.to_vec();
    loop {
        let full = full_offers(exchange, model, surface, &refused);
        if full.is_empty() {
            return Ok(None);
        }
        let waiting = enter(exchange, &queues, &accounts(model, &full))?;
        let slot = wait(exchange, waiting, patience).await?;
        let now_ms = exchange.now_ms();
        let at = |index: &&usize| model.offers[**index].upstream.account.id == *slot.account();
        let Some(index) = full.iter().find(at).copied() else {
            return Ok(None);
        };
        // While it waited, the account may have been blocked or its circuit opened.
        let open = is_full_at_most(reason(exchange, &model.offers[index], surface, now_ms));
        let ticket = if open { admitted(exchange, &model.offers[index], now_ms) } else { None };
        match ticket {
            Some(ticket) => return Ok(Some(Chosen { offer: index, slot: Some(slot), ticket })),
            None => refused.push(index),
        }
    }
}

/// The offers that lack nothing but a place.
fn full_offers(exchange: &Exchange, model: &Model, surface: Surface, without: &[usize]) -> Vec<usize> {
    let now_ms = exchange.now_ms();
    let is_full = |index: &usize| {
        let offer = &model.offers[*index];
        // An account without a limit is never full, and one with the limit 0 never has a place.
        offer.upstream.account.concurrency.is_some_and(|limit| limit > 0)
            && !without.contains(index)
            && is_full_at_most(reason(exchange, offer, surface, now_ms))
    };
    (0..model.offers.len()).filter(is_full).collect()
}

/// Free by now, too: a place that others wait for is theirs first.
fn is_full_at_most(reason: CandidateReason) -> bool {
    matches!(reason, CandidateReason::AtCapacity | CandidateReason::Eligible)
}

fn accounts(model: &Model, offers: &[usize]) -> Vec<(ResourceId, Option<u32>)> {
    let account = |index: &usize| &model.offers[*index].upstream.account;
    offers.iter().map(account).map(|account| (account.id.clone(), account.concurrency)).collect()
}

fn enter(
    exchange: &mut Exchange,
    queues: &Queues,
    accounts: &[(ResourceId, Option<u32>)],
) -> Result<Waiting, Rejection> {
    let key = exchange.key.clone().ok_or_else(|| Rejection::new(Code::InternalError))?;
    let user: Arc<str> = key.key.user_id.as_ref().unwrap_or(&key.key.id).shared();
    let concurrency = key.limits.usual.concurrent.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX));
    let wanted = Wanted { accounts, user: &user, concurrency };
    queues.enter(&wanted, exchange.now_ms()).map_err(|full| {
        let (limit, used) = match full {
            Full::User => (concurrency.unwrap_or(0).saturating_add(MORE_OF_USER), queues.waiting_of(&user)),
            Full::Account => (MOST_OF_ACCOUNT, MOST_OF_ACCOUNT),
        };
        exchange.checked("queue", false, Some(limit.into()), Some(used.into()));
        queue_full(full, limit)
    })
}

fn queue_full(full: Full, limit: u32) -> Rejection {
    let whose = match full {
        Full::User => "this user",
        Full::Account => "each account of this model",
    };
    let message = format!("{} At most {limit} requests of {whose} wait.", Code::QueueFull.info().message);
    Rejection::because(Code::QueueFull, message).retry_after(COME_BACK_S)
}

/// Waits as long as patience lasts, and writes down how long that was, in milliseconds.
async fn wait(exchange: &mut Exchange, waiting: Waiting, patience: &mut Patience) -> Result<Slot, Rejection> {
    let since = Instant::now();
    let waited = timeout_at(since + patience.left, waiting).await;
    let took = since.elapsed();
    patience.left = patience.left.saturating_sub(took);
    exchange.waited += took;
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    exchange.checked("queue_wait_ms", waited.is_ok(), Some(WAIT_MS), Some(took_ms));
    waited.map_err(|_| Rejection::new(Code::QueueTimeout).retry_after(COME_BACK_S))
}
