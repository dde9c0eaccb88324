//! Who is calling, and whether their credential works on this channel and from where they are.

use std::sync::Arc;

use http::HeaderMap;
use http::request::Parts;
use http_body::Body as _;
use hyper::body::Incoming;
use model::key_text;
use model::{Code, Rejection};
use policy::identify::signed::lacks_signature;
use policy::{authorize, identify};

use super::signed::{self, Unverified};
use crate::catalog::Key;
use crate::channel::{Channel, Rules};
use crate::control_plane::{AdministratorUse, Holder};
use crate::exchange::Exchange;

/// Finds the caller by whatever the request carries, and notes whose it is in the exchange. A signature is
/// checked as far as that is possible without the body: the rest is to be done with what is returned.
///
/// # Errors
/// The 401 and 403 codes of the access contract, in its order.
pub(crate) fn signer_or_caller(
    exchange: &mut Exchange,
    head: &Parts,
) -> Result<Option<Unverified>, Rejection> {
    if exchange.channel.rules().signed && identify::is_signed(&head.headers) {
        return signed::signed(exchange, head).map(Some);
    }
    caller(exchange, &head.headers, head.uri.query()).map(|_| None)
}

/// The same for a request whose body nobody reads: then all is checked.
///
/// # Errors
/// As [`signer_or_caller`]; `INVALID_REQUEST` when it is signed and has a body.
pub(crate) fn without_body(
    exchange: &mut Exchange,
    head: &Parts,
    unread: &Incoming,
) -> Result<Arc<Key>, Rejection> {
    if let Some(unverified) = signer_or_caller(exchange, head)? {
        if !unread.is_end_stream() {
            let message = "A signed request to this address has no body.";
            return Err(Rejection::because(Code::InvalidRequest, message));
        }
        unverified.verify(exchange, head, b"")?;
    }
    exchange.key.clone().ok_or_else(|| Rejection::new(Code::InternalError))
}

/// Finds and checks the bearer that a request carries, and notes whose it is in the exchange.
///
/// # Errors
/// The 401 and 403 codes of the access contract. An unknown id and a wrong secret are told apart by
/// nothing: both are `INVALID_API_KEY`.
pub(crate) fn caller(
    exchange: &mut Exchange,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<Arc<Key>, Rejection> {
    let rules = exchange.channel.rules();
    refuse_signature(headers, "This channel does not take signed requests.")?;
    if rules.bearers.is_empty() {
        return Err(unsigned());
    }
    let bearer = identify::find_bearer(headers, query).map_err(|rejection| without(rules, rejection))?;
    let key = match rules.tokens && !key_text::is_prefixed(bearer.0) {
        true => holder(exchange, bearer.0)?,
        false => key_of(exchange, bearer.0).map_err(|rejection| forgotten(headers, rejection))?,
    };
    works(exchange, key, rules)
}

/// Refuses a signature where none is looked at: a bearer beside it is not read then.
fn refuse_signature(headers: &HeaderMap, message: &'static str) -> Result<(), Rejection> {
    if identify::is_signed(headers) {
        return Err(Rejection::because(Code::InvalidSignature, message));
    }
    Ok(())
}

/// The key of a bearer, whether it still works or not.
///
/// # Errors
/// As [`caller`], but for what ends a key.
pub(crate) fn known_key(
    exchange: &mut Exchange,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<Arc<Key>, Rejection> {
    refuse_signature(headers, "This address does not take signed requests.")?;
    let key = key_of(exchange, identify::find_bearer(headers, query)?.0)?;
    takes_bearer(&key)?;
    check_address(exchange, &key)?;
    Ok(key)
}

/// The key whose text this is.
fn key_of(exchange: &mut Exchange, text: &str) -> Result<Arc<Key>, Rejection> {
    let parsed = key_text::parse(text).ok_or_else(unknown)?;
    let known = exchange.catalog.key(&parsed.id).map(Arc::clone);
    let fits = secret_fits(exchange, known.as_deref(), parsed.secret);
    let key = known.filter(|_| fits).ok_or_else(unknown)?;
    exchange.record.key_id = Some(key.key.id.clone());
    Ok(key)
}

/// Whether it is the key's secret, or one in its grace period. Where there is no such key it takes as long.
fn secret_fits(exchange: &Exchange, key: Option<&Key>, secret: &str) -> bool {
    let (pepper, now_ms) = (&exchange.worker.shared.pepper, exchange.record.at);
    let former = key.into_iter().flat_map(|key| &key.key.access.former);
    let mut former = former.filter(|former| former.until > now_ms);
    pepper.recognises(secret, key.map(|key| &key.key.secret_hmac))
        || former.any(|old| pepper.verifies(secret, &old.hmac))
}

/// Whoever an access token was given to, as the key that its requests run under.
fn holder(exchange: &mut Exchange, token: &str) -> Result<Arc<Key>, Rejection> {
    let worker = std::rc::Rc::clone(&exchange.worker);
    match worker.shared.control.holder(token, exchange.record.at)? {
        Holder::Key(id) => {
            let gone = || Rejection::because(Code::TokenInvalid, "The key of this access token is gone.");
            let key = exchange.catalog.key(&id).map(Arc::clone).ok_or_else(gone)?;
            exchange.record.key_id = Some(id);
            Ok(key)
        }
        Holder::User { user, tenant } => {
            let visitor = exchange.catalog.visitor(&user, &tenant, &worker.shared.settings.default_limits);
            if visitor.owners.disabled {
                let message = "The user of this access token may no longer sign in.";
                return Err(Rejection::because(Code::TokenInvalid, message));
            }
            Ok(visitor)
        }
        Holder::Administrator => {
            worker.shared.control.note(AdministratorUse {
                request_id: exchange.record.request_id,
                client: exchange.record.client_ip,
                route: exchange.record.route,
                at: exchange.record.at,
            });
            Ok(exchange.catalog.administrator(&worker.shared.settings.default_limits))
        }
    }
}

/// Checks a key that was recognised, and notes it.
fn works(exchange: &mut Exchange, key: Arc<Key>, rules: &Rules) -> Result<Arc<Key>, Rejection> {
    attribute(exchange, &key);
    let works =
        works_at_all(exchange, &key).and_then(|()| fits(&key, rules)).and_then(|()| takes_bearer(&key));
    exchange.checked("key", works.is_ok(), None, None);
    works?;
    check_address(exchange, &key)?;
    Ok(key)
}

/// Notes whose request it is.
pub(super) fn attribute(exchange: &mut Exchange, key: &Arc<Key>) {
    exchange.record.user_id = key.key.user_id.clone();
    exchange.record.tenant_id = Arc::clone(&key.key.tenant_id);
    exchange.key = Some(Arc::clone(key));
}

/// Refuses a key that is revoked or expired, or whose owner is switched off.
pub(super) fn works_at_all(exchange: &Exchange, key: &Key) -> Result<(), Rejection> {
    authorize::check_key_works(&key.key, exchange.now_ms()).and_then(|()| owner_works(key))
}

/// Checks once more that the caller's key works, once the body has come: that may have taken an hour, in which
/// keys are revoked and expire. Gives the key as it is configured now.
///
/// # Errors
/// `API_KEY_REVOKED` or `API_KEY_EXPIRED`; `INVALID_API_KEY` when it was deleted.
pub(crate) fn still_works(exchange: &mut Exchange) -> Result<Arc<Key>, Rejection> {
    let key = exchange.key.clone().ok_or_else(|| Rejection::new(Code::InternalError))?;
    let key = as_configured_now(exchange, key);
    let works = key.and_then(|key| works_at_all(exchange, &key).map(|()| key));
    if works.is_err() {
        exchange.checked("key", false, None, None);
    }
    works
}

fn as_configured_now(exchange: &Exchange, key: Arc<Key>) -> Result<Arc<Key>, Rejection> {
    let shared = &exchange.worker.shared;
    let now = shared.catalog.load();
    // Nearly always: configuration seldom changes while a body comes.
    if Arc::ptr_eq(&now, &exchange.catalog) {
        return Ok(key);
    }
    match (exchange.catalog.key(&key.key.id), &key.key.user_id) {
        (Some(_), _) => now.key(&key.key.id).map(Arc::clone).ok_or_else(unknown),
        // Who came with an access token has no key of their own, but may have been switched off.
        (None, Some(user)) => Ok(now.visitor(user, &key.key.tenant_id, &shared.settings.default_limits)),
        (None, None) => Ok(key),
    }
}

/// Refuses an address that the key does not allow.
pub(super) fn check_address(exchange: &mut Exchange, key: &Key) -> Result<(), Rejection> {
    if let (false, Some(client)) = (key.networks.is_empty(), exchange.record.client_ip) {
        let allowed = authorize::check_address(&key.networks, client);
        exchange.checked("ip", allowed.is_ok(), None, None);
        allowed?;
    }
    Ok(())
}

fn owner_works(key: &Key) -> Result<(), Rejection> {
    if key.owners.disabled {
        return Err(Rejection::because(Code::ApiKeyRevoked, "The user of the API key is disabled."));
    }
    Ok(())
}

/// Whether keys of this kind may come in by this channel.
fn fits(key: &Key, rules: &Rules) -> Result<(), Rejection> {
    if rules.bearers.contains(&key.key.kind) {
        return Ok(());
    }
    let kind = key.key.kind.name();
    let message = match rules.channel {
        Channel::Internal => format!(
            "This channel takes internal keys and access tokens; the API key is of the kind `{kind}`."
        ),
        _ => format!("API keys of the kind `{kind}` may not use this channel."),
    };
    Err(Rejection::because(Code::ScopeDenied, message))
}

/// A key that signs is worth nothing to whoever has only read its text, unless it was set up so.
fn takes_bearer(key: &Key) -> Result<(), Rejection> {
    if key.key.access.takes_bearer() {
        return Ok(());
    }
    Err(Rejection::because(Code::InvalidSignature, "This key is used by signing requests, not as a bearer."))
}

/// What is said to a caller who has sent all of a signature but the signature itself.
fn forgotten(headers: &HeaderMap, rejection: Rejection) -> Rejection {
    if lacks_signature(headers) {
        return Rejection::because(Code::InvalidSignature, "`X-Signature` is missing.");
    }
    rejection
}

/// What is said to a caller without a usable credential.
fn without(rules: &Rules, rejection: Rejection) -> Rejection {
    if !rules.tokens || rejection.code == Code::InvalidRequestCredentials {
        return rejection;
    }
    let message = "Send `Authorization: Bearer` with an access token or an internal key.";
    Rejection::because(Code::TokenInvalid, message)
}

pub(super) fn unsigned() -> Rejection {
    Rejection::because(Code::InvalidSignature, "This channel takes signed requests only.")
}

pub(super) fn unknown() -> Rejection {
    Rejection::because(Code::InvalidApiKey, "The API key is not known here.")
}
