//! Sessions stay at the account where they began, so that what its provider has cached of them is of use
//! (accounts contract, §3): after what must go to one account, before chance decides.
//!
//! A session is one of a caller's key, a group and a model, because what a provider caches is one model's. It
//! is named by the client, else by what its requests begin with. Where only one account offers the model
//! there is nothing to choose, and nothing is looked up.

use std::hash::Hasher;

use model::record::CandidateReason;
use state::sessions::{Bound, SessionKey};
use state::trials::Tally;

use crate::catalog::{Model, Offer};
use crate::exchange::Exchange;
use crate::request::Outbound;

/// Requests with fewer tokens have no session but one that is named: no provider caches so little of a
/// prompt (1,024 tokens at OpenAI and Anthropic), and weights shall hold for what has nothing to lose.
const LEAST_CACHED_TOKENS: u64 = 1_024;
/// So much of the beginning tells it from others.
const PREFIX_BYTES: usize = 16 << 10;
/// Of a thousand calls that an account failed lately, so many end its sessions: three in a row.
const TOO_MANY_FAILED: u32 = 300;
/// Sessions end when an account takes so many times as long to its first token as when they came to it …
const SLOWER_TIMES: u32 = 3;
/// … and so many milliseconds longer.
const SLOWER_MS: u32 = 2_000;

/// The session of a request.
pub(crate) struct Sticky {
    key: SessionKey,
    bound: Option<Bound>,
    /// Whether its account lacks nothing but a place: the session comes back to it.
    is_full: bool,
}

impl Sticky {
    /// The session of a request, where it has one that matters.
    pub fn of(exchange: &Exchange, model: &Model, outbound: &Outbound<'_>) -> Option<Self> {
        if model.offers.len() < 2 || exchange.pinned.is_some() || !outbound.call.surface.may_stream() {
            return None;
        }
        let owner = &exchange.key.as_ref()?.key.id;
        let sessions = &exchange.worker.shared.sessions;
        let mut is_named = false;
        let key = sessions.key(|hasher| {
            for part in [owner.as_str(), &*model.group, &*model.name] {
                write(hasher, part);
            }
            is_named = write_name(hasher, exchange, outbound);
        });
        if !is_named {
            return None;
        }
        Some(Self { key, bound: sessions.find(key, exchange.now_ms()), is_full: false })
    }

    /// The reason that is told of an account: `reason`, unless the session is at this one.
    pub fn told(&mut self, exchange: &Exchange, offer: &Offer, reason: CandidateReason) -> CandidateReason {
        let account = &offer.upstream.account.id;
        let Some(bound) = self.bound.as_ref().filter(|bound| bound.account == *account) else {
            return reason;
        };
        self.is_full = reason == CandidateReason::AtCapacity;
        if reason != CandidateReason::Eligible {
            return reason;
        }
        let lately = exchange.worker.shared.trials.of(account, &offer.upstream_model);
        if is_degraded(&lately, bound) { CandidateReason::SessionLeft } else { CandidateReason::SessionKept }
    }

    /// Remembers that the session goes on at the account of `offer`, which answers.
    pub fn answered(self, exchange: &Exchange, offer: &Offer) {
        let account = &offer.upstream.account.id;
        let lately = exchange.worker.shared.trials.of(account, &offer.upstream_model).first_token_ms;
        let first_token_ms = match self.bound {
            // The best that was known: what gets slower by and by is slower too.
            Some(bound) if bound.account == *account && bound.first_token_ms > 0 && lately > 0 => {
                bound.first_token_ms.min(lately)
            }
            Some(bound) if bound.account != *account && self.is_full => return,
            _ => lately,
        };
        let bound = Bound { account: account.clone(), first_token_ms };
        exchange.worker.shared.sessions.bind(self.key, bound, exchange.now_ms());
    }
}

/// Whether an account has become worse than a session may stay for.
fn is_degraded(lately: &Tally, bound: &Bound) -> bool {
    let (before, now) = (bound.first_token_ms, lately.first_token_ms);
    let is_slower =
        before > 0 && now >= before.saturating_mul(SLOWER_TIMES) && now >= before.saturating_add(SLOWER_MS);
    is_slower || lately.lately_failed >= TOO_MANY_FAILED
}

/// Writes what names the session; `false` when nothing does. A name that the client gives goes before what
/// the request begins with, and the narrower of two before the wider.
fn write_name(hasher: &mut dyn Hasher, exchange: &Exchange, outbound: &Outbound<'_>) -> bool {
    let (call, body) = (outbound.call, outbound.body);
    if let Some(session) = llm::session_of_user(call, body) {
        write(hasher, &session);
        return true;
    }
    let facts = exchange.record.program.as_ref();
    if let Some(session) = facts.and_then(|facts| facts.get("thread").or_else(|| facts.get("session"))) {
        write(hasher, session);
        return true;
    }
    if let Some(key) = llm::cache_key(call, body) {
        write(hasher, &key);
        return true;
    }
    let mut is_written = false;
    if exchange.prompt >= LEAST_CACHED_TOKENS {
        llm::prefix(call, body, |part| {
            is_written = true;
            write(hasher, part);
        });
    }
    is_written
}

/// Writes the beginning of `text`, and how long it is: what follows cannot be taken for part of it.
fn write(hasher: &mut dyn Hasher, text: &str) {
    hasher.write_usize(text.len());
    hasher.write(&text.as_bytes()[..text.len().min(PREFIX_BYTES)]);
}
