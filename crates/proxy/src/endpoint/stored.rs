//! Responses that a provider keeps: requests that go on from one go to the account that made it, and its
//! owner may read, cancel and delete it there.

use http::request::Parts;
use llm::{Call, Extras, Kept, Surface};
use model::{Code, Rejection, ResourceId};
use policy::authorize;
use state::homes::Home;

use crate::catalog::Key;
use crate::exchange::{Belongings, Exchange};
use crate::intake::Received;

/// A request about one stored response, which has no body: its model is the one that made it.
///
/// # Errors
/// `NOT_FOUND` when the caller has no response of that id here.
pub(crate) fn read_call(exchange: &mut Exchange, head: &Parts) -> Result<Received, Rejection> {
    let path = head.uri.path();
    let id = path.split_once("/responses/").map_or("", |(_, rest)| rest);
    let id = llm::percent_decoded(id.split('/').next().unwrap_or_default());
    let home = home(exchange, &id).ok_or_else(|| {
        let message = format!("Response with id `{}` not found.", authorize::shown(&id));
        Rejection::because(Code::NotFound, message).at("id")
    })?;
    let stream = head.uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "stream=true"));
    let call = Call::of_stored(&home.model, stream && head.method == http::Method::GET);
    exchange.called(&call, &[]);
    exchange.pinned = Some(home.account);
    Ok(Received { call, body: bytes::Bytes::new(), extras: Extras::default() })
}

/// Pins a call to the account that keeps what it goes on from.
///
/// # Errors
/// `INVALID_REQUEST` naming the field whose response is not known, or is of no use with the model;
/// `UNSUPPORTED_FEATURE` for what cannot be pinned.
pub(crate) fn pin(exchange: &mut Exchange, call: &Call) -> Result<(), Rejection> {
    let Some(kept) = call.kept.as_deref() else {
        return Ok(());
    };
    check_background(exchange, kept)?;
    for (field, id) in
        [("previous_response_id", &kept.previous_response), ("conversation", &kept.conversation)]
    {
        let Some(id) = id else { continue };
        let home = home(exchange, id).ok_or_else(|| {
            let what = if field == "conversation" { "Conversation" } else { "Previous response" };
            let message = format!("{what} with id `{}` not found.", authorize::shown(id));
            Rejection::because(Code::InvalidRequest, message).at(field)
        })?;
        let offers = exchange.model.as_ref().map_or(&[][..], |model| &model.offers);
        if !offers.iter().any(|offer| offer.upstream.account.id == home.account) {
            let message = format!(
                "The account that keeps `{}` does not offer the model `{}`.",
                authorize::shown(id),
                authorize::shown(&call.model)
            );
            return Err(Rejection::because(Code::InvalidRequest, message).at(field));
        }
        exchange.pinned = Some(home.account);
    }
    Ok(())
}

/// A response that is made in the background states its use to whoever asks for it later: nobody who pays
/// for tokens could be charged for it.
fn check_background(exchange: &Exchange, kept: &Kept) -> Result<(), Rejection> {
    let counts = exchange.key.as_ref().is_some_and(|key| key.payers.tokens || key.payers.money);
    if kept.background && counts {
        let message =
            "Responses in the background are not available to keys with a balance or a token quota.";
        return Err(Rejection::because(Code::UnsupportedFeature, message).at("background"));
    }
    Ok(())
}

fn home(exchange: &Exchange, id: &str) -> Option<Home> {
    let key = exchange.key.as_ref()?;
    exchange.worker.shared.homes.find(id, owner(key))
}

/// Whose the responses of a key are: its user's, or its own when it has none.
pub(super) fn owner(key: &Key) -> &ResourceId {
    key.key.user_id.as_ref().unwrap_or(&key.key.id)
}

impl Belongings {
    /// Remembers where the response is kept that this answer is.
    pub(crate) fn note_kept(&mut self) {
        if self.surface != Some(Surface::Responses) || self.unkept {
            return;
        }
        let id = self.scanner.as_ref().and_then(llm::Scanner::response_id);
        if let (Some(id), Some(key), Some(offer)) = (id, &self.key, self.last_offer()) {
            let home = Home {
                account: offer.upstream.account.id.clone(),
                owner: owner(key).clone(),
                model: std::sync::Arc::clone(&self.record.model),
            };
            self.worker.shared.homes.note(id, home);
        }
    }
}
