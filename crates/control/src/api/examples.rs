//! A table of one-line entries: for each operation with a body one that it takes, as the document shows it.

use serde_json::Value;

/// By the name of the operation; `*` in place of the noun where it is the same for all.
#[rustfmt::skip]
const EXAMPLES: &[(&str, &str)] = &[
    ("trial-key.create", r#"{"quota": 1000, "unit": "requests", "expires_in": 86400, "label": "ann"}"#),
    ("account.create", r#"{"name": "main", "provider": "openai", "credential": {"type": "api_key", "api_key": "sk-example"}, "models": ["gpt-4.1"], "concurrency": 20}"#),
    ("account.update", r#"{"weight": 3, "models": ["gpt-4.1", {"name": "fast", "upstream": "gpt-4.1-mini"}]}"#),
    ("account.test", r#"{"model": "gpt-4.1"}"#),
    ("api-key.create", r#"{"name": "laptop", "models": ["gpt-4.1"], "rate_limit": {"rpm": 60}, "quota": [{"unit": "cost", "period": "monthly", "limit": "25"}]}"#),
    ("api-key.update", r#"{"name": "laptop", "allowed_ips": ["192.0.2.0/24"], "on_disconnect": {"action": "drain", "seconds": 30}}"#),
    ("group.create", r#"{"id": "gold", "name": "Gold", "echo_model": "asked", "retry_executed": true, "max_switches": 5}"#),
    ("group.update", r#"{"echo_model": "asked"}"#),
    ("tenant.create", r#"{"id": "acme", "name": "Acme", "rate_limit": {"rpm": 600}}"#),
    ("tenant.update", r#"{"name": "Acme Inc."}"#),
    ("user.create", r#"{"email": "ann@example.org", "name": "Ann", "role": "viewer", "balance": "10.50"}"#),
    ("user.update", r#"{"name": "Ann", "role": "operator"}"#),
    ("user.balance", r#"{"amount": "25", "reason": "invoice 17"}"#),
    ("*.rate-limit", r#"{"rpm": 60, "tpm": 100000, "concurrent": null}"#),
    ("*.quota", r#"{"quota": [{"unit": "requests", "period": "daily", "limit": 1000}]}"#),
    ("*.quota-reset", r#"{"unit": "requests", "period": "daily", "reason": "outage"}"#),
    ("price.set", r#"{"in": "0.5", "out": "1.5", "cache_read": "0.05"}"#),
    ("secrets.rotate", r#"{}"#),
    ("settings.limits", r#"{"global": {"rpm": 6000}, "ip": {"burst": 20}, "unpriced": "refuse"}"#),
    ("settings.log-level", r#"{"level": "info"}"#),
    ("settings.retention", r#"{"audit_days": 365}"#),
    ("auth.login", r#"{"email": "ann@example.org", "password": "a long enough password"}"#),
    ("auth.refresh", r#"{"refresh_token": "an-example"}"#),
    ("auth.logout", r#"{"refresh_token": "an-example"}"#),
    ("auth.token", r#"{"api_key": "sk-ym-example"}"#),
    ("totp.enrol", r#"{"password": "a long enough password"}"#),
    ("totp.confirm", r#"{"code": "123456"}"#),
    ("totp.disable", r#"{"code": "123456"}"#),
];

/// A body that the operation takes.
#[must_use]
pub fn body(operation: &str) -> Option<Value> {
    let named = |name: &str| EXAMPLES.iter().find(|(of, _)| *of == name);
    let verb = operation.split_once('.').map_or("", |(_, verb)| verb);
    let (_, text) = named(operation).or_else(|| named(&format!("*.{verb}")))?;
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::api::routes;
    use crate::testing::{ADMIN_TOKEN, Fixture, request};

    #[test]
    fn every_operation_with_a_body_has_one_and_no_entry_is_of_nothing() {
        let routes = routes();
        for route in routes.iter().filter(|route| route.operation.body.is_some()) {
            assert!(body(route.name).is_some(), "{}", route.name);
        }
        for (name, text) in EXAMPLES {
            assert!(serde_json::from_str::<Value>(text).is_ok(), "{name}");
            let fits = |of: &str| name.strip_prefix('*').map_or(of == *name, |verb| of.ends_with(verb));
            let found = routes.iter().any(|route| route.operation.body.is_some() && fits(route.name));
            assert!(found, "{name} is the name of no operation with a body");
        }
    }

    /// What creates something or sets it works as it is shown.
    #[tokio::test]
    async fn what_is_shown_works() {
        let fixture = Fixture::empty().await;
        let routes = routes();
        let shown = routes.iter().filter(|route| !route.path.contains('{') && !route.path.contains("/auth/"));
        for route in shown.filter(|route| matches!(route.method, Method::POST | Method::PUT)) {
            let Some(body) = body(route.name).filter(|_| route.name != "settings.log-level") else {
                continue;
            };
            let asked = request(route.method.clone(), route.path, Some(ADMIN_TOKEN), Some(&body));
            let seen = fixture.send(asked).await;
            assert!((200..300).contains(&seen.status), "{}: {} {}", route.name, seen.status, seen.json);
        }
    }
}
