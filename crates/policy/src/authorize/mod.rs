//! Whether an identified caller may do what they ask.

use std::net::IpAddr;

use ipnet::IpNet;
use model::clock::EpochMs;
use model::resource::ApiKey;
use model::resource::key::KeyStatus;
use model::{Code, Rejection};

/// Refuses a key that is revoked, switched off or expired.
///
/// # Errors
/// `API_KEY_REVOKED` or `API_KEY_EXPIRED`.
pub fn check_key_works(key: &ApiKey, now_ms: EpochMs) -> Result<(), Rejection> {
    match key.status {
        KeyStatus::Active => {}
        KeyStatus::Revoked => return Err(Rejection::new(Code::ApiKeyRevoked)),
        KeyStatus::Disabled => {
            return Err(Rejection::because(Code::ApiKeyRevoked, "The API key is disabled."));
        }
    }
    match key.expires_at {
        Some(end) if end <= now_ms => Err(Rejection::because(
            Code::ApiKeyExpired,
            format!("The API key expired at {}.", model::clock::rfc3339(end)),
        )),
        _ => Ok(()),
    }
}

/// Refuses an address outside the key's allow-list; an empty list allows all.
///
/// # Errors
/// `IP_NOT_WHITELISTED`, naming the address.
pub fn check_address(allowed: &[IpNet], client: IpAddr) -> Result<(), Rejection> {
    if allowed.is_empty() || allowed.iter().any(|network| network.contains(&client)) {
        return Ok(());
    }
    Err(Rejection::because(
        Code::IpNotWhitelisted,
        format!("The address {client} is not allowed to use this key."),
    ))
}

/// Refuses a model outside the key's list; an empty list allows all.
///
/// # Errors
/// `MODEL_NOT_ALLOWED`, naming the model.
pub fn check_model(key: &ApiKey, model: &str) -> Result<(), Rejection> {
    if key.models.is_empty() || key.models.iter().any(|allowed| allowed == model) {
        return Ok(());
    }
    Err(model_not_allowed(model))
}

/// The refusal of a model that exists, but not for this key.
#[must_use]
pub fn model_not_allowed(model: &str) -> Rejection {
    Rejection::because(Code::ModelNotAllowed, format!("This key may not use the model `{}`.", shown(model)))
        .at("model")
}

/// A caller's text as it may stand in a message: bounded, without control characters.
#[must_use]
pub fn shown(text: &str) -> String {
    text.chars().take(128).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ResourceId;

    fn key() -> ApiKey {
        ApiKey {
            id: ResourceId::mint(1, [1; 10]),
            name: "k".into(),
            secret_hmac: [0; 32],
            hint: "abcd".into(),
            kind: model::resource::KeyKind::Standard,
            status: KeyStatus::Active,
            user_id: None,
            tenant_id: "default".into(),
            group_id: "default".into(),
            expires_at: None,
            models: Box::default(),
            allowed_ips: Box::default(),
            rate_limit: std::sync::Arc::default(),
            terms: model::resource::KeyTerms::default(),
            access: model::resource::KeyAccess::default(),
            created_at: 0,
            updated_at: 0,
        }
    }

    #[test]
    fn a_key_works_until_it_ends() {
        let code = |key: &ApiKey| check_key_works(key, 1_000).err().map(|r| r.code);
        assert_eq!(code(&key()), None);
        assert_eq!(code(&ApiKey { expires_at: Some(1_001), ..key() }), None);
        assert_eq!(code(&ApiKey { expires_at: Some(1_000), ..key() }), Some(Code::ApiKeyExpired));
        assert_eq!(code(&ApiKey { status: KeyStatus::Revoked, ..key() }), Some(Code::ApiKeyRevoked));
        assert_eq!(code(&ApiKey { status: KeyStatus::Disabled, ..key() }), Some(Code::ApiKeyRevoked));
    }

    #[test]
    fn lists_restrict_only_when_they_are_not_empty() {
        let network: IpNet = "192.0.2.0/24".parse().expect("a network");
        let inside = "192.0.2.7".parse().expect("an address");
        let outside = "198.51.100.7".parse().expect("an address");
        assert!(check_address(&[], outside).is_ok());
        assert!(check_address(&[network], inside).is_ok());
        assert_eq!(check_address(&[network], outside).err().map(|r| r.code), Some(Code::IpNotWhitelisted));
        let limited = ApiKey { models: ["a".into()].into(), ..key() };
        assert!(check_model(&key(), "b").is_ok() && check_model(&limited, "a").is_ok());
        assert_eq!(check_model(&limited, "b").err().map(|r| r.code), Some(Code::ModelNotAllowed));
    }
}
