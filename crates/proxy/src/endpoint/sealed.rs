//! What an account has sealed for itself within an answer of OpenAI's Responses (`encrypted_content` of reasoning
//! and compaction items): no other account can open it, so whoever sends it back goes there (accounts contract
//! §3.1). What is not known here, because it is too old or was made elsewhere, goes wherever it may.

use llm::Call;
use llm::neutral::{Block, Dialect, Opaque, OpaqueKind, Request};
use model::{Code, Rejection, ResourceId};
use state::homes::Home;

use super::stored::owner;
use crate::catalog::{Offer, Upstream};
use crate::exchange::{Belongings, Exchange};

/// So many of a request's latest seals are looked for. One that is known is enough: all of a conversation come
/// from one account.
const MOST_LOOKED_FOR: usize = 32;

/// Pins a call to the account that can open what is sealed in it.
///
/// # Errors
/// `INVALID_REQUEST` where that account does not offer the model.
pub(crate) fn pin(exchange: &mut Exchange, call: &Call, body: &[u8]) -> Result<(), Rejection> {
    let is_responses = call.surface.is_responses() || call.written == Some(Dialect::OpenAiResponses);
    if !is_responses || exchange.pinned.is_some() {
        return Ok(());
    }
    let mut known = llm::seals_from_last(body).take(MOST_LOOKED_FOR).filter_map(|mark| home(exchange, &mark));
    let Some(home) = known.next() else { return Ok(()) };
    drop(known);
    let offers = exchange.model.as_ref().map_or(&[][..], |model| &model.offers);
    let itself = |offer: &&Offer| offer.upstream.account.id == home;
    let place =
        offers.iter().find(itself).or_else(|| offers.iter().find(|offer| opens(exchange, offer, &home)));
    let Some(place) = place else {
        let message = format!(
            "The account that sealed reasoning items of `input` does not offer the model `{}`. Leave the items with \
             `encrypted_content` out, or go on with the model that made them.",
            policy::authorize::shown(&call.model)
        );
        return Err(Rejection::because(Code::InvalidRequest, message).at("input"));
    };
    exchange.pinned = Some(place.upstream.account.id.clone());
    Ok(())
}

/// Leaves out of a request to the account of `offer` what another account has sealed.
pub(crate) fn leave_out(exchange: &Exchange, offer: &Offer, request: &mut Request) {
    let is_elsewhere = |opaque: &Opaque| {
        opaque.origin == Dialect::OpenAiResponses
            && opaque.kind == OpaqueKind::Encrypted
            && llm::mark_of(&opaque.data)
                .and_then(|mark| home(exchange, &mark))
                .is_some_and(|home| !opens(exchange, offer, &home))
    };
    for part in request.turns.iter_mut().flat_map(|turn| &mut turn.parts) {
        if let Block::Reasoning(thoughts) = &mut part.block {
            thoughts.opaque.retain(|opaque| !is_elsewhere(opaque));
        }
    }
}

/// Whether the account of `offer` opens what the account `home` has sealed: it is the same, or has the same
/// credential at the same place.
fn opens(exchange: &Exchange, offer: &Offer, home: &ResourceId) -> bool {
    let account = &offer.upstream.account;
    let is_like = |other: &Upstream| {
        let (other, own) = (&other.account, account);
        let credentials = (other.credential.as_ref(), own.credential.as_ref());
        let same = matches!(credentials, (Some(a), Some(b)) if a.expose() == b.expose());
        same && other.provider == own.provider && other.base_url == own.base_url
    };
    account.id == *home
        || exchange.catalog.upstreams().iter().any(|other| other.account.id == *home && is_like(other))
}

fn home(exchange: &Exchange, mark: &str) -> Option<ResourceId> {
    let key = exchange.key.as_ref()?;
    exchange.worker.shared.homes.find(&id_of(mark), owner(key)).map(|home| home.account)
}

/// What a seal is called among the ids of responses.
fn id_of(mark: &str) -> String {
    format!("sealed:{mark}")
}

impl Belongings {
    /// Remembers which account has sealed what has passed of its answer, before the caller can send it back.
    pub(crate) fn note_seals(&mut self) {
        let seals = self.scanner.as_mut().map(llm::Scanner::take_seals).unwrap_or_default();
        // Nearly every piece of nearly every answer.
        if seals.is_empty() {
            return;
        }
        let (Some(key), Some(offer)) = (&self.key, self.last_offer()) else { return };
        for mark in seals {
            let home = Home {
                account: offer.upstream.account.id.clone(),
                owner: owner(key).clone(),
                model: std::sync::Arc::clone(&self.record.model),
            };
            self.worker.shared.homes.note(&id_of(&mark), home);
        }
    }
}
