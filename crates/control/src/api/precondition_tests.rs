//! `If-Match` from outside: every operation that names it obeys it.

use std::collections::BTreeSet;

use http::Method;
use http::header::{ETAG, IF_MATCH};
use serde_json::{Value, json};

use super::openapi::document;
use super::route::Route;
use super::routes;
use crate::testing::{ADMIN_TOKEN, Fixture, Seen, request};

const LIMITS: &str = "/api/v1/admin/settings/limits";

async fn send(fixture: &Fixture, (method, path): (Method, &str), body: &Value, tag: &str) -> Seen {
    let mut asked = request(method, path, Some(ADMIN_TOKEN), Some(body));
    asked.headers_mut().insert(IF_MATCH, tag.parse().unwrap());
    fixture.send(asked).await
}

fn tag_of(seen: &Seen) -> String {
    assert_eq!(seen.status, 200, "{}", seen.json);
    seen.headers[ETAG].to_str().unwrap().to_owned()
}

/// Whether the document names `If-Match` for the operation.
fn names_it(document: &Value, route: &Route) -> bool {
    let path = route.path.replace("{*", "{");
    let operation = &document["paths"][&path][route.method.as_str().to_ascii_lowercase()];
    assert!(operation.is_object(), "{} {path}", route.method);
    operation["parameters"].as_array().into_iter().flatten().any(|one| one["name"] == "If-Match")
}

/// A body that an operation would take.
fn body(route: &Route) -> Value {
    match route.path.rsplit('/').next().unwrap_or_default() {
        "quota" => json!([]),
        "balance" => json!({"amount": "1", "reason": "gift"}),
        "retention" => json!({"audit_days": 90}),
        "{*model}" => json!({"in": "1", "out": "1"}),
        _ => json!({}),
    }
}

#[tokio::test]
async fn every_operation_that_names_it_refuses_a_stale_state() {
    let fixture = Fixture::empty().await;
    let made = async |path: &str, body: Value| {
        let made = fixture.created(path, body).await;
        made["id"].as_str().unwrap().to_owned()
    };
    let key = made("/api/v1/admin/api-keys", json!({"name": "k"})).await;
    let user = made("/api/v1/admin/users", json!({"email": "a@example.org", "balance": "1"})).await;
    let account = made("/api/v1/admin/accounts", json!({"name": "a", "provider": "demo"})).await;
    for path in ["/api/v1/admin/tenants", "/api/v1/admin/groups"] {
        made(path, json!({"id": "acme"})).await;
    }
    let price = json!({"in": "1", "out": "1"});
    assert_eq!(fixture.put("/api/v1/admin/prices/m", &price).await.status, 200);
    let routes = routes();
    let document = document(&routes);
    let mut tried = BTreeSet::new();
    for route in routes.iter().filter(|route| names_it(&document, route)) {
        let id = match route.name.split('.').next().unwrap_or_default() {
            "api-key" => &key,
            "user" => &user,
            "account" => &account,
            _ => "acme",
        };
        let path = route.path.replace("{id}", id).replace("{*model}", "m");
        let seen = send(&fixture, (route.method.clone(), &path), &body(route), "\"1\"").await;
        Fixture::refused(&seen, 412, "PRECONDITION_FAILED");
        tried.insert(route.name);
    }
    for name in ["settings.limits", "user.balance", "api-key.quota", "group.rate-limit", "price.set"] {
        assert!(tried.contains(name), "{name} is not among {tried:?}");
    }
}

#[tokio::test]
async fn the_state_of_a_setting_is_named_and_moves_on() {
    let fixture = Fixture::empty().await;
    let unset = tag_of(&fixture.get(LIMITS, ADMIN_TOKEN).await);
    let set =
        async |tag: &str| send(&fixture, (Method::PUT, LIMITS), &json!({"global": {"rpm": 9}}), tag).await;
    let first = tag_of(&set(&unset).await);
    Fixture::refused(&set(&unset).await, 412, "PRECONDITION_FAILED");
    assert_eq!(tag_of(&fixture.get(LIMITS, ADMIN_TOKEN).await), first);
    let second = tag_of(&set(&first).await);
    assert_ne!(first, second, "within the same millisecond too");
}

#[tokio::test]
async fn money_moves_only_from_the_balance_that_was_seen() {
    let fixture = Fixture::empty().await;
    let user = fixture.created("/api/v1/admin/users", json!({"email": "a@example.org"})).await;
    let path = format!("/api/v1/admin/users/{}", user["id"].as_str().unwrap());
    let change = (Method::POST, format!("{path}/balance"));
    let give = async |tag: &str| {
        send(&fixture, (change.0.clone(), &change.1), &json!({"amount": "1", "reason": "gift"}), tag).await
    };
    let seen = tag_of(&fixture.get(&path, ADMIN_TOKEN).await);
    let first = give(&seen).await;
    assert_eq!(first.json["balance"], "1");
    Fixture::refused(&give(&seen).await, 412, "PRECONDITION_FAILED");
    let current = tag_of(&fixture.get(&path, ADMIN_TOKEN).await);
    assert_eq!(tag_of(&first), current, "the answer names the state that it made");
    assert_eq!(give(&current).await.json["balance"], "2");
    Fixture::refused(&give(&current).await, 412, "PRECONDITION_FAILED");
    assert_eq!(fixture.get(&path, ADMIN_TOKEN).await.json["balance"], "2");
}
