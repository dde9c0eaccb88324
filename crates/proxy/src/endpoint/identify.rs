//! Who is calling, and whether their credential works on this channel and from where they are.

use std::sync::Arc;

use http::HeaderMap;
use model::key_text;
use model::{Code, Rejection};
use policy::{authorize, identify};

use crate::catalog::Key;
use crate::channel::{Channel, Rules};
use crate::control_plane::Holder;
use crate::exchange::Exchange;

/// Finds and checks the caller's credential, and notes whose it is in the exchange.
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
    if rules.bearers.is_empty() {
        return Err(unsigned());
    }
    let bearer = identify::find_bearer(headers, query).map_err(|rejection| without(rules, rejection))?;
    let key = match rules.tokens && !key_text::is_prefixed(bearer.0) {
        true => holder(exchange, bearer.0)?,
        false => key_of(exchange, bearer.0)?,
    };
    works(exchange, key, rules)
}

/// The caller's key, whether it still works or not.
///
/// # Errors
/// As [`caller`], but for what ends a key.
pub(crate) fn known_key(
    exchange: &mut Exchange,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<Arc<Key>, Rejection> {
    let key = key_of(exchange, identify::find_bearer(headers, query)?.0)?;
    check_address(exchange, &key)?;
    Ok(key)
}

/// The key whose text this is.
fn key_of(exchange: &mut Exchange, text: &str) -> Result<Arc<Key>, Rejection> {
    let parsed = key_text::parse(text).ok_or_else(unknown)?;
    let key = exchange.catalog.key(&parsed.id).map(Arc::clone).ok_or_else(unknown)?;
    if !exchange.worker.shared.pepper.verifies(parsed.secret, &key.key.secret_hmac) {
        return Err(unknown());
    }
    exchange.record.key_id = Some(key.key.id.clone());
    Ok(key)
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
        Holder::Administrator => Ok(exchange.catalog.administrator(&worker.shared.settings.default_limits)),
    }
}

/// Checks a key that was recognised, and notes it.
fn works(exchange: &mut Exchange, key: Arc<Key>, rules: &Rules) -> Result<Arc<Key>, Rejection> {
    exchange.record.user_id = key.key.user_id.clone();
    exchange.record.tenant_id = Arc::clone(&key.tenant);
    exchange.key = Some(Arc::clone(&key));
    let works = authorize::check_key_works(&key.key, exchange.record.at)
        .and_then(|()| owner_works(&key))
        .and_then(|()| fits(&key, rules));
    exchange.checked("key", works.is_ok(), None, None);
    works?;
    check_address(exchange, &key)?;
    Ok(key)
}

fn check_address(exchange: &mut Exchange, key: &Key) -> Result<(), Rejection> {
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

/// What is said to a caller without a usable credential.
fn without(rules: &Rules, rejection: Rejection) -> Rejection {
    if !rules.tokens || rejection.code == Code::InvalidRequestCredentials {
        return rejection;
    }
    let message = "Send `Authorization: Bearer` with an access token or an internal key.";
    Rejection::because(Code::TokenInvalid, message)
}

fn unsigned() -> Rejection {
    Rejection::because(Code::InvalidSignature, "This channel takes signed requests only.")
}

fn unknown() -> Rejection {
    Rejection::because(Code::InvalidApiKey, "The API key is not known here.")
}
