//! Who is calling, and whether their key works from where they are.

use std::sync::Arc;

use http::HeaderMap;
use model::key_text;
use model::{Code, Rejection};
use policy::{authorize, identify};

use crate::catalog::Key;
use crate::exchange::Exchange;

/// Finds and checks the caller's key, and notes it in the exchange.
///
/// # Errors
/// The 401 and 403 codes of the access contract. An unknown id and a wrong secret are told apart by
/// nothing: both are `INVALID_API_KEY`.
pub(crate) fn key_of(
    exchange: &mut Exchange,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<Arc<Key>, Rejection> {
    let bearer = identify::find_bearer(headers, query)?;
    let parsed = key_text::parse(bearer.0).ok_or_else(unknown)?;
    let key = exchange.catalog.key(&parsed.id).map(Arc::clone).ok_or_else(unknown)?;
    if !exchange.worker.shared.pepper.verifies(parsed.secret, &key.key.secret_hmac) {
        return Err(unknown());
    }
    exchange.record.key_id = Some(key.key.id.clone());
    exchange.record.user_id = key.key.user_id.clone();
    exchange.record.tenant_id = Arc::clone(&key.tenant);
    exchange.key = Some(Arc::clone(&key));
    let works = authorize::check_key_works(&key.key, exchange.record.at).and_then(|()| owner_works(&key));
    exchange.checked("key", works.is_ok(), None, None);
    works?;
    if let (false, Some(client)) = (key.networks.is_empty(), exchange.record.client_ip) {
        let allowed = authorize::check_address(&key.networks, client);
        exchange.checked("ip", allowed.is_ok(), None, None);
        allowed?;
    }
    Ok(key)
}

fn owner_works(key: &Key) -> Result<(), Rejection> {
    if key.owners.disabled {
        return Err(Rejection::because(Code::ApiKeyRevoked, "The user of the API key is disabled."));
    }
    Ok(())
}

fn unknown() -> Rejection {
    Rejection::because(Code::InvalidApiKey, "The API key is not known here.")
}
